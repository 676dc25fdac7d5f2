-- Contacts: an organisation's address book.

CREATE TABLE contacts (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL UNIQUE,
    organization_id INTEGER NOT NULL REFERENCES organizations (no) ON DELETE CASCADE,
    created_by      BLOB,                              -- the identity that made it; null: an admin did
    name            TEXT,                              -- as payloads have it; null: nobody said
    sort_key        TEXT    NOT NULL,                  -- the name in lower case, or nothing
    searched        TEXT    NOT NULL,                  -- what a search looks into, in lower case
    card            TEXT    NOT NULL,                  -- JSON object: all that was said
    memories        TEXT    NOT NULL,                  -- JSON list: the newest facts, as payloads have them
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX contacts_by_name ON contacts (organization_id, sort_key, no);
CREATE INDEX contacts_by_change ON contacts (organization_id, updated_ms, no);

-- The addresses and numbers of the contacts: each is one contact's at most.
CREATE TABLE contact_points (
    organization_id INTEGER NOT NULL,
    value           TEXT    NOT NULL,                  -- an address in lower case, or a number in E.164
    kind            INTEGER NOT NULL CHECK (kind IN (1, 2)), -- address, number
    contact         INTEGER NOT NULL REFERENCES contacts (no) ON DELETE CASCADE,
    PRIMARY KEY (organization_id, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_points_by_contact ON contact_points (contact, kind, value);

-- What is remembered of them.
CREATE TABLE contact_facts (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL UNIQUE,
    organization_id INTEGER NOT NULL,
    contact         INTEGER NOT NULL REFERENCES contacts (no) ON DELETE CASCADE,
    kind            INTEGER NOT NULL CHECK (kind IN (1, 2, 3)), -- profile, preference, context
    content         TEXT    NOT NULL,
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX contact_facts_by_contact ON contact_facts (contact, updated_ms, no);

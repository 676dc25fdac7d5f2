-- Housekeeping: where retention is, and what it has to come back to.

-- How far each organisation's events have been looked at: everything up to after_seq is gone, or noted below.
CREATE TABLE retention_places (
    organization_id INTEGER PRIMARY KEY,
    after_seq       INTEGER NOT NULL
) STRICT;

-- Events that were old enough but still needed when they were looked at, and when to look again.
CREATE TABLE retention_late (
    event_seq       INTEGER PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    look_ms         INTEGER NOT NULL
) STRICT;
CREATE INDEX retention_late_by_time ON retention_late (look_ms);

-- Mailboxes that are gone, whose conversations are still to be forgotten.
CREATE TABLE forgotten_mailboxes (
    mailbox_id BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE INDEX reserved_names_by_end ON reserved_names (until_ms);

-- The same table without its foreign key: it made deleting a mailbox as long a transaction as the mailbox has
-- had mails.
CREATE TABLE mail_references_loose (
    mailbox_id BLOB    NOT NULL,
    message_id TEXT    NOT NULL,
    position   INTEGER NOT NULL,                       -- 0: the thread in which the id came first
    thread_id  BLOB    NOT NULL,
    seen_ms    INTEGER NOT NULL,
    PRIMARY KEY (mailbox_id, message_id, position)
) STRICT, WITHOUT ROWID;
INSERT INTO mail_references_loose SELECT mailbox_id, message_id, position, thread_id, seen_ms FROM mail_references;
DROP TABLE mail_references;
ALTER TABLE mail_references_loose RENAME TO mail_references;
CREATE INDEX mail_references_by_thread ON mail_references (thread_id);

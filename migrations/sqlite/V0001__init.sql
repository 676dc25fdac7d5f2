-- The first schema. Conventions, the same on every backend:
--   *_ms            integer milliseconds UTC
--   organization_id the organisation's small number (organizations.no); its public name lives at the edge
--   ids             UUIDs as 16 bytes
--   enums           integers with a CHECK; the names are beside each column and in the code's domain types
-- History (events, deliveries, attempts) has no foreign key to live rows: it outlives them.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

CREATE TABLE organizations (
    no                     INTEGER PRIMARY KEY AUTOINCREMENT,
    id                     BLOB    NOT NULL UNIQUE,
    name                   TEXT    NOT NULL UNIQUE,
    signing_key            BLOB,                       -- sealed
    signing_key_created_ms INTEGER,
    created_ms             INTEGER NOT NULL
) STRICT;

CREATE TABLE identities (
    id                     BLOB    PRIMARY KEY,
    organization_id        INTEGER NOT NULL REFERENCES organizations (no) ON DELETE CASCADE,
    handle                 TEXT    NOT NULL UNIQUE,
    display_name           TEXT,
    description            TEXT,
    status                 TEXT    NOT NULL CHECK (status IN ('active', 'paused')),
    imessage_enabled       INTEGER NOT NULL CHECK (imessage_enabled IN (0, 1)),
    settings               TEXT    NOT NULL,           -- JSON object: accepted, stored and echoed, no function here
    signing_key            BLOB,                       -- sealed
    signing_key_created_ms INTEGER,
    created_ms             INTEGER NOT NULL,
    updated_ms             INTEGER NOT NULL
) STRICT;
CREATE INDEX identities_by_organization ON identities (organization_id, created_ms);

CREATE TABLE mailboxes (
    id              BLOB    PRIMARY KEY,
    organization_id INTEGER NOT NULL REFERENCES organizations (no) ON DELETE CASCADE,
    identity_id     BLOB    NOT NULL UNIQUE REFERENCES identities (id) ON DELETE CASCADE,
    address         TEXT    NOT NULL UNIQUE,           -- lower case
    filter_mode     TEXT    NOT NULL CHECK (filter_mode IN ('blacklist', 'whitelist')),
    settings        TEXT    NOT NULL,
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX mailboxes_by_organization ON mailboxes (organization_id, created_ms);

CREATE TABLE phone_numbers (
    id                        BLOB    PRIMARY KEY,
    organization_id           INTEGER NOT NULL REFERENCES organizations (no) ON DELETE CASCADE,
    identity_id               BLOB    NOT NULL UNIQUE REFERENCES identities (id) ON DELETE CASCADE,
    number                    TEXT    NOT NULL UNIQUE, -- E.164
    type                      TEXT    NOT NULL CHECK (type IN ('local', 'toll_free')),
    state                     TEXT,
    incoming_call_action      TEXT    NOT NULL
        CHECK (incoming_call_action IN ('auto_accept', 'auto_reject', 'webhook', 'hosted_agent', 'forward')),
    client_websocket_url      TEXT,
    incoming_call_webhook_url TEXT,
    filter_mode               TEXT    NOT NULL CHECK (filter_mode IN ('blacklist', 'whitelist')),
    settings                  TEXT    NOT NULL,
    created_ms                INTEGER NOT NULL,
    updated_ms                INTEGER NOT NULL
) STRICT;
CREATE INDEX phone_numbers_by_organization ON phone_numbers (organization_id, created_ms);

-- Numbers outside area code + 555-01xx that the operator gave to an organisation.
CREATE TABLE allowed_numbers (
    number          TEXT    PRIMARY KEY,
    organization_id INTEGER NOT NULL REFERENCES organizations (no) ON DELETE CASCADE
) STRICT;

-- A deleted owner's global names stay its organisation's for 90 days.
CREATE TABLE reserved_names (
    kind            TEXT    NOT NULL CHECK (kind IN ('handle', 'address', 'number')),
    name            TEXT    NOT NULL,
    organization_id INTEGER NOT NULL,
    until_ms        INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id              BLOB    PRIMARY KEY,
    organization_id INTEGER REFERENCES organizations (no) ON DELETE CASCADE,  -- null: operator key
    scope           TEXT    NOT NULL CHECK (scope IN ('admin', 'agent', 'operator')),
    identity_id     BLOB    REFERENCES identities (id) ON DELETE SET NULL,
    claimed         INTEGER NOT NULL CHECK (claimed IN (0, 1)),
    label           TEXT    NOT NULL,
    description     TEXT,
    mac             BLOB    NOT NULL UNIQUE,           -- HMAC-SHA-256 of the key's text
    display_prefix  TEXT    NOT NULL,
    last4           TEXT    NOT NULL,
    created_by      TEXT    NOT NULL,
    creator_type    TEXT    NOT NULL CHECK (creator_type IN ('human', 'agent')),
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL,
    last_used_ms    INTEGER,
    expires_ms      INTEGER,
    revoked_ms      INTEGER
) STRICT;
CREATE INDEX api_keys_by_organization ON api_keys (organization_id, created_ms);
CREATE INDEX api_keys_by_identity ON api_keys (identity_id) WHERE identity_id IS NOT NULL;

-- Every URL that was ever delivered to, once; subscriptions and attempts name it by number.
CREATE TABLE urls (
    no  INTEGER PRIMARY KEY AUTOINCREMENT,
    url TEXT    NOT NULL UNIQUE
) STRICT;

CREATE TABLE subscriptions (
    no              INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: history refers to it
    id              BLOB    NOT NULL UNIQUE,
    organization_id INTEGER NOT NULL,
    identity_id     BLOB    NOT NULL,                  -- the owning identity, whatever the selector
    owner_kind      INTEGER NOT NULL CHECK (owner_kind IN (1, 2, 3)),  -- mailbox, phone number, identity
    owner_id        BLOB    NOT NULL,                  -- the selector given at create
    url             INTEGER NOT NULL REFERENCES urls (no),             -- as given
    url_normalized  TEXT    NOT NULL,
    event_types     TEXT    NOT NULL,                  -- JSON array, order as given
    context_config  TEXT,                              -- JSON object
    auth_token      BLOB,                              -- sealed
    status          TEXT    NOT NULL CHECK (status IN ('active', 'deleted')),
    generation      INTEGER NOT NULL,                  -- raised by every change that an attempt must notice
    not_before_ms   INTEGER NOT NULL DEFAULT 0,        -- Retry-After: nothing automatic is sent earlier
    paused_ms       INTEGER,                           -- held since; null: not paused
    pause_reason    TEXT CHECK (pause_reason IN ('gone', 'by_hand')),
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL,
    deleted_ms      INTEGER
) STRICT;
CREATE INDEX subscriptions_by_organization ON subscriptions (organization_id, no) WHERE status = 'active';
CREATE INDEX subscriptions_by_identity ON subscriptions (identity_id, no) WHERE status = 'active';
CREATE INDEX subscriptions_by_owner ON subscriptions (owner_id, no) WHERE status = 'active';

-- The types that a subscription selects now. A queued delivery whose acceptance number is not after
-- since_seq was cancelled when the type was removed, even if the type came back.
CREATE TABLE subscription_types (
    subscription INTEGER NOT NULL REFERENCES subscriptions (no) ON DELETE CASCADE,
    event_type   INTEGER NOT NULL,
    since_seq    INTEGER NOT NULL,
    PRIMARY KEY (subscription, event_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq             INTEGER PRIMARY KEY,               -- acceptance number: the order of commits
    id              BLOB    NOT NULL,
    organization_id INTEGER NOT NULL,
    event_type      INTEGER NOT NULL,
    owner_kind      INTEGER NOT NULL CHECK (owner_kind IN (1, 2, 3)),
    owner_id        BLOB    NOT NULL,
    identity_id     BLOB    NOT NULL,
    accepted_ms     INTEGER NOT NULL,
    expires_ms      INTEGER,
    fan_out         INTEGER NOT NULL,                  -- deliveries made in the accepting transaction
    payload         BLOB    NOT NULL                   -- the body that is signed and sent
) STRICT;
CREATE UNIQUE INDEX events_by_id ON events (organization_id, id);
CREATE INDEX events_by_organization ON events (organization_id, seq);
CREATE INDEX events_by_owner ON events (owner_id, seq);
CREATE INDEX events_by_type ON events (organization_id, event_type, seq);

-- What was seen before: 1 Idempotency-Key, 2 event id given by the publisher, 3 mail.
CREATE TABLE dedupe (
    organization_id INTEGER NOT NULL,
    kind            INTEGER NOT NULL CHECK (kind IN (1, 2, 3)),
    key             BLOB    NOT NULL,
    request_hash    BLOB    NOT NULL,
    event_id        BLOB    NOT NULL,
    expires_ms      INTEGER,                           -- null: as long as the event
    PRIMARY KEY (organization_id, kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX dedupe_by_expiry ON dedupe (expires_ms) WHERE expires_ms IS NOT NULL;

-- Deliveries that have not ended. A claimed row's due_ms is its lease end, so an expired lease is simply
-- due again; `boot` then tells that an attempt was lost.
-- no = acceptance number * 64 + position: rows of one event are neighbours, and order is accepted order.
CREATE TABLE queue (
    no                 INTEGER PRIMARY KEY,
    organization_id    INTEGER NOT NULL,
    subscription       INTEGER NOT NULL,
    event_seq          INTEGER NOT NULL,
    event_type         INTEGER NOT NULL,
    class              INTEGER NOT NULL CHECK (class IN (1, 2, 3, 4)),  -- live, retry, recover, manual
    request_id         BLOB    NOT NULL,
    due_ms             INTEGER NOT NULL,               -- 0: at once
    expires_ms         INTEGER,
    created_ms         INTEGER NOT NULL,
    failures           INTEGER NOT NULL DEFAULT 0,     -- attempts that count in the schedule
    attempts           INTEGER NOT NULL DEFAULT 0,     -- every attempt, the unknown ones included
    unknown            INTEGER NOT NULL DEFAULT 0,     -- attempts whose outcome nobody knows
    maybe_received     INTEGER NOT NULL DEFAULT 0 CHECK (maybe_received IN (0, 1)),
    claim_no           INTEGER NOT NULL DEFAULT 0,     -- the fence: raised by every claim
    boot               INTEGER,                        -- who holds the lease; null: nobody
    claimed_ms         INTEGER,
    claimed_url        INTEGER                         -- urls.no at the claim, for an attempt that gets lost
) STRICT;
CREATE INDEX queue_by_due ON queue (subscription, class, due_ms);
CREATE INDEX queue_leased ON queue (boot) WHERE boot IS NOT NULL;
CREATE INDEX queue_by_event ON queue (event_seq) WHERE class IN (3, 4);

-- Earliest due time of a subscription and class: too early at worst, never too late. No row: nothing queued.
CREATE TABLE queue_heads (
    subscription INTEGER NOT NULL,
    class        INTEGER NOT NULL,
    due_ms       INTEGER NOT NULL,
    PRIMARY KEY (subscription, class)
) STRICT, WITHOUT ROWID;
CREATE INDEX queue_heads_by_due ON queue_heads (due_ms);

-- Work that a delete or a narrowed list of event types left for the janitor: the place in queue_by_due
-- after which to go on.
CREATE TABLE cancellations (
    no           INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription INTEGER NOT NULL,
    after_class  INTEGER NOT NULL DEFAULT 0,
    after_due_ms INTEGER NOT NULL DEFAULT 0,
    after_no     INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Deliveries that have ended.
CREATE TABLE deliveries (
    no              INTEGER PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    subscription    INTEGER NOT NULL,
    event_seq       INTEGER NOT NULL,
    event_type      INTEGER NOT NULL,
    class           INTEGER NOT NULL CHECK (class IN (1, 2, 3, 4)),
    request_id      BLOB    NOT NULL,
    state           INTEGER NOT NULL CHECK (state IN (1, 2, 3, 4)),  -- succeeded, exhausted, cancelled, expired
    reason          TEXT,
    attempts        INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL,
    ended_ms        INTEGER NOT NULL,
    open_claim      INTEGER,                           -- an attempt that was in flight when it ended
    open_url        INTEGER,                           -- where that attempt went
    open_started_ms INTEGER
) STRICT;
CREATE INDEX deliveries_open ON deliveries (open_claim) WHERE open_claim IS NOT NULL;
CREATE INDEX deliveries_by_event ON deliveries (event_seq) WHERE class IN (3, 4);

CREATE TABLE attempts (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL UNIQUE,
    organization_id INTEGER NOT NULL,
    delivery        INTEGER NOT NULL,                  -- queue.no / deliveries.no
    subscription    INTEGER NOT NULL,
    event_seq       INTEGER NOT NULL,
    event_type      INTEGER NOT NULL,
    attempt_no      INTEGER NOT NULL,                  -- 1 for the first
    claim_no        INTEGER NOT NULL,
    url             INTEGER NOT NULL,                  -- urls.no: where it was sent
    is_replay       INTEGER NOT NULL CHECK (is_replay IN (0, 1)),
    outcome         INTEGER NOT NULL CHECK (outcome IN (1, 2, 3)),  -- succeeded, failed, unknown
    status          INTEGER,
    error           TEXT,
    response_body   BLOB,
    response_bytes  INTEGER,                           -- read, kept or not
    duration_ms     INTEGER,
    started_ms      INTEGER NOT NULL,
    created_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX attempts_by_organization ON attempts (organization_id, no);
CREATE INDEX attempts_by_subscription ON attempts (subscription, no);
CREATE INDEX attempts_by_type ON attempts (organization_id, event_type, no);
CREATE INDEX attempts_by_success ON attempts (organization_id, (outcome = 1), no);
CREATE INDEX attempts_of_replays ON attempts (delivery) WHERE is_replay = 1;
CREATE INDEX attempts_unknown ON attempts (delivery) WHERE outcome = 3;

-- Conversations of a mailbox: which thread a Message-ID belongs to, and who took part in it.
CREATE TABLE mail_references (
    mailbox_id BLOB    NOT NULL REFERENCES mailboxes (id) ON DELETE CASCADE,
    message_id TEXT    NOT NULL,
    position   INTEGER NOT NULL,                       -- 0: the thread in which the id came first
    thread_id  BLOB    NOT NULL,
    seen_ms    INTEGER NOT NULL,
    PRIMARY KEY (mailbox_id, message_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE mail_participants (
    thread_id BLOB NOT NULL,
    address   TEXT NOT NULL,
    PRIMARY KEY (thread_id, address)
) STRICT, WITHOUT ROWID;

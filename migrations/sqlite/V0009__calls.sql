-- Incoming calls: what else a number says of them, what an agent says that has no number yet, and their log.

ALTER TABLE phone_numbers ADD COLUMN incoming_call_fallback_url TEXT;
ALTER TABLE phone_numbers ADD COLUMN incoming_call_default_action TEXT NOT NULL DEFAULT 'reject'
    CHECK (incoming_call_default_action IN ('reject', 'answer'));
ALTER TABLE phone_numbers ADD COLUMN incoming_call_timeout_ms INTEGER;  -- null: the server's default

-- What an identity without a number says of its calls; the number that it gets takes it over.
CREATE TABLE call_rules (
    identity_id                  BLOB    PRIMARY KEY REFERENCES identities (id) ON DELETE CASCADE,
    incoming_call_action         TEXT    NOT NULL
        CHECK (incoming_call_action IN ('auto_accept', 'auto_reject', 'webhook', 'hosted_agent', 'forward')),
    client_websocket_url         TEXT,
    incoming_call_webhook_url    TEXT,
    incoming_call_fallback_url   TEXT,
    incoming_call_default_action TEXT    NOT NULL CHECK (incoming_call_default_action IN ('reject', 'answer')),
    incoming_call_timeout_ms     INTEGER,
    settings                     TEXT    NOT NULL
) STRICT;

-- Every number that was ever asked about a call, once; it outlives the number, as history does.
-- A line of the log about a call has -no as its subscription.
CREATE TABLE call_lines (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_id INTEGER NOT NULL,
    phone_number_id BLOB    NOT NULL UNIQUE,
    identity_id     BLOB    NOT NULL
) STRICT;

-- Calls about which somebody was asked. A line of the log about one has -no as its delivery, and no event.
CREATE TABLE calls (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_id INTEGER NOT NULL,
    id              BLOB    NOT NULL,
    attempts        INTEGER NOT NULL,                  -- lines of the log; it goes with the last of them
    payload         BLOB    NOT NULL                   -- the body that was signed and sent, to each that was asked
) STRICT;

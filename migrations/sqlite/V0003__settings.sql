-- What a subscription and an organisation may set for themselves; null is the server's default.

ALTER TABLE subscriptions ADD COLUMN delivery TEXT;                   -- JSON object

ALTER TABLE organizations ADD COLUMN alerts_url TEXT;                 -- null: operational events are not made
ALTER TABLE organizations ADD COLUMN alerts_generation INTEGER NOT NULL DEFAULT 0;  -- raised with URL and key
ALTER TABLE organizations ADD COLUMN retention_days INTEGER;
ALTER TABLE organizations ADD COLUMN publish_per_second INTEGER;
ALTER TABLE organizations ADD COLUMN max_queued INTEGER;

-- Operational events: those on their way to the organisation's alerts_url, and the newest that have ended.
-- A claimed row's due_ms is its lease end, so an expired lease is simply due again.
CREATE TABLE alerts (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL UNIQUE,
    organization_id INTEGER NOT NULL REFERENCES organizations (no) ON DELETE CASCADE,
    subscription    INTEGER NOT NULL,
    subscription_id BLOB    NOT NULL,
    url             TEXT    NOT NULL,                  -- where the subscription pointed, the newest time
    kind            INTEGER NOT NULL CHECK (kind IN (1, 2, 3, 4, 5)),
                    -- failing, recovered, paused, delivery exhausted, delivery held too long
    count           INTEGER NOT NULL,                  -- how often it happened since the one before
    detail          TEXT    NOT NULL,                  -- JSON object: of the newest time
    happened_ms     INTEGER NOT NULL,                  -- the newest time
    opens_ms        INTEGER NOT NULL,                  -- first due; the next one is not due sooner than 10 min later
    due_ms          INTEGER NOT NULL,
    payload         BLOB,                              -- the body, from the first claim on
    attempts        INTEGER NOT NULL DEFAULT 0,
    failures        INTEGER NOT NULL DEFAULT 0,
    maybe_received  INTEGER NOT NULL DEFAULT 0 CHECK (maybe_received IN (0, 1)),
    claim_no        INTEGER NOT NULL DEFAULT 0,        -- the fence: raised by every claim
    state           INTEGER NOT NULL DEFAULT 1 CHECK (state IN (1, 2, 3)),  -- waiting, sent, dropped
    ended_ms        INTEGER
) STRICT;
CREATE INDEX alerts_waiting ON alerts (organization_id, due_ms) WHERE state = 1;
CREATE INDEX alerts_by_organization ON alerts (organization_id, no);
CREATE INDEX alerts_by_subscription ON alerts (subscription, kind, no);

-- Recover jobs, and deliveries in the order of their conversation.

-- 'conversation': of a conversation's deliveries one at a time is in the queue. Counts from the event after
-- ordering_since_seq, which stays when the order is turned off: something may be in order until it has ended.
-- What was parked before is on its way into the queue (unparkings).
ALTER TABLE subscriptions ADD COLUMN ordering TEXT NOT NULL DEFAULT 'none'
    CHECK (ordering IN ('none', 'conversation'));
ALTER TABLE subscriptions ADD COLUMN ordering_since_seq INTEGER;
CREATE INDEX subscriptions_ordered ON subscriptions (no) WHERE ordering_since_seq IS NOT NULL;

-- The conversations of which something is under way. The head is in the queue; what comes after it is parked.
CREATE TABLE conversations (
    subscription INTEGER NOT NULL,
    key          BLOB    NOT NULL,
    head         INTEGER NOT NULL,                     -- queue.no
    held_ms      INTEGER,                              -- the head failed and is waited for until then
    is_over      INTEGER NOT NULL DEFAULT 0 CHECK (is_over IN (0, 1)),  -- the head is waited for no longer
    PRIMARY KEY (subscription, key)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX conversations_by_head ON conversations (head);
CREATE INDEX conversations_by_hold ON conversations (held_ms) WHERE held_ms IS NOT NULL;

-- Deliveries that wait for an earlier one of their conversation. `no` and the rest as in the queue, where
-- they go next.
CREATE TABLE parked (
    no              INTEGER PRIMARY KEY,
    organization_id INTEGER NOT NULL,
    subscription    INTEGER NOT NULL,
    key             BLOB    NOT NULL,
    event_seq       INTEGER NOT NULL,
    event_type      INTEGER NOT NULL,
    request_id      BLOB    NOT NULL,
    expires_ms      INTEGER,
    created_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX parked_by_conversation ON parked (subscription, key, no);
CREATE INDEX parked_by_subscription ON parked (subscription, no);
CREATE INDEX parked_by_expiry ON parked (expires_ms) WHERE expires_ms IS NOT NULL;

-- Queued deliveries that were let go past an earlier one of their conversation, and which event that was.
CREATE TABLE gaps (
    delivery INTEGER PRIMARY KEY,                      -- queue.no
    event    BLOB    NOT NULL
) STRICT;

-- Subscriptions whose order was turned off: what is parked goes into the queue.
CREATE TABLE unparkings (
    subscription INTEGER PRIMARY KEY
) STRICT;

-- Parked rows come before the queue's; after_parked says how far they have been looked at.
ALTER TABLE cancellations ADD COLUMN after_parked INTEGER NOT NULL DEFAULT 0;

CREATE TABLE recover_jobs (
    no              INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL UNIQUE,
    organization_id INTEGER NOT NULL,
    subscription    INTEGER NOT NULL,
    which           INTEGER NOT NULL CHECK (which IN (1, 2, 3)),     -- failed, all, missed
    since_ms        INTEGER NOT NULL,                  -- accepted from then on
    until_ms        INTEGER NOT NULL,                  -- up to then
    state           INTEGER NOT NULL CHECK (state IN (1, 2, 3, 4)),  -- running, completed, cancelled, failed
    after_seq       INTEGER NOT NULL,                  -- events up to here have been examined
    last_seq        INTEGER NOT NULL,                  -- and beyond this none will be
    examined        INTEGER NOT NULL DEFAULT 0,
    queued          INTEGER NOT NULL DEFAULT 0,
    created_ms      INTEGER NOT NULL,
    updated_ms      INTEGER NOT NULL,
    ended_ms        INTEGER
) STRICT;
CREATE UNIQUE INDEX recover_jobs_running ON recover_jobs (subscription) WHERE state = 1;
CREATE INDEX recover_jobs_by_subscription ON recover_jobs (subscription, no);

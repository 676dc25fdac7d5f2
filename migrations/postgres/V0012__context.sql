-- What was said before, for subscriptions that ask for it with a received message.

-- The setting counts for deliveries of numbers after this. It stays when the setting is taken away: a delivery that
-- has a body of its own keeps it.
ALTER TABLE subscriptions ADD COLUMN context_since_seq BIGINT;
CREATE INDEX subscriptions_by_context_since ON subscriptions (context_since_seq)
    WHERE context_since_seq IS NOT NULL;
-- Whose events are to be found by who took part in them.
CREATE INDEX subscriptions_with_context ON subscriptions (identity_id)
    WHERE status = 'active' AND context_config <> '{}';

-- Where events are found by who took part in them: a key is a hash of the identity, of a kind of event or a
-- conversation, and of one who took part. Only of identities that have such a subscription.
CREATE TABLE context_items (
    event_seq BIGINT NOT NULL,
    key       BIGINT NOT NULL,
    PRIMARY KEY (event_seq, key)
);
CREATE INDEX context_items_by_key ON context_items (key, event_seq);

-- Owners whose earlier events are still to be put there, newest first.
CREATE TABLE context_histories (
    owner_id    BYTEA  PRIMARY KEY,
    identity_id BYTEA  NOT NULL,
    before_seq  BIGINT,                                -- what is not before this is there; null: begin
    floor_seq   BIGINT NOT NULL DEFAULT 0,             -- nothing below this is looked at
    look_ms     BIGINT NOT NULL DEFAULT 0              -- not before this
);

-- Bodies of deliveries that say more than their event does. Kept as long as the event.
CREATE TABLE delivery_bodies (
    delivery  BIGINT PRIMARY KEY,                      -- queue.no / deliveries.no
    event_seq BIGINT NOT NULL,
    body      BYTEA  NOT NULL
);
CREATE INDEX delivery_bodies_by_event ON delivery_bodies (event_seq);

-- Settings from before: they count from now on, and their identities' events are put where they are found.
UPDATE subscriptions SET context_since_seq = (SELECT coalesce(max(seq), 0) FROM events)
    WHERE context_config IS NOT NULL;
INSERT INTO context_histories (owner_id, identity_id)
    SELECT o.id, o.identity_id FROM (
        SELECT id, identity_id FROM mailboxes UNION ALL SELECT id, identity_id FROM phone_numbers
        UNION ALL SELECT id, id FROM identities) o
    WHERE o.identity_id IN (SELECT identity_id FROM subscriptions WHERE status = 'active' AND context_config <> '{}');

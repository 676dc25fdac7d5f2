-- How the receiver of a subscription does. Times of the schedule are in schedule time, those that are shown
-- (last_success_ms, last_failure_ms, drain_since_ms) in wall time.
--
-- pause_reason is null, while paused_ms is set, when the failures of days paused it.
ALTER TABLE subscriptions ADD COLUMN health SMALLINT NOT NULL DEFAULT 1 CHECK (health IN (1, 2)); -- healthy, failing
ALTER TABLE subscriptions ADD COLUMN consecutive_failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN first_failure_ms BIGINT;        -- since the last success
ALTER TABLE subscriptions ADD COLUMN last_success_ms BIGINT;         -- written once a second at most
ALTER TABLE subscriptions ADD COLUMN last_failure_ms BIGINT;
ALTER TABLE subscriptions ADD COLUMN probe_step BIGINT NOT NULL DEFAULT 0;     -- probes that failed
ALTER TABLE subscriptions ADD COLUMN probe_next_ms BIGINT NOT NULL DEFAULT 0;  -- not before, unless an event comes
ALTER TABLE subscriptions ADD COLUMN probe_delivery BIGINT;          -- queue.no of the latest probe
ALTER TABLE subscriptions ADD COLUMN probe_claim BIGINT;             -- its claim: under way while the lease says so
ALTER TABLE subscriptions ADD COLUMN probe_seen BIGINT NOT NULL DEFAULT 0;     -- events after this probe at once
ALTER TABLE subscriptions ADD COLUMN pace_minute_ms BIGINT NOT NULL DEFAULT 0; -- when the counted minute began
ALTER TABLE subscriptions ADD COLUMN pace_good BIGINT NOT NULL DEFAULT 0;      -- successes in it
ALTER TABLE subscriptions ADD COLUMN pace_last_good BIGINT NOT NULL DEFAULT 0; -- in the last minute with any
ALTER TABLE subscriptions ADD COLUMN drain_since_ms BIGINT;          -- what was last tried by then is due
ALTER TABLE subscriptions ADD COLUMN drain_until BIGINT;             -- and what was accepted up to here

-- What is held for too long is looked for among these.
CREATE INDEX subscriptions_paused ON subscriptions (no) WHERE paused_ms IS NOT NULL;

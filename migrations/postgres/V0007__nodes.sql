-- Whose attempt was in flight when a delivery ended. On a server that several nodes share, only a node that takes
-- the place of another knows that it is gone.
ALTER TABLE deliveries ADD COLUMN open_boot BIGINT;

-- The nodes at work: each says so about once a second, by the server's clock.
CREATE TABLE nodes (
    boot       BIGINT PRIMARY KEY,                     -- as in leases
    name       TEXT   NOT NULL,                        -- the machine's
    version    TEXT   NOT NULL,
    started_ms BIGINT NOT NULL,
    seen_ms    BIGINT NOT NULL
);

-- Raised by every change that the nodes' memories must notice: 'keys', 'names'.
CREATE TABLE epochs (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BIGINT NOT NULL
);

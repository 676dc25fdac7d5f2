-- Agents that sign up by themselves, and whom they may turn to.

-- People who belong to an organisation: what signs up under their address may be theirs.
CREATE TABLE members (
    organization_id BIGINT NOT NULL REFERENCES organizations (no) ON DELETE CASCADE,
    email           TEXT COLLATE "C" NOT NULL,         -- lower case
    created_ms      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, email)
);
CREATE INDEX members_by_email ON members (email, created_ms, organization_id);

-- An organisation's invitation: who signs up with its token belongs to the organisation from the start.
CREATE TABLE invitations (
    organization_id BIGINT PRIMARY KEY REFERENCES organizations (no) ON DELETE CASCADE,
    id              BYTEA  NOT NULL,
    mac             BYTEA  NOT NULL UNIQUE,            -- HMAC-SHA-256 of the token
    created_ms      BIGINT NOT NULL
);

-- One row an identity that signed up, for as long as there is the identity. The code is in no column: it is made of
-- code_nonce with a key that is derived from the master key.
CREATE TABLE signups (
    identity_id      BYTEA    PRIMARY KEY REFERENCES identities (id) ON DELETE CASCADE,
    human_email      TEXT COLLATE "C" NOT NULL,        -- lower case
    note             TEXT     NOT NULL,                -- to the human; empty once it is claimed
    harness          TEXT,                             -- what the agent says that it runs in
    invitation_id    BYTEA,                            -- the invitation that it came with
    is_provisional   SMALLINT NOT NULL CHECK (is_provisional IN (0, 1)), -- its organisation was made for it alone
    code_nonce       BYTEA    NOT NULL,
    guesses          BIGINT   NOT NULL DEFAULT 0,      -- wrong ones, of all codes
    guesses_of_code  BIGINT   NOT NULL DEFAULT 0,      -- wrong ones, of this code
    resends          BIGINT   NOT NULL DEFAULT 0,
    code_made_ms     BIGINT   NOT NULL,
    mail_due_ms      BIGINT,                           -- when the code is to be mailed; null: nothing to mail
    mail_attempts    BIGINT   NOT NULL DEFAULT 0,      -- to mail this code
    created_ms       BIGINT   NOT NULL,
    expires_ms       BIGINT   NOT NULL,                -- unclaimed then: it goes, with its names
    claimed_ms       BIGINT
);
CREATE INDEX signups_by_expiry ON signups (expires_ms) WHERE claimed_ms IS NULL;
CREATE INDEX signups_by_mail ON signups (mail_due_ms) WHERE mail_due_ms IS NOT NULL;

-- What was registered in the last day, also where it is gone: for the limits.
CREATE TABLE signup_counts (
    identity_id BYTEA  PRIMARY KEY,
    email       BYTEA  NOT NULL,                       -- HMAC-SHA-256 of the human's address
    block       TEXT COLLATE "C" NOT NULL,             -- the client's network: 192.0.2.0/24, 2001:db8::/48
    created_ms  BIGINT NOT NULL
);
CREATE INDEX signup_counts_by_email ON signup_counts (email, created_ms);
CREATE INDEX signup_counts_by_block ON signup_counts (block, created_ms);
CREATE INDEX signup_counts_by_time ON signup_counts (created_ms);

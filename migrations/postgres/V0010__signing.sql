-- Keys that are to sign later: each begins at its time, and whoever signs picks by the time. Sealed like the others.
ALTER TABLE identities ADD COLUMN next_key BYTEA;
ALTER TABLE identities ADD COLUMN next_key_created_ms BIGINT;
ALTER TABLE identities ADD COLUMN next_key_from_ms BIGINT;
ALTER TABLE organizations ADD COLUMN next_key BYTEA;
ALTER TABLE organizations ADD COLUMN next_key_created_ms BIGINT;
ALTER TABLE organizations ADD COLUMN next_key_from_ms BIGINT;

-- The key pair whose public half verifies; its text is sealed. Null: there are no such signatures.
ALTER TABLE organizations ADD COLUMN asymmetric_key BYTEA;
ALTER TABLE organizations ADD COLUMN asymmetric_key_created_ms BIGINT;
ALTER TABLE organizations ADD COLUMN next_asymmetric_key BYTEA;
ALTER TABLE organizations ADD COLUMN next_asymmetric_key_created_ms BIGINT;
ALTER TABLE organizations ADD COLUMN next_asymmetric_key_from_ms BIGINT;

-- Housekeeping: where retention is, and what it has to come back to.

-- How far each organisation's events have been looked at: everything up to after_seq is gone, or noted below.
CREATE TABLE retention_places (
    organization_id BIGINT PRIMARY KEY,
    after_seq       BIGINT NOT NULL
);

-- Events that were old enough but still needed when they were looked at, and when to look again.
CREATE TABLE retention_late (
    event_seq       BIGINT PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    look_ms         BIGINT NOT NULL
);
CREATE INDEX retention_late_by_time ON retention_late (look_ms, event_seq);

-- Mailboxes that are gone, whose conversations are still to be forgotten.
CREATE TABLE forgotten_mailboxes (
    mailbox_id BYTEA PRIMARY KEY
);

CREATE INDEX reserved_names_by_end ON reserved_names (until_ms);

-- The foreign key made deleting a mailbox as long a transaction as the mailbox has had mails.
ALTER TABLE mail_references DROP CONSTRAINT mail_references_mailbox_id_fkey;
CREATE INDEX mail_references_by_thread ON mail_references (thread_id);

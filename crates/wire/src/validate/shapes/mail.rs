//! The shape of `message.*`.

use super::{CONTEXT, CREATED_AT, DIRECTION, ID, MEMORIES, SENDER_ACCESS};
use crate::payload::mail::{BodyState, Bucket, MailStatus};
use crate::validate::shape::Kind::{Bool, Count, List, Object, OneOf, Text, Uuid};
use crate::validate::shape::{Field, Fill, filled, nullable, required};

pub(in crate::validate) const MAIL_DATA: &[Field] = &[
    required("message", Object(MAIL_MESSAGE)),
    filled("contacts", List(&Object(MAIL_CONTACT)), Fill::Contacts),
    filled("agent_identities", List(&Object(MAIL_AGENT_IDENTITY)), Fill::AgentIdentities),
    CONTEXT,
];

const MAIL_CONTACT: &[Field] = &[
    required("bucket", OneOf(Bucket::WORDS)),
    required("address", Text),
    required("id", Uuid),
    nullable("name", Text),
    MEMORIES,
];

const MAIL_AGENT_IDENTITY: &[Field] = &[
    required("bucket", OneOf(Bucket::WORDS)),
    required("address", Text),
    required("id", Uuid),
    required("agent_handle", Text),
    nullable("display_name", Text),
];

const MAIL_MESSAGE: &[Field] = &[
    ID,
    filled("mailbox_id", Uuid, Fill::MailboxId),
    nullable("thread_id", Uuid),
    nullable("message_id", Text),
    required("from_address", Text),
    required("to_addresses", List(&Text)),
    nullable("cc_addresses", List(&Text)),
    nullable("bcc_addresses", List(&Text)),
    nullable("subject", Text),
    nullable("snippet", Text),
    filled("email_address", Text, Fill::EmailAddress),
    nullable("body", Text),
    filled("body_state", OneOf(BodyState::WORDS), Fill::BodyState).or_null(),
    filled("body_truncated", Bool, Fill::BodyTruncated).or_null(),
    filled("body_total_chars", Count, Fill::BodyTotalChars).or_null(),
    filled("body_included_chars", Count, Fill::BodyIncludedChars).or_null(),
    required("direction", DIRECTION),
    required("status", OneOf(MailStatus::WORDS)),
    required("has_attachments", Bool),
    CREATED_AT.or_null(),
    SENDER_ACCESS,
];

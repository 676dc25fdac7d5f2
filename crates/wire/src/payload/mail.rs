//! Data of `message.*` events.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::context::Context;
use super::{Direction, SenderAccess, words};
use crate::id::MailboxId;

words! {
    /// The header field in which an address stands.
    Bucket {
        From = "from",
        To = "to",
        Cc = "cc",
        Bcc = "bcc",
    }

    /// What became of a mail.
    MailStatus {
        Queued = "queued",
        Sent = "sent",
        Delivered = "delivered",
        Bounced = "bounced",
        Failed = "failed",
        Received = "received",
        Deleted = "deleted",
    }

    /// How much of an inbound mail's text is in `body`.
    BodyState {
        /// All of it.
        Complete = "complete",
        /// The beginning.
        Truncated = "truncated",
        /// None: the mail had no usable text.
        Unavailable = "unavailable",
    }
}

/// The `data` of a mail event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailData {
    pub message: MailMessage,
    /// In the order from, to, cc, bcc; pair by bucket and address.
    pub contacts: Vec<MailContact>,
    /// In the same order.
    pub agent_identities: Vec<MailAgentIdentity>,
    /// Earlier conversation; absent unless the subscription asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
}

/// One mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailMessage {
    pub id: Uuid,
    pub mailbox_id: MailboxId,
    pub thread_id: Option<Uuid>,
    /// The `Message-ID` header field, with its angle brackets.
    pub message_id: Option<String>,
    pub from_address: String,
    pub to_addresses: Vec<String>,
    pub cc_addresses: Option<Vec<String>>,
    /// Only on outbound mail.
    pub bcc_addresses: Option<Vec<String>>,
    pub subject: Option<String>,
    pub snippet: Option<String>,
    /// The mailbox's own address.
    pub email_address: String,
    /// Plain text; like all `body` keys null but on `message.received`.
    pub body: Option<String>,
    pub body_state: Option<BodyState>,
    pub body_truncated: Option<bool>,
    /// Length of the whole text in characters.
    pub body_total_chars: Option<u64>,
    /// Length of `body` in characters.
    pub body_included_chars: Option<u64>,
    pub direction: Direction,
    pub status: MailStatus,
    pub has_attachments: bool,
    pub created_at: Option<String>,
    /// Absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_access: Option<SenderAccess>,
}

/// A contact behind an address of the mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailContact {
    pub bucket: Bucket,
    pub address: String,
    pub id: Uuid,
    pub name: Option<String>,
    /// What is remembered of the contact; absent when that is not shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memories: Option<Vec<String>>,
}

/// An agent of the organisation behind an address of the mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailAgentIdentity {
    pub bucket: Bucket,
    pub address: String,
    pub id: Uuid,
    pub agent_handle: String,
    pub display_name: Option<String>,
}

//! Data of `whatsapp.*` events.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::context::Context;
use super::{AgentIdentity, Contact, Direction, Maybe, ReactionKind, words};
use crate::id::IdentityId;

words! {
    /// What became of a message.
    WhatsAppStatus {
        Received = "received",
        Queued = "queued",
        Sending = "sending",
        Sent = "sent",
        Delivered = "delivered",
        Failed = "failed",
        /// Nobody can say whether it was sent.
        Uncertain = "uncertain",
        Cancelled = "cancelled",
    }

    /// Whether an outbound message arrived.
    WhatsAppDeliveryState {
        Pending = "pending",
        Delivered = "delivered",
        Unknown = "unknown",
    }

    /// Whether a file can be fetched.
    WhatsAppMediaStatus {
        Pending = "pending",
        Ready = "ready",
        Unavailable = "unavailable",
    }

    /// What became of a reaction. Only an applied one stands beside the message.
    WhatsAppReactionStatus {
        Queued = "queued",
        Sending = "sending",
        Applied = "applied",
        Removed = "removed",
        Failed = "failed",
        Uncertain = "uncertain",
        Superseded = "superseded",
    }
}

/// The `data` of a WhatsApp event. Exactly one of `message` and `reaction` is there: the second on
/// `whatsapp.reaction_received`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhatsAppData {
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub message: Maybe<WhatsAppMessage>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub reaction: Maybe<WhatsAppReaction>,
    pub contacts: Vec<Contact>,
    pub agent_identities: Vec<AgentIdentity>,
    /// Earlier conversation; absent unless the subscription asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhatsAppMessage {
    pub id: Uuid,
    pub agent_identity_id: IdentityId,
    pub conversation_id: Uuid,
    pub direction: Direction,
    pub local_number: String,
    pub remote_number: String,
    pub sender_number: String,
    pub participants: Vec<String>,
    pub content: Option<String>,
    pub media: Vec<WhatsAppMedia>,
    pub status: WhatsAppStatus,
    /// Null on an inbound message.
    pub delivery_state: Option<WhatsAppDeliveryState>,
    pub recipients: Vec<WhatsAppRecipient>,
    pub is_read: bool,
    pub error_code: Option<String>,
    pub error_detail: Option<String>,
    /// When WhatsApp says that it was written.
    pub source_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    pub sent_at: Option<String>,
    pub delivered_at: Option<String>,
    pub failed_at: Option<String>,
    pub status_observed_at: Option<String>,
    pub reply_to_message_id: Option<Uuid>,
    pub thread_id: Option<Uuid>,
    pub thread_root_message_id: Option<Uuid>,
    pub reactions: Vec<WhatsAppReaction>,
}

/// A picture or file of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhatsAppMedia {
    pub id: String,
    pub filename: String,
    pub content_type: String,
    /// Bytes.
    pub size: Option<u64>,
    pub status: WhatsAppMediaStatus,
    pub url: Option<String>,
}

/// One recipient of an outbound message, and what became of its copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhatsAppRecipient {
    pub remote_number: String,
    pub delivery_status: WhatsAppStatus,
    pub delivery_state: WhatsAppDeliveryState,
    pub error_code: Option<String>,
    pub error_detail: Option<String>,
    pub sent_at: Option<String>,
    pub delivered_at: Option<String>,
    pub failed_at: Option<String>,
}

/// A reaction: one that came in, or one of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhatsAppReaction {
    pub id: Uuid,
    pub agent_identity_id: IdentityId,
    pub conversation_id: Uuid,
    /// The message that it is to.
    pub target_message_id: Uuid,
    pub direction: Direction,
    pub remote_number: Option<String>,
    pub reaction: ReactionKind,
    /// The emoji of [`ReactionKind::Custom`].
    pub custom_emoji: Option<String>,
    /// The emoji of any reaction.
    pub emoji: String,
    pub status: WhatsAppReactionStatus,
    /// Counts the changes of this reaction.
    pub revision: u64,
    pub created_at: String,
    pub updated_at: String,
    pub removed_at: Option<String>,
}

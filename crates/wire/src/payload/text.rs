//! Data of `text.*` events.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::context::Context;
use super::{AgentIdentity, Contact, Direction, SenderAccess, words};

words! {
    /// Plain or with media.
    TextType {
        Sms = "sms",
        Mms = "mms",
    }

    /// What became of an outbound text.
    TextDeliveryStatus {
        Queued = "queued",
        Sent = "sent",
        Delivered = "delivered",
        DeliveryFailed = "delivery_failed",
        DeliveryUnconfirmed = "delivery_unconfirmed",
        SendingFailed = "sending_failed",
    }

    /// Why a text was written.
    TextOrigin {
        UserInitiated = "user_initiated",
        AutoReply = "auto_reply",
    }
}

/// The `data` of a text event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextData {
    pub text_message: TextMessage,
    pub contacts: Vec<Contact>,
    pub agent_identities: Vec<AgentIdentity>,
    /// The recipient that an event about a group message is about.
    pub recipient_phone_number: Option<String>,
    /// Earlier conversation; absent unless the subscription asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
}

/// One text message. The delivery keys and `recipients` are null on inbound ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextMessage {
    pub id: Uuid,
    pub direction: Direction,
    pub local_phone_number: String,
    /// Null on a message to a group.
    pub remote_phone_number: Option<String>,
    pub text: Option<String>,
    #[serde(rename = "type")]
    pub text_type: TextType,
    pub media: Option<Vec<TextMedia>>,
    pub is_read: bool,
    /// For a group, all recipients taken together.
    pub delivery_status: Option<TextDeliveryStatus>,
    pub origin: TextOrigin,
    pub error_code: Option<String>,
    pub error_detail: Option<String>,
    pub sent_at: Option<String>,
    pub delivered_at: Option<String>,
    pub failed_at: Option<String>,
    pub conversation_id: Option<Uuid>,
    pub sender_phone_number: Option<String>,
    pub recipients: Option<Vec<TextRecipient>>,
    pub created_at: String,
    pub updated_at: String,
    /// Absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_access: Option<SenderAccess>,
}

/// A picture or file of a text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextMedia {
    pub content_type: String,
    /// Bytes.
    pub size: u64,
    pub url: String,
}

/// One recipient of an outbound text, and what became of its copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextRecipient {
    pub recipient_phone_number: String,
    pub delivery_status: Option<TextDeliveryStatus>,
    pub carrier: Option<String>,
    pub line_type: Option<String>,
    pub error_code: Option<String>,
    pub error_detail: Option<String>,
    pub sent_at: Option<String>,
    pub delivered_at: Option<String>,
    pub failed_at: Option<String>,
}

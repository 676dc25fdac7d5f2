//! Data of `imessage.*` events.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::context::Context;
use super::{AgentIdentity, Contact, Direction, Maybe, ReactionKind, SenderAccess, words};

words! {
    /// What a message is made of.
    IMessageType {
        Message = "message",
        /// Several pictures to leaf through.
        Carousel = "carousel",
    }

    /// What a message went over.
    IMessageService {
        IMessage = "imessage",
        Sms = "sms",
        Rcs = "rcs",
    }

    /// What became of a message.
    IMessageStatus {
        Registered = "registered",
        Pending = "pending",
        Queued = "queued",
        Accepted = "accepted",
        Sent = "sent",
        Delivered = "delivered",
        Declined = "declined",
        Error = "error",
        Received = "received",
    }

    /// An effect that a message is shown with.
    IMessageSendStyle {
        Celebration = "celebration",
        ShootingStar = "shooting_star",
        Fireworks = "fireworks",
        Lasers = "lasers",
        Love = "love",
        Confetti = "confetti",
        Balloons = "balloons",
        Spotlight = "spotlight",
        Echo = "echo",
        Invisible = "invisible",
        Gentle = "gentle",
        Loud = "loud",
        Slam = "slam",
    }
}

/// The `data` of an iMessage event. Exactly one of `message` and `reaction` is not null: the
/// second on `imessage.reaction_received`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IMessageData {
    pub message: Option<IMessage>,
    pub reaction: Option<IMessageReaction>,
    pub contacts: Vec<Contact>,
    pub agent_identities: Vec<AgentIdentity>,
    /// Earlier conversation; absent unless the subscription asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IMessage {
    pub id: Uuid,
    pub conversation_id: Uuid,
    /// Null in a group.
    pub assignment_id: Option<Uuid>,
    pub direction: Direction,
    /// The other end, which need not be a number; null on a message to a group.
    pub remote_number: Option<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub sender_number: Maybe<String>,
    /// Of a group.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub participants: Maybe<Vec<String>>,
    /// Absent means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_group: Option<bool>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub reply_to_message_id: Maybe<Uuid>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub thread_id: Maybe<Uuid>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub thread_root_message_id: Maybe<Uuid>,
    pub content: Option<String>,
    pub message_type: IMessageType,
    pub service: IMessageService,
    pub send_style: Option<IMessageSendStyle>,
    pub media: Option<Vec<IMessageMedia>>,
    /// Whether it went over something less than it was meant for.
    pub was_downgraded: Option<bool>,
    pub status: Option<IMessageStatus>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub error_reason: Option<String>,
    pub error_detail: Option<String>,
    pub is_read: bool,
    /// Of a message to a group.
    pub recipients: Option<Vec<IMessageRecipient>>,
    /// Those that hold now.
    pub reactions: Option<Vec<IMessageTapback>>,
    pub created_at: String,
    pub updated_at: String,
    /// Absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_access: Option<SenderAccess>,
}

/// A picture or file of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IMessageMedia {
    pub content_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    pub url: String,
}

/// One recipient of an outbound message, and what became of its copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IMessageRecipient {
    pub remote_number: String,
    pub delivery_status: Option<IMessageStatus>,
    pub service: Option<IMessageService>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub error_reason: Option<String>,
    pub error_detail: Option<String>,
    pub sent_at: Option<String>,
    pub delivered_at: Option<String>,
    pub failed_at: Option<String>,
}

/// A reaction as it stands beside the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IMessageTapback {
    pub id: Uuid,
    pub direction: Direction,
    pub reaction: ReactionKind,
    /// The emoji of [`ReactionKind::Custom`].
    pub custom_emoji: Option<String>,
    pub remote_number: String,
    pub part_index: i64,
    pub created_at: String,
}

/// A reaction that came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IMessageReaction {
    pub id: Uuid,
    pub conversation_id: Uuid,
    /// Null in a group.
    pub assignment_id: Option<Uuid>,
    /// The message that it is to.
    pub target_message_id: Uuid,
    pub direction: Direction,
    pub reaction: ReactionKind,
    /// The emoji of [`ReactionKind::Custom`].
    pub custom_emoji: Option<String>,
    pub remote_number: String,
    pub part_index: i64,
    pub created_at: String,
    pub updated_at: String,
}

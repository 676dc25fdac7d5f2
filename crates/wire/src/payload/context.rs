//! `data.context`: what was said before, for a subscription that asks for it.
//!
//! Only the classes that the subscription configures are there. Within a block, keys that say how
//! it was bounded are absent unless set; within an item, nullable keys are null.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::transcript::TranscriptEntry;
use super::{Direction, words};

words! {
    /// Over what a block was looked up.
    ContextScope {
        Thread = "thread",
        Conversation = "conversation",
        Contact = "contact",
    }

    /// How a block is bounded.
    ContextMode {
        /// By a number of items.
        Count = "count",
        /// By an age in hours.
        Window = "window",
    }

    /// Why a block that was asked for is empty.
    ContextSkipped {
        /// Nobody knows who is at the other end.
        NoContact = "no_contact",
        /// The identity has no mailbox, or no number, for it.
        NoResource = "no_resource",
        /// It could not be looked up.
        Unavailable = "unavailable",
    }

    /// What a text went over.
    ContextTextChannel {
        Sms = "sms",
        IMessage = "imessage",
        WhatsApp = "whatsapp",
    }
}

/// Everything that was said before; at most 256 KB.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Context {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<ContextBlock<ContextMail>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<ContextBlock<ContextText>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<ContextBlock<ContextCall>>,
}

/// One class of what was said before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextBlock<I> {
    pub scope: ContextScope,
    /// Oldest first, without what the event is about.
    pub items: Vec<I>,
    /// Whether older items were left out for length.
    pub truncated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<ContextMode>,
    /// Items, with [`ContextMode::Count`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<u64>,
    /// With [`ContextMode::Window`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<u64>,
    /// Then `items` is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<ContextSkipped>,
}

/// An earlier mail, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextMail {
    pub id: Uuid,
    pub direction: Direction,
    pub from_address: String,
    pub to_addresses: Vec<String>,
    pub created_at: String,
    pub subject: Option<String>,
    pub snippet: Option<String>,
    /// The mailbox's own address.
    pub email_address: Option<String>,
}

/// An earlier text, of any of the channels that carry them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextText {
    pub id: Uuid,
    pub channel: ContextTextChannel,
    pub direction: Direction,
    pub text: String,
    /// Whether `text` is only the beginning.
    pub text_truncated: bool,
    pub created_at: String,
    pub sender: Option<String>,
    /// The channel's own word.
    pub status: Option<String>,
    pub media: Option<ContextMedia>,
}

/// How many pictures and files a text came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextMedia {
    pub count: u64,
}

/// An earlier call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextCall {
    pub call_id: Uuid,
    /// Whether turns were left out.
    pub abridged: bool,
    pub transcript: Vec<TranscriptEntry>,
    pub direction: Option<Direction>,
    pub remote_number: Option<String>,
    /// Seconds.
    pub duration: Option<u64>,
    pub started_at: Option<String>,
}

//! What was said before, which goes with a received message when its subscription asks for it: `data.context`.
//!
//! Pure: what an event says ([`Said`]), under which numbers it is found ([`keys`]), how what was found becomes a
//! context within its bounds ([`Block`], [`assemble`]), and how that goes into a body ([`splice`]). Where events are
//! found and when all this is done is the store's and the engine's business.
//!
//! A context says what was known when its message was accepted: whenever it is built, it holds only what was accepted
//! before, so an attempt that comes late tells no more than one that came at once.

mod assemble;
mod call;
pub mod keys;
mod said;
mod splice;

use std::time::Duration;

use inkhook_wire::event::EventType;
use inkhook_wire::payload::context::{ContextCall, ContextMail, ContextText};

pub use self::assemble::{Block, Item, assemble};
pub use self::said::{Said, Trigger};
pub use self::splice::splice;
use super::mail_address;
use super::number::Seq;
use super::subscription::{ClassContext, ContextConfig};

/// What a context takes at most, as JSON.
pub const MAX_CONTEXT_BYTES: usize = 256 * 1024;
/// What one item may take, as JSON: a longer one is left out.
pub const MAX_ITEM_BYTES: usize = 64 * 1024;
/// What is shown of a text.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;
/// Items of one class, however many there were in its hours.
pub const MAX_ITEMS: usize = 1_000;
/// Of those who take part in a message, the first so many are found again by it.
pub const MAX_PARTIES: usize = 32;
/// Building takes so long at most; what has not been read by then is unavailable.
pub const BUILD_LIMIT: Duration = Duration::from_secs(1);
/// A lease of a delivery with a context is so much longer: for building it and storing it.
pub const LEASE_MORE: Duration = Duration::from_secs(3);

/// What something said is, as far as a setting tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A mail.
    Email,
    /// A text or a chat message.
    Texts,
    /// A phone call.
    Calls,
}

impl Class {
    /// All of them, in the order in which they are built.
    pub const ALL: [Self; 3] = [Self::Email, Self::Texts, Self::Calls];

    /// What a setting says of it.
    #[must_use]
    pub fn of(self, config: &ContextConfig) -> Option<ClassContext> {
        match self {
            Self::Email => config.email,
            Self::Texts => config.texts,
            Self::Calls => config.calls,
        }
    }

    /// The class of an event that says something, if it is one: received, sent, or the end of a call. What becomes of
    /// a message afterwards says nothing new.
    #[must_use]
    pub fn of_event(event_type: EventType) -> Option<Self> {
        Some(match event_type {
            EventType::MessageReceived | EventType::MessageSent | EventType::MessageForwarded => Self::Email,
            EventType::TextReceived
            | EventType::TextSent
            | EventType::IMessageReceived
            | EventType::IMessageSent => Self::Texts,
            EventType::CallEnded => Self::Calls,
            _ => return None,
        })
    }
}

/// Whether a context may go with events of this type.
#[must_use]
pub fn goes_with(event_type: EventType) -> bool {
    matches!(event_type, EventType::MessageReceived | EventType::TextReceived | EventType::IMessageReceived)
}

/// Somebody at the other end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// A mail address, normalised.
    Address(String),
    /// A phone number.
    Number(String),
}

impl Party {
    /// Whom a text names: a chat's other end may be either.
    #[must_use]
    pub fn named(text: &str) -> Self {
        if text.contains('@') {
            Self::Address(mail_address::normalize(text))
        } else {
            Self::Number(text.trim().to_owned())
        }
    }

    /// Whether something of this class can be said by, or to, this name. Chats go to addresses, too.
    #[must_use]
    pub fn fits(&self, class: Class) -> bool {
        match self {
            Self::Address(_) => class != Class::Calls,
            Self::Number(_) => class != Class::Email,
        }
    }

    /// Whether it is the kind of name that this class goes by as a rule: where it is, nobody needs to know more of
    /// whoever has it.
    #[must_use]
    pub fn is_usual_for(&self, class: Class) -> bool {
        match self {
            Self::Address(_) => class == Class::Email,
            Self::Number(_) => class != Class::Email,
        }
    }

    /// The text that names it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Address(text) | Self::Number(text) => text,
        }
    }
}

/// One thing that was said, as a context shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextItem {
    /// A mail, without its body.
    Mail(ContextMail),
    /// A text.
    Text(ContextText),
    /// A call, with what was said in it.
    Call(ContextCall),
}

/// What a subscription asks for, and from when on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextWish {
    /// The setting; none: it was taken away, but deliveries from before may have bodies of their own.
    pub config: Option<ContextConfig>,
    /// It counts for deliveries of numbers after this.
    pub since: Seq,
}

/// The beginning of a text that takes so many bytes at most, and whether that is not all of it.
fn cut(text: &str, max_bytes: usize) -> (&str, bool) {
    let end = text.floor_char_boundary(max_bytes);
    (&text[..end], end < text.len())
}

//! Typed data of every event, as a receiver gets it: one module for each channel, and [`Payload`]
//! for whoever receives several.
//!
//! What is read is written again as it was. Nullable keys are always written, as null (`Option`);
//! keys that the contract calls "absent" are left out when there is nothing to say (`Option`, and
//! the field says "absent"); where both occur, a [`Maybe`] keeps them apart. The enums are closed:
//! a value that is not listed does not deserialise. Keys that are not known here are ignored.
//! Times are ISO 8601 texts and numbers are E.164 texts, exactly as they travel.
//!
//! | events | data |
//! |---|---|
//! | `message.*` | [`mail::MailData`] |
//! | `text.*` | [`text::TextData`] |
//! | `imessage.*` | [`imessage::IMessageData`] |
//! | `call.ended` | [`call::CallEndedData`] |
//! | `a2a.*` | [`a2a::A2aData`] |
//! | `slack.*` | [`slack::SlackData`] |
//! | `whatsapp.*` | [`whatsapp::WhatsAppData`] |
//! | `phone.incoming_call` | [`incoming_call::IncomingCall`], which is the whole body |

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub mod a2a;
pub mod call;
pub mod context;
pub mod imessage;
pub mod incoming_call;
pub mod mail;
mod maybe;
pub mod slack;
pub mod text;
pub mod transcript;
mod typed;
pub mod whatsapp;

pub use maybe::Maybe;
pub use typed::Payload;

/// An enum of the wire: a closed list of words.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every value, in the contract's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Every word, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word,)*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value of a word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    )*};
}
pub(crate) use words;

words! {
    /// Which way a message or call went.
    Direction {
        Inbound = "inbound",
        Outbound = "outbound",
    }

    /// How an inbound message's sender was let through.
    SenderAccess {
        /// By the contact rules.
        Direct = "direct",
        /// By the conversation it belongs to.
        Sponsored = "sponsored",
    }

    /// How somebody reacted to a message.
    ReactionKind {
        Love = "love",
        Like = "like",
        Dislike = "dislike",
        Laugh = "laugh",
        Emphasize = "emphasize",
        Question = "question",
        Eyes = "eyes",
        /// With the emoji that stands beside it.
        Custom = "custom",
    }
}

/// A contact that takes part (all channels but mail).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub id: Uuid,
    pub name: Option<String>,
    /// What is remembered of the contact; absent when that is not shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memories: Option<Vec<String>>,
}

/// Another agent of the organisation that takes part (all channels but mail).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentIdentity {
    pub id: Uuid,
    pub agent_handle: String,
    pub display_name: Option<String>,
}

#[cfg(test)]
mod tests;

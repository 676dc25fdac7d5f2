//! Typed data of mail and text events, as a receiver gets it.
//!
//! Nullable keys are always written, as null; keys that the contract calls "absent" are left out
//! when there is nothing to say. The enums are closed: a value that is not listed does not
//! deserialise. Keys that are not known here are ignored. Times are ISO 8601 texts and numbers are
//! E.164 texts, exactly as they travel.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub mod mail;
pub mod text;

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
pub(crate) mod tests;

//! What was said in a call: in `call.ended` and in the calls of a context.

use serde::{Deserialize, Serialize};

use super::{Maybe, words};

words! {
    /// What stands in the place of turns that were left out.
    Marker {
        Abridged = "abridged",
    }
}

/// One entry of a transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TranscriptEntry {
    /// Turns were left out here. An entry with the key `marker` is one of these.
    Abridged(Abridgement),
    /// Somebody spoke.
    Turn(Turn),
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// `local`, `remote`, or whoever else took part.
    pub party: String,
    pub text: String,
    /// Milliseconds since the call began.
    pub ts_ms: u64,
    /// Of the one who spoke, when several may have.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub phone_number: Maybe<String>,
    /// Whether `text` is only the beginning; absent means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
}

/// How much was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abridgement {
    pub marker: Marker,
    pub omitted_turns: u64,
    /// Milliseconds.
    pub omitted_ms: u64,
}

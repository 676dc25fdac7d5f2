//! The body of `phone.incoming_call`, which has no envelope and whose answer decides the call.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use uuid::Uuid;

use super::call::{CallStatus, HangupReason};
use super::{AgentIdentity, Contact, words};
use crate::id::PhoneNumberId;

words! {
    /// The only way that an incoming call goes.
    Incoming {
        Inbound = "inbound",
    }
}

/// A call that is coming in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncomingCall {
    /// The call's own id.
    pub id: Uuid,
    /// The number that is called. Some receivers know the body by this key; absent from some
    /// senders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<PhoneNumberId>,
    pub local_phone_number: String,
    pub remote_phone_number: String,
    pub direction: Incoming,
    pub status: CallStatus,
    pub client_websocket_url: Option<String>,
    pub use_inkbox_tts: Option<bool>,
    pub use_inkbox_stt: Option<bool>,
    pub hangup_reason: Option<HangupReason>,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    pub rate_limit: Option<RateLimit>,
    pub contacts: Vec<Contact>,
    pub agent_identities: Vec<AgentIdentity>,
}

/// How much the organisation has called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    pub calls_used: u64,
    pub calls_remaining: u64,
    pub calls_limit: u64,
    /// Minutes, with a fraction or without.
    pub minutes_used: Number,
    /// Minutes, with a fraction or without.
    pub minutes_remaining: Number,
    pub minutes_limit: u64,
}

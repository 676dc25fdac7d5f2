//! Data of `call.ended`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::transcript::TranscriptEntry;
use super::{AgentIdentity, Contact, Direction, Maybe, words};

words! {
    /// What a call came over.
    CallOrigin {
        /// The identity's own number.
        DedicatedNumber = "dedicated_number",
        SharedIMessageNumber = "shared_imessage_number",
        DedicatedIMessageNumber = "dedicated_imessage_number",
    }

    /// How far a call got.
    CallStatus {
        Initiated = "initiated",
        Ringing = "ringing",
        Answered = "answered",
        Completed = "completed",
        Failed = "failed",
        Canceled = "canceled",
    }

    /// Why a call ended.
    HangupReason {
        Local = "local",
        Remote = "remote",
        MaxDuration = "max_duration",
        Voicemail = "voicemail",
        Rejected = "rejected",
    }

    /// Who spoke for the agent.
    CallMode {
        /// The agent's own program, over a WebSocket.
        ClientWebsocket = "client_websocket",
        /// A hosted voice agent.
        HostedAgent = "hosted_agent",
    }

    /// What came of a hosted call.
    CallOutcome {
        Completed = "completed",
        NoAnswer = "no_answer",
        Declined = "declined",
        Failed = "failed",
    }

    /// How far a hosted voice agent may go.
    AuthorityMode {
        /// Not beyond whom it speaks with.
        ContactScoped = "contact_scoped",
        /// Over all channels of the identity.
        Yolo = "yolo",
    }

    /// Whether voicemail is looked for.
    VoicemailDetection {
        Enabled = "enabled",
        Disabled = "disabled",
    }

    /// What a call does when voicemail answers.
    OnVoicemail {
        LeaveMessage = "leave_message",
        HangUp = "hang_up",
        Ignore = "ignore",
    }

    /// Why a call was forwarded.
    ForwardingTrigger {
        IncomingAction = "incoming_action",
    }

    /// How far a forwarding got.
    ForwardingStatus {
        Requested = "requested",
        Dialing = "dialing",
        Forwarded = "forwarded",
        Failed = "failed",
    }

    /// What a call is passed on to.
    TargetType {
        Phone = "phone",
        Sip = "sip",
    }
}

/// The `data` of `call.ended`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEndedData {
    pub call: Call,
    pub contacts: Vec<Contact>,
    pub agent_identities: Vec<AgentIdentity>,
    /// Null when nothing was recorded.
    pub transcript: Option<Transcript>,
    /// Where the whole transcript is.
    pub transcript_url: String,
    /// Of a hosted call; null on any other.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub outcome: Maybe<CallOutcome>,
    /// What the hosted agent was left to do, in order; absent from older events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_call_action_items: Option<Vec<ActionItem>>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub id: Uuid,
    pub origin: CallOrigin,
    /// Null when the call came over a shared number.
    pub local_phone_number: Option<String>,
    pub remote_phone_number: String,
    pub direction: Direction,
    pub status: CallStatus,
    pub hangup_reason: Option<HangupReason>,
    pub started_at: Option<String>,
    pub ended_at: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    /// Null when it was never answered.
    pub duration_seconds: Option<i64>,
    /// Absent means [`CallMode::ClientWebsocket`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<CallMode>,
    /// What an outbound hosted call was for.
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub reason: Maybe<String>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub hosted_agent_authority_mode: Maybe<AuthorityMode>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub voicemail_detection: Maybe<VoicemailDetection>,
    #[serde(default, skip_serializing_if = "Maybe::is_absent")]
    pub on_voicemail: Maybe<OnVoicemail>,
    /// In order; absent from older events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwardings: Option<Vec<CallForwarding>>,
    /// In order; absent from older events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<CallConnection>>,
}

/// One attempt to forward a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallForwarding {
    pub id: Uuid,
    pub trigger: ForwardingTrigger,
    pub status: ForwardingStatus,
    pub target_type: TargetType,
    /// A number, or a SIP address.
    pub target: String,
    pub requested_at: String,
    pub dialing_at: Option<String>,
    pub forwarded_at: Option<String>,
    pub ended_at: Option<String>,
    pub failure_code: Option<String>,
}

/// One attempt to hand a call over or to have somebody join it. Its words are open: others may be
/// added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallConnection {
    pub id: Uuid,
    /// `handoff`, `conference`.
    pub kind: String,
    /// `incoming_action`, `agent_tool`.
    pub trigger: String,
    /// `requested`, `dialing`, `connected`, `failed`.
    pub status: String,
    pub target_type: TargetType,
    /// A number, or a SIP address.
    pub target: String,
    pub requested_at: String,
    pub dialing_at: Option<String>,
    pub connected_at: Option<String>,
    pub ended_at: Option<String>,
    pub failure_code: Option<String>,
}

/// What was said, perhaps without its middle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    pub entries: Vec<TranscriptEntry>,
    /// Whether turns were left out.
    pub abridged: bool,
    /// The same as `transcript_url` beside it.
    pub url: String,
}

/// Something to do after a hosted call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionItem {
    pub id: String,
    pub seq: i64,
    pub action: String,
    pub details: Option<String>,
    /// `open`.
    pub status: String,
}

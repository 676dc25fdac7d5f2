//! The body of a question: the call as whoever is asked sees it. Flat, without an envelope.

use bytes::Bytes;
use inkhook_wire::payload::call::CallStatus;
use inkhook_wire::payload::incoming_call::{Incoming, IncomingCall};
use inkhook_wire::payload::{AgentIdentity, Contact};

use crate::domain::call::{Call, Callee};
use crate::domain::contact::KnownContact;
use crate::domain::owner::KnownAgent;
use crate::domain::time::TimeMs;

/// The bytes that are signed, sent and logged.
pub(super) fn body(callee: &Callee, call: &Call, now: TimeMs) -> Bytes {
    let at = now.to_rfc3339();
    let body = IncomingCall {
        id: call.id,
        phone_number_id: Some(callee.number_id),
        local_phone_number: callee.number.clone(),
        remote_phone_number: call.remote.clone(),
        direction: Incoming::Inbound,
        status: CallStatus::Initiated,
        client_websocket_url: callee.rule.client_websocket_url.clone(),
        use_inkbox_tts: None,
        use_inkbox_stt: None,
        hangup_reason: None,
        started_at: None,
        ended_at: None,
        created_at: at.clone(),
        updated_at: at,
        // Calls are not counted here, so there is nothing to be used up.
        rate_limit: None,
        contacts: callee.contact.iter().map(|known| contact(known)).collect(),
        agent_identities: callee.agent.iter().map(agent).collect(),
    };
    serde_json::to_vec(&body).map(Bytes::from).unwrap_or_default()
}

fn contact(known: &KnownContact) -> Contact {
    Contact { id: known.id.as_uuid(), name: known.name.clone(), memories: Some(known.memories.clone()) }
}

fn agent(known: &KnownAgent) -> AgentIdentity {
    AgentIdentity {
        id: known.identity.as_uuid(),
        agent_handle: known.agent_handle.clone(),
        display_name: known.display_name.clone(),
    }
}

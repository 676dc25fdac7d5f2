//! The shape of `call.ended`.

use super::{AGENT_IDENTITIES, CONTACTS, CREATED_AT, DIRECTION, ID, UPDATED_AT};
use crate::validate::shape::Kind::{Bool, Integer, List, Map, Object, OneOf, Text, Time};
use crate::validate::shape::{Field, Fill, filled, nullable, optional, required};

pub(in crate::validate) const CALL_DATA: &[Field] = &[
    required("call", Object(CALL)),
    CONTACTS,
    AGENT_IDENTITIES,
    nullable("transcript", Object(TRANSCRIPT)),
    required("transcript_url", Text),
    optional("outcome", OneOf(&["completed", "no_answer", "declined", "failed"])).or_null(),
    optional("post_call_action_items", List(&Map)),
];

/// The origin of a call that came over the identity's own number.
pub(in crate::validate) const DEDICATED_NUMBER: &str = "dedicated_number";

const CALL: &[Field] = &[
    ID,
    required("origin", OneOf(&[DEDICATED_NUMBER, "shared_imessage_number", "dedicated_imessage_number"])),
    filled("local_phone_number", Text, Fill::CallNumber).or_null(),
    required("remote_phone_number", Text),
    required("direction", DIRECTION),
    required("status", OneOf(&["initiated", "ringing", "answered", "completed", "failed", "canceled"])),
    nullable("hangup_reason", OneOf(&["local", "remote", "max_duration", "voicemail", "rejected"])),
    nullable("started_at", Time),
    nullable("ended_at", Time),
    CREATED_AT,
    UPDATED_AT,
    nullable("duration_seconds", Integer),
    optional("mode", OneOf(&["client_websocket", "hosted_agent"])),
    optional("reason", Text).or_null(),
    optional("forwardings", List(&Map)),
    optional("connections", List(&Map)).or_null(),
];

const TRANSCRIPT: &[Field] =
    &[required("entries", List(&Map)), required("abridged", Bool), required("url", Text)];

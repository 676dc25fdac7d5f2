//! The shape of `phone.incoming_call`: a whole body. Nobody publishes it, so nothing but the nulls
//! is filled in.

use super::call::{HANGUP_REASON, STATUS};
use super::{AGENT_IDENTITIES, CONTACTS};
use crate::payload::incoming_call::Incoming;
use crate::validate::shape::Kind::{Bool, Count, Number, Object, OneOf, Text, Time, Uuid};
use crate::validate::shape::{Field, nullable, optional, required};

pub(in crate::validate) const INCOMING_CALL: &[Field] = &[
    required("id", Uuid),
    optional("phone_number_id", Uuid),
    required("local_phone_number", Text),
    required("remote_phone_number", Text),
    required("direction", OneOf(Incoming::WORDS)),
    required("status", STATUS),
    nullable("client_websocket_url", Text),
    nullable("use_inkbox_tts", Bool),
    nullable("use_inkbox_stt", Bool),
    nullable("hangup_reason", HANGUP_REASON),
    nullable("started_at", Time),
    nullable("ended_at", Time),
    required("created_at", Time),
    required("updated_at", Time),
    nullable("rate_limit", Object(RATE_LIMIT)),
    CONTACTS,
    AGENT_IDENTITIES,
];

const RATE_LIMIT: &[Field] = &[
    required("calls_used", Count),
    required("calls_remaining", Count),
    required("calls_limit", Count),
    required("minutes_used", Number),
    required("minutes_remaining", Number),
    required("minutes_limit", Count),
];

//! The shape of `call.ended`.

use super::transcript::TRANSCRIPT_ENTRY;
use super::{AGENT_IDENTITIES, CONTACTS, CREATED_AT, DIRECTION, ID, UPDATED_AT};
use crate::payload::call::{
    AuthorityMode, CallMode, CallOrigin, CallOutcome, CallStatus, ForwardingStatus, ForwardingTrigger,
    HangupReason, OnVoicemail, TargetType, VoicemailDetection,
};
use crate::validate::shape::Kind::{Bool, Integer, List, Object, OneOf, Text, Time, Uuid};
use crate::validate::shape::{Field, Fill, Kind, filled, nullable, optional, required};

pub(in crate::validate) const CALL_DATA: &[Field] = &[
    required("call", Object(CALL)),
    CONTACTS,
    AGENT_IDENTITIES,
    nullable("transcript", Object(TRANSCRIPT)),
    required("transcript_url", Text),
    optional("outcome", OneOf(CallOutcome::WORDS)).or_null(),
    optional("post_call_action_items", List(&Object(ACTION_ITEM))),
];

const CALL: &[Field] = &[
    ID,
    required("origin", OneOf(CallOrigin::WORDS)),
    filled("local_phone_number", Text, Fill::CallNumber).or_null(),
    required("remote_phone_number", Text),
    required("direction", DIRECTION),
    required("status", STATUS),
    nullable("hangup_reason", HANGUP_REASON),
    nullable("started_at", Time),
    nullable("ended_at", Time),
    CREATED_AT,
    UPDATED_AT,
    nullable("duration_seconds", Integer),
    optional("mode", OneOf(CallMode::WORDS)),
    optional("reason", Text).or_null(),
    optional("hosted_agent_authority_mode", OneOf(AuthorityMode::WORDS)).or_null(),
    optional("voicemail_detection", OneOf(VoicemailDetection::WORDS)).or_null(),
    optional("on_voicemail", OneOf(OnVoicemail::WORDS)).or_null(),
    optional("forwardings", List(&Object(FORWARDING))),
    optional("connections", List(&Object(CONNECTION))),
];

pub(super) const STATUS: Kind = OneOf(CallStatus::WORDS);
pub(super) const HANGUP_REASON: Kind = OneOf(HangupReason::WORDS);
const TARGET_TYPE: Field = required("target_type", OneOf(TargetType::WORDS));

const FORWARDING: &[Field] = &[
    required("id", Uuid),
    required("trigger", OneOf(ForwardingTrigger::WORDS)),
    required("status", OneOf(ForwardingStatus::WORDS)),
    TARGET_TYPE,
    required("target", Text),
    required("requested_at", Time),
    nullable("dialing_at", Time),
    nullable("forwarded_at", Time),
    nullable("ended_at", Time),
    nullable("failure_code", Text),
];

const CONNECTION: &[Field] = &[
    required("id", Uuid),
    required("kind", Text),
    required("trigger", Text),
    required("status", Text),
    TARGET_TYPE,
    required("target", Text),
    required("requested_at", Time),
    nullable("dialing_at", Time),
    nullable("connected_at", Time),
    nullable("ended_at", Time),
    nullable("failure_code", Text),
];

const ACTION_ITEM: &[Field] = &[
    required("id", Text),
    required("seq", Integer),
    required("action", Text),
    nullable("details", Text),
    required("status", Text),
];

const TRANSCRIPT: &[Field] =
    &[required("entries", List(&TRANSCRIPT_ENTRY)), required("abridged", Bool), required("url", Text)];

//! The shape of `context`.

use super::DIRECTION;
use super::transcript::TRANSCRIPT_ENTRY;
use crate::payload::context::{ContextMode, ContextScope, ContextSkipped, ContextTextChannel};
use crate::validate::shape::Kind::{Bool, Count, List, Object, OneOf, Text, Time, Uuid};
use crate::validate::shape::{Field, nullable, optional, required};

pub(super) const CONTEXT_DATA: &[Field] = &[
    optional("email", Object(&block(required("items", List(&Object(MAIL)))))),
    optional("texts", Object(&block(required("items", List(&Object(TEXT)))))),
    optional("calls", Object(&block(required("items", List(&Object(CALL)))))),
];

const fn block(items: Field) -> [Field; 7] {
    [
        required("scope", OneOf(ContextScope::WORDS)),
        items,
        required("truncated", Bool),
        optional("mode", OneOf(ContextMode::WORDS)),
        optional("requested", Count),
        optional("hours", Count),
        optional("skipped", OneOf(ContextSkipped::WORDS)),
    ]
}

const MAIL: &[Field] = &[
    required("id", Uuid),
    required("direction", DIRECTION),
    required("from_address", Text),
    required("to_addresses", List(&Text)),
    required("created_at", Time),
    nullable("subject", Text),
    nullable("snippet", Text),
    nullable("email_address", Text),
];

const TEXT: &[Field] = &[
    required("id", Uuid),
    required("channel", OneOf(ContextTextChannel::WORDS)),
    required("direction", DIRECTION),
    required("text", Text),
    required("text_truncated", Bool),
    required("created_at", Time),
    nullable("sender", Text),
    nullable("status", Text),
    nullable("media", Object(&[required("count", Count)])),
];

const CALL: &[Field] = &[
    required("call_id", Uuid),
    required("abridged", Bool),
    required("transcript", List(&TRANSCRIPT_ENTRY)),
    nullable("direction", DIRECTION),
    nullable("remote_number", Text),
    nullable("duration", Count),
    nullable("started_at", Time),
];

//! The shape of `a2a.*`.

use crate::validate::shape::Kind::{List, Map, Object, Text, Time};
use crate::validate::shape::{Field, nullable, optional, required};

const A2A_PARTY: &[Field] = &[
    required("identity_id", Text),
    required("organization_id", Text),
    nullable("handle", Text),
    optional("affiliation", Object(AFFILIATION)).or_null(),
];

const AFFILIATION: &[Field] = &[
    required("domain", Text),
    required("verifier", Text),
    required("last_success_at", Time),
    required("valid_until", Time),
];

const TASK_ID: Field = required("task_id", Text);
const CONTEXT_ID: Field = required("context_id", Text);
const STATE: Field = required("state", Text);
const CALLER: Field = required("caller", Object(A2A_PARTY));
const SENDER: Field = optional("sender", Object(A2A_PARTY)).or_null();

/// A new task or message says what it says.
pub(in crate::validate) const A2A_MESSAGE_DATA: &[Field] = &[
    TASK_ID,
    CONTEXT_ID,
    STATE,
    CALLER,
    SENDER,
    required("message_id", Text),
    required("parts", List(&Map)),
];

/// A cancel or an update may come without a message.
pub(in crate::validate) const A2A_DATA: &[Field] = &[
    TASK_ID,
    CONTEXT_ID,
    STATE,
    CALLER,
    SENDER,
    optional("message_id", Text),
    optional("parts", List(&Map)),
];

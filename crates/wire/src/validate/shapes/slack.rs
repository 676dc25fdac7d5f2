//! The shape of `slack.*`.

use super::SENDER_ACCESS;
use crate::validate::shape::Kind::{List, Map, OneOf, Text, Uuid};
use crate::validate::shape::{Field, Fill, Kind, filled, optional, required};

pub(in crate::validate) const SLACK_DATA: &[Field] = &[
    filled("identity_id", Uuid, Fill::IdentityId),
    required("connection_id", Text),
    required("workspace_id", Text),
    optional("conversation_id", Text).or_null(),
    optional("message_ts", Text).or_null(),
    optional("thread_ts", Text).or_null(),
    optional("actor_id", Text).or_null(),
    optional("actor_profile", Map).or_null(),
    optional("contact_id", Uuid).or_null(),
    required("message_kinds", List(&SLACK_MESSAGE_KIND)),
    required("event", Map),
    SENDER_ACCESS,
];

const SLACK_MESSAGE_KIND: Kind = OneOf(&["dm", "group_dm", "mention", "channel", "thread"]);

//! The shape of `imessage.*`.

use super::{
    AGENT_IDENTITIES, CONTACTS, CONTEXT, CREATED_AT, DIRECTION, ID, IS_READ, REACTION, SENDER_ACCESS,
    UPDATED_AT,
};
use crate::validate::shape::Kind::{Bool, Integer, List, Map, Null, Object, OneOf, Text, Uuid};
use crate::validate::shape::{Field, nullable, optional, required};

pub(in crate::validate) const IMESSAGE_DATA: &[Field] =
    &[required("message", Object(IMESSAGE)), nullable("reaction", Null), CONTACTS, AGENT_IDENTITIES, CONTEXT];

pub(in crate::validate) const IMESSAGE_REACTION_DATA: &[Field] = &[
    nullable("message", Null),
    required("reaction", Object(IMESSAGE_REACTION)),
    CONTACTS,
    AGENT_IDENTITIES,
    CONTEXT,
];

const IMESSAGE: &[Field] = &[
    ID,
    required("conversation_id", Uuid),
    nullable("assignment_id", Uuid),
    required("direction", DIRECTION),
    nullable("remote_number", Text),
    optional("sender_number", Text).or_null(),
    optional("participants", List(&Text)).or_null(),
    optional("is_group", Bool),
    optional("reply_to_message_id", Uuid).or_null(),
    optional("thread_id", Uuid).or_null(),
    optional("thread_root_message_id", Uuid).or_null(),
    nullable("content", Text),
    required("message_type", OneOf(&["message", "carousel"])),
    required("service", OneOf(&["imessage", "sms", "rcs"])),
    nullable("send_style", Text),
    nullable("media", List(&Map)),
    nullable("was_downgraded", Bool),
    nullable("status", OneOf(IMESSAGE_STATUS)),
    nullable("error_code", Text),
    nullable("error_message", Text),
    nullable("error_reason", Text),
    nullable("error_detail", Text),
    IS_READ,
    nullable("recipients", List(&Map)),
    nullable("reactions", List(&Map)),
    CREATED_AT,
    UPDATED_AT,
    SENDER_ACCESS,
];

const IMESSAGE_STATUS: &[&str] =
    &["registered", "pending", "queued", "accepted", "sent", "delivered", "declined", "error", "received"];

const IMESSAGE_REACTION: &[Field] = &[
    ID,
    required("conversation_id", Uuid),
    nullable("assignment_id", Uuid),
    required("target_message_id", Uuid),
    required("direction", DIRECTION),
    required("reaction", REACTION),
    nullable("custom_emoji", Text),
    required("remote_number", Text),
    required("part_index", Integer),
    CREATED_AT,
    UPDATED_AT,
];

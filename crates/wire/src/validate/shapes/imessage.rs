//! The shape of `imessage.*`.

use super::{
    AGENT_IDENTITIES, CONTACTS, CONTEXT, CREATED_AT, DIRECTION, ID, IS_READ, REACTION, SENDER_ACCESS,
    UPDATED_AT,
};
use crate::payload::imessage::{IMessageSendStyle, IMessageService, IMessageStatus, IMessageType};
use crate::validate::shape::Kind::{Bool, Count, Integer, List, Null, Object, OneOf, Text, Time, Uuid};
use crate::validate::shape::{Field, Kind, nullable, optional, required};

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
    required("message_type", OneOf(IMessageType::WORDS)),
    required("service", SERVICE),
    nullable("send_style", OneOf(IMessageSendStyle::WORDS)),
    nullable("media", List(&Object(IMESSAGE_MEDIA))),
    nullable("was_downgraded", Bool),
    nullable("status", STATUS),
    nullable("error_code", Text),
    nullable("error_message", Text),
    nullable("error_reason", Text),
    nullable("error_detail", Text),
    IS_READ,
    nullable("recipients", List(&Object(IMESSAGE_RECIPIENT))),
    nullable("reactions", List(&Object(IMESSAGE_TAPBACK))),
    CREATED_AT,
    UPDATED_AT,
    SENDER_ACCESS,
];

const SERVICE: Kind = OneOf(IMessageService::WORDS);
const STATUS: Kind = OneOf(IMessageStatus::WORDS);

const IMESSAGE_MEDIA: &[Field] =
    &[nullable("content_type", Text), nullable("size", Count), required("url", Text)];

const IMESSAGE_RECIPIENT: &[Field] = &[
    required("remote_number", Text),
    nullable("delivery_status", STATUS),
    nullable("service", SERVICE),
    nullable("error_code", Text),
    nullable("error_message", Text),
    nullable("error_reason", Text),
    nullable("error_detail", Text),
    nullable("sent_at", Time),
    nullable("delivered_at", Time),
    nullable("failed_at", Time),
];

const IMESSAGE_TAPBACK: &[Field] = &[
    required("id", Uuid),
    required("direction", DIRECTION),
    required("reaction", REACTION),
    nullable("custom_emoji", Text),
    required("remote_number", Text),
    required("part_index", Integer),
    required("created_at", Time),
];

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

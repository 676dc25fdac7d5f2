//! The shape of `text.*`.

use super::{
    AGENT_IDENTITIES, CONTACTS, CONTEXT, CREATED_AT, DIRECTION, ID, IS_READ, SENDER_ACCESS, UPDATED_AT,
};
use crate::payload::text::{TextDeliveryStatus, TextOrigin, TextType};
use crate::validate::shape::Kind::{Count, List, Object, OneOf, Text, Time, Uuid};
use crate::validate::shape::{Field, Fill, filled, nullable, required};

pub(in crate::validate) const TEXT_DATA: &[Field] = &[
    required("text_message", Object(TEXT_MESSAGE)),
    CONTACTS,
    AGENT_IDENTITIES,
    nullable("recipient_phone_number", Text),
    CONTEXT,
];

const TEXT_MESSAGE: &[Field] = &[
    ID,
    required("direction", DIRECTION),
    filled("local_phone_number", Text, Fill::LocalNumber),
    nullable("remote_phone_number", Text),
    nullable("text", Text),
    required("type", OneOf(TextType::WORDS)),
    nullable("media", List(&Object(TEXT_MEDIA))),
    IS_READ,
    nullable("delivery_status", OneOf(TextDeliveryStatus::WORDS)),
    filled("origin", OneOf(TextOrigin::WORDS), Fill::UserInitiated),
    nullable("error_code", Text),
    nullable("error_detail", Text),
    nullable("sent_at", Time),
    nullable("delivered_at", Time),
    nullable("failed_at", Time),
    filled("conversation_id", Uuid, Fill::Conversation).or_null(),
    nullable("sender_phone_number", Text),
    nullable("recipients", List(&Object(TEXT_RECIPIENT))),
    CREATED_AT,
    UPDATED_AT,
    SENDER_ACCESS,
];

const TEXT_MEDIA: &[Field] =
    &[required("content_type", Text), required("size", Count), required("url", Text)];

const TEXT_RECIPIENT: &[Field] = &[
    required("recipient_phone_number", Text),
    nullable("delivery_status", OneOf(TextDeliveryStatus::WORDS)),
    nullable("carrier", Text),
    nullable("line_type", Text),
    nullable("error_code", Text),
    nullable("error_detail", Text),
    nullable("sent_at", Time),
    nullable("delivered_at", Time),
    nullable("failed_at", Time),
];

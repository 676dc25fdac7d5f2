//! The shape of `whatsapp.*`.

use super::{AGENT_IDENTITIES, CONTACTS, CONTEXT, CREATED_AT, DIRECTION, ID, IS_READ, REACTION, UPDATED_AT};
use crate::payload::whatsapp::{
    WhatsAppDeliveryState, WhatsAppMediaStatus, WhatsAppReactionStatus, WhatsAppStatus,
};
use crate::validate::shape::Kind::{Count, List, Null, Object, OneOf, Text, Time, Uuid};
use crate::validate::shape::{Field, Fill, Kind, filled, nullable, optional, required};

pub(in crate::validate) const WHATSAPP_DATA: &[Field] = &[
    required("message", Object(WHATSAPP)),
    optional("reaction", Null).or_null(),
    CONTACTS,
    AGENT_IDENTITIES,
    CONTEXT,
];

pub(in crate::validate) const WHATSAPP_REACTION_DATA: &[Field] = &[
    optional("message", Null).or_null(),
    required("reaction", Object(WHATSAPP_REACTION)),
    CONTACTS,
    AGENT_IDENTITIES,
    CONTEXT,
];

const AGENT_IDENTITY_ID: Field = filled("agent_identity_id", Uuid, Fill::IdentityId);

const WHATSAPP: &[Field] = &[
    ID,
    AGENT_IDENTITY_ID,
    required("conversation_id", Uuid),
    required("direction", DIRECTION),
    required("local_number", Text),
    required("remote_number", Text),
    required("sender_number", Text),
    required("participants", List(&Text)),
    nullable("content", Text),
    filled("media", List(&Object(WHATSAPP_MEDIA)), Fill::EmptyList),
    required("status", STATUS),
    nullable("delivery_state", DELIVERY_STATE),
    filled("recipients", List(&Object(WHATSAPP_RECIPIENT)), Fill::EmptyList),
    IS_READ,
    nullable("error_code", Text),
    nullable("error_detail", Text),
    nullable("source_at", Time),
    CREATED_AT,
    UPDATED_AT,
    nullable("sent_at", Time),
    nullable("delivered_at", Time),
    nullable("failed_at", Time),
    nullable("status_observed_at", Time),
    nullable("reply_to_message_id", Uuid),
    nullable("thread_id", Uuid),
    nullable("thread_root_message_id", Uuid),
    filled("reactions", List(&Object(WHATSAPP_REACTION)), Fill::EmptyList),
];

const STATUS: Kind = OneOf(WhatsAppStatus::WORDS);
const DELIVERY_STATE: Kind = OneOf(WhatsAppDeliveryState::WORDS);

const WHATSAPP_MEDIA: &[Field] = &[
    required("id", Text),
    required("filename", Text),
    required("content_type", Text),
    nullable("size", Count),
    required("status", OneOf(WhatsAppMediaStatus::WORDS)),
    nullable("url", Text),
];

const WHATSAPP_RECIPIENT: &[Field] = &[
    required("remote_number", Text),
    required("delivery_status", STATUS),
    required("delivery_state", DELIVERY_STATE),
    nullable("error_code", Text),
    nullable("error_detail", Text),
    nullable("sent_at", Time),
    nullable("delivered_at", Time),
    nullable("failed_at", Time),
];

/// On its own or beside its message.
const WHATSAPP_REACTION: &[Field] = &[
    ID,
    AGENT_IDENTITY_ID,
    required("conversation_id", Uuid),
    required("target_message_id", Uuid),
    required("direction", DIRECTION),
    nullable("remote_number", Text),
    required("reaction", REACTION),
    nullable("custom_emoji", Text),
    required("emoji", Text),
    required("status", OneOf(WhatsAppReactionStatus::WORDS)),
    required("revision", Count),
    CREATED_AT,
    UPDATED_AT,
    nullable("removed_at", Time),
];

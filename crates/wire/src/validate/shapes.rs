//! The shapes of every event's data, complete. Tests hold them against [`crate::payload`], key by
//! key: what the shape lets through reads as the type, and is written again as it was.
//!
//! How a field is declared says how the type holds it:
//!
//! | here | there |
//! |---|---|
//! | `required`, `filled` | `T` |
//! | `nullable`, `filled` or null | `Option<T>`, written as null |
//! | `optional` | `Option<T>`, left out |
//! | `optional` or null | `Maybe<T>` |

use super::shape::Kind::{Bool, List, Object, OneOf, Text, Time, Uuid};
use super::shape::{Field, Fill, Kind, filled, nullable, optional, required};
use crate::event::{Channel, EventType};
use crate::payload::{Direction, ReactionKind, SenderAccess};

pub(super) mod a2a;
pub(super) mod call;
pub(super) mod context;
pub(super) mod imessage;
pub(super) mod incoming_call;
pub(super) mod mail;
pub(super) mod slack;
pub(super) mod text;
pub(super) mod transcript;
pub(super) mod whatsapp;

/// The shape of an event type's `data`; of `phone.incoming_call` that of the whole body.
pub(super) const fn of(event_type: EventType) -> &'static [Field] {
    match (event_type.channel(), event_type) {
        (_, EventType::IMessageReactionReceived) => imessage::IMESSAGE_REACTION_DATA,
        (_, EventType::WhatsAppReactionReceived) => whatsapp::WHATSAPP_REACTION_DATA,
        (_, EventType::PhoneIncomingCall) => incoming_call::INCOMING_CALL,
        (_, EventType::A2aTaskCreated | EventType::A2aTaskMessage) => a2a::A2A_MESSAGE_DATA,
        (Channel::Mail, _) => mail::MAIL_DATA,
        (Channel::Text, _) => text::TEXT_DATA,
        (Channel::IMessage, _) => imessage::IMESSAGE_DATA,
        (Channel::Call, _) => call::CALL_DATA,
        (Channel::A2a, _) => a2a::A2A_DATA,
        (Channel::Slack, _) => slack::SLACK_DATA,
        (Channel::WhatsApp, _) => whatsapp::WHATSAPP_DATA,
    }
}

const DIRECTION: Kind = OneOf(Direction::WORDS);
const SENDER_ACCESS: Field = optional("sender_access", OneOf(SenderAccess::WORDS));
const ID: Field = filled("id", Uuid, Fill::FreshId);
const CREATED_AT: Field = filled("created_at", Time, Fill::Now);
const UPDATED_AT: Field = filled("updated_at", Time, Fill::Now);
const IS_READ: Field = filled("is_read", Bool, Fill::False);
const MEMORIES: Field = optional("memories", List(&Text));
const CONTEXT: Field = optional("context", Object(context::CONTEXT_DATA));

const CONTACTS: Field = filled("contacts", List(&Object(CONTACT)), Fill::Contacts);
const CONTACT: &[Field] = &[required("id", Uuid), nullable("name", Text), MEMORIES];

const AGENT_IDENTITIES: Field =
    filled("agent_identities", List(&Object(AGENT_IDENTITY)), Fill::AgentIdentities);
const AGENT_IDENTITY: &[Field] =
    &[required("id", Uuid), required("agent_handle", Text), nullable("display_name", Text)];

const REACTION: Kind = OneOf(ReactionKind::WORDS);

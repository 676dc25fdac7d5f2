//! From an event type to its typed data.

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use super::a2a::A2aData;
use super::call::CallEndedData;
use super::imessage::IMessageData;
use super::incoming_call::IncomingCall;
use super::mail::MailData;
use super::slack::SlackData;
use super::text::TextData;
use super::whatsapp::WhatsAppData;
use crate::event::{Channel, EventType};

/// The data of an event of any type. It serialises as the data itself.
///
/// An event with its data is an [`Envelope<Payload>`](crate::envelope::Envelope), which
/// [`Envelope::read`](crate::envelope::Envelope::read) makes of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Payload {
    Mail(Box<MailData>),
    Text(Box<TextData>),
    IMessage(Box<IMessageData>),
    CallEnded(Box<CallEndedData>),
    A2a(Box<A2aData>),
    Slack(Box<SlackData>),
    WhatsApp(Box<WhatsAppData>),
    IncomingCall(Box<IncomingCall>),
}

impl Payload {
    /// Reads the JSON of an event's `data`; of `phone.incoming_call` the whole body.
    ///
    /// # Errors
    /// It does not have the shape of `event_type`: also when it lacks what this very type is
    /// about, such as the reaction of a `reaction_received` or the message of a new A2A task.
    pub fn read(event_type: EventType, data: &str) -> Result<Self, serde_json::Error> {
        let payload = match event_type.channel() {
            Channel::Mail => parse(data).map(Self::Mail),
            Channel::Text => parse(data).map(Self::Text),
            Channel::IMessage => parse(data).map(Self::IMessage),
            Channel::Call if event_type == EventType::PhoneIncomingCall => {
                parse(data).map(Self::IncomingCall)
            }
            Channel::Call => parse(data).map(Self::CallEnded),
            Channel::A2a => parse(data).map(Self::A2a),
            Channel::Slack => parse(data).map(Self::Slack),
            Channel::WhatsApp => parse(data).map(Self::WhatsApp),
        }?;
        match payload.fault(event_type) {
            None => Ok(payload),
            Some(fault) => Err(serde_json::Error::custom(format_args!("{event_type}: {fault}"))),
        }
    }

    /// What depends on more than the channel.
    fn fault(&self, event_type: EventType) -> Option<&'static str> {
        let (message, reaction) = match self {
            Self::IMessage(data) => (data.message.is_some(), data.reaction.is_some()),
            Self::WhatsApp(data) => (data.message.get().is_some(), data.reaction.get().is_some()),
            Self::A2a(data) => {
                let silent = data.message_id.is_none() || data.parts.is_none();
                let says = matches!(event_type, EventType::A2aTaskCreated | EventType::A2aTaskMessage);
                return (says && silent).then_some("message_id and parts must be there");
            }
            _ => return None,
        };
        let about_reaction =
            matches!(event_type, EventType::IMessageReactionReceived | EventType::WhatsAppReactionReceived);
        match (about_reaction, message, reaction) {
            (true, false, true) | (false, true, false) => None,
            (true, ..) => Some("reaction must be there, and message must not"),
            (false, ..) => Some("message must be there, and reaction must not"),
        }
    }
}

fn parse<T: DeserializeOwned>(data: &str) -> Result<Box<T>, serde_json::Error> {
    serde_json::from_str(data).map(Box::new)
}

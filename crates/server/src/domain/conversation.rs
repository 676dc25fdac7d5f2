//! Which conversation an event belongs to, for subscriptions that get each conversation in order.
//!
//! | channel | conversation |
//! |---|---|
//! | mail | the thread |
//! | text | the conversation's id, or else own number and remote number |
//! | iMessage, WhatsApp | the conversation's id |
//! | Slack | workspace and conversation |
//! | agent to agent | the context |
//! | calls | none |
//!
//! An event in which that is missing belongs to none, and nothing is known of its order.

use std::borrow::Cow;

use inkhook_wire::event::{Channel, EventType};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Names a conversation; of fixed length, whatever its parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationKey(pub [u8; 16]);

impl ConversationKey {
    /// The conversation of an event, from the body that is sent. `None`: it belongs to none.
    #[must_use]
    pub fn of(event_type: EventType, payload: &[u8]) -> Option<Self> {
        let envelope: Envelope<'_> = serde_json::from_slice(payload).ok()?;
        let data = envelope.data;
        let message = data.message.or(data.reaction).unwrap_or_default();
        Some(match event_type.channel() {
            Channel::Mail => Self::hashed("mail", &[&message.thread_id?]),
            Channel::Text => {
                let text = data.text_message?;
                match text.conversation_id {
                    Some(id) => Self::hashed("text", &[&id]),
                    None => Self::hashed("numbers", &[&text.local_phone_number?, &text.remote_phone_number?]),
                }
            }
            Channel::IMessage => Self::hashed("imessage", &[&message.conversation_id?]),
            Channel::WhatsApp => Self::hashed("whatsapp", &[&message.conversation_id?]),
            Channel::Slack => Self::hashed("slack", &[&data.workspace_id?, &data.conversation_id?]),
            Channel::A2a => Self::hashed("a2a", &[&data.context_id?]),
            Channel::Call => return None,
        })
    }

    fn hashed(kind: &str, parts: &[&str]) -> Self {
        let mut hash = Sha256::new_with_prefix(kind);
        for part in parts {
            // Lengths keep neighbours apart.
            hash.update((part.len() as u64).to_be_bytes());
            // A UUID means the same in either case, and whoever publishes may write it so or so.
            hash.update(part.to_ascii_lowercase());
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }
}

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    message: Option<Message<'a>>,
    #[serde(borrow)]
    reaction: Option<Message<'a>>,
    #[serde(borrow)]
    text_message: Option<TextMessage<'a>>,
    #[serde(borrow)]
    workspace_id: Text<'a>,
    #[serde(borrow)]
    conversation_id: Text<'a>,
    #[serde(borrow)]
    context_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    thread_id: Text<'a>,
    #[serde(borrow)]
    conversation_id: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TextMessage<'a> {
    #[serde(borrow)]
    conversation_id: Text<'a>,
    #[serde(borrow)]
    local_phone_number: Text<'a>,
    #[serde(borrow)]
    remote_phone_number: Text<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(event_type: EventType, data: &str) -> Option<ConversationKey> {
        let payload = format!(r#"{{"id":"evt_x","event_type":"x","data":{data},"more":[1]}}"#);
        ConversationKey::of(event_type, payload.as_bytes())
    }

    #[test]
    fn a_mail_belongs_to_its_thread() {
        let thread =
            |id: &str| key(EventType::MessageReceived, &format!(r#"{{"message":{{"thread_id":{id}}}}}"#));
        assert!(thread(r#""a1""#).is_some());
        assert_eq!(thread(r#""a1""#), thread(r#""A1""#), "a UUID in either case");
        assert_eq!(thread(r#""a1""#), thread(r#""\u00611""#), "however it is written");
        assert_ne!(thread(r#""a1""#), thread(r#""a2""#));
        assert_eq!(thread("null"), None);
        let sent = key(EventType::MessageSent, r#"{"message":{"thread_id":"a1","subject":"x"}}"#);
        assert_eq!(sent, thread(r#""a1""#), "whatever happened in it");
    }

    #[test]
    fn a_text_belongs_to_its_conversation_or_its_two_numbers() {
        let text =
            |fields: &str| key(EventType::TextReceived, &format!(r#"{{"text_message":{{{fields}}}}}"#));
        let by_id = text(r#""conversation_id":"c","local_phone_number":"+1","remote_phone_number":"+2""#);
        assert_eq!(by_id, text(r#""conversation_id":"c""#));
        let numbers = text(r#""conversation_id":null,"local_phone_number":"+1","remote_phone_number":"+2""#);
        assert!(numbers.is_some() && numbers != by_id);
        assert_ne!(numbers, text(r#""local_phone_number":"+12","remote_phone_number":"""#), "no run-on");
        assert_eq!(text(r#""local_phone_number":"+1","remote_phone_number":null"#), None, "nobody is named");
    }

    #[test]
    fn the_other_channels_have_theirs_and_calls_have_none() {
        let message = r#"{"message":{"conversation_id":"c"},"reaction":null}"#;
        let reaction = r#"{"message":null,"reaction":{"conversation_id":"c"}}"#;
        let slack = r#"{"workspace_id":"w","conversation_id":"c","event":{}}"#;
        for event_type in EventType::ALL.iter().copied() {
            let (has, other) = match event_type.channel() {
                Channel::IMessage | Channel::WhatsApp => (message, slack),
                Channel::Slack => (slack, message),
                Channel::A2a => (r#"{"context_id":"c"}"#, message),
                Channel::Mail => (r#"{"message":{"thread_id":"c"}}"#, message),
                Channel::Text => (r#"{"text_message":{"conversation_id":"c"}}"#, message),
                Channel::Call => continue,
            };
            assert!(key(event_type, has).is_some(), "{event_type}");
            assert_eq!(key(event_type, other), None, "{event_type}");
        }
        assert_eq!(
            key(EventType::IMessageReceived, message),
            key(EventType::IMessageReactionReceived, reaction)
        );
        assert_eq!(key(EventType::CallEnded, message), None);
    }

    #[test]
    fn what_cannot_be_read_belongs_to_none() {
        for payload in ["", "{}", "[]", r#"{"data":1}"#, r#"{"data":{"message":{"thread_id":7}}}"#] {
            assert_eq!(
                ConversationKey::of(EventType::MessageReceived, payload.as_bytes()),
                None,
                "{payload}"
            );
        }
    }
}

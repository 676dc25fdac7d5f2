//! The shapes and the typed payloads describe the same data.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::dice::{any_data, full};
use super::*;
use crate::event::Channel;
use crate::payload::a2a::A2aData;
use crate::payload::call::CallEndedData;
use crate::payload::imessage::IMessageData;
use crate::payload::incoming_call::IncomingCall;
use crate::payload::slack::SlackData;
use crate::payload::transcript::{Abridgement, Turn};
use crate::payload::whatsapp::WhatsAppData;
use crate::payload::{Direction, Payload};

/// What a type reads must be what the shape has: [`trace::keys`] of it.
fn shape_keys(fields: &[shape::Field], at: &str, out: &mut BTreeSet<String>) {
    for field in fields {
        let path = format!("{at}.{}", field.name);
        let kind = match field.kind {
            shape::Kind::List(item) => *item,
            kind => kind,
        };
        match kind {
            shape::Kind::Object(inner) => shape_keys(inner, &path, out),
            shape::Kind::OneOf(words) => {
                out.insert(format!("{path}={}", words.join("|")));
            }
            _ => {}
        }
        out.insert(path);
    }
}

fn keys_of(fields: &[shape::Field]) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    shape_keys(fields, "data", &mut keys);
    keys
}

/// Of all types of a channel: one may say null where another has an object.
fn keys_of_channel(channel: Channel) -> BTreeSet<String> {
    let types = EventType::SUBSCRIBABLE.iter().filter(|event_type| event_type.channel() == channel);
    types.flat_map(|event_type| keys_of(shapes::of(*event_type))).collect()
}

#[test]
fn the_shapes_have_the_keys_and_words_of_the_types() {
    assert_eq!(keys_of_channel(Channel::Mail), trace::keys::<MailData>());
    assert_eq!(keys_of_channel(Channel::Text), trace::keys::<TextData>());
    assert_eq!(keys_of_channel(Channel::IMessage), trace::keys::<IMessageData>());
    assert_eq!(keys_of_channel(Channel::Call), trace::keys::<CallEndedData>());
    assert_eq!(keys_of_channel(Channel::A2a), trace::keys::<A2aData>());
    assert_eq!(keys_of_channel(Channel::Slack), trace::keys::<SlackData>());
    assert_eq!(keys_of_channel(Channel::WhatsApp), trace::keys::<WhatsAppData>());
    assert_eq!(keys_of(shapes::of(EventType::PhoneIncomingCall)), trace::keys::<IncomingCall>());
    assert_eq!(keys_of(shapes::transcript::TURN), trace::keys::<Turn>());
    assert_eq!(keys_of(shapes::transcript::ABRIDGEMENT), trace::keys::<Abridgement>());
}

#[test]
fn what_was_filled_in_reads_as_the_type() {
    let valid = validate(EventType::MessageReceived, &mail()).unwrap();
    let data: MailData = serde_json::from_value(valid.clone()).unwrap();
    assert_eq!(data.message.mailbox_id.to_string(), MAILBOX);
    assert_eq!(serde_json::to_value(&data).unwrap(), valid);
    let valid = validate(EventType::TextReceived, &text()).unwrap();
    let data: TextData = serde_json::from_value(valid.clone()).unwrap();
    assert_eq!(serde_json::to_value(&data).unwrap(), valid);
}

/// Reads data as its type and writes it again.
fn round(event_type: EventType, data: &Value) -> Value {
    let payload = Payload::read(event_type, &data.to_string());
    serde_json::to_value(payload.unwrap_or_else(|error| panic!("{event_type}: {error}: {data}"))).unwrap()
}

#[test]
fn full_data_is_valid_as_it_stands() {
    for event_type in EventType::ALL {
        let full = full(*event_type);
        assert_eq!(shaped(*event_type, &full).as_ref(), Ok(&full), "{event_type}");
        assert_eq!(round(*event_type, &full), full, "{event_type}");
    }
}

proptest! {
    /// Every value of every type, for the types read whatever the shapes have: it is written as it
    /// was read, and is valid without anything being filled in.
    #[test]
    fn typed_data_is_valid_as_it_stands((event_type, data) in any_data(false)) {
        let written = round(event_type, &data);
        prop_assert_eq!(&written, &data);
        prop_assert_eq!(shaped(event_type, &written), Ok(data));
    }

    /// Whatever of what can be filled in is left out: what comes out reads as the type.
    #[test]
    fn valid_data_always_reads_as_the_type((event_type, data) in any_data(true)) {
        match shaped(event_type, &data) {
            Ok(valid) => prop_assert_eq!(round(event_type, &valid), valid),
            // Nobody else knows how long a truncated body was.
            Err(error) => {
                prop_assert_eq!(error.kind, DataErrorKind::Missing);
                prop_assert_eq!(&error.loc[1..], ["message", "body_total_chars"]);
            }
        }
    }

    /// The same through the front door, with the rules over several keys.
    #[test]
    fn published_data_reads_as_the_type((event_type, mut data) in any_data(true)) {
        prop_assume!(event_type != EventType::PhoneIncomingCall);
        if event_type.channel() == Channel::Text {
            data["text_message"]["direction"] = json!(Direction::Outbound);
        }
        if let Ok(valid) = validate(event_type, &data) {
            prop_assert_eq!(round(event_type, &valid), valid);
        }
    }

    /// Any JSON at all: an error, never a panic.
    #[test]
    fn any_data_gets_an_answer(value in super::canonical::any_json(), which: prop::sample::Index) {
        let event_type = EventType::SUBSCRIBABLE[which.index(EventType::SUBSCRIBABLE.len())];
        prop_assert!(validate(event_type, &value).is_err());
    }
}

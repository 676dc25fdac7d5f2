use serde_json::{Value, json};

use super::*;
use crate::event::EventType;

fn read(event_type: EventType, data: &Value) -> Result<Payload, serde_json::Error> {
    Payload::read(event_type, &data.to_string())
}

#[test]
fn samples_read_and_write_back() {
    for event_type in EventType::ALL {
        let sample = event_type.sample();
        let payload = read(*event_type, &sample).unwrap_or_else(|error| panic!("{event_type}: {error}"));
        assert_eq!(serde_json::to_value(payload).unwrap(), sample, "{event_type}");
    }
}

/// Adds a key that nobody knows to every object.
fn with_news(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(with_news);
            members.insert("x_new".to_owned(), json!([1]));
        }
        Value::Array(items) => items.iter_mut().for_each(with_news),
        _ => {}
    }
}

/// What a type keeps whole still has it.
fn without_news(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("x_new");
            members.values_mut().for_each(without_news);
        }
        Value::Array(items) => items.iter_mut().for_each(without_news),
        _ => {}
    }
}

#[test]
fn keys_of_the_future_are_ignored_at_every_depth() {
    for event_type in EventType::ALL {
        let mut news = event_type.sample();
        with_news(&mut news);
        let payload = read(*event_type, &news).unwrap_or_else(|error| panic!("{event_type}: {error}"));
        let mut written = serde_json::to_value(payload).unwrap();
        assert_eq!(written.get("x_new"), None);
        without_news(&mut written);
        assert_eq!(written, event_type.sample(), "{event_type}");
    }
}

#[test]
fn an_event_has_what_its_type_is_about() {
    let reaction = EventType::IMessageReactionReceived.sample();
    let message = EventType::IMessageReceived.sample();
    let both = json!({
        "message": message["message"], "reaction": reaction["reaction"], "contacts": [],
        "agent_identities": [],
    });
    let neither = json!({"message": null, "reaction": null, "contacts": [], "agent_identities": []});
    for data in [&message, &both, &neither] {
        let error = read(EventType::IMessageReactionReceived, data).unwrap_err();
        assert!(error.to_string().contains("imessage.reaction_received: reaction must be there"), "{error}");
    }
    for data in [&reaction, &both, &neither] {
        assert!(read(EventType::IMessageSent, data).is_err());
    }
    let reaction = EventType::WhatsAppReactionReceived.sample();
    assert!(read(EventType::WhatsAppReceived, &reaction).is_err());
    assert!(read(EventType::WhatsAppReactionReceived, &EventType::WhatsAppSent.sample()).is_err());
    let silent = EventType::A2aTaskCanceled.sample();
    assert!(read(EventType::A2aSentTaskUpdated, &silent).is_ok());
    let error = read(EventType::A2aTaskMessage, &silent).unwrap_err();
    assert!(error.to_string().contains("message_id"), "{error}");
}

#[test]
fn a_transcript_is_of_turns_and_gaps() {
    use transcript::TranscriptEntry::{Abridged, Turn};

    let entries = json!([
        {"party": "remote", "text": "Hello", "ts_ms": 0, "truncated": true, "phone_number": null},
        {"marker": "abridged", "omitted_turns": 4, "omitted_ms": 30_000},
    ]);
    let read: Vec<transcript::TranscriptEntry> = serde_json::from_value(entries.clone()).unwrap();
    assert!(matches!(&*read, [Turn(turn), Abridged(gap)] if turn.ts_ms == 0 && gap.omitted_turns == 4));
    assert_eq!(serde_json::to_value(read).unwrap(), entries);
    for odd in
        [json!({}), json!({"marker": "cut", "omitted_turns": 4, "omitted_ms": 1}), json!({"party": "x"})]
    {
        assert!(serde_json::from_value::<transcript::TranscriptEntry>(odd).is_err());
    }
}

#[test]
fn words_and_values_match() {
    macro_rules! check {
        ($($name:ty),* $(,)?) => {$(
            assert_eq!(<$name>::ALL.len(), <$name>::WORDS.len());
            for (value, word) in <$name>::ALL.iter().zip(<$name>::WORDS) {
                assert_eq!(value.as_str(), *word);
                assert_eq!(<$name>::parse(word), Some(*value));
                assert_eq!(serde_json::to_value(value).unwrap(), json!(word));
                assert_eq!(serde_json::from_value::<$name>(json!(word)).unwrap(), *value);
            }
            assert_eq!(<$name>::parse("odd"), None);
            assert!(serde_json::from_value::<$name>(json!("odd")).is_err());
        )*};
    }
    check!(Direction, SenderAccess, ReactionKind, mail::MailStatus, call::CallOrigin, context::ContextScope);
}

#[test]
fn the_mailbox_id_is_typed() {
    let mail: mail::MailData = serde_json::from_value(EventType::MessageReceived.sample()).unwrap();
    assert_eq!(mail.message.mailbox_id.to_string(), "7a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c01");
}

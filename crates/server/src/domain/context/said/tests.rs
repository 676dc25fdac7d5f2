use inkhook_wire::envelope;
use inkhook_wire::payload::transcript::TranscriptEntry;
use serde_json::{Value, json};

use super::*;

const STAMP: &str = "2026-05-28T20:26:40Z";

fn body(event_type: EventType, data: &Value) -> String {
    envelope::write(Uuid::nil().into(), event_type, STAMP, &data.to_string())
}

/// The catalogue's sample with these keys changed in the object at this place.
fn sample(event_type: EventType, place: &str, more: Value) -> String {
    let mut data = event_type.sample();
    let Value::Object(more) = more else { panic!("an object") };
    data.pointer_mut(place).and_then(Value::as_object_mut).expect("an object").extend(more);
    body(event_type, &data)
}

fn names(said: &Said<'_>) -> Vec<String> {
    said.parties().iter().map(|party| party.as_str().to_owned()).collect()
}

#[test]
fn every_type_that_says_something_is_read_from_its_sample_and_no_other() {
    for event_type in EventType::ALL.iter().copied() {
        let data = event_type.sample();
        let text = body(event_type, &data);
        let said = Said::read(event_type, text.as_bytes());
        assert_eq!(said.as_ref().map(Said::class), Class::of_event(event_type), "{event_type}");
        let trigger = Trigger::read(event_type, text.as_bytes());
        assert_eq!(trigger.is_some(), goes_with(event_type), "{event_type}");
        if let Some(trigger) = trigger {
            let said = said.expect("it says something");
            let sender = trigger.sender.expect("somebody sent it");
            assert!(said.parties().contains(&sender), "{event_type}: {sender:?}");
            assert!(trigger.conversation.is_some(), "{event_type}");
        }
    }
}

#[test]
fn all_who_take_part_in_a_mail_are_parties_but_the_agent() {
    let own = "reception@mail.example.com";
    let text = sample(
        EventType::MessageReceived,
        "/message",
        json!({"to_addresses": [own, "bob@example.org"], "cc_addresses": ["Cleo@Example.org", own, "noor@example.org"],
            "bcc_addresses": ["dan@example.org"]}),
    );
    let said = Said::read(EventType::MessageReceived, text.as_bytes()).expect("a mail");
    assert_eq!(names(&said), ["noor@example.org", "bob@example.org", "cleo@example.org", "dan@example.org"]);
    let trigger = Trigger::read(EventType::MessageReceived, text.as_bytes()).expect("a mail");
    assert_eq!(trigger.sender, Some(Party::Address("noor@example.org".into())));
}

#[test]
fn one_party_beyond_the_bound_is_not_found_by_the_mail() {
    let many: Vec<String> = (0..=MAX_PARTIES).map(|number| format!("{number}@example.org")).collect();
    let text = sample(EventType::MessageSent, "/message", json!({"to_addresses": many}));
    let said = Said::read(EventType::MessageSent, text.as_bytes()).expect("a mail");
    assert_eq!(names(&said), many[..MAX_PARTIES]);
}

#[test]
fn a_group_has_its_members_as_parties() {
    let text = sample(
        EventType::TextSent,
        "/text_message",
        json!({"remote_phone_number": null, "recipients": [
            {"recipient_phone_number": "+12025550101"}, {"recipient_phone_number": "+12025550102"}]}),
    );
    let said = Said::read(EventType::TextSent, text.as_bytes()).expect("a text");
    assert_eq!(names(&said), ["+12025550101", "+12025550102"]);
    let text = sample(
        EventType::IMessageReceived,
        "/message",
        json!({"sender_number": "+12025550103", "remote_number": "+12025550103",
            "participants": ["+12025550103", "kim@example.org"]}),
    );
    let said = Said::read(EventType::IMessageReceived, text.as_bytes()).expect("a chat");
    assert_eq!(
        said.parties(),
        [Party::Number("+12025550103".into()), Party::Address("kim@example.org".into())]
    );
}

#[test]
fn a_text_without_a_conversation_belongs_to_its_numbers() {
    let read = |more: Value| {
        let text = sample(EventType::TextReceived, "/text_message", more);
        Trigger::read(EventType::TextReceived, text.as_bytes()).expect("a text").conversation
    };
    let numbers = read(json!({"conversation_id": null}));
    assert_eq!(numbers.as_deref(), Some("+12025550143 +12025550178"));
    assert_eq!(read(json!({"conversation_id": null, "remote_phone_number": null})), None);
    let id = "2A3B4C5D-6E7F-4801-9A2B-3C4D5E6F7A01";
    assert_eq!(read(json!({"conversation_id": id})), Some(id.to_ascii_lowercase()));
}

#[test]
fn a_mail_is_shown_without_its_body() {
    let text = sample(EventType::MessageReceived, "/message", json!({"created_at": null}));
    let said = Said::read(EventType::MessageReceived, text.as_bytes()).expect("a mail");
    let shown = serde_json::to_value(said.into_item()).expect("JSON");
    assert_eq!(
        shown,
        json!({"id": "0e7f3a52-6c1d-4f80-8a2b-9d4c5e6f7a01", "direction": "inbound",
            "from_address": "noor@example.org", "to_addresses": ["reception@mail.example.com"],
            "created_at": STAMP, "subject": "Friday's workshop",
            "snippet": "Is the workshop on Friday still on?", "email_address": "reception@mail.example.com"})
    );
}

#[test]
fn texts_and_chats_say_who_wrote_them_when_that_was_not_the_agent() {
    let media = json!([{"content_type": "image/png", "size": 7, "url": "https://example.org/1"}]);
    let text = sample(EventType::TextReceived, "/text_message", json!({"text": null, "media": media}));
    let said = Said::read(EventType::TextReceived, text.as_bytes()).expect("a text");
    let shown = serde_json::to_value(said.into_item()).expect("JSON");
    assert_eq!(
        shown,
        json!({"id": "1f2e3d4c-5b6a-4798-8a9b-0c1d2e3f4a01", "channel": "sms", "direction": "inbound", "text": "",
            "text_truncated": false, "created_at": "2026-03-14T15:09:26.535Z", "sender": "+12025550178",
            "status": null, "media": {"count": 1}})
    );
    let text = body(EventType::IMessageSent, &EventType::IMessageSent.sample());
    let said = Said::read(EventType::IMessageSent, text.as_bytes()).expect("a chat");
    let ContextItem::Text(shown) = said.into_item() else { panic!("a text") };
    assert_eq!((shown.channel, shown.sender), (ContextTextChannel::IMessage, None));
    assert_eq!((shown.status.as_deref(), shown.media), (Some("sent"), None));
}

#[test]
fn one_byte_more_than_is_shown_of_a_text_is_cut() {
    let read = |length: usize| {
        let more = json!({"text": "x".repeat(length)});
        let text = sample(EventType::TextReceived, "/text_message", more);
        let said = Said::read(EventType::TextReceived, text.as_bytes()).expect("a text");
        let ContextItem::Text(shown) = said.into_item() else { panic!("a text") };
        (shown.text.len(), shown.text_truncated)
    };
    assert_eq!(read(MAX_TEXT_BYTES), (MAX_TEXT_BYTES, false));
    assert_eq!(read(MAX_TEXT_BYTES + 1), (MAX_TEXT_BYTES, true));
}

#[test]
fn a_call_brings_its_transcript() {
    let text = body(EventType::CallEnded, &EventType::CallEnded.sample());
    let said = Said::read(EventType::CallEnded, text.as_bytes()).expect("a call");
    assert_eq!((said.class(), said.conversation()), (Class::Calls, None));
    let ContextItem::Call(shown) = said.into_item() else { panic!("a call") };
    assert!(shown.transcript.iter().any(|entry| matches!(entry, TranscriptEntry::Turn(_))), "{shown:?}");
    let mut data = EventType::CallEnded.sample();
    data["transcript"] = Value::Null;
    let text = body(EventType::CallEnded, &data);
    let said = Said::read(EventType::CallEnded, text.as_bytes()).expect("a call");
    let ContextItem::Call(shown) = said.into_item() else { panic!("a call") };
    assert_eq!((shown.transcript, shown.abridged), (Vec::new(), false));
}

#[test]
fn what_cannot_be_read_says_nothing() {
    for payload in
        ["", "{}", r#"{"timestamp":"x","data":{}}"#, r#"{"timestamp":"x","data":{"message":{"id":7}}}"#]
    {
        assert!(Said::read(EventType::MessageReceived, payload.as_bytes()).is_none(), "{payload}");
    }
}

use serde_json::{Value, json};

use super::*;
use crate::payload::mail::MailData;
use crate::payload::text::TextData;

mod canonical;
mod dice;
mod fields;
mod fill;
mod refuse;
mod trace;
mod typed;

const IDENTITY: &str = "5b0c1d7e-8f1a-4b6c-9d2e-3f4a5b6c7d01";
const MAILBOX: &str = "7a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c01";
const ADDRESS: &str = "reception@mail.example.com";
const NUMBER_ID: &str = "91a2b3c4-d5e6-4f78-8091-0c1d2e3f4a01";
const NUMBER: &str = "+12025550143";
const NOW: &str = "2026-03-14T15:10:00.000Z";
/// The first fresh id of each validation.
const FRESH: &str = "00000000-0000-0000-0000-000000000001";

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// Lends the facts of an owner that has everything; `change` may take some away.
fn with_owner<T>(change: impl FnOnce(&mut OwnerFacts<'_>), act: impl FnOnce(&mut OwnerFacts<'_>) -> T) -> T {
    let mut count = 0;
    let mut fresh_id = || {
        count += 1;
        Uuid::from_u128(count)
    };
    let mut owner = OwnerFacts {
        kind: OwnerKind::Identity,
        identity_id: IDENTITY.parse().unwrap(),
        agent_handle: "reception",
        mailbox: Some((MAILBOX.parse().unwrap(), ADDRESS)),
        phone_number: Some((NUMBER_ID.parse().unwrap(), NUMBER)),
        now: NOW,
        fresh_id: &mut fresh_id,
        contacts_json: None,
        agent_identities_json: None,
    };
    change(&mut owner);
    act(&mut owner)
}

fn validate_text(event_type: EventType, text: &str) -> Result<String, DataError> {
    let valid = with_owner(|_| {}, |owner| validate_data(event_type, &raw(text), owner))?;
    Ok(valid.data)
}

fn validate(event_type: EventType, data: &Value) -> Result<Value, DataError> {
    let text = validate_text(event_type, &data.to_string())?;
    Ok(serde_json::from_str(&text).unwrap())
}

/// Holds data against the shape of a type alone, without the rules over several keys: also those
/// of the incoming call, which nobody publishes.
fn shaped(event_type: EventType, data: &Value) -> Result<Value, DataError> {
    let text = data.to_string();
    let index = index::Index::build(&text)?;
    let check =
        |owner: &mut OwnerFacts<'_>| check::against(&index, event_type, shapes::of(event_type), owner);
    let text = with_owner(|_| {}, check)?;
    Ok(serde_json::from_str(&text).unwrap())
}

/// The least that can be published as a received mail.
fn mail() -> Value {
    json!({"message": {
        "from_address": "noor@example.org",
        "to_addresses": [ADDRESS],
        "direction": "inbound",
        "status": "received",
        "has_attachments": false,
    }})
}

/// The least that can be published as a received text.
fn text() -> Value {
    json!({"text_message": {"direction": "inbound", "type": "sms"}})
}

#[test]
fn every_sample_is_valid_and_complete() {
    for event_type in EventType::SUBSCRIBABLE {
        let sample = event_type.sample();
        let text = sample.to_string();
        let valid = validate_text(*event_type, &text);
        assert_eq!(valid.as_deref(), Ok(&*text), "{event_type}");
    }
}

#[test]
fn the_incoming_call_and_foreign_channels_are_refused() {
    let refuse = |event_type: EventType, kind| {
        let data = raw(&event_type.sample().to_string());
        let act = |owner: &mut OwnerFacts<'_>| validate_data(event_type, &data, owner);
        let error = with_owner(|owner| owner.kind = kind, act).unwrap_err();
        assert_eq!(error.kind, DataErrorKind::EventType);
        assert_eq!(error.loc, ["event_type"]);
        error.message
    };
    refuse(EventType::PhoneIncomingCall, OwnerKind::Identity);
    refuse(EventType::MessageSent, OwnerKind::PhoneNumber);
    assert_eq!(
        refuse(EventType::TextSent, OwnerKind::Mailbox),
        "event_type: text.sent cannot be published with mailbox_id"
    );
}

#[test]
fn participants_follow_the_direction() {
    let mut data = mail();
    data["message"]["cc_addresses"] = json!(["lee@example.net"]);
    data["message"]["bcc_addresses"] = json!(["log@example.net"]);
    let rows = |data: &Value| mail_participants(&raw(&data.to_string())).unwrap();
    let from = (Bucket::From, "noor@example.org".to_owned());
    let to = (Bucket::To, ADDRESS.to_owned());
    let cc = (Bucket::Cc, "lee@example.net".to_owned());
    let bcc = (Bucket::Bcc, "log@example.net".to_owned());
    assert_eq!(rows(&data), (Some(Direction::Inbound), vec![from, cc.clone()]));
    data["message"]["direction"] = json!("outbound");
    assert_eq!(rows(&data), (Some(Direction::Outbound), vec![to, cc, bcc]));
    data["message"]["direction"] = json!("sideways");
    assert_eq!(rows(&data), (None, vec![]));
    for odd in ["[]", "{}", "7", r#"{"message":7}"#] {
        assert_eq!(mail_participants(&raw(odd)).unwrap(), (None, vec![]));
        assert_eq!(text_participants(&raw(odd)).unwrap(), (None, vec![]));
    }
}

#[test]
fn text_participants_are_the_numbers_at_the_other_end() {
    let data = json!({"text_message": {
        "direction": "outbound", "local_phone_number": NUMBER, "remote_phone_number": null,
        "sender_phone_number": NUMBER,
        "recipients": [
            {"recipient_phone_number": "+12025550178"},
            {"recipient_phone_number": "+12025550126"},
            {"recipient_phone_number": "+12025550178"},
        ],
    }});
    let (direction, numbers) = text_participants(&raw(&data.to_string())).unwrap();
    assert_eq!(direction, Some(Direction::Outbound));
    assert_eq!(numbers, ["+12025550178", "+12025550126"]);
}

#[test]
fn every_other_channel_says_its_numbers_once_and_not_the_owners() {
    let numbers = |event_type: EventType, data: &Value| {
        ParsedData::parse(&raw(&data.to_string())).unwrap().numbers(event_type)
    };
    let (a, b, c) = ("+12025550178", "+12025550126", "Ana@example.org");
    let message = json!({"message": {"remote_number": a, "sender_number": b, "local_number": NUMBER,
        "participants": [NUMBER, b, c, 7], "recipients": [{"remote_number": a}, {}]}});
    for event_type in [EventType::IMessageSent, EventType::WhatsAppReceived] {
        assert_eq!(numbers(event_type, &message).unwrap(), [a, b, c]);
    }
    let reaction = json!({"message": null, "reaction": {"remote_number": a}});
    assert_eq!(numbers(EventType::IMessageReactionReceived, &reaction).unwrap(), [a]);
    let call = json!({"call": {"remote_phone_number": a, "local_phone_number": NUMBER}});
    assert_eq!(numbers(EventType::CallEnded, &call).unwrap(), [a]);
    for event_type in [EventType::A2aTaskCreated, EventType::SlackDmReceived, EventType::MessageSent] {
        assert_eq!(numbers(event_type, &message).unwrap(), [""; 0]);
    }
    for odd in [json!([]), json!({}), json!({"message": 7}), json!({"call": null})] {
        assert_eq!(numbers(EventType::IMessageSent, &odd).unwrap(), [""; 0]);
        assert_eq!(numbers(EventType::CallEnded, &odd).unwrap(), [""; 0]);
    }
    let crowd = |count: usize| {
        let numbers: Vec<String> = (0..count).map(|n| format!("+1202555{n:04}")).collect();
        json!({"message": {"participants": numbers}})
    };
    assert_eq!(numbers(EventType::IMessageSent, &crowd(MAX_ADDRESSES)).unwrap().len(), MAX_ADDRESSES);
    let error = numbers(EventType::IMessageSent, &crowd(MAX_ADDRESSES + 1)).unwrap_err();
    assert_eq!((error.kind, error.loc), (DataErrorKind::TooMany, vec!["data".into(), "message".into()]));
}

#[test]
fn whoever_names_everybody_has_nobody_looked_up() {
    let says = |data: &str| ParsedData::parse(&raw(data)).unwrap().names_everybody();
    assert!(says(r#"{"contacts":[],"agent_identities":[]}"#));
    assert!(!says(r#"{"contacts":[]}"#) && !says("{}") && !says("[]"));
}

use proptest::prelude::*;
use serde_json::{Value, json};

use super::mail::*;
use super::text::*;
use super::*;
use crate::id::MailboxId;

pub(crate) fn any_uuid() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

fn any_time() -> impl Strategy<Value = String> {
    (1..=12, 1..=28, 0..24, 0..60, 0..1000).prop_map(|(month, day, hour, minute, milli)| {
        format!("2026-{month:02}-{day:02}T{hour:02}:{minute:02}:09.{milli:03}Z")
    })
}

fn any_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn some<S: Strategy>(strategy: S) -> impl Strategy<Value = Option<S::Value>> {
    prop::option::of(strategy)
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(any::<String>(), 0..4)
}

prop_compose! {
    fn any_contact()(
        id in any_uuid(), name: Option<String>, memories in some(texts()),
    ) -> Contact {
        Contact { id, name, memories }
    }
}

prop_compose! {
    fn any_agent()(
        id in any_uuid(), agent_handle: String, display_name: Option<String>,
    ) -> AgentIdentity {
        AgentIdentity { id, agent_handle, display_name }
    }
}

prop_compose! {
    fn any_mail_message()(
        ids in (any_uuid(), any_uuid(), some(any_uuid()), any::<Option<String>>()),
        people in (any::<String>(), texts(), some(texts()), some(texts())),
        words in any::<(Option<String>, Option<String>, String, Option<String>)>(),
        body_state in some(any_of(BodyState::ALL)),
        counts in (any::<Option<bool>>(), some(0..1_u64 << 40), some(0..1_u64 << 40)),
        direction in any_of(Direction::ALL),
        status in any_of(MailStatus::ALL),
        has_attachments: bool,
        created_at in some(any_time()),
        sender_access in some(any_of(SenderAccess::ALL)),
    ) -> MailMessage {
        let (id, mailbox_id, thread_id, message_id) = ids;
        let (from_address, to_addresses, cc_addresses, bcc_addresses) = people;
        let (subject, snippet, email_address, body) = words;
        let (body_truncated, body_total_chars, body_included_chars) = counts;
        MailMessage {
            id, mailbox_id: mailbox_id.into(), thread_id, message_id, from_address, to_addresses,
            cc_addresses, bcc_addresses, subject, snippet, email_address, body, body_state,
            body_truncated, body_total_chars, body_included_chars, direction, status,
            has_attachments, created_at, sender_access,
        }
    }
}

prop_compose! {
    pub(crate) fn any_mail()(
        message in any_mail_message(),
        contacts in prop::collection::vec((any_of(Bucket::ALL), any::<String>(), any_contact()), 0..3),
        agents in prop::collection::vec((any_of(Bucket::ALL), any::<String>(), any_agent()), 0..3),
        context in some(Just(json!({"email": {"scope": "thread", "items": []}}))),
    ) -> MailData {
        let contact = |(bucket, address, c): (_, _, Contact)| MailContact {
            bucket, address, id: c.id, name: c.name, memories: c.memories,
        };
        let agent = |(bucket, address, a): (_, _, AgentIdentity)| MailAgentIdentity {
            bucket, address, id: a.id, agent_handle: a.agent_handle, display_name: a.display_name,
        };
        MailData {
            message,
            contacts: contacts.into_iter().map(contact).collect(),
            agent_identities: agents.into_iter().map(agent).collect(),
            context,
        }
    }
}

prop_compose! {
    fn any_recipient()(
        recipient_phone_number: String,
        delivery_status in some(any_of(TextDeliveryStatus::ALL)),
        words in any::<(Option<String>, Option<String>, Option<String>, Option<String>)>(),
        times in (some(any_time()), some(any_time()), some(any_time())),
    ) -> TextRecipient {
        let (carrier, line_type, error_code, error_detail) = words;
        let (sent_at, delivered_at, failed_at) = times;
        TextRecipient {
            recipient_phone_number, delivery_status, carrier, line_type, error_code, error_detail,
            sent_at, delivered_at, failed_at,
        }
    }
}

prop_compose! {
    fn any_media()(content_type: String, size in 0..1_u64 << 40, url: String) -> TextMedia {
        TextMedia { content_type, size, url }
    }
}

prop_compose! {
    fn any_text_message()(
        ids in (any_uuid(), some(any_uuid())),
        enums in (any_of(Direction::ALL), any_of(TextType::ALL), any_of(TextOrigin::ALL)),
        optional_enums in (some(any_of(TextDeliveryStatus::ALL)), some(any_of(SenderAccess::ALL))),
        is_read: bool,
        numbers in any::<(String, Option<String>, Option<String>)>(),
        words in any::<(Option<String>, Option<String>, Option<String>)>(),
        media in some(prop::collection::vec(any_media(), 0..3)),
        recipients in some(prop::collection::vec(any_recipient(), 0..3)),
        times in (some(any_time()), some(any_time()), some(any_time()), any_time(), any_time()),
    ) -> TextMessage {
        let (local_phone_number, remote_phone_number, sender_phone_number) = numbers;
        let (text, error_code, error_detail) = words;
        let (sent_at, delivered_at, failed_at, created_at, updated_at) = times;
        TextMessage {
            id: ids.0, direction: enums.0, local_phone_number, remote_phone_number, text,
            text_type: enums.1, media, is_read, delivery_status: optional_enums.0,
            origin: enums.2, error_code, error_detail, sent_at, delivered_at, failed_at,
            conversation_id: ids.1, sender_phone_number, recipients, created_at, updated_at,
            sender_access: optional_enums.1,
        }
    }
}

prop_compose! {
    pub(crate) fn any_text()(
        text_message in any_text_message(),
        contacts in prop::collection::vec(any_contact(), 0..3),
        agent_identities in prop::collection::vec(any_agent(), 0..3),
        recipient_phone_number: Option<String>,
        context in some(Just(json!({"texts": {"scope": "contact", "items": []}}))),
    ) -> TextData {
        TextData { text_message, contacts, agent_identities, recipient_phone_number, context }
    }
}

/// Mail data in which no key is absent and no list is empty.
pub(crate) fn full_mail() -> MailData {
    let mut value = crate::event::EventType::MessageReceived.sample();
    value["message"]["sender_access"] = json!("direct");
    value["contacts"][0]["memories"] = json!(["Prefers mornings"]);
    value["agent_identities"] = json!([{
        "bucket": "cc", "address": "desk@mail.example.com",
        "id": "5b0c1d7e-8f1a-4b6c-9d2e-3f4a5b6c7d02", "agent_handle": "desk", "display_name": null,
    }]);
    value["context"] = json!({});
    serde_json::from_value(value).unwrap()
}

/// Text data in which no key is absent and no list is empty.
pub(crate) fn full_text() -> TextData {
    let mut value = crate::event::EventType::TextDelivered.sample();
    let id = "d4e5f6a7-b8c9-4d0e-8f1a-2b3c4d5e6f01";
    value["text_message"]["sender_access"] = json!("sponsored");
    value["text_message"]["media"] =
        json!([{"content_type": "image/png", "size": 3, "url": "https://example.com/a.png"}]);
    value["contacts"] = json!([{"id": id, "name": null, "memories": []}]);
    value["agent_identities"] = json!([{"id": id, "agent_handle": "desk", "display_name": null}]);
    value["context"] = json!({});
    serde_json::from_value(value).unwrap()
}

#[test]
fn samples_read_and_write_back() {
    for event_type in crate::event::EventType::ALL {
        let sample = event_type.sample();
        match event_type.channel() {
            crate::event::Channel::Mail => {
                let data: MailData = serde_json::from_value(sample.clone()).unwrap();
                assert_eq!(serde_json::to_value(data).unwrap(), sample);
            }
            crate::event::Channel::Text => {
                let data: TextData = serde_json::from_value(sample.clone()).unwrap();
                assert_eq!(serde_json::to_value(data).unwrap(), sample);
            }
            _ => {}
        }
    }
}

#[test]
fn nulls_are_written_and_absent_keys_are_not() {
    let mut mail = full_mail();
    mail.message.thread_id = None;
    mail.message.sender_access = None;
    mail.contacts[0].name = None;
    mail.contacts[0].memories = None;
    mail.context = None;
    let value = serde_json::to_value(mail).unwrap();
    assert_eq!(value["message"].get("thread_id"), Some(&Value::Null));
    assert_eq!(value["message"].get("sender_access"), None);
    assert_eq!(value["contacts"][0].get("name"), Some(&Value::Null));
    assert_eq!(value["contacts"][0].get("memories"), None);
    assert_eq!(value.get("context"), None);
}

#[test]
fn unknown_words_do_not_read() {
    for pointer in ["/message/direction", "/message/status", "/message/body_state", "/contacts/0/bucket"] {
        let mut value = serde_json::to_value(full_mail()).unwrap();
        *value.pointer_mut(pointer).unwrap() = json!("odd");
        assert!(serde_json::from_value::<MailData>(value).is_err(), "{pointer}");
    }
    for pointer in ["/text_message/type", "/text_message/origin", "/text_message/delivery_status"] {
        let mut value = serde_json::to_value(full_text()).unwrap();
        *value.pointer_mut(pointer).unwrap() = json!("odd");
        assert!(serde_json::from_value::<TextData>(value).is_err(), "{pointer}");
    }
}

#[test]
fn keys_of_the_future_are_ignored_and_required_ones_are_not() {
    let mut value = serde_json::to_value(full_mail()).unwrap();
    value["message"]["x_new"] = json!([1]);
    assert_eq!(serde_json::from_value::<MailData>(value.clone()).unwrap(), full_mail());
    value["message"].as_object_mut().unwrap().remove("from_address");
    assert!(serde_json::from_value::<MailData>(value).is_err());
}

#[test]
fn words_and_values_match() {
    for (value, word) in MailStatus::ALL.iter().zip(MailStatus::WORDS) {
        assert_eq!(value.as_str(), *word);
        assert_eq!(MailStatus::parse(word), Some(*value));
        assert_eq!(serde_json::to_value(value).unwrap(), json!(word));
    }
    assert_eq!(MailStatus::parse("odd"), None);
}

#[test]
fn the_mailbox_id_is_typed() {
    let id: MailboxId = full_mail().message.mailbox_id;
    assert_eq!(id.to_string(), "7a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c01");
}

proptest! {
    #[test]
    fn mail_round_trips(data in any_mail()) {
        let text = serde_json::to_string(&data).unwrap();
        prop_assert_eq!(serde_json::from_str::<MailData>(&text).unwrap(), data);
    }

    #[test]
    fn text_round_trips(data in any_text()) {
        let text = serde_json::to_string(&data).unwrap();
        prop_assert_eq!(serde_json::from_str::<TextData>(&text).unwrap(), data);
    }
}

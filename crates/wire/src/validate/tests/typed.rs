//! The shapes and the typed payloads describe the same data.

use proptest::prelude::*;

use super::*;
use crate::payload::tests::{any_mail, any_text};

/// Every key path of a shape, and of a value.
fn shape_keys(fields: &[shape::Field], at: &str, out: &mut Vec<String>) {
    for field in fields {
        let path = format!("{at}.{}", field.name);
        let kind = match field.kind {
            shape::Kind::List(item) => *item,
            kind => kind,
        };
        if let shape::Kind::Object(inner) = kind {
            shape_keys(inner, &path, out);
        }
        out.push(path);
    }
}

fn value_keys(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{at}.{key}");
                if key != "context" {
                    value_keys(value, &path, out);
                }
                out.push(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| value_keys(item, at, out)),
        _ => {}
    }
}

fn same_keys(fields: &[shape::Field], full: &Value) {
    let (mut shape, mut value) = (Vec::new(), Vec::new());
    shape_keys(fields, "data", &mut shape);
    value_keys(full, "data", &mut value);
    shape.sort();
    value.sort();
    value.dedup();
    assert_eq!(shape, value);
}

#[test]
fn the_shapes_have_the_keys_of_the_types() {
    same_keys(shapes::mail::MAIL_DATA, &serde_json::to_value(crate::payload::tests::full_mail()).unwrap());
    same_keys(shapes::text::TEXT_DATA, &serde_json::to_value(crate::payload::tests::full_text()).unwrap());
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

proptest! {
    #[test]
    fn typed_mail_is_valid_as_it_stands(mut data in any_mail()) {
        data.message.mailbox_id = MAILBOX.parse().unwrap();
        data.message.email_address = ADDRESS.to_owned();
        let text = serde_json::to_string(&data).unwrap();
        prop_assert_eq!(validate_text(EventType::MessageReceived, &text), Ok(text));
    }

    #[test]
    fn typed_text_is_valid_as_it_stands(mut data in any_text()) {
        data.text_message.direction = Direction::Outbound;
        data.text_message.local_phone_number = NUMBER.to_owned();
        let text = serde_json::to_string(&data).unwrap();
        prop_assert_eq!(validate_text(EventType::TextSent, &text), Ok(text));
    }

    /// Whatever keys are left out: it is refused, or what comes out reads as the type.
    #[test]
    fn valid_mail_always_reads_as_the_type(data in any_mail(), keep: Vec<bool>) {
        let mut value = serde_json::to_value(data).unwrap();
        value["message"]["mailbox_id"] = json!(MAILBOX);
        value["message"]["email_address"] = json!(ADDRESS);
        let mut keep = keep.into_iter();
        let message = value["message"].as_object_mut().unwrap();
        message.retain(|_, _| keep.next().unwrap_or(true));
        if let Ok(valid) = validate(EventType::MessageReceived, &value) {
            let read = serde_json::from_value::<MailData>(valid.clone());
            prop_assert_eq!(serde_json::to_value(read.unwrap()).unwrap(), valid);
        }
    }

    /// Any JSON at all: an error, never a panic.
    #[test]
    fn any_data_gets_an_answer(value in super::canonical::any_json(), which: prop::sample::Index) {
        let event_type = EventType::SUBSCRIBABLE[which.index(EventType::SUBSCRIBABLE.len())];
        prop_assert!(validate(event_type, &value).is_err());
    }
}

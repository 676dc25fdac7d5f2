//! What is refused, where and in which words.

use super::*;

/// The error of a mail in which one value is another.
fn mail_with(key: &str, value: Value) -> DataError {
    let mut data = mail();
    data["message"][key] = value;
    validate(EventType::MessageReceived, &data).unwrap_err()
}

fn refuse(text: &str) -> DataError {
    super::canonical(&raw(text)).unwrap_err()
}

#[test]
fn the_sentence_names_the_path_and_the_value() {
    let error = mail_with("direction", json!("sideways"));
    assert_eq!(error.loc, ["data", "message", "direction"]);
    assert_eq!(error.kind, DataErrorKind::UnknownValue);
    assert_eq!(error.message, r#"data.message.direction must be one of inbound, outbound; it is "sideways""#);
    assert_eq!(error.to_string(), error.message);
    let error = mail_with("to_addresses", json!([ADDRESS, 7]));
    assert_eq!(error.message, "data.message.to_addresses.1 must be a string; it is 7");
}

#[test]
fn missing_keys_and_nulls_are_refused_where_a_value_is_needed() {
    for key in ["from_address", "to_addresses", "direction", "status", "has_attachments"] {
        let mut data = mail();
        data["message"].as_object_mut().unwrap().remove(key);
        let error = validate(EventType::MessageReceived, &data).unwrap_err();
        assert_eq!(error.kind, DataErrorKind::Missing);
        assert_eq!(error.loc, ["data", "message", key]);
        let error = mail_with(key, Value::Null);
        assert_eq!(error.kind, DataErrorKind::Type, "{key}");
    }
    let error = mail_with("sender_access", Value::Null);
    assert_eq!(error.kind, DataErrorKind::Type);
    let error = validate(EventType::TextReceived, &json!({})).unwrap_err();
    assert_eq!(error.message, "data.text_message is missing; it must be an object");
    let error = validate(EventType::TextReceived, &json!([])).unwrap_err();
    assert_eq!(error.message, "data must be an object; it is []");
}

#[test]
fn types_are_exact() {
    for (key, value) in [
        ("id", json!("1")),
        ("id", json!("0e7f3a526c1d4f808a2b9d4c5e6f7a01")),
        ("thread_id", json!(1)),
        ("created_at", json!("yesterday")),
        ("has_attachments", json!("false")),
        ("body_total_chars", json!(-1)),
        ("body_total_chars", json!(1.5)),
        ("subject", json!(["x"])),
        ("cc_addresses", json!("a@example.org")),
    ] {
        let error = mail_with(key, value.clone());
        assert_eq!(error.kind, DataErrorKind::Type, "{key} {value}");
        assert_eq!(error.loc, ["data", "message", key]);
        assert!(error.message.ends_with(&value.to_string()), "{error}");
    }
}

#[test]
fn closed_lists_are_closed_in_every_channel() {
    for (event_type, pointer) in [
        (EventType::MessageReceived, "/message/status"),
        (EventType::MessageReceived, "/message/body_state"),
        (EventType::MessageReceived, "/contacts/0/bucket"),
        (EventType::TextDelivered, "/text_message/type"),
        (EventType::TextDelivered, "/text_message/origin"),
        (EventType::TextDelivered, "/text_message/recipients/0/delivery_status"),
        (EventType::IMessageReceived, "/message/service"),
        (EventType::IMessageReactionReceived, "/reaction/reaction"),
        (EventType::CallEnded, "/call/hangup_reason"),
        (EventType::SlackDmReceived, "/message_kinds/0"),
        (EventType::WhatsAppReceived, "/message/status"),
    ] {
        let mut data = event_type.sample();
        *data.pointer_mut(pointer).unwrap() = json!("odd");
        let error = validate(event_type, &data).unwrap_err();
        assert_eq!(error.kind, DataErrorKind::UnknownValue, "{error}");
        assert_eq!(error.loc[1..].join("/"), pointer[1..]);
    }
}

#[test]
fn what_names_the_owner_must_be_the_owners() {
    let other = json!("00000000-0000-4000-8000-00000000000f");
    for (event_type, pointer, value) in [
        (EventType::MessageReceived, "/message/mailbox_id", other.clone()),
        (EventType::MessageReceived, "/message/email_address", json!("x@example.org")),
        (EventType::TextReceived, "/text_message/local_phone_number", json!("+12025550199")),
        (EventType::CallEnded, "/call/local_phone_number", json!("+12025550199")),
        (EventType::SlackDmReceived, "/identity_id", other.clone()),
        (EventType::WhatsAppReceived, "/message/agent_identity_id", other.clone()),
        (EventType::WhatsAppReactionReceived, "/reaction/agent_identity_id", other),
    ] {
        let mut data = event_type.sample();
        *data.pointer_mut(pointer).unwrap() = value;
        let error = validate(event_type, &data).unwrap_err();
        assert_eq!(error.kind, DataErrorKind::NotTheOwner, "{error}");
        assert_eq!(error.loc[1..].join("/"), pointer[1..]);
    }
    let mut data = mail();
    data["message"]["email_address"] = json!(ADDRESS.to_uppercase());
    data["message"]["mailbox_id"] = json!(MAILBOX.to_uppercase());
    assert!(validate(EventType::MessageReceived, &data).is_ok());
}

#[test]
fn an_identity_without_a_number_has_no_texts() {
    for number in [None, Some(NUMBER)] {
        let mut data = text();
        if let Some(number) = number {
            data["text_message"]["local_phone_number"] = json!(number);
        }
        let data = raw(&data.to_string());
        let act = |owner: &mut OwnerFacts<'_>| validate_data(EventType::TextReceived, &data, owner);
        let error = with_owner(|owner| owner.phone_number = None, act).unwrap_err();
        assert_eq!(
            error.message,
            "data.text_message.local_phone_number cannot be given: identity reception has no phone number"
        );
    }
}

#[test]
fn bodies_and_delivery_keys_stay_where_they_belong() {
    let mut data = EventType::MessageSent.sample();
    data["message"]["body"] = json!("Hello");
    let error = validate(EventType::MessageSent, &data).unwrap_err();
    assert_eq!(error.loc, ["data", "message", "body"]);
    for key in ["delivery_status", "sent_at", "recipients"] {
        let mut data = EventType::TextDelivered.sample();
        let outbound = data["text_message"][key].clone();
        data = EventType::TextReceived.sample();
        data["text_message"][key] = outbound;
        let error = validate(EventType::TextReceived, &data).unwrap_err();
        assert_eq!(error.loc, ["data", "text_message", key]);
    }
}

#[test]
fn exactly_one_of_message_and_reaction() {
    let reaction = EventType::IMessageReactionReceived.sample();
    let mut both = EventType::IMessageReceived.sample();
    both["reaction"] = reaction["reaction"].clone();
    let error = validate(EventType::IMessageReceived, &both).unwrap_err();
    assert_eq!(error.loc, ["data", "reaction"]);
    let error = validate(EventType::IMessageReceived, &reaction).unwrap_err();
    assert_eq!(error.loc, ["data", "message"]);
}

#[test]
fn only_hosted_calls_have_an_outcome() {
    let with = |mode: Value, outcome: Value| {
        let mut data = EventType::CallEnded.sample();
        data["call"]["mode"] = mode;
        data["outcome"] = outcome;
        data
    };
    let refuse = |data: &Value| {
        let error = validate(EventType::CallEnded, data).unwrap_err();
        assert_eq!(error.loc, ["data", "outcome"]);
        error
    };
    assert!(validate(EventType::CallEnded, &with(json!("hosted_agent"), json!("no_answer"))).is_ok());
    assert!(validate(EventType::CallEnded, &with(json!("client_websocket"), json!(null))).is_ok());
    let error = refuse(&with(json!("client_websocket"), json!("completed")));
    assert_eq!(error.message, r#"data.outcome must be null: only a hosted call has one; it is "completed""#);
    let mut hosted = with(json!("hosted_agent"), json!(null));
    assert_eq!(refuse(&hosted).kind, DataErrorKind::Missing);
    hosted.as_object_mut().unwrap().remove("outcome");
    let error = refuse(&hosted);
    assert_eq!(
        error.message,
        "data.outcome is missing; of a hosted call it must be one of completed, no_answer, declined, failed"
    );
    // A sender from before there were hosted calls says neither.
    let mut old = EventType::CallEnded.sample();
    old["call"].as_object_mut().unwrap().remove("mode");
    old.as_object_mut().unwrap().remove("outcome");
    assert!(validate(EventType::CallEnded, &old).is_ok());
}

#[test]
fn a_key_twice_is_refused_at_any_depth() {
    for (text, path) in [
        (r#"{"a":1,"a":1}"#, "data.a"),
        (r#"{"x":[{},{"y":{"k":1,"\u006b":2}}]}"#, "data.x.1.y.k"),
        (r#"{"\u006b":1,"k":2}"#, "data.k"),
    ] {
        let error = refuse(text);
        assert_eq!(error.kind, DataErrorKind::DuplicateKey);
        assert_eq!(error.message, format!("{path} comes twice in one object"));
    }
    // Many keys are compared another way.
    for count in [15, 16, 17, 18, 40] {
        let keys: Vec<_> = (0..count).map(|i| format!(r#""k{i}":0"#)).collect();
        let good = format!("{{{}}}", keys.join(","));
        assert!(super::canonical(&raw(&good)).is_ok());
        for twice in [0, count / 2, count - 1] {
            let bad = format!(r#"{{{},"k{twice}":0}}"#, keys.join(","));
            assert_eq!(refuse(&bad).kind, DataErrorKind::DuplicateKey, "{bad}");
        }
    }
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800x""#, r#"{"\udfff":1}"#] {
        assert_eq!(refuse(text).kind, DataErrorKind::Syntax, "{text}");
    }
}

#[test]
fn depth_stops_at_the_bound() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(super::canonical(&raw(&nested(MAX_DEPTH))).is_ok());
    assert_eq!(refuse(&nested(MAX_DEPTH + 1)).kind, DataErrorKind::TooDeep);
    let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert!(super::canonical(&raw(&objects(MAX_DEPTH))).is_ok());
    let error = refuse(&objects(MAX_DEPTH + 1));
    assert_eq!(error.kind, DataErrorKind::TooDeep);
    assert_eq!(error.loc.len(), MAX_DEPTH + 1);
}

#[test]
fn length_stops_at_the_bound() {
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert!(super::canonical(&raw(&text(MAX_DATA_BYTES))).is_ok());
    let error = refuse(&text(MAX_DATA_BYTES + 1));
    assert_eq!(error.kind, DataErrorKind::TooLarge);
}

#[test]
fn addresses_stop_at_the_bound() {
    let with = |count: usize| {
        let mut data = mail();
        // One is the sender's, one is in cc.
        data["message"]["to_addresses"] = vec!["a@example.org"; count - 2].into();
        data["message"]["cc_addresses"] = json!(["b@example.org"]);
        data
    };
    let most = with(MAX_ADDRESSES);
    assert!(validate(EventType::MessageReceived, &most).is_ok());
    assert!(mail_participants(&raw(&most.to_string())).is_ok());
    let more = with(MAX_ADDRESSES + 1);
    let error = validate(EventType::MessageReceived, &more).unwrap_err();
    assert_eq!(error.kind, DataErrorKind::TooMany);
    assert_eq!(mail_participants(&raw(&more.to_string())), Err(error));
    let rows = |count: usize| {
        let row = |i| json!({"recipient_phone_number": format!("+1202555{i:04}")});
        let rows: Vec<_> = (0..count).map(row).collect();
        raw(&json!({"text_message": {"recipients": rows}}).to_string())
    };
    assert!(text_participants(&rows(MAX_ADDRESSES)).is_ok());
    let error = text_participants(&rows(MAX_ADDRESSES + 1)).unwrap_err();
    assert_eq!(error.kind, DataErrorKind::TooMany);
}

#[test]
fn echoed_values_are_cut_and_escaped() {
    // The quote is the first of the characters that are repeated.
    let long = mail_with("status", json!("é".repeat(MAX_ECHO_CHARS - 2)));
    assert!(long.message.ends_with("é\""), "{long}");
    let longer = mail_with("status", json!("é".repeat(MAX_ECHO_CHARS)));
    let repeated = format!("it is \"{}…", "é".repeat(MAX_ECHO_CHARS - 1));
    assert!(longer.message.ends_with(&repeated), "{longer}");
    let odd = mail_with("status", json!("\u{7f}\u{9b}31m\n"));
    assert!(odd.message.ends_with(r#""\u{7f}\u{9b}31m\n""#), "{odd}");
    let key = refuse("{\"\u{7f}\":{\"a\":1,\"a\":2}}");
    assert!(key.message.starts_with(r"data.\u{7f}.a "), "{key}");
}

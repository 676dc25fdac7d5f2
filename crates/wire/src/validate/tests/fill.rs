//! What is filled in, and that nothing else is touched.

use super::*;

#[test]
fn the_least_mail_becomes_a_whole_one() {
    let mut data = mail();
    data["message"]["body"] = json!("Größe?");
    let valid = validate(EventType::MessageReceived, &data).unwrap();
    let message = json!({
        "id": FRESH, "mailbox_id": MAILBOX, "thread_id": null, "message_id": null,
        "from_address": "noor@example.org", "to_addresses": [ADDRESS],
        "cc_addresses": null, "bcc_addresses": null, "subject": null, "snippet": null,
        "email_address": ADDRESS, "body": "Größe?", "body_state": "complete",
        "body_truncated": false, "body_total_chars": 6, "body_included_chars": 6,
        "direction": "inbound", "status": "received", "has_attachments": false,
        "created_at": NOW,
    });
    let whole = json!({"message": message, "contacts": [], "agent_identities": []});
    assert_eq!(valid, whole);
}

#[test]
fn a_mail_without_a_body_has_none_to_offer() {
    let valid = validate(EventType::MessageReceived, &mail()).unwrap();
    assert_eq!(valid["message"]["body"], json!(null));
    assert_eq!(valid["message"]["body_state"], json!("unavailable"));
    assert_eq!(valid["message"]["body_total_chars"], json!(null));
    let mut sent = mail();
    sent["message"]["direction"] = json!("outbound");
    sent["message"]["status"] = json!("sent");
    let valid = validate(EventType::MessageSent, &sent).unwrap();
    for key in ["body", "body_state", "body_truncated", "body_total_chars", "body_included_chars"] {
        assert_eq!(valid["message"][key], json!(null), "{key}");
        assert!(valid["message"].as_object().unwrap().contains_key(key));
    }
}

#[test]
fn a_truncated_body_needs_its_total() {
    let mut data = mail();
    data["message"]["body"] = json!("abc");
    for (key, value) in [("body_state", json!("truncated")), ("body_truncated", json!(true))] {
        let mut data = data.clone();
        data["message"][key] = value;
        let error = validate(EventType::MessageReceived, &data).unwrap_err();
        assert_eq!(error.kind, DataErrorKind::Missing);
        assert_eq!(error.loc, ["data", "message", "body_total_chars"]);
        data["message"]["body_total_chars"] = json!(9);
        let valid = validate(EventType::MessageReceived, &data).unwrap();
        assert_eq!(valid["message"]["body_state"], json!("truncated"));
        assert_eq!(valid["message"]["body_truncated"], json!(true));
        assert_eq!(valid["message"]["body_total_chars"], json!(9));
        assert_eq!(valid["message"]["body_included_chars"], json!(3));
    }
}

#[test]
fn the_least_text_becomes_a_whole_one() {
    let mut data = text();
    data["text_message"]["remote_phone_number"] = json!("+12025550178");
    let mut valid = validate(EventType::TextReceived, &data).unwrap();
    let conversation = valid["text_message"]["conversation_id"].take();
    let conversation: Uuid = conversation.as_str().unwrap().parse().unwrap();
    assert_eq!(conversation.get_version_num(), 8);
    let message = json!({
        "id": FRESH, "direction": "inbound", "local_phone_number": NUMBER,
        "remote_phone_number": "+12025550178", "text": null, "type": "sms", "media": null,
        "is_read": false, "delivery_status": null, "origin": "user_initiated",
        "error_code": null, "error_detail": null, "sent_at": null, "delivered_at": null,
        "failed_at": null, "conversation_id": null, "sender_phone_number": null,
        "recipients": null, "created_at": NOW, "updated_at": NOW,
    });
    let whole = json!({
        "text_message": message, "contacts": [], "agent_identities": [],
        "recipient_phone_number": null,
    });
    assert_eq!(valid, whole);
}

#[test]
fn a_conversation_keeps_its_id() {
    let id = |data: &Value| {
        let valid = validate(EventType::TextSent, data).unwrap();
        valid["text_message"]["conversation_id"].as_str().unwrap().to_owned()
    };
    let to = |numbers: &[&str]| {
        let rows: Vec<_> = numbers.iter().map(|number| json!({"recipient_phone_number": number})).collect();
        json!({"text_message": {"direction": "outbound", "type": "sms", "recipients": rows}})
    };
    let (a, b) = ("+12025550178", "+12025550126");
    let mut single = text();
    single["text_message"]["remote_phone_number"] = json!(a);
    assert_eq!(id(&to(&[a])), id(&single));
    assert_eq!(id(&to(&[a, b])), id(&to(&[b, a])));
    assert_ne!(id(&to(&[a])), id(&to(&[b])));
    assert_ne!(id(&to(&[a])), id(&to(&[a, b])));
}

#[test]
fn rows_get_their_nulls() {
    let mut data = text();
    data["text_message"]["direction"] = json!("outbound");
    data["text_message"]["recipients"] = json!([{"recipient_phone_number": "+12025550178"}]);
    data["contacts"] = json!([{"id": IDENTITY}]);
    let valid = validate(EventType::TextDelivered, &data).unwrap();
    let row = &valid["text_message"]["recipients"][0];
    assert_eq!(row.as_object().unwrap().len(), 9);
    assert_eq!(row["carrier"], json!(null));
    assert_eq!(valid["contacts"], json!([{"id": IDENTITY, "name": null}]));
}

#[test]
fn what_was_given_stays_byte_for_byte() {
    let given = concat!(
        " { \"message\" : { \"x_new\" : { \"b\":1.00, \"a\":\"\\u00e9\" } ,\n",
        "\"from_address\":\"noor@example.org\",\"to_addresses\":[ ],\"direction\":\"inb\\u006fund\",",
        "\"status\":\"received\",\"has_attachments\":false,\"created_at\":null } ,",
        "\"z\":[1e400] } "
    );
    let valid = validate_text(EventType::MessageReceived, given).unwrap();
    let tail = format!(
        r#","id":"{FRESH}","mailbox_id":"{MAILBOX}","thread_id":null,"message_id":null,"cc_addresses":null,"bcc_addresses":null,"subject":null,"snippet":null,"email_address":"{ADDRESS}","body":null,"body_state":"unavailable","body_truncated":null,"body_total_chars":null,"body_included_chars":null"#
    );
    // RawValue leaves out the white space around the value, nothing else.
    let given = given.trim();
    let (message, rest) = given.split_at(given.find("} ,\"z\"").unwrap());
    let expected = format!(
        "{message}{tail}{}{}",
        rest.strip_suffix('}').unwrap(),
        r#","contacts":[],"agent_identities":[]}"#
    );
    assert_eq!(valid, expected);
}

#[test]
fn an_empty_object_gets_no_leading_comma() {
    // No shape of the contract can be empty, so the splice is held with one of its own.
    const SHAPE: &[shape::Field] =
        &[shape::nullable("a", shape::Kind::Text), shape::nullable("b", shape::Kind::Text)];
    let index = index::Index::build("{}").unwrap();
    let owner = |owner: &mut OwnerFacts<'_>| check::against(&index, EventType::MessageReceived, SHAPE, owner);
    assert_eq!(with_owner(|_| {}, owner).unwrap(), r#"{"a":null,"b":null}"#);
}

#[test]
fn agent_identities_come_from_the_caller_when_left_out() {
    let rows = json!([{"bucket": "from", "address": "noor@example.org", "id": IDENTITY,
        "agent_handle": "noor", "display_name": null}]);
    let run = |data: &Value| {
        let data = raw(&data.to_string());
        let valid = with_owner(
            |owner| owner.agent_identities_json = Some(rows.to_string()),
            |owner| validate_data(EventType::MessageReceived, &data, owner).unwrap(),
        );
        serde_json::from_str::<Value>(&valid.data).unwrap()
    };
    assert_eq!(run(&mail())["agent_identities"], rows);
    let mut given = mail();
    given["agent_identities"] = json!([]);
    assert_eq!(run(&given)["agent_identities"], json!([]));
}

#[test]
fn contacts_come_from_the_caller_when_left_out() {
    let rows = json!([{"id": IDENTITY, "name": null, "memories": ["x"]}]);
    for event_type in EventType::SUBSCRIBABLE {
        let mut data = event_type.sample();
        let had_any = data.as_object_mut().unwrap().remove("contacts").is_some();
        let mail = event_type.channel() == crate::event::Channel::Mail;
        let mut rows = rows.clone();
        if mail {
            (rows[0]["bucket"], rows[0]["address"]) = (json!("from"), json!("noor@example.org"));
        }
        let data = raw(&data.to_string());
        let valid = with_owner(
            |owner| owner.contacts_json = Some(rows.to_string()),
            |owner| validate_data(*event_type, &data, owner).unwrap(),
        );
        let valid: Value = serde_json::from_str(&valid.data).unwrap();
        assert_eq!(valid.get("contacts"), had_any.then_some(&rows), "{event_type}");
    }
}

#[test]
fn other_channels_get_what_is_known() {
    let without = |event_type: EventType, keys: &[&str]| {
        let mut data = event_type.sample();
        for pointer in keys {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = data.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            parent.remove(key).unwrap();
        }
        validate(event_type, &data).unwrap()
    };
    let slack = without(EventType::SlackDmReceived, &["/identity_id"]);
    assert_eq!(slack["identity_id"], json!(IDENTITY));
    let whatsapp = without(
        EventType::WhatsAppReceived,
        &["/message/agent_identity_id", "/message/id", "/message/media", "/contacts"],
    );
    assert_eq!(whatsapp["message"]["agent_identity_id"], json!(IDENTITY));
    assert_eq!(whatsapp["message"]["id"], json!(FRESH));
    assert_eq!(whatsapp["message"]["media"], json!([]));
    assert_eq!(whatsapp["contacts"], json!([]));
    let imessage = without(EventType::IMessageReactionReceived, &["/message"]);
    assert!(imessage.as_object().unwrap().contains_key("message"));
    let call = without(EventType::CallEnded, &["/call/local_phone_number", "/transcript"]);
    assert_eq!(call["call"]["local_phone_number"], json!(NUMBER));
    assert_eq!(call["transcript"], json!(null));
    let mut shared = EventType::CallEnded.sample();
    shared["call"]["origin"] = json!("shared_imessage_number");
    shared["call"].as_object_mut().unwrap().remove("local_phone_number");
    let call = validate(EventType::CallEnded, &shared).unwrap();
    assert_eq!(call["call"]["local_phone_number"], json!(null));
}

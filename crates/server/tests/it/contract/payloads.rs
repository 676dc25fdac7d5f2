//! The bodies of deliveries, of every event type there is, against the types that the official libraries
//! declare for them: the Rust SDK's, which are strict, and the TypedDicts of the Python SDK.
//!
//! Samples alone leave lists empty and optional keys out, so each type goes out twice: as the catalogue's
//! sample, and with every row and key that there can be.

use std::io::Write as _;
use std::process::Stdio;

use inkbox::Inkbox;
use inkbox::webhooks::types::{
    A2AWebhookPayload, CallEndedWebhookPayload, MailWebhookPayload, PhoneIncomingCallWebhookPayload,
    SlackWebhookPayload, TextWebhookPayload, ThreadedIMessageWebhookPayload, WhatsAppWebhookPayload,
};
use inkhook_wire::envelope::Envelope;
use inkhook_wire::event::{Channel, EventType};
use inkhook_wire::payload::Payload;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::python::{interpreter, script};
use super::receiver::Receiver;
use crate::support::running::RunningServer;

/// Where samples name their owner: left out, so that the server says who it is.
const OWNERS: &[(&str, &[&str])] = &[
    ("/message", &["mailbox_id", "email_address", "agent_identity_id"]),
    ("/text_message", &["local_phone_number"]),
    ("/call", &["local_phone_number"]),
    ("/reaction", &["agent_identity_id"]),
    ("", &["identity_id"]),
];

const ID: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001";
const AT: &str = "2026-11-20T09:39:59.900Z";
const NUMBER: &str = "+15555550199";

/// Everything published once, as it was delivered.
fn delivered(published: &[(EventType, Value)]) -> Vec<(EventType, Value)> {
    let (server, receiver) = (RunningServer::start_blocking(), Receiver::start());
    let admin = Inkbox::builder(&server.admin_key).base_url(&server.base_url).build().expect("a client");
    let agent = admin.create_identity("help-desk").expect("an identity");
    agent.provision_phone_number("local", None).expect("a number");
    let names: Vec<String> = EventType::SUBSCRIBABLE.iter().map(ToString::to_string).collect();
    let webhooks = admin.webhooks();
    webhooks
        .subscriptions()
        .create(&receiver.url("/all"), &names, None, None, Some(agent.id()), None, None)
        .expect("a subscription to everything");
    for (event_type, data) in published {
        let event = json!({"event_type": event_type, "agent_identity_id": agent.id(), "data": data});
        let (status, answer) = server.post("/api/v1/events", &event);
        assert_eq!((status, &answer["deliveries"]), (202, &json!(1)), "{event_type}: {answer}");
    }
    let take = |_: &(EventType, Value)| {
        let body = receiver.take().body;
        let event = Envelope::read(&body).expect("our own type");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(serde_json::to_value(&event.data).expect("JSON"), body["data"], "nothing is lost");
        (event.event_type, body)
    };
    let bodies: Vec<_> = published.iter().map(take).collect();
    receiver.assert_quiet();
    bodies
}

/// What is published: each sample, and each sample with everything that it can have.
fn published() -> Vec<(EventType, Value)> {
    let both = |event_type: &EventType| {
        let mut sample = event_type.sample();
        for (place, keys) in OWNERS {
            if let Some(object) = sample.pointer_mut(place).and_then(Value::as_object_mut) {
                object.retain(|key, _| !keys.contains(&key.as_str()));
            }
        }
        let mut rich = sample.clone();
        enrich(*event_type, &mut rich);
        [(*event_type, sample), (*event_type, rich)]
    };
    EventType::SUBSCRIBABLE.iter().flat_map(both).collect()
}

fn enrich(event_type: EventType, data: &mut Value) {
    let agent = json!({"id": ID, "agent_handle": "desk", "display_name": null});
    match event_type.channel() {
        Channel::Mail => {
            data["message"]["sender_access"] = json!("direct");
            data["agent_identities"] = json!([{"bucket": "cc", "address": "desk@client.test", "id": ID,
                "agent_handle": "desk", "display_name": "Desk"}]);
            data["context"] = context();
        }
        Channel::Text => {
            data["text_message"]["sender_access"] = json!("sponsored");
            data["text_message"]["type"] = json!("mms");
            data["text_message"]["media"] =
                json!([{"content_type": "image/png", "size": 3, "url": "https://client.test/a.png"}]);
            data["agent_identities"] = json!([agent]);
            data["context"] = context();
        }
        Channel::IMessage => {
            if event_type != EventType::IMessageReactionReceived {
                enrich_imessage(&mut data["message"]);
            }
            data["context"] = context();
        }
        Channel::Call => enrich_call(data),
        Channel::A2a => {
            data["caller"]["affiliation"] = json!({"domain": "client.test", "verifier": "dns",
                "last_success_at": AT, "valid_until": AT});
            data["sender"] = data["caller"].clone();
        }
        Channel::Slack => enrich_slack(data),
        Channel::WhatsApp => {
            let reaction = EventType::WhatsAppReactionReceived.sample()["reaction"].clone();
            if let Some(message) = data.get_mut("message") {
                message["media"] = json!([{"id": ID, "filename": "a.png", "content_type": "image/png",
                    "size": null, "status": "pending", "url": null}]);
                message["reactions"] = json!([reaction]);
                // Of whom the message is.
                message["reactions"][0].as_object_mut().expect("an object").remove("agent_identity_id");
            }
            data["context"] = context();
        }
    }
}

/// Each class, bounded in each way.
fn context() -> Value {
    let turn =
        json!({"party": "remote", "text": "Hello", "ts_ms": 0, "truncated": true, "phone_number": NUMBER});
    let gap = json!({"marker": "abridged", "omitted_turns": 4, "omitted_ms": 30_000});
    json!({
        "email": {"scope": "thread", "truncated": false, "mode": "count", "requested": 5, "items": [
            {"id": ID, "direction": "outbound", "from_address": "help@mail.test",
             "to_addresses": ["ana@client.test"], "created_at": AT, "subject": "Invoice 42", "snippet": null,
             "email_address": "help@mail.test"}]},
        "texts": {"scope": "conversation", "truncated": true, "mode": "window", "hours": 24, "items": [
            {"id": ID, "channel": "imessage", "direction": "inbound", "text": "Hi", "text_truncated": false,
             "created_at": AT, "sender": NUMBER, "status": null, "media": {"count": 1}}]},
        "calls": {"scope": "contact", "truncated": false, "items": [
            {"call_id": ID, "abridged": true, "transcript": [turn, gap], "direction": "inbound",
             "remote_number": NUMBER, "duration": 120, "started_at": null}]},
    })
}

fn enrich_imessage(message: &mut Value) {
    message["sender_access"] = json!("direct");
    message["send_style"] = json!("shooting_star");
    message["participants"] = json!([NUMBER]);
    message["thread_id"] = json!(ID);
    message["media"] = json!([{"content_type": null, "size": null, "url": "https://client.test/a.png"}]);
    message["recipients"] = json!([{"remote_number": NUMBER, "delivery_status": "sent", "service": "rcs"}]);
    message["reactions"] = json!([{"id": ID, "direction": "inbound", "reaction": "custom",
        "custom_emoji": "🎈", "remote_number": NUMBER, "part_index": 0, "created_at": AT}]);
}

/// A hosted call.
fn enrich_call(data: &mut Value) {
    let call = &mut data["call"];
    call["mode"] = json!("hosted_agent");
    call["reason"] = json!("To ask for the invoice");
    call["hosted_agent_authority_mode"] = json!("yolo");
    call["voicemail_detection"] = json!("disabled");
    call["on_voicemail"] = json!("ignore");
    call["forwardings"] = json!([{"id": ID, "trigger": "incoming_action", "status": "failed",
        "target_type": "sip", "target": "sip:desk@client.test", "requested_at": AT}]);
    call["connections"] = json!([{"id": ID, "kind": "handoff", "trigger": "agent_tool", "status": "connected",
        "target_type": "phone", "target": NUMBER, "requested_at": AT, "connected_at": AT}]);
    data["outcome"] = json!("completed");
    data["post_call_action_items"] =
        json!([{"id": "1", "seq": 1, "action": "Send the invoice", "status": "open"}]);
}

fn enrich_slack(data: &mut Value) {
    let names = ["name", "real_name", "tz", "tz_label", "team_id"].map(|key| (key.to_owned(), json!("x")));
    let flags = ["is_bot", "is_app_user", "deleted"].map(|key| (key.to_owned(), json!(false)));
    let said = ["display_name", "real_name", "first_name", "last_name", "email", "phone", "title"];
    let shown = ["status_text", "status_emoji", "image_48", "image_72", "image_192"];
    let profile: Value = said.iter().chain(&shown).map(|key| ((*key).to_owned(), json!("x"))).collect();
    data["actor_profile"] = names.into_iter().chain(flags).collect();
    data["actor_profile"]["id"] = json!("U0EXAMPLE");
    data["actor_profile"]["tz_offset"] = json!(-3600);
    data["actor_profile"]["profile"] = profile;
    data["contact_id"] = json!(ID);
    data["sender_access"] = json!("sponsored");
}

/// The whole body of the one that has no envelope and no subscription.
fn incoming_call() -> (EventType, Value) {
    (EventType::PhoneIncomingCall, EventType::PhoneIncomingCall.sample())
}

/// What the SDK's type makes of a body.
fn sdk_reads(event_type: EventType, body: &Value) -> Value {
    fn read<T: DeserializeOwned + Serialize>(body: &Value) -> Result<Value, serde_json::Error> {
        serde_json::to_value(serde_json::from_value::<T>(body.clone())?)
    }
    let read = match event_type.channel() {
        Channel::Mail => read::<MailWebhookPayload>(body),
        Channel::Text => read::<TextWebhookPayload>(body),
        Channel::IMessage => read::<ThreadedIMessageWebhookPayload>(body),
        Channel::Call if event_type == EventType::PhoneIncomingCall => {
            read::<PhoneIncomingCallWebhookPayload>(body)
        }
        Channel::Call => read::<CallEndedWebhookPayload>(body),
        Channel::A2a => read::<A2AWebhookPayload>(body),
        Channel::Slack => read::<SlackWebhookPayload>(body),
        Channel::WhatsApp => read::<WhatsAppWebhookPayload>(body),
    };
    read.unwrap_or_else(|error| panic!("{event_type}: {error}: {body}"))
}

/// Where `theirs` lacks something that `ours` says, or says something else. Null says nothing.
fn lost(ours: &Value, theirs: Option<&Value>, path: &str, out: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Null, _) => {}
        (Value::Object(ours), Some(Value::Object(theirs))) => {
            for (key, value) in ours {
                lost(value, theirs.get(key), &format!("{path}.{key}"), out);
            }
        }
        (Value::Array(ours), Some(Value::Array(theirs))) if ours.len() == theirs.len() => {
            for (position, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                lost(ours, Some(theirs), &format!("{path}.{position}"), out);
            }
        }
        (ours, Some(theirs)) if ours == theirs => {}
        _ => out.push(path.to_owned()),
    }
}

/// What the Python SDK's declarations have against these bodies, and the event types it has none for.
fn typed_dicts(bodies: &[(EventType, Value)]) -> Option<(Vec<String>, Vec<String>)> {
    let mut child = interpreter("0.7.20")?
        .arg(script("payloads.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the interpreter runs");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(json!(bodies).to_string().as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the script came to its end");
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |key: &str| serde_json::from_value(said[key].clone()).expect("a list of texts");
    Some((list("faults"), list("undeclared")))
}

#[test]
fn every_delivery_reads_as_the_types_of_the_sdks() {
    let published = published();
    assert_eq!(published.len(), 2 * EventType::SUBSCRIBABLE.len());
    let mut bodies = delivered(&published);
    bodies.push(incoming_call());

    let mut unknown = Vec::new();
    for (event_type, body) in &bodies {
        lost(body, Some(&sdk_reads(*event_type, body)), event_type.as_str(), &mut unknown);
    }
    assert_eq!(unknown, ["phone.incoming_call.phone_number_id"], "the Rust SDK knows every key but this");

    let Some((faults, undeclared)) = typed_dicts(&bodies) else { return };
    // WhatsApp is the one channel that the newest Python SDK lacks.
    assert_eq!(faults, Vec::<String>::new());
    let whatsapp = bodies.iter().map(|(event_type, _)| event_type);
    let whatsapp = whatsapp.filter(|event_type| event_type.channel() == Channel::WhatsApp);
    assert_eq!(undeclared, whatsapp.map(ToString::to_string).collect::<Vec<_>>());
}

#[test]
fn a_body_that_is_not_as_the_python_sdk_declares_is_found() {
    let envelope = |event_type: EventType, change: &dyn Fn(&mut Value)| {
        let mut body = json!({"id": "evt_1", "event_type": event_type, "timestamp": AT,
            "data": event_type.sample()});
        change(&mut body);
        (event_type, body)
    };
    let bodies = [
        envelope(EventType::MessageSent, &|_| {}),
        envelope(EventType::MessageSent, &|body| body["data"]["message"]["status"] = json!("lost")),
        envelope(EventType::TextSent, &|body| body["data"]["text_message"]["is_read"] = json!(0)),
        envelope(EventType::TextSent, &|body| body["data"]["x_new"] = json!(1)),
        envelope(EventType::CallEnded, &|body| {
            body["data"].as_object_mut().expect("an object").remove("transcript");
        }),
        envelope(EventType::MessageReceived, &|body| {
            body["data"]["context"] = context();
            body["data"]["context"]["calls"]["items"][0]["transcript"][1]["marker"] = json!("cut");
        }),
    ];
    let Some((faults, undeclared)) = typed_dicts(&bodies) else { return };
    let statuses = "'queued', 'sent', 'delivered', 'bounced', 'failed', 'received', 'deleted'";
    assert_eq!(
        faults,
        [
            format!("message.sent.data.message.status: 'lost' is none of {statuses}"),
            "text.sent.data.text_message.is_read: 0 is not bool".to_owned(),
            "text.sent.data.x_new: not declared by TextWebhookData".to_owned(),
            "call.ended.data.transcript: missing".to_owned(),
            "message.received.data.context.calls.items.0.transcript.1.marker: 'cut' is none of 'abridged'"
                .to_owned(),
        ]
    );
    assert!(undeclared.is_empty(), "{undeclared:?}");
}

#[test]
fn our_own_types_read_what_has_no_envelope() {
    let (event_type, body) = incoming_call();
    let payload = Payload::read(event_type, &body.to_string()).expect("our own type");
    assert!(matches!(payload, Payload::IncomingCall(call) if call.phone_number_id.is_some()));
}

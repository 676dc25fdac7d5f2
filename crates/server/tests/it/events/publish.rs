//! Who may publish what for whom, and in which order it is judged.

use serde_json::{Value, json};

use super::{Bench, PATH, mail};
use crate::support::START;

#[tokio::test]
async fn the_answer_says_what_was_made_and_the_event_is_there() {
    let bench = Bench::new().await;
    let changes = json!({"timestamp": "2026-11-20T09:30:01.250+01:00",
        "id": "evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001"});
    let reply = bench.post(bench.body(changes)).send().await.expect(202);
    assert_eq!(
        reply.json,
        json!({"id": "evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001", "event_type": "message.received",
            "deliveries": 0, "duplicate": false})
    );
    let event = bench.get("/evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001").send().await.expect(200).json;
    assert_eq!(event["payload"]["timestamp"], "2026-11-20T09:30:01.250+01:00", "as it was given");
    assert_eq!(event["accepted_at"], START.to_string());
    assert_eq!(event["mailbox_id"], json!(bench.help.mailbox));
    assert_eq!(event["owner_identity_id"], json!(bench.help.id));
    assert_eq!(event["deliveries"], json!([]));
}

#[tokio::test]
async fn only_who_manages_the_organisation_publishes() {
    let bench = Bench::new().await;
    for body in [bench.body(json!({})), json!({})] {
        let reply = bench.server.post(PATH).by_agent(&bench.help).json(body).send().await;
        assert!(reply.refused(403).contains("admin"));
    }
    let operator = bench.server.operator_key().await;
    let request = bench.server.post(PATH).key(&operator).json(bench.body(json!({})));
    let id = bench.acme.id.to_string();
    request.header("inkhook-organization", &id).send().await.expect(202);
    assert_eq!(bench.events(), 1);
}

#[tokio::test]
async fn type_and_owner_must_fit() {
    let bench = Bench::new().await;
    let (number, _) = bench.help.phone_number.clone().expect("it has one");
    let (mailbox, identity) = (bench.help.mailbox.to_string(), bench.help.id.to_string());
    let number = number.to_string();
    let text = json!({"text_message": {"direction": "inbound", "remote_phone_number": "+15555550199",
        "sender_phone_number": "+15555550199", "text": "Hi", "type": "sms"}});
    let send = async |owner: &str, id: &str, event_type: &str, data: &Value| {
        bench.post(json!({owner: id, "event_type": event_type, "data": data})).send().await
    };
    send("mailbox_id", &mailbox, "message.received", &mail()).await.expect(202);
    send("agent_identity_id", &identity, "message.received", &mail()).await.expect(202);
    send("phone_number_id", &number, "text.received", &text).await.expect(202);
    send("agent_identity_id", &identity, "text.received", &text).await.expect(202);
    let before = bench.server.snapshot();
    for (owner, id, event_type, data) in [
        ("mailbox_id", &mailbox, "text.received", &text),
        ("mailbox_id", &mailbox, "call.ended", &json!({})),
        ("phone_number_id", &number, "message.received", &mail()),
        ("phone_number_id", &number, "imessage.received", &json!({})),
        ("agent_identity_id", &identity, "phone.incoming_call", &json!({})),
        ("phone_number_id", &number, "phone.incoming_call", &json!({})),
    ] {
        let detail = send(owner, id, event_type, data).await.refused(422);
        assert!(detail.contains(event_type) || detail.contains("event_type"), "{detail}");
    }
    assert_eq!(bench.server.snapshot(), before, "none of them left anything");
}

#[tokio::test]
async fn each_wrong_field_is_named() {
    let bench = Bench::new().await;
    let (mailbox, identity) = (bench.help.mailbox, bench.help.id);
    let cases = [
        (json!({"event_type": null}), vec!["body", "event_type"], "missing"),
        (json!({"event_type": "message.recieved"}), vec!["body", "event_type"], "invalid"),
        (json!({"data": null}), vec!["body", "data"], "missing"),
        (json!({"mailbox_id": "x"}), vec!["body", "mailbox_id"], "invalid"),
        (json!({"id": "1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001"}), vec!["body", "id"], "invalid"),
        (json!({"id": "evt_1"}), vec!["body", "id"], "invalid"),
        (json!({"timestamp": "yesterday"}), vec!["body", "timestamp"], "invalid"),
        (json!({"timestamp": "2026-11-20T09:30:01"}), vec!["body", "timestamp"], "invalid"),
        (json!({"timestamp": "2026-11-20T09:30:01Z[UTC]"}), vec!["body", "timestamp"], "invalid"),
        (json!({"timestamp": "20261120T093001Z"}), vec!["body", "timestamp"], "invalid"),
        (json!({"timestamp": "2026-11-20T09:30Z"}), vec!["body", "timestamp"], "invalid"),
        (json!({"expires_at": "2026-13-20T09:30:01Z"}), vec!["body", "expires_at"], "invalid"),
    ];
    for (changes, loc, kind) in cases {
        bench.post(bench.body(changes)).send().await.invalid(&loc, kind);
    }
    let none = bench.post(bench.body(json!({"mailbox_id": null}))).send().await;
    assert_eq!(none.json["errors"][0]["loc"], json!(["body"]));
    assert!(none.refused(422).contains("exactly one of mailbox_id"));
    let two = bench.post(bench.body(json!({"agent_identity_id": identity}))).send().await;
    assert!(two.invalid(&["body", "agent_identity_id"], "invalid").contains("only one of mailbox_id"));
    bench
        .post(bench.body(json!({"mailbox_id": mailbox, "colour": 1})))
        .send()
        .await
        .invalid(&["body", "colour"], "unknown_field");
    assert_eq!(bench.events(), 0);
}

#[tokio::test]
async fn form_comes_before_visibility_and_visibility_before_rules() {
    let bench = Bench::new().await;
    let nobody = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001";
    let large = "x".repeat(600_000);
    let send = async |changes: Value| bench.post(bench.body(changes)).send().await.status.as_u16();
    assert_eq!(send(json!({"mailbox_id": nobody, "data": {"x": large}})).await, 413);
    assert_eq!(send(json!({"mailbox_id": nobody, "event_type": "nothing"})).await, 422);
    assert_eq!(send(json!({"mailbox_id": nobody, "data": {}})).await, 404);
    assert_eq!(send(json!({"mailbox_id": nobody, "event_type": "text.sent"})).await, 404);
    assert_eq!(send(json!({"mailbox_id": nobody, "expires_at": "2020-01-01T00:00:00Z"})).await, 404);
    assert_eq!(send(json!({"data": {}})).await, 422);
}

//! The same request twice is one event, and gets the first answer.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Bench, mail};
use crate::support::{Receiver, Reply};

async fn with_key(bench: &Bench, key: &str, changes: Value) -> Reply {
    bench.post(bench.body(changes)).header("idempotency-key", key).send().await
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_whatever_changed_since() {
    let bench = Bench::new().await;
    let receiver = Receiver::start().await;
    let body = json!({"mailbox_id": bench.help.mailbox, "url": receiver.url("/"),
        "event_types": ["message.received"]});
    let path = "/api/v1/webhooks/subscriptions";
    let made = bench.server.post(path).by(&bench.acme).json(body).send().await.expect(201).text("id");
    let first = with_key(&bench, "k", json!({})).await.expect(202).json;
    assert_eq!((&first["deliveries"], &first["duplicate"]), (&json!(1), &json!(false)));
    let pump = bench.server.pump();
    bench.server.settle_down(&pump).await;
    bench.server.delete(&format!("{path}/{made}")).by(&bench.acme).send().await.expect(204);

    let mut expected = first.clone();
    expected["duplicate"] = json!(true);
    assert_eq!(with_key(&bench, "k", json!({})).await.expect(202).json, expected);
    // The same in another spelling.
    let spelled = format!(
        r#"{{"data": {}, "mailbox_id": "{}", "event_type": "message.received"}}"#,
        mail().to_string().replace("Hello", "\\u0048ello"),
        bench.help.mailbox
    );
    let request = bench.server.post(super::PATH).by(&bench.acme).header("idempotency-key", "k");
    assert_eq!(request.bytes(spelled).send().await.expect(202).json, expected);
    bench.server.settle_down(&pump).await;
    assert_eq!((receiver.received().len(), bench.events()), (1, 1));
}

#[tokio::test]
async fn another_body_is_a_conflict_and_a_refused_request_leaves_no_key() {
    let bench = Bench::new().await;
    with_key(&bench, "k", json!({"data": {}})).await.refused(422);
    with_key(&bench, "k", json!({"expires_at": "2020-01-01T00:00:00Z"})).await.refused(422);
    with_key(&bench, "k", json!({})).await.expect(202);
    for changes in [
        json!({"timestamp": "2026-11-20T09:30:01Z"}),
        super::sent(),
        json!({"mailbox_id": bench.sales.mailbox}),
    ] {
        let detail = with_key(&bench, "k", changes).await.refused(409);
        assert!(detail.contains("Idempotency-Key") && !detail.contains("'k'"), "{detail}");
    }
    assert_eq!(bench.events(), 1);
    bench.server.advance(Duration::from_hours(24));
    with_key(&bench, "k", super::sent()).await.expect(202);
    assert_eq!(bench.events(), 2, "a key is kept for a day");
}

#[tokio::test]
async fn an_event_that_has_expired_is_refused_unless_it_was_accepted_before() {
    let bench = Bench::new().await;
    // The clock stands at 2026-05-28T20:26:40Z.
    for past in ["2026-05-28T20:26:40Z", "2020-01-01T00:00:00+02:00"] {
        let reply = bench.post(bench.body(json!({"expires_at": past}))).send().await;
        reply.invalid(&["body", "expires_at"], "invalid");
    }
    let soon =
        json!({"expires_at": "2026-05-28T20:26:41Z", "id": "evt_0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001"});
    let first = with_key(&bench, "k", soon.clone()).await.expect(202).json;
    bench.server.advance(Duration::from_hours(1));
    let by_key = with_key(&bench, "k", soon.clone()).await.expect(202).json;
    let by_id = bench.post(bench.body(soon)).send().await.expect(202).json;
    for again in [by_key, by_id] {
        assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    }
    assert_eq!(bench.events(), 1);
}

#[tokio::test]
async fn the_form_of_a_key_and_no_refusal_repeats_it() {
    let bench = Bench::new().await;
    with_key(&bench, &"k".repeat(255), json!({})).await.expect(202);
    with_key(&bench, "!", json!({})).await.expect(202);
    for key in [&*"secret".repeat(43), "", "sec ret", "secret\u{e9}", "secret\t"] {
        let reply = with_key(&bench, key, json!({})).await;
        let detail = reply.invalid(&["header", "Idempotency-Key"], "invalid");
        assert!(!detail.contains("sec"), "{detail}");
    }
    let request = bench.post(bench.body(json!({}))).header("idempotency-key", "a");
    let reply = request.header("idempotency-key", "a").send().await;
    reply.invalid(&["header", "Idempotency-Key"], "invalid");
    assert_eq!(bench.events(), 2);
}

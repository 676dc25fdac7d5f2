//! Several events in one request: all or nothing.

use std::time::Duration;

use serde_json::{Value, json};

use uuid::Uuid;

use super::Bench;
use crate::support::Reply;

const PATH: &str = "/api/v1/events/batch";

async fn send(bench: &Bench, events: Vec<Value>) -> Reply {
    bench.server.post(PATH).by(&bench.acme).json(json!({"events": events})).send().await
}

async fn with_key(bench: &Bench, key: &str, events: Vec<Value>) -> Reply {
    let request = bench.server.post(PATH).by(&bench.acme).header("idempotency-key", key);
    request.json(json!({"events": events})).send().await
}

fn ids(reply: &Reply) -> Vec<&str> {
    let events = reply.json["events"].as_array().expect("a list");
    events.iter().map(|event| event["id"].as_str().expect("an id")).collect()
}

fn duplicates(reply: &Reply) -> Vec<bool> {
    let events = reply.json["events"].as_array().expect("a list");
    events.iter().map(|event| event["duplicate"].as_bool().expect("a flag")).collect()
}

fn id(n: u32) -> String {
    format!("evt_00000000-0000-7000-8000-{n:012}")
}

#[tokio::test]
async fn a_batch_is_accepted_in_order() {
    let bench = Bench::new().await;
    let events = vec![bench.body(json!({})), bench.body(super::sent()), bench.body(json!({"id": id(3)}))];
    let reply = send(&bench, events).await.expect(202);
    assert_eq!(duplicates(&reply), [false, false, false]);
    assert_eq!(reply.json["events"][1]["event_type"], "message.sent");
    let stored: Vec<[u8; 16]> = bench.server.query("SELECT id FROM events ORDER BY seq");
    let stored: Vec<String> =
        stored.into_iter().map(|id| Uuid::from_bytes(id).simple().to_string()).collect();
    let answered: Vec<String> =
        ids(&reply).iter().map(|id| id.trim_start_matches("evt_").replace('-', "")).collect();
    assert_eq!(stored, answered, "accepted in the order given");
}

#[tokio::test]
async fn one_event_that_is_refused_keeps_all_of_them_out_and_is_named() {
    let bench = Bench::new().await;
    let good = || bench.body(json!({}));
    let cases = [
        (bench.body(json!({"event_type": "no.such"})), 422, "event_type"),
        (bench.body(json!({"data": {}})), 422, "data"),
        (bench.body(json!({"expires_at": "2020-01-01T00:00:00Z"})), 422, "expires_at"),
        (bench.body(json!({"mailbox_id": null})), 422, "exactly one"),
        (bench.body(json!({"no_such": 1})), 422, "no_such"),
        (bench.body(json!({"mailbox_id": "00000000-0000-0000-0000-000000000001"})), 404, "not found"),
    ];
    for (bad, status, word) in cases {
        let reply = send(&bench, vec![good(), good(), bad.clone(), good()]).await;
        assert_eq!(reply.status, status, "{bad}: {}", reply.json);
        let detail = reply.json["detail"].as_str().expect("a sentence");
        assert!(detail.contains("events") && detail.contains('2') && detail.contains(word), "{detail}");
        if status == 422 {
            let loc = reply.json["errors"][0]["loc"].to_string();
            assert!(loc.contains("events") && loc.contains('2'), "{loc}");
        }
    }
    assert_eq!(bench.events(), 0);
}

#[tokio::test]
async fn one_beyond_a_thousand_and_none_are_refused() {
    let bench = Bench::new().await;
    let many = |count| vec![bench.body(json!({})); count];
    send(&bench, many(0)).await.invalid(&["body", "events"], "invalid");
    send(&bench, many(1_001)).await.invalid(&["body", "events"], "invalid");
    assert_eq!(bench.events(), 0);
    assert_eq!(ids(&send(&bench, many(1_000)).await.expect(202)).len(), 1_000);
}

#[tokio::test]
async fn a_key_covers_the_batch() {
    let bench = Bench::new().await;
    let events = || vec![bench.body(json!({})), bench.body(super::sent())];
    let first = with_key(&bench, "k", events()).await.expect(202);
    let again = with_key(&bench, "k", events()).await.expect(202);
    assert_eq!((ids(&again), duplicates(&again)), (ids(&first), vec![true, true]));
    with_key(&bench, "k", vec![bench.body(json!({}))]).await.refused(409);
    let single = bench.post(bench.body(json!({}))).header("idempotency-key", "k").send().await;
    single.refused(409);
    assert_eq!(bench.events(), 2);
    // The other way round: a key of a single event is not a batch's.
    bench.post(bench.body(json!({}))).header("idempotency-key", "s").send().await.expect(202);
    with_key(&bench, "s", vec![bench.body(json!({}))]).await.refused(409);
    with_key(&bench, "refused", vec![bench.body(json!({"data": {}}))]).await.refused(422);
    with_key(&bench, "refused", events()).await.expect(202);
    bench.server.advance(Duration::from_hours(24));
    assert_eq!(duplicates(&with_key(&bench, "k", events()).await.expect(202)), [false, false]);
}

#[tokio::test]
async fn an_id_twice_in_a_batch_is_one_event_or_a_mistake() {
    let bench = Bench::new().await;
    let named = |n| bench.body(json!({"id": id(n)}));
    let reply = send(&bench, vec![named(1), named(2), named(1), named(1)]).await.expect(202);
    assert_eq!(duplicates(&reply), [false, false, true, true]);
    assert_eq!((ids(&reply)[0], ids(&reply)[3]), (ids(&reply)[2], ids(&reply)[0]));
    assert_eq!(bench.events(), 2);
    let mut other = super::sent();
    other["id"] = json!(id(3));
    let reply = send(&bench, vec![named(3), bench.body(other.clone())]).await;
    reply.invalid(&["body", "events", "1", "id"], "invalid");
    // What an earlier request accepted is known again, and stands for no other event.
    assert_eq!(duplicates(&send(&bench, vec![named(1), named(4)]).await.expect(202)), [true, false]);
    other["id"] = json!(id(1));
    let detail = send(&bench, vec![named(5), bench.body(other)]).await.refused(409);
    assert!(detail.contains("events.1"), "{detail}");
    assert_eq!(bench.events(), 3, "the fifth came with one that was refused");
}

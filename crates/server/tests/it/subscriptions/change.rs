use std::time::Duration;

use serde_json::{Value, json};

use super::{Bench, NOTHING, URL, one};

#[tokio::test]
async fn an_empty_change_changes_nothing() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({"auth_token": "t", "context_config": {}})).await;
    let before = bench.shown(&id).await;
    let rows = bench.server.snapshot();
    bench.server.advance(Duration::from_secs(5));
    let same = json!({"url": URL, "event_types": ["message.received"], "auth_token": "t", "context_config": {}});
    for change in [json!({}), same] {
        assert_eq!(bench.patch(&id, change).send().await.expect(200).json, before);
    }
    assert_eq!(bench.server.patch(&one(&id)).by(&bench.organization).send().await.expect(200).json, before);
    assert_eq!(bench.server.snapshot(), rows);
}

#[tokio::test]
async fn each_field_is_kept_cleared_or_replaced() {
    let bench = Bench::new().await;
    let config = json!({"email": {"mode": "count", "count": 3}});
    let id = bench.created_id(json!({"auth_token": "first", "context_config": config})).await;
    let mut expected = bench.shown(&id).await;
    let other = json!({"calls": {"mode": "window", "hours": 2}});
    let steps = [
        (json!({"url": "https://hooks.example.com/2"}), json!({"url": "https://hooks.example.com/2"})),
        (
            json!({"event_types": ["message.sent", "message.received"]}),
            json!({"event_types": ["message.sent", "message.received"]}),
        ),
        (
            json!({"event_types": ["message.received", "message.sent"]}),
            json!({"event_types": ["message.received", "message.sent"]}),
        ),
        (json!({"context_config": other}), json!({"context_config": other})),
        (json!({"context_config": null}), json!({"context_config": null})),
        (json!({"auth_token": "second"}), json!({"auth_token": "second"})),
        (json!({"auth_token": null}), json!({"auth_token": null, "has_auth_token": false})),
        (json!({"auth_token": "third"}), json!({"auth_token": "third", "has_auth_token": true})),
    ];
    for (second, (change, seen)) in steps.into_iter().enumerate() {
        bench.server.advance(Duration::from_secs(1));
        for (field, value) in seen.as_object().unwrap() {
            expected[field] = value.clone();
        }
        expected["updated_at"] = json!(format!("2026-05-28T20:26:{:02}.000Z", 41 + second));
        assert_eq!(bench.patch(&id, change.clone()).send().await.expect(200).json, expected, "{change}");
        assert_eq!(bench.shown(&id).await, expected, "{change}");
    }
}

#[tokio::test]
async fn a_change_keeps_the_rules_of_a_create() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({"auth_token": "t"})).await;
    let before = bench.server.snapshot();
    let wrong = [
        (json!({"url": null}), "url"),
        (json!({"event_types": null}), "event_types"),
        (json!({"url": "http://hooks.example.com"}), "url"),
        (json!({"event_types": []}), "event_types"),
        (json!({"event_types": ["message.sent", "message.sent"]}), "event_types"),
        (json!({"event_types": ["phone.incoming_call"]}), "event_types"),
        (json!({"event_types": ["text.received"]}), "event_types"),
        (json!({"auth_token": ""}), "auth_token"),
        (json!({"context_config": {"email": {"mode": "count", "count": 0}}}), "context_config"),
        (json!({"mailbox_id": NOTHING}), "mailbox_id"),
        (json!({"revision": 1}), "revision"),
    ];
    for (change, field) in wrong {
        let refused = bench.patch(&id, change.clone()).send().await;
        assert_eq!(refused.json["errors"][0]["loc"][1], field, "{change}");
        assert!(refused.refused(422).contains(field), "{change}");
    }
    assert_eq!(bench.server.snapshot(), before, "a refusal has written nothing");
}

#[tokio::test]
async fn scope_is_accepted_where_clients_send_it() {
    let bench = Bench::new().await;
    let types = json!(["message.received", "text.received"]);
    let identity = bench.identity.id.to_string();
    let mixed = json!({"mailbox_id": null, "agent_identity_id": identity, "event_types": types});
    let id = bench.created_id(mixed).await;
    let scoped = |query: &str| format!("{}?scope={query}", one(&id));
    let change = json!({"auth_token": "t"});
    let by = &bench.organization;
    bench.server.patch(&scoped("all")).by(by).json(change.clone()).send().await.refused(422);
    bench.server.patch(&scoped("identity")).by(by).json(change).send().await.expect(200);
    bench.patch(&id, json!({"event_types": ["call.ended", "text.sent"]})).send().await.expect(200);
    bench.server.delete(&scoped("all")).by(by).send().await.refused(422);
    bench.server.delete(&scoped("identity")).by(by).send().await.expect(204);
}

#[tokio::test]
async fn a_deleted_subscription_is_not_there() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({"auth_token": "t"})).await;
    let reply = bench.delete(&id).send().await.expect(204);
    assert!(reply.bytes.is_empty());
    let before = bench.server.snapshot();
    let never = bench.get(&one(NOTHING)).send().await.expect(404).json;
    for request in [
        bench.get(&one(&id)),
        bench.patch(&id, json!({})),
        bench.patch(&id, json!({"url": "ftp://x"})),
        bench.delete(&id),
        bench.post_to(&id, "pause"),
        bench.post_to(&id, "resume"),
    ] {
        assert_eq!(request.send().await.expect(404).json, never);
    }
    assert_eq!(bench.server.snapshot(), before);
    bench.get(&one("not-an-id")).send().await.refused(422);
}

#[tokio::test]
async fn pause_and_resume_show() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({})).await;
    let created = bench.shown(&id).await;
    assert_eq!(bench.post_to(&id, "resume").send().await.expect(200).json, created, "nothing to resume");
    bench.server.advance(Duration::from_secs(1));
    let paused = bench.post_to(&id, "pause").send().await.expect(200).json;
    assert_eq!(paused["paused_at"], "2026-05-28T20:26:41.000Z");
    assert_eq!(paused["pause_reason"], "by_hand");
    assert_eq!(paused["updated_at"], paused["paused_at"]);
    bench.server.advance(Duration::from_secs(1));
    assert_eq!(bench.post_to(&id, "pause").send().await.expect(200).json, paused, "paused already");
    assert_eq!(bench.shown(&id).await, paused);
    let resumed = bench.post_to(&id, "resume").send().await.expect(200).json;
    assert_eq!((&resumed["paused_at"], &resumed["pause_reason"]), (&Value::Null, &Value::Null));
    bench.post_to(&id, "pause").send().await.expect(200);
    let moved = bench.patch(&id, json!({"url": "https://hooks.example.com/2"})).send().await.expect(200);
    assert_eq!(moved.json["paused_at"], Value::Null, "another URL ends a pause");
    bench.post_to(&id, "pause").send().await.expect(200);
    let kept = bench.patch(&id, json!({"auth_token": "t"})).send().await.expect(200);
    assert_ne!(kept.json["paused_at"], Value::Null, "nothing else does");
}

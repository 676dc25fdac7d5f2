use axum::http::StatusCode;
use serde_json::json;

use super::{Bench, MAX_ACTIVE_PER_OWNER, URL, reads_as_duplicate, reads_as_limit};

fn numbered(number: usize) -> String {
    format!("https://hooks.example.com/{number}")
}

/// Sends all at once and counts the answers by status.
async fn together(requests: Vec<crate::support::Request>) -> (usize, Vec<crate::support::Reply>) {
    let mut tasks = tokio::task::JoinSet::new();
    for request in requests {
        tasks.spawn(request.send());
    }
    let replies = tasks.join_all().await;
    let created = replies.iter().filter(|reply| reply.status == StatusCode::CREATED).count();
    (created, replies)
}

#[tokio::test]
async fn the_21st_active_subscription_of_an_owner_is_refused() {
    let bench = Bench::new().await;
    let mut ids = Vec::new();
    for number in 0..MAX_ACTIVE_PER_OWNER {
        ids.push(bench.created_id(json!({"url": numbered(number)})).await);
    }
    let one_more = || bench.post(bench.body(json!({"url": numbered(99)})));
    let before = bench.server.snapshot();
    let detail = one_more().send().await.refused(409);
    assert!(reads_as_limit(&detail), "{detail}");
    assert_eq!(bench.server.snapshot(), before, "a refusal has written nothing");
    let repeated = bench.post(bench.body(json!({"url": numbered(0)}))).send().await.refused(409);
    assert!(reads_as_duplicate(&repeated), "{repeated}");
    let id = bench.identity.id.to_string();
    let identity = json!({"mailbox_id": null, "agent_identity_id": id, "url": numbered(99)});
    bench.create(identity).await;
    bench.delete(&ids[7]).send().await.expect(204);
    one_more().send().await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_40_creates_at_once_20_succeed() {
    let bench = Bench::new().await;
    let requests = (0..40).map(|number| bench.post(bench.body(json!({"url": numbered(number)}))));
    let (created, replies) = together(requests.collect()).await;
    assert_eq!(created, MAX_ACTIVE_PER_OWNER);
    for refused in replies.into_iter().filter(|reply| reply.status != StatusCode::CREATED) {
        let detail = refused.refused(409);
        assert!(reads_as_limit(&detail), "{detail}");
    }
    let listed = bench.get(super::PATH).send().await.expect(200).json;
    assert_eq!(listed["subscriptions"].as_array().unwrap().len(), MAX_ACTIVE_PER_OWNER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_20_duplicates_at_once_one_succeeds() {
    let bench = Bench::new().await;
    let id = bench.identity.id.to_string();
    let requests = (0..20).map(|number| match number % 2 {
        0 => bench.post(bench.body(json!({}))),
        _ => bench.post(bench.body(json!({"mailbox_id": null, "agent_identity_id": id}))),
    });
    let (created, replies) = together(requests.collect()).await;
    assert_eq!(created, 1);
    let keys = replies.iter().filter(|reply| reply.json["signing_key"].is_string()).count();
    assert_eq!(keys, 1, "the key is shown to the one that made it");
    for refused in replies.into_iter().filter(|reply| reply.status != StatusCode::CREATED) {
        let detail = refused.refused(409);
        assert!(reads_as_duplicate(&detail), "{detail}");
    }
}

#[tokio::test]
async fn a_duplicate_is_the_same_url_and_a_shared_type_on_one_identity() {
    let bench = Bench::new().await;
    let first = bench.created_id(json!({"event_types": ["message.received", "message.sent"]})).await;
    let identity = bench.identity.id.to_string();
    let before = bench.server.snapshot();
    for changes in [
        json!({}),
        json!({"event_types": ["message.bounced", "message.sent"]}),
        json!({"url": "https://HOOKS.example.com:443/in"}),
        json!({"mailbox_id": null, "agent_identity_id": identity, "event_types": ["text.sent", "message.sent"]}),
    ] {
        let detail = bench.post(bench.body(changes.clone())).send().await.refused(409);
        assert!(reads_as_duplicate(&detail), "{detail} {changes}");
        assert!(!reads_as_limit(&detail), "{detail}");
    }
    assert_eq!(bench.server.snapshot(), before, "a refusal has written nothing");
    let other = bench.organization.identity("other").await;
    for changes in [
        json!({"event_types": ["message.bounced"]}),
        json!({"url": "https://hooks.example.com/in/"}),
        json!({"mailbox_id": null, "agent_identity_id": identity, "event_types": ["text.sent"]}),
        json!({"mailbox_id": other.mailbox.to_string()}),
    ] {
        bench.create(changes).await;
    }
    bench.delete(&first).send().await.expect(204);
    bench.create(json!({})).await;
}

#[tokio::test]
async fn a_change_can_be_a_duplicate_of_another_but_not_of_itself() {
    let bench = Bench::new().await;
    let first = bench.created_id(json!({})).await;
    let second = bench.created_id(json!({"event_types": ["message.sent"]})).await;
    let third = bench.created_id(json!({"url": "https://hooks.example.com/3"})).await;
    let before = bench.server.snapshot();
    let widened = json!({"event_types": ["message.sent", "message.received"]});
    let moved = json!({"url": URL});
    for (id, change) in [(&second, widened), (&third, moved)] {
        let detail = bench.patch(id, change).send().await.refused(409);
        assert!(reads_as_duplicate(&detail), "{detail}");
    }
    assert_eq!(bench.server.snapshot(), before, "a refusal has written nothing");
    let same = json!({"url": URL, "event_types": ["message.received"], "auth_token": "t"});
    bench.patch(&first, same).send().await.expect(200);
    bench.patch(&first, json!({"event_types": ["message.received", "message.failed"]})).send().await.expect(200);
}

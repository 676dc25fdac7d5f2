//! What arrives, and what the log says of it.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{SUBSCRIPTIONS, Scene, mail, path_of};
use crate::support::{Answer, Receiver};

#[tokio::test]
async fn an_event_arrives_signed_and_is_logged_byte_for_byte() {
    let (scene, subscription) = Scene::subscribed().await;
    let secret = subscription["signing_key"].as_str().expect("minted by the first subscription");
    scene.receiver.answer(Answer { status: 201, headers: Vec::new(), body: b"thanks \xff".to_vec() });
    let event = scene.publish("Invoice 42").await;
    scene.turn().await;

    let received = scene.receiver.received();
    assert_eq!(received.len(), 1);
    received[0].verify(secret);
    assert_eq!(received[0].path, "/in");
    assert_eq!(received[0].json()["id"], json!(event));
    assert_eq!(received[0].json()["data"]["message"]["subject"], "Invoice 42");
    assert_eq!(received[0].header("content-type"), Some("application/json"));
    assert_eq!(received[0].header("inkhook-attempt"), Some("1"));
    assert_eq!(received[0].header("accept-encoding"), Some("identity"));
    assert!(received[0].header("user-agent").unwrap().starts_with("inkhook/"));
    assert!(received[0].header("authorization").is_none());

    let log = scene.attempts().await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["request_payload"].as_str().unwrap().as_bytes(), &received[0].body[..]);
    assert_eq!(log[0]["response_status"], 201);
    assert_eq!(log[0]["response_body"], "thanks \u{fffd}");
    assert_eq!(log[0]["error_detail"], json!(null));
    assert_eq!(log[0]["webhook_subscription_id"], subscription["id"]);
    assert_eq!(log[0]["replayable"], true);
    let state = scene.deliveries(&event).await;
    assert_eq!((&state[0]["state"], &state[0]["attempts"]), (&json!("succeeded"), &json!(1)));
}

#[tokio::test]
async fn every_url_gets_its_own_post() {
    let (scene, _) = Scene::subscribed().await;
    let (two, others) = (Receiver::start().await, Receiver::start().await);
    let body = json!({"agent_identity_id": scene.help.id, "url": two.url("/"),
        "event_types": ["message.received", "text.received"], "auth_token": "t0ken"});
    let reply = scene.server.post(SUBSCRIPTIONS).by(&scene.acme).json(body).send().await;
    assert_eq!(reply.status, 201, "{:?}", reply.json);
    let other = scene.acme.identity("other").await;
    let body =
        json!({"mailbox_id": other.mailbox, "url": others.url("/"), "event_types": ["message.received"]});
    let reply = scene.server.post(SUBSCRIPTIONS).by(&scene.acme).json(body).send().await;
    assert_eq!(reply.status, 201, "{:?}", reply.json);

    let event = scene.publish("hi").await;
    scene.turn().await;
    let (first, second) = (scene.receiver.received(), two.received());
    assert_eq!((first.len(), second.len(), others.received().len()), (1, 1, 0));
    assert_eq!(first[0].body, second[0].body);
    assert_ne!(first[0].header("x-inkbox-request-id"), second[0].header("x-inkbox-request-id"));
    assert_eq!(second[0].header("authorization"), Some("Bearer t0ken"));
    assert_eq!(first[0].header("webhook-id"), Some(&*event));
    assert_eq!(scene.deliveries(&event).await.len(), 2);
}

#[tokio::test]
async fn a_replay_goes_where_the_subscription_points_now_under_a_new_request_id() {
    let (scene, subscription) = Scene::subscribed().await;
    let new = Receiver::start().await;
    let event = scene.publish("hi").await;
    scene.turn().await;
    let path = path_of(&subscription);
    let moved = scene.server.patch(&path).by(&scene.acme).json(json!({"url": new.url("/")})).send().await;
    assert_eq!(moved.status, 200, "{:?}", moved.json);
    let replay = |id: &serde_json::Value| {
        let path = format!("/api/v1/webhooks/deliveries/{}/replay", id.as_str().expect("an id"));
        scene.server.post(&path).by(&scene.acme).send()
    };
    let soft = CancellationToken::new();
    let engine = tokio::spawn(scene.server.pump().run(soft.clone()));

    let reply = replay(&scene.attempts().await[0]["id"]).await;
    assert_eq!(reply.status, 201, "{:?}", reply.json);
    assert_eq!(reply.json["is_replay"], true);
    assert_eq!(reply.json["response_status"], 200);
    assert_eq!(reply.json["event_id"], json!(event));
    let (first, second) = (scene.receiver.received(), new.received());
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].body, second[0].body);
    assert_ne!(first[0].header("x-inkbox-request-id"), second[0].header("x-inkbox-request-id"));
    assert_eq!(first[0].header("webhook-id"), second[0].header("webhook-id"));

    new.answer(500);
    let again = replay(&reply.json["id"]).await;
    assert_eq!(again.status, 201, "a replay of a replay");
    assert_eq!(again.json["response_status"], 500);
    soft.cancel();
    engine.await.unwrap();
    assert_eq!(new.received().len(), 2, "a replay is never retried");

    scene.server.delete(&path).by(&scene.acme).send().await;
    assert_eq!(replay(&reply.json["id"]).await.status, 409);
    assert_eq!(scene.attempts().await[0]["replay_unavailable_reason"], "subscription_deleted");
    scene.server.settle_down(&scene.pump).await;
}

#[tokio::test]
async fn a_patch_during_an_attempt_is_seen_by_the_next_byte() {
    let (scene, subscription) = Scene::subscribed().await;
    scene.receiver.hold();
    scene.publish("first").await;
    scene.pump.turn().await.unwrap();
    scene.receiver.arrived(1).await;
    scene.publish("second").await;
    let change = json!({"auth_token": "new"});
    let reply = scene.server.patch(&path_of(&subscription)).by(&scene.acme).json(change).send().await;
    assert_eq!(reply.status, 200);
    scene.pump.turn().await.unwrap();
    let received = scene.receiver.arrived(2).await;
    assert_eq!(received[1].header("authorization"), Some("Bearer new"));
    scene.receiver.release();
    scene.turn().await;
}

#[tokio::test]
async fn a_text_event_reaches_the_numbers_subscription_with_its_contact() {
    let scene = Scene::new().await;
    let desk = scene.acme.identity_with_number("desk").await;
    let (number, text) = desk.phone_number.expect("a number");
    let body =
        json!({"phone_number_id": number, "url": scene.receiver.url("/"), "event_types": ["text.received"]});
    let reply = scene.server.post(SUBSCRIPTIONS).by(&scene.acme).json(body).send().await;
    assert_eq!(reply.status, 201, "{:?}", reply.json);
    let body = json!({"event_type": "text.received", "phone_number_id": number, "data": {"text_message": {
        "direction": "inbound", "remote_phone_number": "+15555550199", "text": "Are you open?", "type": "sms"}}});
    let reply = scene.server.post("/api/v1/events").by(&scene.acme).json(body).send().await;
    assert_eq!(reply.status, 202, "{:?}", reply.json);
    let wrong = json!({"event_type": "text.received", "phone_number_id": number, "data": mail("not a text")});
    let refused = scene.server.post("/api/v1/events").by(&scene.acme).json(wrong).send().await;
    assert_eq!(refused.status, 422);
    scene.turn().await;
    let received = scene.receiver.received();
    assert_eq!(received.len(), 1);
    let message = &received[0].json()["data"]["text_message"];
    assert_eq!((&message["local_phone_number"], &message["is_read"]), (&json!(text), &json!(false)));
}

#[tokio::test]
async fn what_publishing_remembers_of_an_owner_ends_with_the_owner() {
    let (scene, _) = Scene::subscribed().await;
    let logger = scene.acme.identity("logger").await;
    let mut data = mail("hi");
    data["message"]["cc_addresses"] = json!([logger.address]);
    let publish = || {
        let body = json!({"event_type": "message.received", "mailbox_id": scene.help.mailbox, "data": data});
        scene.server.post("/api/v1/events").by(&scene.acme).json(body).send()
    };
    let identities = async |event: &str| {
        let reply = scene.server.get(&format!("/api/v1/events/{event}")).by(&scene.acme).send().await;
        reply.json["payload"]["data"]["agent_identities"].clone()
    };
    for _ in 0..2 {
        let reply = publish().await;
        let known = identities(reply.json["id"].as_str().unwrap()).await;
        assert_eq!(known[0]["agent_handle"], "logger");
    }
    let renamed = json!({"display_name": "The Logger"});
    scene.server.patch("/api/v1/identities/logger").by(&scene.acme).json(renamed).send().await.expect(200);
    let known = identities(publish().await.json["id"].as_str().unwrap()).await;
    assert_eq!(known[0]["display_name"], "The Logger");
    scene.server.delete("/api/v1/identities/logger").by(&scene.acme).send().await.expect(204);
    let known = identities(publish().await.json["id"].as_str().unwrap()).await;
    assert_eq!(known, json!([]));
    scene.server.delete("/api/v1/identities/help").by(&scene.acme).send().await.expect(204);
    assert_eq!(publish().await.status, 404);
    scene.server.settle_down(&scene.pump).await;
}

#[tokio::test]
async fn one_past_the_rate_of_replays_is_429_for_that_organisation() {
    let (scene, subscription) = Scene::subscribed().await;
    let rival = scene.server.organization("rival").await;
    scene.publish("hi").await;
    scene.turn().await;
    let attempt = scene.attempts().await[0]["id"].as_str().expect("an id").to_owned();
    // A replay that is refused counts, too, and needs no engine.
    scene.server.delete(&path_of(&subscription)).by(&scene.acme).send().await.expect(204);
    let path = format!("/api/v1/webhooks/deliveries/{attempt}/replay");
    let replay = |key: &str| scene.server.post(&path).key(key).send();
    for _ in 0..20 {
        replay(&scene.acme.key).await.refused(409);
    }
    let refused = replay(&scene.acme.key).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.refused(429).contains("replays"));
    replay(&rival.key).await.refused(404);
    scene.server.advance(Duration::from_millis(100));
    replay(&scene.acme.key).await.refused(409);
    replay(&scene.acme.key).await.refused(429);
    scene.turn().await;
}

//! What arrives, and what the log says of it.

use serde_json::json;

use super::{attempts, deliveries, mail, publish, subscribe};
use crate::support::{Answer, Receiver, TestServer};

#[tokio::test]
async fn an_event_arrives_signed_and_is_logged_byte_for_byte() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let receiver = Receiver::start().await;
    let subscription = subscribe(&server, &acme, &help, &receiver.url("/in")).await;
    let secret = subscription["signing_key"].as_str().expect("minted by the first subscription");
    receiver.answer(Answer { status: 201, headers: Vec::new(), body: b"thanks \xff".to_vec() });
    let event = publish(&server, &acme, &help, mail("Invoice 42")).await;
    let pump = server.pump();
    pump.run_until_idle().await.unwrap();

    let received = receiver.received();
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

    let log = attempts(&server, &acme).await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["request_payload"].as_str().unwrap().as_bytes(), &received[0].body[..]);
    assert_eq!(log[0]["response_status"], 201);
    assert_eq!(log[0]["response_body"], "thanks \u{fffd}");
    assert_eq!(log[0]["error_detail"], json!(null));
    assert_eq!(log[0]["webhook_subscription_id"], subscription["id"]);
    assert_eq!(log[0]["replayable"], true);
    let state = deliveries(&server, &acme, &event).await;
    assert_eq!((&state[0]["state"], &state[0]["attempts"]), (&json!("succeeded"), &json!(1)));
}

#[tokio::test]
async fn every_url_gets_its_own_post() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let other = acme.identity("other").await;
    let (one, two, three) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    subscribe(&server, &acme, &help, &one.url("/")).await;
    let body = json!({"agent_identity_id": help.id, "url": two.url("/"),
        "event_types": ["message.received", "text.received"], "auth_token": "t0ken"});
    let reply = server.post("/api/v1/webhooks/subscriptions").by(&acme).json(body).send().await;
    assert_eq!(reply.status, 201, "{:?}", reply.json);
    subscribe(&server, &acme, &other, &three.url("/")).await;
    let event = publish(&server, &acme, &help, mail("hi")).await;
    server.pump().run_until_idle().await.unwrap();
    let (first, second) = (one.received(), two.received());
    assert_eq!((first.len(), second.len(), three.received().len()), (1, 1, 0));
    assert_eq!(first[0].body, second[0].body);
    assert_ne!(first[0].header("x-inkbox-request-id"), second[0].header("x-inkbox-request-id"));
    assert_eq!(second[0].header("authorization"), Some("Bearer t0ken"));
    assert_eq!(first[0].header("webhook-id"), Some(&*event));
    assert_eq!(deliveries(&server, &acme, &event).await.len(), 2);
}

#[tokio::test]
async fn a_replay_goes_where_the_subscription_points_now_under_a_new_request_id() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let subscription = subscribe(&server, &acme, &help, &old.url("/")).await;
    let event = publish(&server, &acme, &help, mail("hi")).await;
    let pump = server.pump();
    pump.run_until_idle().await.unwrap();
    let path = format!("/api/v1/webhooks/subscriptions/{}", subscription["id"].as_str().unwrap());
    let moved = server.patch(&path).by(&acme).json(json!({"url": new.url("/")})).send().await;
    assert_eq!(moved.status, 200, "{:?}", moved.json);
    let logged = attempts(&server, &acme).await[0]["id"].as_str().unwrap().to_owned();
    let soft = tokio_util::sync::CancellationToken::new();
    let engine = tokio::spawn(pump.run(soft.clone()));
    let replay = format!("/api/v1/webhooks/deliveries/{logged}/replay");
    let reply = server.post(&replay).by(&acme).send().await;
    assert_eq!(reply.status, 201, "{:?}", reply.json);
    assert_eq!(reply.json["is_replay"], true);
    assert_eq!(reply.json["response_status"], 200);
    assert_eq!(reply.json["event_id"], json!(event));
    let (first, second) = (old.received(), new.received());
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].body, second[0].body);
    assert_ne!(first[0].header("x-inkbox-request-id"), second[0].header("x-inkbox-request-id"));
    assert_eq!(first[0].header("webhook-id"), second[0].header("webhook-id"));

    new.answer(500);
    let again = format!("/api/v1/webhooks/deliveries/{}/replay", reply.json["id"].as_str().unwrap());
    let reply = server.post(&again).by(&acme).send().await;
    assert_eq!((reply.status, &reply.json["response_status"]), (201.try_into().unwrap(), &json!(500)));
    soft.cancel();
    engine.await.unwrap();
    assert_eq!(new.received().len(), 2, "a replay is never retried");
    server.delete(&path).by(&acme).send().await;
    assert_eq!(server.post(&again).by(&acme).send().await.status, 409);
    assert_eq!(attempts(&server, &acme).await[0]["replay_unavailable_reason"], "subscription_deleted");
    server.settle_down(&server.pump()).await;
}

#[tokio::test]
async fn a_patch_during_an_attempt_is_seen_by_the_next_byte() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let receiver = Receiver::start().await;
    let subscription = subscribe(&server, &acme, &help, &receiver.url("/")).await;
    let path = format!("/api/v1/webhooks/subscriptions/{}", subscription["id"].as_str().unwrap());
    receiver.hold();
    publish(&server, &acme, &help, mail("first")).await;
    let pump = server.pump();
    pump.turn().await.unwrap();
    receiver.arrived(1).await;
    publish(&server, &acme, &help, mail("second")).await;
    let reply = server.patch(&path).by(&acme).json(json!({"auth_token": "new"})).send().await;
    assert_eq!(reply.status, 200);
    pump.turn().await.unwrap();
    let received = receiver.arrived(2).await;
    assert_eq!(received[1].header("authorization"), Some("Bearer new"));
    receiver.release();
    pump.run_until_idle().await.unwrap();
}

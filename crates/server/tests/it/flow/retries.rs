//! What happens after a failure.

use std::time::Duration;

use inkhook_server::engine::EngineSettings;
use serde_json::json;

use super::{attempts, deliveries, mail, publish, subscribe};
use crate::support::{Answer, Receiver, TestServer};

/// More than the longest wait with its jitter.
const LONG: Duration = Duration::from_hours(15);

#[tokio::test]
async fn a_failure_is_retried_under_the_same_request_id_with_a_fresh_signature() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let receiver = Receiver::start().await;
    let subscription = subscribe(&server, &acme, &help, &receiver.url("/")).await;
    receiver.answer(500);
    let event = publish(&server, &acme, &help, mail("hi")).await;
    let pump = server.pump();
    pump.run_until_idle().await.unwrap();
    assert_eq!(receiver.received().len(), 1, "not before its time");
    let state = deliveries(&server, &acme, &event).await;
    assert_eq!(state[0]["state"], "queued");
    assert!(state[0]["next_attempt_at"].is_string());
    server.advance(Duration::from_secs(7));
    pump.run_until_idle().await.unwrap();
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("x-inkbox-request-id"), received[1].header("x-inkbox-request-id"));
    assert_ne!(received[0].header("x-inkbox-timestamp"), received[1].header("x-inkbox-timestamp"));
    assert_eq!(received[1].header("inkhook-attempt"), Some("2"));
    assert_eq!(received[1].header("inkhook-possible-duplicate"), None, "a 500 is an answer");
    received[1].verify(subscription["signing_key"].as_str().unwrap());
    let log = attempts(&server, &acme).await;
    assert_eq!((&log[0]["response_status"], &log[1]["response_status"]), (&json!(200), &json!(500)));
}

#[tokio::test]
async fn eleven_attempts_and_then_it_is_exhausted() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let receiver = Receiver::start().await;
    subscribe(&server, &acme, &help, &receiver.url("/")).await;
    (0..20).for_each(|_| receiver.answer(503));
    let event = publish(&server, &acme, &help, mail("hi")).await;
    let pump = server.pump();
    for _ in 0..15 {
        pump.run_until_idle().await.unwrap();
        server.advance(LONG);
    }
    assert_eq!(receiver.received().len(), 11);
    let state = deliveries(&server, &acme, &event).await;
    assert_eq!((&state[0]["state"], &state[0]["reason"]), (&json!("exhausted"), &json!("out_of_attempts")));
}

#[tokio::test]
async fn retry_after_holds_the_whole_subscription() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let receiver = Receiver::start().await;
    subscribe(&server, &acme, &help, &receiver.url("/")).await;
    receiver.answer(Answer { status: 429, headers: vec![("retry-after", "60".into())], body: Vec::new() });
    publish(&server, &acme, &help, mail("one")).await;
    let pump = server.pump();
    pump.run_until_idle().await.unwrap();
    publish(&server, &acme, &help, mail("two")).await;
    server.advance(Duration::from_secs(59));
    pump.run_until_idle().await.unwrap();
    assert_eq!(receiver.received().len(), 1, "the second waits, too");
    server.advance(Duration::from_secs(2));
    pump.run_until_idle().await.unwrap();
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn gone_ends_the_delivery_and_pauses_the_subscription_until_it_gets_a_new_url() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let subscription = subscribe(&server, &acme, &help, &old.url("/")).await;
    old.answer(410);
    let event = publish(&server, &acme, &help, mail("one")).await;
    let pump = server.pump();
    pump.run_until_idle().await.unwrap();
    let state = deliveries(&server, &acme, &event).await;
    assert_eq!((&state[0]["state"], &state[0]["reason"]), (&json!("exhausted"), &json!("gone")));
    let held = publish(&server, &acme, &help, mail("two")).await;
    server.advance(LONG);
    pump.run_until_idle().await.unwrap();
    assert_eq!(old.received().len(), 1);
    assert_eq!(deliveries(&server, &acme, &held).await[0]["state"], "queued", "held, not dropped");
    let path = format!("/api/v1/webhooks/subscriptions/{}", subscription["id"].as_str().unwrap());
    server.patch(&path).by(&acme).json(json!({"url": new.url("/")})).send().await;
    pump.run_until_idle().await.unwrap();
    assert_eq!((old.received().len(), new.received().len()), (1, 1));
}

#[tokio::test]
async fn a_redirect_is_a_failure_that_says_so() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    subscribe(&server, &acme, &help, &receiver.url("/")).await;
    let location = ("location", elsewhere.url("/"));
    receiver.answer(Answer { status: 307, headers: vec![location], body: Vec::new() });
    publish(&server, &acme, &help, mail("hi")).await;
    let pump = server.pump();
    pump.run_until_idle().await.unwrap();
    assert_eq!(elsewhere.received().len(), 0);
    let log = attempts(&server, &acme).await;
    let error = log[0]["error_detail"].as_str().unwrap();
    assert!(error.contains("redirects are not followed"), "{error}");
    server.advance(LONG);
    pump.run_until_idle().await.unwrap();
}

#[tokio::test]
async fn an_event_that_expires_before_its_retry_ends_at_once() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let receiver = Receiver::start().await;
    subscribe(&server, &acme, &help, &receiver.url("/")).await;
    receiver.answer(500);
    let expires_at = inkhook_server::domain::time::TimeMs(crate::support::START.0 + 2_000).to_rfc3339();
    let body = json!({"event_type": "message.received", "mailbox_id": help.mailbox, "data": mail("code"),
        "expires_at": expires_at});
    let reply = server.post("/api/v1/events").by(&acme).json(body).send().await;
    assert_eq!(reply.status, 202, "{:?}", reply.json);
    server.pump().run_until_idle().await.unwrap();
    let state = deliveries(&server, &acme, reply.json["id"].as_str().unwrap()).await;
    assert_eq!(state[0]["state"], "expired");
    assert_eq!(state[0]["attempts"], 1);
}

#[tokio::test]
async fn a_hanging_receiver_does_not_hold_the_others() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let (slow, fast) = (Receiver::start().await, Receiver::start().await);
    subscribe(&server, &acme, &help, &slow.url("/")).await;
    subscribe(&server, &acme, &help, &fast.url("/")).await;
    slow.hold();
    let settings = EngineSettings { max_in_flight_per_subscription: 2, ..EngineSettings::default() };
    let pump = server.pump_with(settings);
    for n in 0..5 {
        publish(&server, &acme, &help, mail(&n.to_string())).await;
    }
    let engine_soft = tokio_util::sync::CancellationToken::new();
    let engine = tokio::spawn(pump.run(engine_soft.clone()));
    fast.arrived(5).await;
    assert_eq!(slow.arrived(2).await.len(), 2, "its bound is 2");
    slow.release();
    slow.arrived(5).await;
    server
        .eventually("all ends", async || (server.app.store.queued_total().await.unwrap() == 0).then_some(()))
        .await;
    engine_soft.cancel();
    engine.await.unwrap();
}

//! What happens after a failure.

use std::time::Duration;

use inkhook_server::domain::slots::Bounds;
use inkhook_server::domain::time::TimeMs;
use inkhook_server::engine::EngineSettings;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Scene, path_of};
use crate::support::{Answer, Receiver, START};

/// More than the longest wait with its jitter.
const LONG: Duration = Duration::from_hours(15);

fn ended(state: &str, reason: Option<&str>) -> (String, Option<String>) {
    (state.to_owned(), reason.map(ToOwned::to_owned))
}

#[tokio::test]
async fn a_failure_is_retried_under_the_same_request_id_with_a_fresh_signature() {
    let (scene, subscription) = Scene::subscribed().await;
    scene.receiver.answer(500);
    let event = scene.publish("hi").await;
    scene.turn().await;
    assert_eq!(scene.receiver.received().len(), 1, "not before its time");
    let waiting = scene.deliveries(&event).await;
    assert_eq!(waiting[0]["state"], "queued");
    assert!(waiting[0]["next_attempt_at"].is_string());
    scene.server.advance(Duration::from_secs(7));
    scene.turn().await;
    let received = scene.receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("x-inkbox-request-id"), received[1].header("x-inkbox-request-id"));
    assert_ne!(received[0].header("x-inkbox-timestamp"), received[1].header("x-inkbox-timestamp"));
    assert_eq!(received[1].header("inkhook-attempt"), Some("2"));
    assert_eq!(received[1].header("inkhook-possible-duplicate"), None, "a 500 is an answer");
    received[1].verify(subscription["signing_key"].as_str().unwrap());
    let log = scene.attempts().await;
    assert_eq!((&log[0]["response_status"], &log[1]["response_status"]), (&json!(200), &json!(500)));
}

#[tokio::test]
async fn eleven_attempts_and_then_it_is_exhausted() {
    let (scene, _) = Scene::subscribed().await;
    (0..20).for_each(|_| scene.receiver.answer(503));
    let event = scene.publish("hi").await;
    scene.turn().await;
    // Once more than there are waits, each with its jitter.
    for wait in [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 43_200] {
        scene.server.advance(Duration::from_secs(wait).mul_f64(1.2));
        scene.turn().await;
    }
    assert_eq!(scene.receiver.received().len(), 11);
    assert_eq!(scene.state(&event).await, ended("exhausted", Some("out_of_attempts")));
}

#[tokio::test]
async fn retry_after_holds_the_whole_subscription() {
    let (scene, _) = Scene::subscribed().await;
    let headers = vec![("retry-after", "60".into())];
    scene.receiver.answer(Answer { status: 429, headers, body: Vec::new() });
    scene.publish("one").await;
    scene.turn().await;
    scene.publish("two").await;
    scene.server.advance(Duration::from_secs(59));
    scene.turn().await;
    assert_eq!(scene.receiver.received().len(), 1, "the second waits, too");
    scene.server.advance(Duration::from_secs(2));
    scene.turn().await;
    assert_eq!(scene.receiver.received().len(), 3);
}

#[tokio::test]
async fn gone_ends_the_delivery_and_pauses_the_subscription_until_it_gets_a_new_url() {
    let (scene, subscription) = Scene::subscribed().await;
    let new = Receiver::start().await;
    scene.receiver.answer(410);
    let event = scene.publish("one").await;
    scene.turn().await;
    assert_eq!(scene.state(&event).await, ended("exhausted", Some("gone")));
    let held = scene.publish("two").await;
    scene.server.advance(LONG);
    scene.turn().await;
    assert_eq!(scene.receiver.received().len(), 1);
    assert_eq!(scene.state(&held).await, ended("queued", None), "held, not dropped");
    let change = json!({"url": new.url("/")});
    scene.server.patch(&path_of(&subscription)).by(&scene.acme).json(change).send().await;
    scene.turn().await;
    assert_eq!((scene.receiver.received().len(), new.received().len()), (1, 1));
}

#[tokio::test]
async fn a_redirect_is_a_failure_that_says_so() {
    let (scene, _) = Scene::subscribed().await;
    let elsewhere = Receiver::start().await;
    let location = ("location", elsewhere.url("/"));
    scene.receiver.answer(Answer { status: 307, headers: vec![location], body: Vec::new() });
    scene.publish("hi").await;
    scene.turn().await;
    assert_eq!(elsewhere.received().len(), 0);
    let log = scene.attempts().await;
    let error = log[0]["error_detail"].as_str().unwrap();
    assert!(error.contains("redirects are not followed"), "{error}");
    scene.server.advance(LONG);
    scene.turn().await;
}

#[tokio::test]
async fn an_event_that_expires_before_its_retry_ends_at_once() {
    let (scene, _) = Scene::subscribed().await;
    scene.receiver.answer(500);
    let expires_at = TimeMs(START.0 + 2_000).to_rfc3339();
    let event = scene.publish_with("code", json!({"expires_at": expires_at})).await;
    scene.turn().await;
    assert_eq!(scene.state(&event).await.0, "expired");
    assert_eq!(scene.deliveries(&event).await[0]["attempts"], 1);
}

#[tokio::test]
async fn a_hanging_receiver_does_not_hold_the_others() {
    let (scene, _) = Scene::subscribed().await;
    let fast = Receiver::start().await;
    scene.subscribe(&fast.url("/")).await;
    scene.receiver.hold();
    let settings = EngineSettings {
        bounds: Bounds { per_subscription: 2, ..Bounds::default() },
        ..EngineSettings::default()
    };
    for n in 0..5 {
        scene.publish(&n.to_string()).await;
    }
    let soft = CancellationToken::new();
    let engine = tokio::spawn(scene.server.pump_with(settings).run(soft.clone()));
    fast.arrived(5).await;
    assert_eq!(scene.receiver.arrived(2).await.len(), 2, "its bound is 2");
    scene.receiver.release();
    scene.receiver.arrived(5).await;
    let store = &scene.server.app.store;
    let all_ended = async || (store.queued_total().await.unwrap() == 0).then_some(());
    scene.server.eventually("all ends", all_ended).await;
    soft.cancel();
    engine.await.unwrap();
}

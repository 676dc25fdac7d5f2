//! A receiver that fails, comes back, or is tried by hand: as its owner sees it.

use std::time::Duration;

use inkhook_server::domain::health::FAILURES_TO_FAILING;
use inkhook_server::engine::janitor::held::end_held;
use inkhook_wire::event::EventType;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{SUBSCRIPTIONS, Scene, path_of};
use crate::support::{Answer, Receiver};

const FAILURES: usize = FAILURES_TO_FAILING as usize;

impl Scene {
    /// The subscription as it is shown.
    async fn shown(&self, subscription: &Value) -> Value {
        self.server.get(&path_of(subscription)).by(&self.acme).send().await.expect(200).json
    }

    async fn health(&self, subscription: &Value) -> String {
        self.shown(subscription).await["health"].as_str().expect("a word").to_owned()
    }

    async fn post_to(&self, subscription: &Value, what: &str) -> Value {
        let path = format!("{}/{what}", path_of(subscription));
        self.server.post(&path).by(&self.acme).send().await.expect(200).json
    }

    /// Publishes and fails until the subscription is failing.
    async fn until_failing(&self, subscription: &Value) {
        for n in 0..FAILURES {
            self.receiver.answer(500);
            self.publish(&format!("failing {n}")).await;
            self.turn().await;
        }
        assert_eq!(self.health(subscription).await, "failing");
    }

    /// Tests a subscription while an engine runs beside.
    async fn test(&self, subscription: &Value, body: Value) -> crate::support::Reply {
        let path = format!("{}/test", path_of(subscription));
        let soft = CancellationToken::new();
        let engine = tokio::spawn(self.server.pump().run(soft.clone()));
        let reply = self.server.post(&path).by(&self.acme).json(body).send().await;
        soft.cancel();
        engine.await.expect("the engine stops");
        reply
    }
}

#[tokio::test]
async fn five_failures_then_one_probe_at_a_time_then_a_drain() {
    let (scene, subscription) = Scene::subscribed().await;
    let healthy = scene.shown(&subscription).await;
    assert_eq!((&healthy["health"], &healthy["consecutive_failures"]), (&json!("healthy"), &json!(0)));
    assert_eq!((&healthy["last_success_at"], &healthy["last_failure_at"]), (&Value::Null, &Value::Null));
    scene.until_failing(&subscription).await;
    let failing = scene.shown(&subscription).await;
    assert_eq!(failing["consecutive_failures"], FAILURES);
    assert_eq!(failing["last_failure_at"], "2026-05-28T20:26:40.000Z");
    assert_eq!(failing["paused_at"], Value::Null);
    // Fifty come; the first of them is a reason to try at once, and while that hangs nothing else is tried.
    scene.receiver.hold();
    scene.receiver.answer(500);
    let probing = tokio::spawn({
        let pump = scene.pump.clone();
        async move { pump.run_until_idle().await.expect("the store works") }
    });
    for n in 0..50 {
        scene.publish(&format!("waiting {n}")).await;
    }
    scene.turn_once().await;
    scene.receiver.arrived(FAILURES + 1).await;
    scene.turn_once().await;
    assert_eq!(scene.receiver.received().len(), FAILURES + 1);
    scene.receiver.release();
    probing.await.expect("no panic");
    scene.turn().await;
    assert_eq!(scene.receiver.received().len(), FAILURES + 1, "the others wait");
    let tried: Vec<usize> = scene.server.query("SELECT count(*) FROM queue WHERE attempts > 0");
    assert_eq!(tried, [FAILURES + 1]);
    scene.server.advance(Duration::from_secs(10));
    scene.turn().await;
    let after_probe = scene.receiver.received().len();
    assert!(after_probe <= FAILURES + 2 + 2, "the probe, and the first of the drain: {after_probe}");
    assert_eq!(scene.health(&subscription).await, "healthy");
    for _ in 0..100 {
        scene.server.advance(Duration::from_millis(100));
        scene.turn().await;
    }
    assert_eq!(scene.receiver.received().len(), 2 * FAILURES + 1 + 50, "each once, besides the failures");
    assert_eq!(scene.shown(&subscription).await["consecutive_failures"], 0);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_stays_healthy() {
    let (scene, subscription) = Scene::subscribed().await;
    for n in 0..=FAILURES {
        let headers = vec![("retry-after", "1".into())];
        scene.receiver.answer(Answer { status: 503, headers, body: Vec::new() });
        scene.publish(&format!("{n}")).await;
        scene.turn().await;
        scene.server.advance(Duration::from_secs(1));
    }
    assert_eq!(scene.health(&subscription).await, "healthy");
    scene.server.advance(Duration::from_mins(1));
    scene.turn().await;
    assert_eq!(scene.shown(&subscription).await["health"], "healthy");
}

#[tokio::test]
async fn a_delivery_keeps_its_day_while_it_is_what_the_probes_are_made_of() {
    let (scene, subscription) = Scene::subscribed().await;
    (0..1_000).for_each(|_| scene.receiver.answer(500));
    let event = scene.publish("the only one").await;
    for _ in 0..24 * 12 {
        scene.turn().await;
        scene.server.advance(Duration::from_mins(5));
    }
    assert_eq!(scene.state(&event).await.0, "queued", "not given up after a few minutes");
    assert!(scene.receiver.received().len() > 200);
    assert_eq!(scene.health(&subscription).await, "failing");
    for _ in 0..24 * 12 {
        scene.turn().await;
        scene.server.advance(Duration::from_mins(5));
    }
    assert_eq!(scene.state(&event).await, ("exhausted".into(), Some("out_of_attempts".into())));
}

#[tokio::test]
async fn pause_and_resume_say_how_it_stands() {
    let (scene, subscription) = Scene::subscribed().await;
    scene.until_failing(&subscription).await;
    let paused = scene.post_to(&subscription, "pause").await;
    assert_eq!((&paused["health"], &paused["pause_reason"]), (&json!("paused"), &json!("by_hand")));
    assert_eq!(paused["consecutive_failures"], FAILURES);
    let resumed = scene.post_to(&subscription, "resume").await;
    assert_eq!((&resumed["health"], &resumed["paused_at"]), (&json!("healthy"), &Value::Null));
    assert_eq!(resumed["consecutive_failures"], 0);
    let listed = scene.server.get(SUBSCRIPTIONS).by(&scene.acme).send().await.expect(200).json;
    assert_eq!(listed["subscriptions"][0], scene.shown(&subscription).await);
    for _ in 0..10 {
        scene.turn().await;
        scene.server.advance(Duration::from_millis(100));
    }
    assert_eq!(scene.receiver.received().len(), 2 * FAILURES);
}

#[tokio::test]
async fn what_is_held_for_thirty_days_is_not_sent_any_more() {
    let (scene, subscription) = Scene::subscribed().await;
    scene.post_to(&subscription, "pause").await;
    let event = scene.publish("too old").await;
    let hold = inkhook_server::config::Delivery::default().hold();
    assert_eq!(hold, Duration::from_hours(24 * 30));
    let soft = CancellationToken::new();
    let (store, clock) = (&scene.server.app.store, &scene.server.app.clock);
    scene.server.advance(hold.saturating_sub(Duration::from_millis(1)));
    end_held(store, clock, hold, &soft).await.expect("the store works");
    assert_eq!(scene.state(&event).await, ("queued".into(), None));
    scene.server.advance(Duration::from_millis(1));
    end_held(store, clock, hold, &soft).await.expect("the store works");
    assert_eq!(scene.state(&event).await, ("expired".into(), Some("held_too_long".into())));
    scene.post_to(&subscription, "resume").await;
    scene.turn().await;
    assert!(scene.receiver.received().is_empty());
}

#[tokio::test]
async fn a_test_sends_the_owners_own_sample_to_this_subscription_alone() {
    let (scene, subscription) = Scene::subscribed().await;
    let other = Receiver::start().await;
    scene.subscribe(&other.url("/other")).await;
    let reply = scene.test(&subscription, json!({})).await.expect(201);
    assert_eq!((&reply.json["is_test"], &reply.json["is_replay"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&reply.json["event_type"], &reply.json["response_status"]),
        (&json!("message.received"), &json!(200))
    );
    let received = scene.receiver.received();
    assert_eq!((received.len(), other.received().len()), (1, 0));
    received[0].verify(subscription["signing_key"].as_str().expect("a key"));
    assert_eq!(received[0].header("inkhook-test"), Some("true"));
    let body = received[0].json();
    assert_eq!(body["data"]["message"]["mailbox_id"], scene.help.mailbox.to_string());
    assert_eq!(body["data"]["message"]["to_addresses"], json!([scene.help.address]));
    let deliveries = scene.deliveries(body["id"].as_str().expect("an id")).await;
    assert_eq!(deliveries.len(), 1, "its own event, once");
    assert_eq!((&deliveries[0]["is_test"], &deliveries[0]["is_replay"]), (&json!(true), &json!(false)));
    scene.publish("hi").await;
    scene.turn().await;
    assert_eq!(scene.receiver.received()[1].header("inkhook-test"), None);
    assert_eq!(scene.attempts().await.iter().filter(|attempt| attempt["is_test"] == true).count(), 1);
}

#[tokio::test]
async fn a_test_works_while_paused_and_heals_what_fails() {
    let (scene, subscription) = Scene::subscribed().await;
    scene.until_failing(&subscription).await;
    scene.receiver.answer(500);
    let reply = scene.test(&subscription, json!({"event_type": "message.received"})).await.expect(201);
    assert_eq!(reply.json["response_status"], 500);
    assert_eq!(scene.health(&subscription).await, "failing");
    scene.post_to(&subscription, "pause").await;
    scene.test(&subscription, json!({})).await.expect(201);
    let paused = scene.shown(&subscription).await;
    assert_eq!((&paused["health"], &paused["consecutive_failures"]), (&json!("paused"), &json!(0)));
    assert_eq!(scene.receiver.received().len(), FAILURES + 2, "what waits waits on");
    scene.server.delete(&path_of(&subscription)).by(&scene.acme).send().await.expect(204);
    scene.server.settle_down(&scene.pump).await;
}

#[tokio::test]
async fn a_test_of_what_cannot_be_tested_is_refused_and_leaves_nothing() {
    let (scene, subscription) = Scene::subscribed().await;
    let before = scene.server.snapshot();
    let path = format!("{}/test", path_of(&subscription));
    let send =
        async |body: &str| scene.server.post(&path).by(&scene.acme).bytes(body.to_owned()).send().await;
    for event_type in ["message.sent", "phone.incoming_call", "no.such"] {
        let reply = send(&json!({"event_type": event_type}).to_string()).await;
        reply.expect(422).invalid(&["body", "event_type"], "invalid");
    }
    assert!(send("{").await.refused(422).contains("not valid JSON"));
    let nobody = format!("{SUBSCRIPTIONS}/0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001/test");
    scene.server.post(&nobody).by(&scene.acme).send().await.refused(404);
    assert_eq!(scene.server.snapshot(), before);
    scene.server.delete(&path_of(&subscription)).by(&scene.acme).send().await.expect(204);
    send("").await.refused(404);
}

#[tokio::test]
async fn an_organisation_tests_ten_times_a_second() {
    let (scene, subscription) = Scene::subscribed().await;
    // Twice as many may come at once.
    for _ in 0..20 {
        scene.test(&subscription, json!({})).await.expect(201);
    }
    let reply = scene.test(&subscription, json!({})).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (429, Some("1")));
    scene.server.advance(Duration::from_secs(1));
    scene.test(&subscription, json!({})).await.expect(201);
}

/// Every type that an owner can be tested with arrives as it could have been published.
#[tokio::test]
async fn every_type_of_the_catalogue_can_be_tested() {
    let scene = Scene::new().await;
    let agent = scene.acme.identity_with_number("phone").await;
    let types: Vec<_> = EventType::SUBSCRIBABLE.iter().map(|event_type| event_type.as_str()).collect();
    let body =
        json!({"agent_identity_id": agent.id, "url": scene.receiver.url("/all"), "event_types": types});
    let made = scene.server.post(SUBSCRIPTIONS).by(&scene.acme).json(body).send().await.expect(201);
    for event_type in &types {
        scene.server.advance(Duration::from_secs(1));
        scene.test(&made.json, json!({"event_type": event_type})).await.expect(201);
    }
    let received = scene.receiver.received();
    assert_eq!(received.len(), types.len());
    for (received, event_type) in received.iter().zip(types) {
        assert_eq!(received.json()["event_type"], event_type);
    }
}

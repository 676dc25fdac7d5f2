//! A subscription's own settings decide how it is delivered to.

use std::time::Duration;

use inkhook_server::engine::EngineSettings;
use inkhook_server::store::claim::{ClaimRequest, LEASE_SKEW};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{SUBSCRIPTIONS, Scene, path_of};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

impl Scene {
    async fn subscribe_with(&self, delivery: Value) -> Value {
        let body = json!({"mailbox_id": self.help.mailbox, "url": self.receiver.url("/in"),
            "event_types": ["message.received"], "delivery": delivery});
        self.server.post(SUBSCRIPTIONS).by(&self.acme).json(body).send().await.expect(201).json
    }

    async fn patch_delivery(&self, subscription: &Value, delivery: Value) {
        let change = json!({"delivery": delivery});
        self.server.patch(&path_of(subscription)).by(&self.acme).json(change).send().await.expect(200);
    }

    /// Claims what is due, as the pump would.
    async fn claim(&self) -> Vec<inkhook_server::domain::delivery::Claimed> {
        let request = ClaimRequest {
            now: self.server.app.clock.schedule(),
            slots: crate::support::store::slots_within(100, 4),
            timeout: DEFAULT_TIMEOUT,
        };
        let claims = self.server.app.store.claim_due(request).await.expect("the store works");
        claims.claimed.into_iter().map(|leased| leased.claimed).collect()
    }
}

#[tokio::test]
async fn its_own_timeout_ends_an_attempt() {
    let scene = Scene::new().await;
    scene.subscribe_with(json!({"timeout_ms": 1000, "retry_schedule_s": []})).await;
    scene.receiver.hold();
    let event = scene.publish("hi").await;
    scene.turn().await;
    assert_eq!(scene.state(&event).await.0, "exhausted");
    let log = scene.attempts().await;
    let took = log[0]["duration_ms"].as_u64().expect("it took time");
    assert!((900..10_000).contains(&took), "{took} ms");
    scene.receiver.release();
}

#[tokio::test]
async fn the_lease_follows_its_own_timeout() {
    let mut scene = Scene::new().await;
    let subscription = scene.subscribe_with(json!({"timeout_ms": 60_000})).await;
    scene.publish("hi").await;
    let now = scene.server.app.clock.schedule();
    let claimed = scene.claim().await.remove(0);
    assert_eq!(claimed.target.timeout, Duration::from_mins(1));
    assert_eq!(claimed.lease_until, now.after(Duration::from_mins(1)).after(LEASE_SKEW));
    scene.server.advance(Duration::from_secs(64));
    assert_eq!(scene.claim().await.len(), 0, "still leased, though longer than the server's own timeout");
    scene.server.advance(Duration::from_secs(2));
    let again = scene.claim().await.remove(0);
    assert_eq!(again.attempt_no, 2, "the first was lost");

    // Shorter: the attempt's limit is the new one, and the lease does not end sooner than it was given.
    scene.patch_delivery(&subscription, json!({"timeout_ms": 1000})).await;
    let store = scene.server.app.store.clone();
    let retarget = async |claimed: &inkhook_server::domain::delivery::Claimed| {
        store.retarget(claimed.clone()).await.expect("the store works").expect("still ours")
    };
    let shorter = retarget(&again).await;
    assert_eq!((shorter.target.timeout, shorter.lease_until), (Duration::from_secs(1), again.lease_until));
    // Longer, or the default: the lease covers it.
    scene.server.advance(Duration::from_secs(50));
    scene.patch_delivery(&subscription, Value::Null).await;
    let longer = retarget(&shorter).await;
    assert_eq!(longer.target.timeout, DEFAULT_TIMEOUT);
    let covers = scene.server.app.clock.schedule().after(DEFAULT_TIMEOUT).after(LEASE_SKEW);
    assert_eq!(longer.lease_until, covers);
    let due: Vec<i64> = scene.server.query("SELECT due_ms FROM queue");
    assert_eq!(due, [covers.0], "in the table, too");
    scene.server.leave_queued();
}

#[tokio::test]
async fn its_own_schedule_is_used_and_its_last_entry_exhausts() {
    let scene = Scene::new().await;
    scene.subscribe_with(json!({"retry_schedule_s": [100, 1000]})).await;
    (0..5).for_each(|_| scene.receiver.answer(500));
    let event = scene.publish("hi").await;
    scene.turn().await;
    for (wait, attempts) in [(70, 1), (60, 2), (700, 2), (600, 3)] {
        scene.server.advance(Duration::from_secs(wait));
        scene.turn().await;
        assert_eq!(scene.receiver.received().len(), attempts, "after {wait} s more");
    }
    assert_eq!(scene.state(&event).await, ("exhausted".into(), Some("out_of_attempts".into())));
}

#[tokio::test]
async fn a_change_holds_for_what_waits_already() {
    let scene = Scene::new().await;
    let subscription = scene.subscribe_with(json!({"retry_schedule_s": [1, 1, 1, 1]})).await;
    (0..5).for_each(|_| scene.receiver.answer(500));
    let event = scene.publish("hi").await;
    scene.turn().await;
    scene.patch_delivery(&subscription, json!({"retry_schedule_s": [1]})).await;
    scene.server.advance(Duration::from_secs(2));
    scene.turn().await;
    assert_eq!(scene.state(&event).await.0, "exhausted");
    assert_eq!(scene.receiver.received().len(), 2);
}

#[tokio::test]
async fn no_more_are_under_way_than_it_wants() {
    let scene = Scene::new().await;
    let subscription = scene.subscribe_with(json!({"max_in_flight": 1})).await;
    scene.receiver.hold();
    for n in 0..4 {
        scene.publish(&n.to_string()).await;
    }
    let pump = scene.server.pump_with(EngineSettings::default());
    assert_eq!(pump.turn().await.expect("the store works").started, 1);
    scene.receiver.arrived(1).await;
    assert_eq!(pump.turn().await.expect("the store works").started, 0);
    scene.patch_delivery(&subscription, json!({"max_in_flight": 2})).await;
    scene.receiver.release();
    let soft = CancellationToken::new();
    let engine = tokio::spawn(pump.run(soft.clone()));
    scene.receiver.arrived(4).await;
    let store = &scene.server.app.store;
    let all_ended = async || (store.queued_total().await.unwrap() == 0).then_some(());
    scene.server.eventually("all ends", all_ended).await;
    soft.cancel();
    engine.await.unwrap();
}

//! What is told of a subscription's health, besides deliveries that fail.

use inkhook_server::config::Delivery;
use inkhook_server::domain::health::{FAILURES_TO_FAILING, LONGEST_PROBE_WAIT};
use inkhook_server::engine::janitor::held::end_held;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{SUBSCRIPTIONS, Scene};

impl Scene {
    /// What was told since last time but of single deliveries: kind, count, reason and failures in a row.
    async fn told_of_health(&self, seen: &mut usize) -> Vec<[Value; 4]> {
        self.turn().await;
        let received = self.ops.received();
        let new = received[*seen..].iter().map(crate::support::Received::json);
        let told = new.filter(|told| told["event_type"] != "delivery.exhausted").map(|told| {
            let data = &told["data"];
            assert!(data["subscription_id"].is_string() && data["url"].is_string(), "{told}");
            [
                told["event_type"].clone(),
                data["count"].clone(),
                data["reason"].clone(),
                data["consecutive_failures"].clone(),
            ]
        });
        let told = told.collect();
        *seen = received.len();
        told
    }

    async fn publish(&self, answer: u16) {
        self.receiver.answer(answer);
        let data = json!({"message": {"from_address": "ana@client.test", "to_addresses": ["x@client.test"],
            "subject": "hi", "direction": "inbound", "status": "received", "has_attachments": false,
            "body": "Hello"}});
        let body = json!({"event_type": "message.received", "mailbox_id": self.help.mailbox, "data": data});
        self.server.post("/api/v1/events").by(&self.acme).json(body).send().await.expect(202);
    }

    async fn post_to(&self, subscription: &Value, what: &str) {
        let path = format!("{SUBSCRIPTIONS}/{}/{what}", subscription["id"].as_str().expect("an id"));
        self.server.post(&path).by(&self.acme).send().await.expect(200);
    }
}

#[tokio::test]
async fn failing_recovered_paused_and_held_too_long_are_told() {
    let (scene, _) = Scene::told().await;
    let subscription = scene.subscribe(&scene.acme, &scene.help, "/in").await;
    let seen = &mut 0;
    for _ in 1..FAILURES_TO_FAILING {
        scene.fail_once().await;
    }
    assert!(scene.told_of_health(seen).await.is_empty(), "one failure fewer");
    scene.fail_once().await;
    let failing = [json!("subscription.failing"), json!(1), Value::Null, json!(FAILURES_TO_FAILING)];
    assert_eq!(scene.told_of_health(seen).await, [failing]);

    scene.server.advance(LONGEST_PROBE_WAIT);
    scene.publish(200).await;
    scene.pump.run_until_idle().await.expect("the store works");
    let recovered = [json!("subscription.recovered"), json!(1), Value::Null, Value::Null];
    assert_eq!(scene.told_of_health(seen).await, [recovered]);

    scene.post_to(&subscription, "pause").await;
    let paused = [json!("subscription.paused"), json!(1), json!("by_hand"), Value::Null];
    assert_eq!(scene.told_of_health(seen).await, [paused]);

    for _ in 0..3 {
        scene.publish(200).await;
    }
    let hold = Delivery::default().hold();
    scene.server.advance(hold);
    let (store, clock) = (&scene.server.app.store, &scene.server.app.clock);
    end_held(store, clock, hold, &CancellationToken::new()).await.expect("the store works");
    let held = [json!("delivery.held_too_long"), json!(3), json!("held_too_long"), Value::Null];
    assert_eq!(scene.told_of_health(seen).await, [held]);
}

#[tokio::test]
async fn a_receiver_that_is_gone_pauses_and_says_so() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.publish(410).await;
    scene.pump.run_until_idle().await.expect("the store works");
    let paused = [json!("subscription.paused"), json!(1), json!("gone"), Value::Null];
    assert_eq!(scene.told_of_health(&mut 0).await, [paused]);
}

//! A subscription's own `max_per_second`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SUBSCRIPTIONS, Scene, path_of};

const STEP: Duration = Duration::from_millis(100);

impl Scene {
    async fn at_a_rate(&self, per_second: u32) -> Value {
        let body = json!({"mailbox_id": self.help.mailbox, "url": self.receiver.url("/in"),
            "event_types": ["message.received"], "delivery": {"max_per_second": per_second}});
        self.server.post(SUBSCRIPTIONS).by(&self.acme).json(body).send().await.expect(201).json
    }

    async fn arrived_by_now(&self) -> usize {
        self.turn().await;
        self.receiver.received().len()
    }
}

#[tokio::test]
async fn a_fifth_of_a_second_goes_out_at_once_and_then_one_at_a_time() {
    let scene = Scene::new().await;
    scene.at_a_rate(10).await;
    for n in 0..6 {
        scene.publish(&n.to_string()).await;
    }
    assert_eq!(scene.arrived_by_now().await, 2, "the burst");
    for expected in 3..=6 {
        scene.server.advance(STEP.saturating_sub(Duration::from_millis(1)));
        assert_eq!(scene.arrived_by_now().await, expected - 1, "a millisecond too soon");
        scene.server.advance(Duration::from_millis(1));
        assert_eq!(scene.arrived_by_now().await, expected);
    }
    // What is not used adds up to the burst and no more.
    scene.server.advance(Duration::from_mins(1));
    for n in 0..3 {
        scene.publish(&n.to_string()).await;
    }
    assert_eq!(scene.arrived_by_now().await, 8);
    scene.server.advance(STEP);
    assert_eq!(scene.arrived_by_now().await, 9);
}

#[tokio::test]
async fn a_retry_counts_and_a_replay_does_not() {
    let scene = Scene::new().await;
    scene.at_a_rate(1).await;
    scene.receiver.answer(500);
    scene.publish("first").await;
    assert_eq!(scene.arrived_by_now().await, 1);
    // Its retry uses up what came in meanwhile.
    scene.server.advance(Duration::from_secs(7));
    assert_eq!(scene.arrived_by_now().await, 2);
    scene.publish("second").await;
    assert_eq!(scene.arrived_by_now().await, 2, "nothing is left");
    let id = scene.attempts().await[0]["id"].as_str().expect("an id").to_owned();
    let replay = format!("/api/v1/webhooks/deliveries/{id}/replay");
    for expected in [3, 4] {
        let replayed = async { scene.server.post(&replay).by(&scene.acme).send().await };
        let turned = scene.server.eventually("the replay", async || {
            scene.turn().await;
            (scene.receiver.received().len() == expected).then_some(())
        });
        assert_eq!(tokio::join!(replayed, turned).0.status, 201);
    }
    scene.server.advance(Duration::from_millis(999));
    assert_eq!(scene.arrived_by_now().await, 4, "and neither did it use anything up");
    scene.server.advance(Duration::from_millis(1));
    assert_eq!(scene.arrived_by_now().await, 5);
}

#[tokio::test]
async fn a_changed_rate_holds_for_what_waits() {
    let scene = Scene::new().await;
    let subscription = scene.at_a_rate(1).await;
    for n in 0..4 {
        scene.publish(&n.to_string()).await;
    }
    assert_eq!(scene.arrived_by_now().await, 1);
    let change = async |delivery: Value| {
        let change = json!({"delivery": delivery});
        scene.server.patch(&path_of(&subscription)).by(&scene.acme).json(change).send().await.expect(200);
    };
    change(json!({"max_per_second": 10})).await;
    assert_eq!(scene.arrived_by_now().await, 1);
    scene.server.advance(STEP);
    assert_eq!(scene.arrived_by_now().await, 2);
    change(json!({"max_per_second": null})).await;
    assert_eq!(scene.arrived_by_now().await, 4, "what waited does not wait for the old rate");
}

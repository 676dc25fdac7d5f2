//! Deliveries that come to the engine with their commit: sent like any other, and without anybody looking at
//! the queue.

use std::time::Duration;

use inkhook_server::domain::slots::Bounds;
use inkhook_server::engine::EngineSettings;
use inkhook_server::engine::pump::Pump;
use inkhook_server::store::hand_over::HandedOver;
use serde_json::json;

use super::{Scene, path_of};
use crate::support::Receiver;

/// Starts what has been handed over, and waits until it is recorded; how many that were.
async fn send_handed(pump: &Pump, handed: &mut HandedOver) -> usize {
    let started = pump.start_handed(handed);
    while pump.under_way() > 0 {
        pump.freed().await;
    }
    started
}

fn subjects(receiver: &Receiver) -> Vec<String> {
    let received = receiver.received();
    let subject = received.iter().map(|it| it.json()["data"]["message"]["subject"].to_string());
    subject.map(|subject| subject.trim_matches('"').to_owned()).collect()
}

#[tokio::test]
async fn what_is_published_is_sent_without_anybody_claiming() {
    let (scene, subscription) = Scene::subscribed().await;
    let mut handed = scene.pump.take_seat();
    for n in 1..=3 {
        let event = scene.publish(&n.to_string()).await;
        assert_eq!(send_handed(&scene.pump, &mut handed).await, 1);
        assert_eq!(scene.state(&event).await, ("succeeded".into(), None));
        assert_eq!(scene.receiver.received().len(), n);
    }
    let key = subscription["signing_key"].as_str().expect("a key");
    scene.receiver.received().iter().for_each(|request| request.verify(key));
    assert!(handed.ready().is_none());
}

#[tokio::test]
async fn what_found_no_place_is_sent_when_one_is_freed_without_anybody_claiming() {
    let (scene, _) = Scene::subscribed().await;
    let one = Bounds { first: 1, per_subscription: 1, ahead: 0, ..Bounds::default() };
    let pump = scene.server.pump_with(EngineSettings { bounds: one, ..EngineSettings::default() });
    let mut handed = pump.take_seat();
    for subject in ["first", "second", "third"] {
        scene.publish(subject).await;
    }
    for sent in 1..=3 {
        assert_eq!(send_handed(&pump, &mut handed).await, 1, "one place");
        assert_eq!(subjects(&scene.receiver), ["first", "second", "third"][..sent]);
    }
    assert_eq!(send_handed(&pump, &mut handed).await, 0);
}

#[tokio::test]
async fn a_failure_waits_for_its_time_and_holds_nothing_up() {
    let (scene, _) = Scene::subscribed().await;
    let mut handed = scene.pump.take_seat();
    scene.receiver.answer(500);
    scene.publish("fails").await;
    assert_eq!(send_handed(&scene.pump, &mut handed).await, 1);
    // What waits for its retry is not before a new one.
    scene.publish("fresh").await;
    assert_eq!(send_handed(&scene.pump, &mut handed).await, 1);
    assert_eq!(subjects(&scene.receiver), ["fails", "fresh"]);
    scene.pump.run_seated_until_idle(&mut handed).await.expect("the store works");
    assert_eq!(scene.receiver.received().len(), 2);
    scene.server.advance(Duration::from_secs(7));
    scene.pump.run_seated_until_idle(&mut handed).await.expect("the store works");
    assert_eq!(subjects(&scene.receiver), ["fails", "fresh", "fails"]);
}

#[tokio::test]
async fn many_arrive_once_each_whoever_hands_them_over() {
    let (scene, _) = Scene::subscribed().await;
    let mut handed = scene.pump.take_seat();
    let mut expected = Vec::new();
    for n in 10..50 {
        expected.push(n.to_string());
        scene.publish(&n.to_string()).await;
    }
    scene.pump.run_seated_until_idle(&mut handed).await.expect("the store works");
    let mut arrived = subjects(&scene.receiver);
    arrived.sort_unstable();
    assert_eq!(arrived, expected);
}

#[tokio::test]
async fn a_change_between_the_commit_and_the_first_byte_counts() {
    let (scene, subscription) = Scene::subscribed().await;
    let mut handed = scene.pump.take_seat();
    let moved = scene.publish("moved").await;
    let change = json!({"url": scene.receiver.url("/moved")});
    let path = path_of(&subscription);
    scene.server.patch(&path).by(&scene.acme).json(change).send().await.expect(200);
    assert_eq!(send_handed(&scene.pump, &mut handed).await, 1);
    assert_eq!(scene.receiver.received()[0].path, "/moved");
    assert_eq!(scene.state(&moved).await.0, "succeeded");
    // A look at the queue says that nothing waited for the new URL: the next comes with its commit again.
    scene.turn().await;
    let deleted = scene.publish("deleted").await;
    scene.server.delete(&path).by(&scene.acme).send().await.expect(204);
    assert_eq!(send_handed(&scene.pump, &mut handed).await, 1);
    assert_eq!(scene.receiver.received().len(), 1, "not one more");
    assert_eq!(scene.state(&deleted).await.0, "cancelled");
    scene.server.settle_down(&scene.pump).await;
}

/// One place, and two deliveries ahead of it.
fn two_ahead(scene: &Scene) -> Pump {
    let bounds = Bounds { first: 1, per_subscription: 1, ahead: 2, ..Bounds::default() };
    scene.server.pump_with(EngineSettings { bounds, ..EngineSettings::default() })
}

#[tokio::test]
async fn what_was_leased_ahead_of_its_place_is_sent_in_order_when_it_is_freed() {
    let (scene, _) = Scene::subscribed().await;
    let pump = two_ahead(&scene);
    let mut handed = pump.take_seat();
    for subject in ["first", "second", "third", "fourth"] {
        scene.publish(subject).await;
    }
    assert_eq!(send_handed(&pump, &mut handed).await, 3, "one place and two ahead of theirs");
    assert_eq!(subjects(&scene.receiver), ["first", "second", "third"]);
    assert_eq!(send_handed(&pump, &mut handed).await, 1, "which the settles claimed");
    assert_eq!(subjects(&scene.receiver).len(), 4);
}

#[tokio::test]
async fn after_a_failure_what_was_leased_ahead_waits_in_the_table_and_has_used_up_nothing() {
    let (scene, _) = Scene::subscribed().await;
    let pump = two_ahead(&scene);
    let mut handed = pump.take_seat();
    scene.receiver.answer(500);
    let mut events = Vec::new();
    for subject in ["first", "second", "third"] {
        events.push(scene.publish(subject).await);
    }
    assert_eq!(pump.start_handed(&mut handed), 3, "one place and two ahead of theirs");
    while pump.under_way() > 0 {
        pump.freed().await;
    }
    assert_eq!((subjects(&scene.receiver), pump.ahead()), (vec!["first".to_owned()], 0));
    scene.receiver.answer(200);
    pump.run_seated_until_idle(&mut handed).await.expect("the store works");
    assert_eq!(subjects(&scene.receiver), ["first", "second", "third"]);
    scene.server.advance(Duration::from_secs(7));
    pump.run_seated_until_idle(&mut handed).await.expect("the store works");
    for event in &events {
        assert_eq!(scene.state(event).await, ("succeeded".into(), None));
    }
    let requests = scene.receiver.received();
    assert!(requests.iter().all(|it| it.header("inkhook-possible-duplicate").is_none()));
}

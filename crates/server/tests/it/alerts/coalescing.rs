use std::time::Duration;

use inkhook_server::domain::alert::COALESCED;
use serde_json::json;

use super::Scene;

#[tokio::test]
async fn the_first_is_told_at_once_and_the_rest_together_after_ten_minutes() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    scene.turn().await;
    let mut last = String::new();
    for _ in 0..3 {
        scene.server.advance(Duration::from_mins(1));
        last = scene.fail_once().await;
        scene.turn().await;
    }
    assert_eq!(scene.ops.received().len(), 1);
    scene.server.advance(COALESCED.saturating_sub(Duration::from_millis(180_001)));
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 1);
    scene.server.advance(Duration::from_millis(1));
    scene.turn().await;
    let received = scene.ops.received();
    assert_eq!(received.len(), 2);
    let told = received[1].json();
    assert_eq!((&told["data"]["count"], &told["data"]["event_id"]), (&json!(3), &json!(last)));
    assert_eq!(told["timestamp"], "2026-05-28T20:29:40.000Z", "of the newest");
    assert_ne!(told["id"], received[0].json()["id"]);
    scene.server.advance(COALESCED);
    scene.fail_once().await;
    scene.turn().await;
    assert_eq!(scene.ops.received()[2].json()["data"]["count"], 1, "after a quiet time at once again");
}

#[tokio::test]
async fn what_waits_adds_up_until_it_is_sent_for_the_first_time() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    scene.fail_once().await;
    scene.ops.answer(500);
    scene.turn().await;
    scene.fail_once().await;
    scene.server.advance(Duration::from_secs(10));
    scene.turn().await;
    let received = scene.ops.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].json()["data"]["count"], 2);
    assert_eq!(received[0].body, received[1].body, "the retry tells what the first attempt told");
    scene.server.advance(COALESCED);
    scene.turn().await;
    assert_eq!(scene.ops.received()[2].json()["data"]["count"], 1);
}

#[tokio::test]
async fn each_subscription_is_told_for_itself() {
    let (scene, _) = Scene::told().await;
    let one = scene.subscribe(&scene.acme, &scene.help, "/1").await;
    let two = scene.subscribe(&scene.acme, &scene.help, "/2").await;
    scene.fail(&scene.acme, &scene.help, 2).await;
    scene.turn().await;
    let told: Vec<_> =
        scene.ops.received().iter().map(|told| told.json()["data"]["subscription_id"].clone()).collect();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&one["id"]) && told.contains(&two["id"]));
}

//! What is asked last, before the first byte.

use std::time::Duration;

use serde_json::json;

use super::Scene;

#[tokio::test]
async fn an_event_that_expires_between_its_claim_and_the_first_byte_is_not_sent() {
    let (scene, _) = Scene::subscribed().await;
    let expires_at = scene.server.app.clock.wall().after(Duration::from_secs(1));
    let event = scene.publish_with("hi", json!({"expires_at": expires_at.to_rfc3339()})).await;
    // The attempt is a task of this thread: it begins after the clock has moved.
    assert_eq!(scene.pump.turn().await.unwrap().started, 1);
    scene.server.advance(Duration::from_secs(1));
    scene.turn().await;
    assert_eq!(scene.receiver.received().len(), 0);
    assert_eq!(scene.state(&event).await.0, "expired");
    assert_eq!(scene.deliveries(&event).await[0]["attempts"], 0);
}

//! Connections that end too soon, and certificates that nobody trusts.

use inkhook_bench::receive::Mode;

use super::{Scene, error};

/// Svix: two POSTs for each recorded attempt; six requests, three attempts in the log.
async fn one_post_for_each_attempt(mode: Mode) {
    let scene = Scene::new("mine").await;
    scene.receiver.set("mine", mode);
    let event = scene.publish().await;
    scene.retry().await;
    scene.retry().await;
    let (group, log) = (scene.group("mine"), scene.attempts().await);
    assert_eq!((group.requests, log.len()), (3, 3), "one POST for each logged attempt: {log:?}");
    assert_eq!(group.deliveries, 1, "under one request id");
    assert!(log.iter().all(|attempt| attempt["response_status"].is_null()), "{log:?}");
    assert!(log.iter().all(|attempt| !error(attempt).is_empty()));

    scene.receiver.set("mine", Mode::Ok);
    scene.server.advance(super::RETRY * 5);
    scene.turn().await;
    assert_eq!(scene.state(&event).await, "succeeded");
    assert_eq!((scene.group("mine").requests, scene.attempts().await.len()), (4, 4));
}

#[tokio::test]
async fn a_receiver_that_closes_after_the_request_gets_one_post_for_each_attempt() {
    one_post_for_each_attempt(Mode::Close).await;
}

#[tokio::test]
async fn a_receiver_that_resets_after_the_request_gets_one_post_for_each_attempt() {
    one_post_for_each_attempt(Mode::Reset).await;
}

#[tokio::test]
async fn a_kept_connection_that_closes_after_the_request_is_not_tried_again_on_a_new_one() {
    let scene = Scene::new("mine").await;
    // The first delivery leaves a connection that is kept for the next.
    scene.publish().await;
    scene.receiver.set("mine", Mode::Close);
    scene.publish().await;
    let (group, log) = (scene.group("mine"), scene.attempts().await);
    assert_eq!((group.requests, group.deliveries, log.len()), (2, 2, 2), "{log:?}");
    assert!(!error(&log[0]).is_empty());
    scene.receiver.set("mine", Mode::Ok);
    scene.retry().await;
    assert_eq!((scene.group("mine").requests, scene.group("mine").deliveries), (3, 2));
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused_before_a_byte_of_the_request() {
    let mut scene = Scene::secure().await;
    let event = scene.publish().await;
    assert_eq!(scene.state(&event).await, "queued");
    let log = scene.attempts().await;
    assert_eq!(log.len(), 1);
    assert!(error(&log[0]).to_lowercase().contains("certificate"), "{}", error(&log[0]));
    let stats = scene.receiver.stats();
    assert_eq!(stats.group("ok").requests, 0, "the request was never sent");
    scene.server.leave_queued();
}

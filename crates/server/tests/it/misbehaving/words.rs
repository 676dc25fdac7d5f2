//! Answers that say something else than yes or no.

use std::time::Duration;

use inkhook_bench::receive::Mode;

use super::{Scene, error};

/// Svix: not followed either.
#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let mut scene = Scene::new("redirect").await;
    scene.publish().await;
    let log = scene.attempts().await;
    assert_eq!((log.len(), &log[0]["response_status"]), (1, &307.into()));
    assert!(error(&log[0]).contains("redirect"), "{}", error(&log[0]));
    assert_eq!((scene.group("redirect").requests, scene.group("redirected").requests), (1, 0));
    scene.server.leave_queued();
}

#[tokio::test]
async fn a_busy_receiver_is_left_alone_for_as_long_as_it_says() {
    let scene = Scene::new("mine").await;
    scene.receiver.set("mine", Mode::Busy(3_600));
    scene.publish().await;
    assert_eq!(scene.attempts().await[0]["response_status"], 429);
    // By the schedule it would have been tried again several times by now; and so would a new event.
    scene.server.advance(Duration::from_secs(3_590));
    scene.turn().await;
    scene.publish().await;
    assert_eq!(scene.group("mine").requests, 1, "the whole subscription waits");
    scene.receiver.set("mine", Mode::Ok);
    scene.server.advance(Duration::from_mins(30));
    scene.turn().await;
    assert_eq!((scene.group("mine").requests, scene.group("mine").deliveries), (3, 2));
}

#[tokio::test]
async fn what_comes_before_the_answer_is_not_the_answer() {
    let scene = Scene::new("early").await;
    let event = scene.publish().await;
    assert_eq!(scene.state(&event).await, "succeeded");
    let log = scene.attempts().await;
    assert_eq!((log.len(), &log[0]["response_status"]), (1, &200.into()));
    assert_eq!(scene.group("early").requests, 1);
}

#[tokio::test]
async fn another_protocol_or_no_protocol_is_a_failure() {
    for mode in ["status-101", "garbage"] {
        let mut scene = Scene::new(mode).await;
        let event = scene.publish().await;
        let log = scene.attempts().await;
        assert_eq!(log.len(), 1, "{mode}");
        assert!(!error(&log[0]).is_empty(), "{mode}");
        assert_ne!(scene.state(&event).await, "succeeded", "{mode}");
        assert_eq!(scene.group(mode).requests, 1, "{mode}");
        scene.server.leave_queued();
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let scene = Scene::new("status-410").await;
    let event = scene.publish().await;
    assert_eq!(scene.state(&event).await, "exhausted");
    scene.retry().await;
    assert_eq!(scene.group("status-410").requests, 1);
}

//! In which order deliveries start: as their events were accepted while nothing fails, and one after the
//! other within a conversation when the subscription asks for it.

use std::time::Duration;

use inkhook_server::domain::retry::RetrySchedule;
use inkhook_server::domain::slots::Bounds;
use inkhook_server::domain::subscription::Ordering;
use inkhook_server::engine::{EngineSettings, order};
use inkhook_server::store::ordering::HOLD;
use serde_json::{Value, json};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::{Scene, mail, path_of};
use crate::support::ask::{Api, mail_event};
use crate::support::running::RunningServer;
use crate::support::time::until;
use crate::support::{Answer, Receiver};

const ONE: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a0001";
const TWO: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a0002";

impl Scene {
    /// The agent's mailbox, subscribed to the receiver, each thread in its order.
    async fn in_order() -> (Self, Value) {
        let (scene, subscription) = Self::subscribed().await;
        scene.set(&subscription, Ordering::Conversation).await;
        (scene, subscription)
    }

    async fn set(&self, subscription: &Value, ordering: Ordering) {
        let id = subscription["id"].as_str().expect("an id").parse().expect("an id");
        let set = self.server.app.store.set_ordering(self.acme.scope(), id, ordering).await;
        assert!(set.expect("stored"));
    }

    /// Publishes a mail of a thread; its id.
    async fn publish_in(&self, thread: &str, subject: &str) -> String {
        self.publish_in_with(thread, subject, json!({})).await
    }

    async fn publish_in_with(&self, thread: &str, subject: &str, mut more: Value) -> String {
        let mut data = mail(subject);
        data["message"]["thread_id"] = json!(thread);
        more["data"] = data;
        self.publish_with(subject, more).await
    }

    async fn keep(&self) {
        let app = &self.server.app;
        order::keep(&app.store, &app.bells, &CancellationToken::new()).await.expect("the store works");
    }
}

/// What arrived, by its subject.
fn subjects(receiver: &Receiver) -> Vec<String> {
    let subject = |received: &crate::support::Received| {
        received.json()["data"]["message"]["subject"].as_str().expect("a subject").to_owned()
    };
    receiver.received().iter().map(subject).collect()
}

#[tokio::test]
async fn without_failures_deliveries_start_in_accepted_order() {
    let (scene, _) = Scene::subscribed().await;
    let pump = scene.server.pump_with(EngineSettings {
        bounds: Bounds { per_subscription: 1, ..Bounds::default() },
        ..EngineSettings::default()
    });
    let mut expected = Vec::new();
    for round in 0..10 {
        for place in 0..6 {
            expected.push(format!("{round}/{place}"));
            scene.publish(expected.last().expect("one")).await;
        }
        pump.run_until_idle().await.expect("the store works");
    }
    assert_eq!(subjects(&scene.receiver), expected);
}

#[tokio::test]
async fn attempts_that_are_under_way_together_were_started_in_accepted_order() {
    let (scene, _) = Scene::subscribed().await;
    scene.receiver.hold();
    let mut expected = Vec::new();
    for place in 0..4 {
        expected.push(place.to_string());
        scene.publish(expected.last().expect("one")).await;
        scene.pump.turn().await.expect("the store works");
        scene.receiver.arrived(place + 1).await;
    }
    assert_eq!(subjects(&scene.receiver), expected);
    scene.receiver.release();
    scene.turn().await;
}

#[tokio::test]
async fn order_is_turned_on_and_off_over_the_api() {
    let (scene, subscription) = Scene::subscribed().await;
    let set = async |ordering: &str| {
        let change = json!({"delivery": {"ordering": ordering}});
        let patched = scene.server.patch(&path_of(&subscription)).by(&scene.acme).json(change).send().await;
        assert_eq!(patched.expect(200).json["delivery"]["ordering"], ordering);
    };
    set("conversation").await;
    scene.receiver.answer(500);
    for subject in ["first", "second", "third"] {
        scene.publish_in(ONE, subject).await;
    }
    scene.turn().await;
    assert_eq!(subjects(&scene.receiver), ["first"]);
    // Off again: what was parked need not wait for the retry.
    set("none").await;
    scene.keep().await;
    scene.turn().await;
    assert_eq!(subjects(&scene.receiver), ["first", "second", "third"]);
    scene.receiver.answer(500);
    for subject in ["fourth", "fifth"] {
        scene.publish_in(ONE, subject).await;
        scene.turn().await;
    }
    assert_eq!(subjects(&scene.receiver)[3..], ["fourth", "fifth"], "nothing waits for anything");
    scene.server.advance(Duration::from_secs(7));
    scene.turn().await;
    assert_eq!(subjects(&scene.receiver).len(), 7);
}

#[tokio::test]
async fn a_thread_waits_for_the_retry_of_its_first_and_another_does_not() {
    let (scene, _) = Scene::in_order().await;
    scene.receiver.answer(500);
    for subject in ["first", "second", "third"] {
        scene.publish_in(ONE, subject).await;
    }
    scene.publish_in(TWO, "elsewhere").await;
    scene.publish("alone").await;
    scene.turn().await;
    let (first, others) = (subjects(&scene.receiver)[0].clone(), subjects(&scene.receiver)[1..].to_vec());
    assert_eq!((first.as_str(), others.len()), ("first", 2));
    assert!(others.contains(&"elsewhere".into()) && others.contains(&"alone".into()));
    scene.server.advance(Duration::from_secs(7));
    scene.receiver.answer(Answer { status: 503, headers: Vec::new(), body: Vec::new() });
    scene.turn().await;
    assert_eq!(subjects(&scene.receiver)[3..], ["first"]);
    scene.server.advance(Duration::from_secs(40));
    scene.turn().await;
    assert_eq!(subjects(&scene.receiver)[4..], ["first", "second", "third"]);
    let gap = scene.receiver.received().iter().any(|received| received.header("inkhook-gap").is_some());
    assert!(!gap, "nothing was passed");
}

#[tokio::test]
async fn after_a_quarter_of_an_hour_the_next_one_goes_past_and_says_so() {
    let (scene, _) = Scene::in_order().await;
    let retry_schedule = RetrySchedule::new([5, 3_600].map(Duration::from_secs).into());
    let pump = scene.server.pump_with(EngineSettings { retry_schedule, ..EngineSettings::default() });
    let turn = async || {
        scene.keep().await;
        pump.run_until_idle().await.expect("the store works");
    };
    let first = scene.publish_in(ONE, "first").await;
    scene.publish_in(ONE, "second").await;
    scene.publish_in(ONE, "third").await;
    for wait in [0, 6] {
        scene.server.advance(Duration::from_secs(wait));
        scene.receiver.answer(500);
        turn().await;
    }
    assert_eq!(HOLD, Duration::from_mins(15));
    scene.server.advance(Duration::from_millis((15 * 60 - 6) * 1_000 - 1));
    turn().await;
    assert_eq!(subjects(&scene.receiver), ["first"; 2], "not yet");
    scene.server.advance(Duration::from_millis(1));
    turn().await;
    assert_eq!(subjects(&scene.receiver)[2..], ["second", "third"]);
    let received = scene.receiver.received();
    assert_eq!(received[2].header("inkhook-gap"), Some(&*first));
    assert!(received[3].header("inkhook-gap").is_none() && received[0].header("inkhook-gap").is_none());
    assert_eq!(scene.state(&first).await.0, "queued");
    scene.server.advance(Duration::from_hours(1));
    turn().await;
    assert_eq!(subjects(&scene.receiver)[4..], ["first"], "it goes on by its schedule");
    assert_eq!(scene.state(&first).await.0, "succeeded");
}

#[tokio::test]
async fn what_waits_for_its_turn_is_queued_expires_and_is_cancelled_like_the_rest() {
    let (scene, subscription) = Scene::in_order().await;
    scene.receiver.answer(500);
    let first = scene.publish_in(ONE, "first").await;
    let expires_at = scene.server.app.clock.wall().after(Duration::from_mins(1)).to_string();
    let code = scene.publish_in_with(ONE, "a code", json!({"expires_at": expires_at})).await;
    let last = scene.publish_in(ONE, "last").await;
    scene.turn().await;
    assert_eq!(scene.state(&code).await, ("queued".into(), None));
    scene.server.advance(Duration::from_mins(1));
    scene.keep().await;
    assert_eq!(scene.state(&code).await, ("expired".into(), Some("event_expired".into())));

    let path = path_of(&subscription);
    scene.server.post(&format!("{path}/pause")).by(&scene.acme).send().await.expect(200);
    scene.turn().await;
    assert_eq!(scene.state(&last).await.0, "queued", "held, and its turn has not come");
    scene.server.delete(&path).by(&scene.acme).send().await.expect(204);
    for event in [&first, &last] {
        assert_eq!(scene.state(event).await, ("cancelled".into(), Some("subscription_deleted".into())));
    }
    scene.server.settle_down(&scene.pump).await;
    assert_eq!(scene.server.query::<i64>("SELECT count(*) FROM parked"), [0]);
    assert_eq!(scene.state(&last).await, ("cancelled".into(), Some("subscription_deleted".into())));
    assert_eq!(subjects(&scene.receiver), ["first"]);
}

#[tokio::test]
async fn turned_off_everything_goes_at_once() {
    let (scene, subscription) = Scene::in_order().await;
    scene.receiver.answer(500);
    for subject in ["first", "second", "third"] {
        scene.publish_in(ONE, subject).await;
    }
    scene.turn().await;
    scene.set(&subscription, Ordering::None).await;
    scene.keep().await;
    scene.turn().await;
    let mut rest = subjects(&scene.receiver)[1..].to_vec();
    rest.sort();
    assert_eq!(rest, ["second", "third"]);
    scene.server.advance(Duration::from_secs(7));
    scene.turn().await;
    assert_eq!(subjects(&scene.receiver).len(), 4);
}

const THREADS: usize = 3;
const MAILS: usize = 8;
const PATIENCE: Duration = Duration::from_mins(1);

/// Numbers of the mails of a thread in the order in which they came first.
fn came_first(receiver: &Receiver, thread: usize) -> Vec<usize> {
    let mut came = Vec::new();
    for subject in subjects(receiver) {
        let (of, number) = subject.split_once('/').expect("a thread and a number");
        let number = number.parse().expect("a number");
        if of == thread.to_string() && !came.contains(&number) {
            came.push(number);
        }
    }
    came
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_keeps_the_order_and_loses_nothing_that_waits_for_its_turn() {
    let mut server = block_in_place(RunningServer::start_blocking);
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mailbox = api.identity("help").await;
    let receiver = Receiver::start().await;
    api.subscribe(&mailbox, &receiver.url("/"), &["message.received"]).await;
    block_in_place(|| {
        server.kill();
        server.books().run("UPDATE subscriptions SET ordering = 'conversation', ordering_since_seq = 0");
        assert_eq!(server.books().column::<String>("SELECT ordering FROM subscriptions"), ["conversation"]);
        server.restart();
    });
    let api = Api { address: server.api, key: server.admin_key.clone() };
    receiver.hold();
    for number in 0..MAILS {
        for thread in 0..THREADS {
            let mut event = mail_event(&mailbox, "message.received", &format!("{thread}/{number}"));
            event["data"]["message"]["thread_id"] = json!(uuid::Uuid::from_u128(thread as u128));
            api.must(202, "POST", "/api/v1/events", Some(event)).await;
        }
    }
    receiver.arrived(THREADS).await;
    for thread in 0..THREADS {
        assert_eq!(came_first(&receiver, thread), [0], "the rest of the thread waits");
    }
    block_in_place(|| {
        server.kill();
        server.restart();
    });
    receiver.arrived(2 * THREADS).await;
    for thread in 0..THREADS {
        assert_eq!(came_first(&receiver, thread), [0], "the same ones, once more");
    }
    receiver.release();
    let all = async || {
        let whole = (0..THREADS).all(|thread| came_first(&receiver, thread).len() == MAILS);
        whole.then_some(())
    };
    until("the last delivery", PATIENCE, all).await;
    for thread in 0..THREADS {
        assert_eq!(came_first(&receiver, thread), (0..MAILS).collect::<Vec<_>>());
    }
}

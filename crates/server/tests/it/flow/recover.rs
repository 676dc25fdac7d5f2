//! Recovering over the API, from the request to the receiver.

use std::time::Duration;

use inkhook_server::domain::retry::RetrySchedule;
use inkhook_server::engine::{EngineSettings, recover};
use serde_json::{Value, json};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::{Scene, path_of};
use crate::support::ask::Api;
use crate::support::running::RunningServer;
use crate::support::time::until;
use crate::support::{Receiver, Reply};

impl Scene {
    async fn recover(&self, subscription: &Value, body: Value) -> Reply {
        let path = format!("{}/recover", path_of(subscription));
        self.server.post(&path).by(&self.acme).json(body).send().await
    }

    async fn job(&self, subscription: &Value, job: &Value) -> Value {
        let path = format!("{}/recover/{}", path_of(subscription), job["id"].as_str().expect("an id"));
        self.server.get(&path).by(&self.acme).send().await.expect(200).json
    }

    async fn get_on(&self) {
        let app = &self.server.app;
        let waits = recover::get_on(&app.store, &app.bells, &CancellationToken::new()).await;
        assert!(!waits.expect("the store works"), "nothing has to wait");
    }

    /// Turns an engine that never tries again.
    async fn turn_engine_once(&self) {
        let settings =
            EngineSettings { retry_schedule: RetrySchedule::new(Vec::new()), ..EngineSettings::default() };
        self.server.pump_with(settings).run_until_idle().await.expect("the store works");
    }
}

const SINCE: &str = "2026-05-28T00:00:00Z";

#[tokio::test]
async fn what_failed_is_delivered_once_more_under_a_fresh_request_id() {
    let (scene, subscription) = Scene::subscribed().await;
    for status in [500, 200, 500] {
        scene.receiver.answer(status);
        scene.publish(&status.to_string()).await;
        scene.turn_engine_once().await;
    }
    let which = json!({"since": SINCE, "which": "failed"});
    for dry_run in [json!({"since": SINCE, "which": "failed", "dry_run": true}), which.clone()] {
        let path = format!("{}/recover", path_of(&subscription));
        let path = if dry_run == which { format!("{path}?dry_run=true") } else { path };
        let counted = scene.server.post(&path).by(&scene.acme).json(dry_run).send().await.expect(200).json;
        assert_eq!(
            counted,
            json!({"dry_run": true, "which": "failed", "since": "2026-05-28T00:00:00.000Z",
                "until": "2026-05-28T20:26:40.000Z", "examined": 3, "count": 2, "complete": true})
        );
    }
    let path = format!("{}/recover", path_of(&subscription));
    let listed = scene.server.get(&path).by(&scene.acme).send().await.expect(200).json;
    assert_eq!(listed, json!({"jobs": []}), "a dry run is no job");

    let job = scene.recover(&subscription, which.clone()).await.expect(202).json;
    assert_eq!((&job["state"], &job["examined"], &job["queued"]), (&json!("running"), &json!(0), &json!(0)));
    assert_eq!((&job["which"], &job["subscription_id"]), (&json!("failed"), &subscription["id"]));
    let refused = scene.recover(&subscription, which.clone()).await.refused(409);
    assert!(refused.contains(job["id"].as_str().unwrap()), "{refused}");
    scene.server.advance(Duration::from_secs(1));
    scene.get_on().await;
    scene.turn_engine_once().await;
    let job = scene.job(&subscription, &job).await;
    assert_eq!(
        (&job["state"], &job["examined"], &job["queued"]),
        (&json!("completed"), &json!(3), &json!(2))
    );
    assert_eq!(job["ended_at"], "2026-05-28T20:26:41.000Z");

    let received = scene.receiver.received();
    assert_eq!(received.len(), 5);
    for (again, first) in [(3, 0), (4, 2)] {
        assert_eq!(received[again].body, received[first].body);
        assert_eq!(received[again].header("webhook-id"), received[first].header("webhook-id"));
        assert_ne!(
            received[again].header("x-inkbox-request-id"),
            received[first].header("x-inkbox-request-id")
        );
        received[again].verify(subscription["signing_key"].as_str().expect("a key"));
    }
    let again = scene.recover(&subscription, which).await.expect(202).json;
    scene.get_on().await;
    assert_eq!(scene.job(&subscription, &again).await["queued"], 0, "they have succeeded");
    let listed = scene.server.get(&path).by(&scene.acme).send().await.expect(200).json;
    let ids: Vec<&Value> = listed["jobs"].as_array().unwrap().iter().map(|job| &job["id"]).collect();
    assert_eq!(ids, [&again["id"], &job["id"]], "newest first");
}

#[tokio::test]
async fn a_late_subscription_gets_what_it_missed() {
    let (scene, _) = Scene::subscribed().await;
    for subject in ["one", "two", "three"] {
        scene.publish(subject).await;
        scene.server.advance(Duration::from_mins(1));
    }
    scene.turn().await;
    let late = Receiver::start().await;
    let subscription = scene.subscribe(&late.url("/late")).await;
    let window = json!({"since": "2026-05-28T20:27:00Z", "until": "2026-05-28T20:28:00Z", "which": "missed"});
    scene.recover(&subscription, window).await.expect(202);
    scene.get_on().await;
    scene.turn().await;
    let received = late.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].json()["data"]["message"]["subject"], "two");
    let rest =
        scene.recover(&subscription, json!({"since": SINCE, "which": "missed"})).await.expect(202).json;
    scene.get_on().await;
    scene.turn().await;
    assert_eq!(scene.job(&subscription, &rest).await["queued"], 2);
    assert_eq!(scene.receiver.received().len(), 3, "nobody else gets anything");
}

#[tokio::test]
async fn a_cancelled_job_queues_nothing_more() {
    let (scene, subscription) = Scene::subscribed().await;
    scene.publish("hi").await;
    scene.turn().await;
    let job = scene.recover(&subscription, json!({"since": SINCE, "which": "all"})).await.expect(202).json;
    let path = format!("{}/recover/{}/cancel", path_of(&subscription), job["id"].as_str().unwrap());
    let cancelled = scene.server.post(&path).by(&scene.acme).send().await.expect(200).json;
    assert_eq!((&cancelled["state"], &cancelled["id"]), (&json!("cancelled"), &job["id"]));
    assert!(cancelled["ended_at"].is_string());
    scene.get_on().await;
    scene.turn().await;
    assert_eq!(scene.receiver.received().len(), 1);
    let again = scene.server.post(&path).by(&scene.acme).send().await.expect(200).json;
    assert_eq!(again, cancelled);
    scene.server.delete(&path_of(&subscription)).by(&scene.acme).send().await.expect(204);
    scene.server.post(&path).by(&scene.acme).send().await.refused(404);
    scene.recover(&subscription, json!({"since": SINCE, "which": "all"})).await.refused(404);
    scene.server.settle_down(&scene.pump).await;
}

#[tokio::test]
async fn what_is_not_a_window_is_refused_by_its_field() {
    let (scene, subscription) = Scene::subscribed().await;
    let cases = [
        (json!({"which": "all"}), "since", "missing"),
        (json!({"since": SINCE}), "which", "missing"),
        (json!({"since": SINCE, "which": "some"}), "which", "invalid"),
        (json!({"since": "yesterday", "which": "all"}), "since", "invalid"),
        (json!({"since": SINCE, "until": "2026-05-28", "which": "all"}), "until", "invalid"),
        (json!({"since": SINCE, "until": "2026-05-27T00:00:00Z", "which": "all"}), "since", "invalid"),
        (json!({"since": "2026-05-28T20:26:40.001Z", "which": "all"}), "since", "invalid"),
        (json!({"since": SINCE, "which": "all", "dry_run": "yes"}), "dry_run", "invalid"),
    ];
    for (body, field, kind) in cases {
        scene.recover(&subscription, body).await.invalid(&["body", field], kind);
    }
    let path = format!("{}/recover", path_of(&subscription));
    let body = json!({"since": SINCE, "which": "all"});
    let refused =
        scene.server.post(&format!("{path}?dry_run=perhaps")).by(&scene.acme).json(body).send().await;
    refused.invalid(&["query", "dry_run"], "invalid");
    let refused = scene.server.get(&format!("{path}/7")).by(&scene.acme).send().await;
    refused.invalid(&["path", "job_id"], "invalid");
    // A window that reaches into the future ends now.
    let body = json!({"since": SINCE, "until": "2036-01-01T00:00:00Z", "which": "all"});
    let job = scene.recover(&subscription, body).await.expect(202).json;
    assert_eq!(job["until"], "2026-05-28T20:26:40.000Z");
}

const EVENTS: usize = 250;
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_on_by_itself_after_the_server_was_killed() {
    let mut server = block_in_place(RunningServer::start_blocking);
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mailbox = api.identity("help").await;
    let mut events = std::collections::BTreeSet::new();
    for _ in 0..EVENTS {
        events.insert(api.publish(&mailbox, "message.received", "hi").await);
    }
    let receiver = Receiver::start().await;
    let subscription = api.subscribe(&mailbox, &receiver.url("/"), &["message.received"]).await;
    let path =
        format!("/api/v1/webhooks/subscriptions/{}/recover", subscription["id"].as_str().expect("an id"));
    let body = json!({"since": "2020-01-01T00:00:00Z", "which": "missed"});
    let job = api.must(202, "POST", &path, Some(body)).await;
    block_in_place(|| {
        server.kill();
        server.restart();
    });
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let path = format!("{path}/{}", job["id"].as_str().expect("an id"));
    until("the job's end", PATIENCE, async || {
        let job = api.must(200, "GET", &path, None).await;
        (job["state"] == "completed").then(|| assert_eq!(job["queued"], json!(EVENTS)))
    })
    .await;
    let got = || -> std::collections::BTreeSet<String> {
        let id =
            |received: &crate::support::Received| received.json()["id"].as_str().expect("an id").to_owned();
        receiver.received().iter().map(id).collect()
    };
    until("the last delivery", PATIENCE, async || (got().len() == EVENTS).then_some(())).await;
    assert_eq!(got(), events);
}

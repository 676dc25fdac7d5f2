use std::time::Duration;

use inkhook_server::store::stats::{MAX_ATTEMPTS, MAX_QUEUED};
use serde_json::{Value, json};

use super::{NOTHING, one};
use crate::support::{Identity, Organization, Receiver, Setup, TestServer};

/// One subscription of one agent, at a receiver that can be reached.
struct Scene {
    server: TestServer,
    acme: Organization,
    help: Identity,
    receiver: Receiver,
    id: String,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::with(Setup { requests_per_second: 10_000, ..Setup::default() });
        let acme = server.organization("acme").await;
        let help = acme.identity("help").await;
        let receiver = Receiver::start().await;
        let body = json!({"mailbox_id": help.mailbox, "url": receiver.url("/"),
            "event_types": ["message.received"]});
        let made = server.post(super::PATH).by(&acme).json(body).send().await.expect(201);
        Self { id: made.text("id"), server, acme, help, receiver }
    }

    async fn publish(&self) {
        let data = json!({"message": {"from_address": "ana@client.test", "to_addresses": ["x@client.test"],
            "subject": "hi", "direction": "inbound", "status": "received", "has_attachments": false,
            "body": "Hello"}});
        let body = json!({"event_type": "message.received", "mailbox_id": self.help.mailbox, "data": data});
        self.server.post("/api/v1/events").by(&self.acme).json(body).send().await.expect(202);
    }

    async fn stats(&self, query: &str) -> Value {
        let path = format!("{}/stats{query}", one(&self.id));
        self.server.get(&path).by(&self.acme).send().await.expect(200).json
    }
}

#[tokio::test]
async fn nothing_yet() {
    let scene = Scene::new().await;
    let expected = json!({"subscription_id": scene.id, "window": "24h", "since": "2026-05-27T20:26:40.000Z",
        "attempts": {"total": 0, "succeeded": 0, "failed": 0, "unknown": 0}, "success_rate": null,
        "latency_ms": null, "sampled": false, "queued": 0, "more_queued": false});
    assert_eq!(scene.stats("").await, expected);
}

#[tokio::test]
async fn attempts_are_counted_by_outcome_within_the_window() {
    let scene = Scene::new().await;
    let pump = scene.server.pump();
    scene.publish().await;
    pump.run_until_idle().await.expect("the store works");
    scene.server.advance(Duration::from_hours(2));
    for status in [200, 500, 200] {
        scene.receiver.answer(status);
        scene.publish().await;
        pump.run_until_idle().await.expect("the store works");
    }
    let hour = scene.stats("?window=1h").await;
    assert_eq!(hour["attempts"], json!({"total": 3, "succeeded": 2, "failed": 1, "unknown": 0}));
    assert_eq!((&hour["window"], &hour["queued"]), (&json!("1h"), &json!(1)), "one waits for its retry");
    let rate = hour["success_rate"].as_f64().expect("a number");
    assert!((rate - 2.0 / 3.0).abs() < 1e-9, "{rate}");
    assert!(hour["latency_ms"]["p50"].is_u64() && hour["latency_ms"]["p99"].is_u64(), "{hour}");
    for window in ["", "?window=24h", "?window=7d"] {
        assert_eq!(scene.stats(window).await["attempts"]["total"], 4, "{window}");
    }
    scene.server.advance(Duration::from_hours(1));
    assert_eq!(scene.stats("?window=1h").await["attempts"]["total"], 3, "to the millisecond");
    scene.server.advance(Duration::from_millis(1));
    assert_eq!(scene.stats("?window=1h").await["attempts"]["total"], 0);
    pump.run_until_idle().await.expect("the store works");
}

#[tokio::test]
async fn more_than_may_be_counted_is_said_to_be_cut() {
    let scene = Scene::new().await;
    let now = scene.server.app.clock.wall().0;
    // The oldest failed and is the one too many.
    let attempts = |count: u32| {
        format!(
            "DELETE FROM attempts;
            WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
            INSERT INTO attempts (no, id, organization_id, delivery, subscription, event_seq, event_type, attempt_no,
                claim_no, url, is_replay, outcome, status, duration_ms, started_ms, created_ms)
            SELECT n, randomblob(16), 1, 64, 1, 1, 1, 1, 1, 1, 0, CASE WHEN n = 1 THEN 2 ELSE 1 END, 200, n, 0, {now} - 20000 + n FROM n"
        )
    };
    scene.server.run(&attempts(MAX_ATTEMPTS));
    let whole = scene.stats("").await;
    assert_eq!((&whole["attempts"]["total"], &whole["sampled"]), (&json!(MAX_ATTEMPTS), &json!(false)));
    assert_eq!(whole["attempts"]["failed"], 1);
    assert_eq!(whole["latency_ms"], json!({"p50": 5000, "p95": 9500, "p99": 9900}));
    scene.server.run(&attempts(MAX_ATTEMPTS + 1));
    let cut = scene.stats("").await;
    assert_eq!((&cut["attempts"]["total"], &cut["sampled"]), (&json!(MAX_ATTEMPTS), &json!(true)));
    assert_eq!((&cut["attempts"]["failed"], &cut["since"]), (&json!(0), &json!("2026-05-28T20:26:20.002Z")));

    let queue = |count: u32| {
        format!(
            "DELETE FROM queue;
            WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
            INSERT INTO queue (no, organization_id, subscription, event_seq, event_type, class, request_id, due_ms,
                created_ms) SELECT n, 1, 1, 1, 1, 1, randomblob(16), {now} * 2, 0 FROM n"
        )
    };
    for (count, queued, more) in [(MAX_QUEUED, MAX_QUEUED, false), (MAX_QUEUED + 1, MAX_QUEUED, true)] {
        scene.server.run(&queue(count));
        let stats = scene.stats("").await;
        assert_eq!((&stats["queued"], &stats["more_queued"]), (&json!(queued), &json!(more)));
    }
    // Rows of deliveries that never were: the look at the end is to find nothing but what the store wrote.
    scene.server.run("DELETE FROM attempts; DELETE FROM queue");
}

#[tokio::test]
async fn whoever_may_see_the_subscription_may_see_how_it_does() {
    let scene = Scene::new().await;
    let (sales, globex) = (scene.acme.identity("sales").await, scene.server.organization("globex").await);
    let path = format!("{}/stats", one(&scene.id));
    scene.server.get(&path).by_agent(&scene.help).send().await.expect(200);
    let nothing = format!("{}/stats", one(NOTHING));
    let never = scene.server.get(&nothing).by(&scene.acme).send().await.expect(404).json;
    for key in [&sales.key, &globex.key] {
        assert_eq!(scene.server.get(&path).key(key).send().await.expect(404).json, never);
    }
    for wrong in ["?window=2h", "?window=", "?windows=1h"] {
        let refused = scene.server.get(&format!("{path}{wrong}")).by(&scene.acme).send().await;
        assert_eq!(refused.json["errors"][0]["loc"][0], "query", "{wrong}");
        assert!(refused.refused(422).contains("window"), "{wrong}");
    }
    scene.server.delete(&one(&scene.id)).by(&scene.acme).send().await.expect(204);
    assert_eq!(scene.server.get(&path).by(&scene.acme).send().await.expect(404).json, never);
}

//! Health tells the truth: `/readyz` and `/metrics`.

use std::time::Duration;

use inkhook_server::domain::metrics::Refusal;
use inkhook_server::domain::retry::{JITTER, RetrySchedule};
use inkhook_server::store::faults::{Fault, Faults, Point};
use inkhook_server::store::keeper::DiskLimit;
use serde_json::json;

use crate::support::books::needs_a_file;
use crate::support::{Identity, Organization, Reply, Setup, TestServer, any_disk};

async fn publish(server: &TestServer, organization: &Organization, identity: &Identity) -> Reply {
    let data = json!({"message": {
        "from_address": "ana@client.test", "to_addresses": [identity.address], "subject": "hi",
        "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"
    }});
    let body = json!({"event_type": "message.received", "mailbox_id": identity.mailbox, "data": data});
    server.post("/api/v1/events").by(organization).json(body).send().await
}

async fn subscribe(server: &TestServer, organization: &Organization, identity: &Identity) -> String {
    let url = format!("http://127.0.0.1:9/{}", identity.handle);
    let body = json!({"mailbox_id": identity.mailbox, "url": url, "event_types": ["message.received"]});
    let made = server.post("/api/v1/webhooks/subscriptions").by(organization).json(body).send().await;
    made.expect(201).text("id")
}

async fn ready(server: &TestServer) -> Reply {
    server.get("/readyz").send().await
}

#[tokio::test]
async fn a_loop_that_does_not_turn_makes_a_node_unready_and_its_next_turn_ready() {
    let server = TestServer::new();
    let pump = server.pump();
    pump.turn().await.expect("the store works");
    server.advance(Duration::from_secs(10));
    ready(&server).await.expect(200);
    server.advance(Duration::from_millis(1));
    let reply = ready(&server).await;
    assert_eq!(reply.json["status"], "unready");
    assert_eq!(reply.json["reasons"], json!(["the engine's loop has not turned for 10 s"]));
    reply.refused(503);
    pump.turn().await.expect("the store works");
    assert_eq!(ready(&server).await.expect(200).json, json!({"status": "ok"}));
}

#[tokio::test]
async fn a_store_that_cannot_commit_makes_a_node_unready() {
    let faults = Faults::scripted();
    let server = TestServer::with(Setup { faults: faults.clone(), ..Setup::default() });
    faults.push(Point::Commit, Fault::Full);
    let reply = ready(&server).await;
    assert_eq!(reply.json["reasons"], json!(["the disk is full"]));
    reply.refused(503);
    server.eventually("the disk's room", async || (ready(&server).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn what_only_we_hold_up_is_degraded_and_what_its_own_receiver_holds_up_is_not() {
    let mut server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let subscription = subscribe(&server, &acme, &help).await;
    publish(&server, &acme, &help).await.expect(202);
    let oldest = async || server.app.store.oldest_due(server.app.clock.schedule()).await.unwrap();
    let turn = || server.app.store.metrics().turn(server.app.clock.schedule());
    assert_eq!(oldest().await, Some(Duration::ZERO));
    server.advance(Duration::from_mins(1));
    turn();
    assert_eq!(ready(&server).await.expect(200).json, json!({"status": "ok"}), "at the bound");
    server.advance(Duration::from_millis(1));
    let json = ready(&server).await.expect(200).json;
    assert_eq!(json["status"], "degraded");
    assert!(json["reasons"][0].as_str().unwrap().ends_with("has been due for 60 s"), "{json}");

    // An attempt under way, and more behind it: its own bound holds the rest back.
    publish(&server, &acme, &help).await.expect(202);
    let request = inkhook_server::store::claim::ClaimRequest {
        now: server.app.clock.schedule(),
        slots: crate::support::store::slots_within(1, 1),
        timeout: Duration::from_mins(5),
    };
    assert_eq!(server.app.store.claim_due(request).await.unwrap().claimed.len(), 1);
    server.advance(Duration::from_mins(2));
    turn();
    assert_eq!(oldest().await, None);
    assert_eq!(ready(&server).await.expect(200).json, json!({"status": "ok"}));
    // Its lease ends, and nothing holds it back any more.
    server.advance(Duration::from_mins(4));
    turn();
    assert_eq!(ready(&server).await.expect(200).json["status"], "degraded");

    // A pause holds it back, and so does the rate at which it goes out afterwards.
    let scope = acme.scope();
    let id = subscription.parse().expect("an id");
    server.app.store.pause_subscription(scope, id).await.unwrap();
    assert_eq!(oldest().await, None);
    server.app.store.resume_subscription(scope, id).await.unwrap();
    assert_eq!(oldest().await, None);
    assert_eq!(ready(&server).await.expect(200).json, json!({"status": "ok"}));

    // When all that waited has gone out, the next claim finds that it is like any other.
    server.advance(Duration::from_millis(1));
    let pump = server.pump();
    pump.run_until_idle().await.expect("the store works");
    publish(&server, &acme, &help).await.expect(202);
    pump.run_until_idle().await.expect("the store works");
    drop(pump);
    publish(&server, &acme, &help).await.expect(202);
    server.advance(Duration::from_mins(2));
    assert_eq!(oldest().await, Some(Duration::from_mins(2)));
    server.leave_queued();
}

#[tokio::test]
async fn an_almost_full_disk_refuses_publishes_and_nothing_else() {
    if !needs_a_file("a watch on its disk") {
        return;
    }
    // No disk has this much free.
    let disk = DiskLimit { free_percent: 0, free_bytes: u64::MAX };
    let limits = inkhook_server::store::StoreLimits { disk, ..any_disk() };
    let server = TestServer::with(Setup { limits, ..Setup::default() });
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let reply = publish(&server, &acme, &help).await;
    assert_eq!(reply.header("retry-after"), Some("10"));
    let detail = reply.refused(503);
    assert!(detail.contains("almost full"), "{detail}");
    subscribe(&server, &acme, &help).await;
    server.get("/api/v1/events").by(&acme).send().await.expect(200);
    let json = ready(&server).await.expect(200).json;
    assert_eq!(json["status"], "degraded");
    assert_eq!(server.app.store.metrics().refusals(Refusal::LowDisk), 1);
}

#[tokio::test]
async fn metrics_are_for_operators_and_name_nobody() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    subscribe(&server, &acme, &help).await;
    publish(&server, &acme, &help).await.expect(202);
    server.pump().run_until_idle().await.expect("the store works");
    server.get("/metrics").send().await.refused(401);
    server.get("/metrics").by(&acme).send().await.refused(403);
    server.get("/metrics").by_agent(&help).send().await.refused(403);
    let operator = server.operator_key().await;
    let reply = server.get("/metrics").key(&operator).send().await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = reply.body_text();
    for expected in [
        "inkhook_events_accepted_total 1\n",
        "inkhook_attempts_total{outcome=\"failed\"} 1\n",
        "inkhook_retries_total 1\n",
        "inkhook_deliveries_queued 1\n",
        "inkhook_queue_head_repairs_total 0\n",
        "inkhook_oldest_due_seconds 0\n",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    for secret in ["acme", "help", "127.0.0.1", &acme.key, &operator, &acme.id.to_string()] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    // Each at its time: five days of failures pause it, and then nothing ends.
    let schedule = RetrySchedule::default();
    for wait in (1..).map_while(|failures| schedule.wait_after(failures, 1.0 + JITTER)) {
        server.advance(wait);
        server.pump().run_until_idle().await.expect("the store works");
    }
    let text = server.get("/metrics").key(&operator).send().await.body_text();
    assert!(text.contains("inkhook_deliveries_ended_total{state=\"exhausted\"} 1\n"), "{text}");
    assert!(text.contains("inkhook_deliveries_queued 0\n"), "{text}");
}

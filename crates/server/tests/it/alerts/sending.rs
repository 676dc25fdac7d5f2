use std::time::Duration;

use inkhook_server::domain::number::OrganizationNo;
use inkhook_server::engine::alerts::{FIRST_REST, TIMEOUT};
use inkhook_server::store::claim::LEASE_SKEW;
use serde_json::{Value, json};

use super::Scene;
use crate::support::{Answer, Receiver};

const SENT: i64 = 2;
const DROPPED: i64 = 3;
/// More than the longest wait with its jitter.
const LONG: Duration = Duration::from_hours(15);

#[tokio::test]
async fn an_exhausted_delivery_is_told_signed_in_the_shape_of_an_event() {
    let (scene, key) = Scene::told().await;
    let subscription = scene.subscribe(&scene.acme, &scene.help, "/in").await;
    let event = scene.fail_once().await;
    scene.turn().await;
    let received = scene.ops.received();
    assert_eq!(received.len(), 1);
    received[0].verify(&key);
    assert_eq!(received[0].path, "/ops");
    assert_eq!(received[0].header("inkhook-attempt"), Some("1"));
    assert_eq!(received[0].header("content-type"), Some("application/json"));
    assert_eq!(received[0].header("inkhook-possible-duplicate"), None);
    let told = received[0].json();
    assert_eq!(received[0].header("webhook-id"), told["id"].as_str());
    let request_id = scene.receiver.received()[0].header("x-inkbox-request-id").map(ToOwned::to_owned);
    let expected = json!({"id": told["id"], "event_type": "delivery.exhausted",
        "timestamp": "2026-05-28T20:26:40.000Z", "data": {
            "organization_id": scene.acme.id, "subscription_id": subscription["id"],
            "url": scene.receiver.url("/in"), "count": 1, "event_id": event,
            "event_type": "message.received", "request_id": request_id, "reason": "out_of_attempts",
            "attempts": 1, "consecutive_failures": null, "response_status": 500, "error_detail": null}});
    assert_eq!(told, expected);
    assert!(told["id"].as_str().expect("an id").starts_with("evt_"));
    assert_eq!(scene.column("state"), [SENT]);
    let log = scene.server.get("/api/v1/webhooks/deliveries").by(&scene.acme).send().await.expect(200);
    assert_eq!(log.json["deliveries"].as_array().expect("a list").len(), 1, "it is no delivery");
}

#[tokio::test]
async fn what_was_told_and_will_be_can_be_read_by_those_who_manage_the_organisation() {
    let (scene, _) = Scene::told().await;
    let subscription = scene.subscribe(&scene.acme, &scene.help, "/in").await;
    let first = scene.fail_once().await;
    scene.turn().await;
    let second = scene.fail_once().await;
    let path = "/api/v1/organization/alerts";
    let listed = scene.server.get(path).by(&scene.acme).send().await.expect(200).json;
    let alerts = listed["alerts"].as_array().expect("a list");
    assert_eq!(alerts.len(), 2);
    for (alert, event, state) in [(&alerts[0], second, "waiting"), (&alerts[1], first, "sent")] {
        assert_eq!(alert["detail"]["event_id"], event, "the newest first");
        assert_eq!((&alert["state"], &alert["count"]), (&json!(state), &json!(1)));
        assert_eq!(
            (&alert["event_type"], &alert["url"]),
            (&json!("delivery.exhausted"), &subscription["url"])
        );
        assert_eq!(alert["subscription_id"], subscription["id"]);
    }
    assert_eq!((&alerts[0]["ended_at"], &alerts[0]["attempts"]), (&Value::Null, &json!(0)));
    assert_eq!(alerts[1]["id"], scene.ops.received()[0].json()["id"]);
    let newest = scene.server.get(&format!("{path}?limit=1")).by(&scene.acme).send().await.expect(200).json;
    assert_eq!(newest["alerts"].as_array().expect("a list"), &alerts[..1]);
    let globex = scene.server.organization("globex").await;
    assert_eq!(scene.server.get(path).by(&globex).send().await.expect(200).json, json!({"alerts": []}));
    scene.server.get(path).by_agent(&scene.help).send().await.refused(403);
}

#[tokio::test]
async fn a_node_that_does_not_know_whether_its_clock_is_right_tells_nothing() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    scene.server.app.store.claim_nothing();
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 0);
}

#[tokio::test]
async fn nothing_is_written_for_an_organisation_that_does_not_want_it() {
    let scene = Scene::new().await;
    let globex = scene.server.organization("globex").await;
    scene.tell(&globex, json!(scene.ops.url("/theirs"))).await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    assert_eq!(scene.column("no").len(), 0);
    scene.tell(&scene.acme, json!(scene.ops.url("/ops"))).await;
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 0, "nor for what was before");
}

#[tokio::test]
async fn gone_is_told_and_what_succeeds_or_was_made_by_hand_is_not() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail(&scene.acme, &scene.help, 0).await;
    assert_eq!(scene.column("no").len(), 0, "answered 200");
    let log = scene.server.get("/api/v1/webhooks/deliveries").by(&scene.acme).send().await.expect(200);
    let attempt = log.json["deliveries"][0]["id"].as_str().expect("an id").to_owned();
    scene.receiver.answer(500);
    let path = format!("/api/v1/webhooks/deliveries/{attempt}/replay");
    let replay = scene.server.post(&path).by(&scene.acme);
    let replay = tokio::spawn(replay.send());
    let queued = async || (scene.server.app.store.queued_total().await.unwrap() == 1).then_some(());
    scene.server.eventually("the replay is queued", queued).await;
    scene.pump.run_until_idle().await.expect("the store works");
    replay.await.expect("no panic").expect(201);
    assert_eq!(scene.column("no").len(), 0, "whoever asked for it was told");
    scene.receiver.answer(410);
    scene.fail(&scene.acme, &scene.help, 0).await;
    scene.turn().await;
    assert_eq!(scene.ops.received()[0].json()["data"]["reason"], "gone");
}

#[tokio::test]
async fn it_is_retried_by_the_schedule_with_the_same_bytes_and_dropped_at_its_end() {
    let (scene, key) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    (0..20).for_each(|_| scene.ops.answer(500));
    for _ in 0..15 {
        scene.turn().await;
        scene.server.advance(LONG);
    }
    let received = scene.ops.received();
    assert_eq!(received.len(), 11);
    assert_eq!(scene.column("state"), [DROPPED], "and there is nothing about itself");
    for (n, request) in received.iter().enumerate() {
        request.verify(&key);
        assert_eq!(request.body, received[0].body);
        assert_eq!(request.header("x-inkbox-request-id"), received[0].header("x-inkbox-request-id"));
        assert_eq!(request.header("inkhook-attempt"), Some(&*(n + 1).to_string()));
    }
    assert_ne!(received[0].header("x-inkbox-timestamp"), received[1].header("x-inkbox-timestamp"));
}

#[tokio::test]
async fn gone_drops_it_and_retry_after_is_obeyed() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    let headers = vec![("retry-after", "60".into())];
    scene.ops.answer(Answer { status: 429, headers, body: Vec::new() });
    scene.turn().await;
    scene.server.advance(Duration::from_secs(59));
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 1);
    scene.ops.answer(410);
    scene.server.advance(Duration::from_secs(2));
    scene.turn().await;
    assert_eq!((scene.ops.received().len(), scene.column("state")), (2, vec![DROPPED]));
}

#[tokio::test]
async fn a_retry_goes_to_where_the_organisation_hears_now_or_nowhere() {
    let (scene, key) = Scene::told().await;
    let elsewhere = Receiver::start().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    scene.ops.answer(500);
    scene.turn().await;
    assert_eq!(scene.tell(&scene.acme, json!(elsewhere.url("/"))).await, Value::Null);
    elsewhere.answer(500);
    scene.server.advance(Duration::from_secs(7));
    scene.turn().await;
    elsewhere.received()[0].verify(&key);
    assert_eq!(elsewhere.received()[0].body, scene.ops.received()[0].body);
    scene.tell(&scene.acme, Value::Null).await;
    scene.server.advance(LONG);
    scene.turn().await;
    assert_eq!(scene.column("state"), [DROPPED]);
    scene.tell(&scene.acme, json!(elsewhere.url("/"))).await;
    scene.turn().await;
    assert_eq!((elsewhere.received().len(), scene.ops.received().len()), (1, 1), "it does not come back");
}

#[tokio::test]
async fn one_that_was_prepared_before_a_change_does_not_pass_the_gate() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    let server = &scene.server;
    let claim = async || {
        server.advance(TIMEOUT + LEASE_SKEW);
        let now = server.app.clock.schedule();
        let claims = server.app.store.claim_alerts(now, vec![scene.acme.no], TIMEOUT).await;
        claims.expect("the store works").claimed.remove(0)
    };
    let passes =
        |generation| server.generations.write_alert_if_unchanged(scene.acme.no, generation, &mut || {});
    let first = claim().await;
    assert!(passes(first.generation));
    scene.tell(&scene.acme, json!(scene.ops.url("/other"))).await;
    assert!(!passes(first.generation), "another URL");
    let second = claim().await;
    assert!(passes(second.generation) && second.url.ends_with("/other"));
    server.post("/api/v1/signing-keys").by(&scene.acme).json(json!({})).send().await.expect(201);
    assert!(!passes(second.generation), "another key");
    let third = claim().await;
    assert!(passes(third.generation));
    scene.tell(&scene.acme, Value::Null).await;
    assert!(!passes(third.generation), "none");
    scene.tell(&scene.acme, json!(scene.ops.url("/"))).await;
    let fourth = claim().await;
    assert!(passes(fourth.generation));
    assert!(server.app.store.delete_organization(scene.acme.id).await.expect("the store works"));
    assert!(!passes(fourth.generation), "no organisation");
    assert_eq!(scene.column("no").len(), 0);
    assert_eq!(scene.ops.received().len(), 0);
}

#[tokio::test]
async fn one_that_is_lost_under_way_is_sent_again_and_says_so() {
    let (scene, key) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    let store = &scene.server.app.store;
    let now = scene.server.app.clock.schedule();
    let lost = store.claim_alerts(now, vec![scene.acme.no], TIMEOUT).await.expect("the store works");
    scene.turn().await;
    scene.server.advance((TIMEOUT + LEASE_SKEW).saturating_sub(Duration::from_millis(1)));
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 0, "it is leased");
    scene.server.advance(Duration::from_millis(1));
    scene.turn().await;
    let received = scene.ops.received();
    assert_eq!(received.len(), 1);
    received[0].verify(&key);
    assert_eq!(received[0].header("inkhook-attempt"), Some("2"));
    assert_eq!(received[0].header("inkhook-possible-duplicate"), Some("true"));
    assert_eq!(received[0].body, lost.claimed[0].payload);
}

#[tokio::test]
async fn a_url_that_hangs_or_fails_holds_nobody_else_back() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.subscribe(&scene.acme, &scene.help, "/in2").await;
    let globex = scene.server.organization("globex").await;
    let other = globex.identity("other").await;
    scene.subscribe(&globex, &other, "/theirs").await;
    let theirs = Receiver::start().await;
    scene.tell(&globex, json!(theirs.url("/"))).await;
    scene.ops.hold();
    scene.fail(&scene.acme, &scene.help, 2).await;
    assert_eq!(scene.alerts.turn().await.expect("the store works").started, 1, "one of two");
    scene.ops.arrived(1).await;
    scene.fail(&globex, &other, 1).await;
    assert_eq!(scene.alerts.turn().await.expect("the store works").started, 1);
    theirs.arrived(1).await;
    assert_eq!(scene.ops.received().len(), 1, "one at a time");
    scene.ops.answer(500);
    scene.ops.release();
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 1, "after a failure it rests, whatever waits");
    scene.ops.answer(500);
    scene.server.advance(FIRST_REST);
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 2);
    scene.server.advance(FIRST_REST);
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 2, "twice as long after the second");
    scene.server.advance(FIRST_REST);
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 4, "a success ends the rest");
}

#[tokio::test]
async fn a_key_that_does_not_open_sends_nothing() {
    let (scene, _) = Scene::told().await;
    scene.subscribe(&scene.acme, &scene.help, "/in").await;
    scene.fail_once().await;
    scene.server.run("UPDATE organizations SET signing_key = NULL");
    let now = scene.server.app.clock.schedule();
    let claims = scene.server.app.store.claim_alerts(now, vec![scene.acme.no, OrganizationNo(99)], TIMEOUT);
    let claims = claims.await.expect("the store works");
    assert_eq!((claims.claimed.len(), claims.unreadable), (0, vec![scene.acme.no]));
    scene.turn().await;
    assert_eq!(scene.ops.received().len(), 0);
    assert_eq!(scene.column("attempts"), [0]);
}

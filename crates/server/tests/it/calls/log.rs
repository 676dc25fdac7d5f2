//! What was asked is in the log of attempts, and is not asked again by it.

use std::time::Duration;

use inkhook_server::store::faults::{Fault, Faults, Point};
use serde_json::{Value, json};

use super::{LOG, REMOTE, Scene, no, said, yes};
use crate::support::{PATIENCE, Receiver, Setup};

const DAY: Duration = Duration::from_hours(24);

async fn listed(scene: &Scene, query: &str) -> Vec<Value> {
    let reply = scene.server.get(&format!("{LOG}?{query}")).by(&scene.acme).send().await.expect(200);
    reply.json["deliveries"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_line_for_each_who_was_asked_byte_for_byte() {
    let scene = Scene::new().await;
    scene.ask_both(json!({})).await;
    scene.first.answer(said(500, "busy"));
    scene.second.answer(yes());
    let decision = scene.put().await;
    let log = scene.log(2).await;
    let (second, first) = (&log[0], &log[1]);
    for (line, receiver, attempt) in [(first, &scene.first, 1), (second, &scene.second, 2)] {
        let asked = &receiver.received()[0];
        assert_eq!(line["event_type"], "phone.incoming_call");
        assert_eq!(line["event_id"], decision["call_id"]);
        assert_eq!(line["phone_number_id"], scene.number_id());
        assert_eq!(line["webhook_subscription_id"], Value::Null);
        assert_eq!(line["organization_id"], scene.acme.id.to_string());
        assert_eq!(line["url"], receiver.url("/calls"));
        assert_eq!(line["request_payload"].as_str().expect("text").as_bytes(), &asked.body[..]);
        assert_eq!(
            (&line["attempt"], &line["is_replay"], &line["is_test"]),
            (&json!(attempt), &json!(false), &json!(false))
        );
        assert_eq!(
            (&line["replayable"], &line["replay_unavailable_reason"]),
            (&json!(false), &json!("incoming_call"))
        );
        assert!(line["duration_ms"].is_u64());
    }
    assert_eq!((&first["response_status"], &first["response_body"]), (&json!(500), &json!("busy")));
    assert_eq!((&second["response_status"], &second["error_detail"]), (&json!(200), &Value::Null));
    let path = format!("{LOG}/{}/replay", first["id"].as_str().expect("an id"));
    let refused = scene.server.post(&path).by(&scene.acme).send().await;
    assert!(refused.invalid(&["path", "delivery_id"], "invalid").contains("replayed"));
    assert_eq!(scene.first.received().len(), 1);
    // Nobody else learns of it.
    let globex = scene.server.organization("globex").await;
    scene.server.post(&path).by(&globex).send().await.refused(404);
    let sales = scene.acme.identity("sales").await;
    scene.server.post(&path).by_agent(&sales).send().await.refused(404);
}

#[tokio::test]
async fn every_filter_finds_them() {
    let scene = Scene::asking().await;
    let hook = Receiver::start().await;
    let body =
        json!({"mailbox_id": scene.help.mailbox, "url": hook.url("/"), "event_types": ["message.received"]});
    let made = scene.server.post("/api/v1/webhooks/subscriptions").by(&scene.acme).json(body).send().await;
    let subscription = made.expect(201).text("id");
    let event = json!({"event_type": "message.received", "mailbox_id": scene.help.mailbox, "data": {"message": {
        "from_address": "ana@client.test", "to_addresses": ["help@mail.test"], "subject": "Hi",
        "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"}}});
    scene.server.post("/api/v1/events").by(&scene.acme).json(event).send().await.expect(202);
    scene.server.pump().run_until_idle().await.expect("the store works");
    scene.first.answer(no());
    scene.first.answer(500);
    scene.put().await;
    scene.log(2).await;
    scene.put().await;
    let log = scene.log(3).await;
    let ids = |lines: &[Value]| lines.iter().map(|line| line["id"].clone()).collect::<Vec<_>>();
    let (failed, good, mail) = (log[0]["id"].clone(), log[1]["id"].clone(), log[2]["id"].clone());
    let number = scene.number_id();
    for (query, expected) in [
        (format!("phone_number_id={number}"), vec![&failed, &good]),
        ("event_type=phone.incoming_call".into(), vec![&failed, &good]),
        ("success=true".into(), vec![&good, &mail]),
        ("success=false".into(), vec![&failed]),
        (format!("phone_number_id={number}&success=true"), vec![&good]),
        (format!("phone_number_id={number}&limit=1&offset=1"), vec![&good]),
        (format!("phone_number_id={number}&event_type=message.received"), vec![]),
        (format!("subscription_id={subscription}"), vec![&mail]),
        (format!("subscription_id={subscription}&phone_number_id={number}"), vec![]),
        (format!("before={}", failed.as_str().expect("an id")), vec![&good, &mail]),
        (format!("before={}", good.as_str().expect("an id")), vec![&mail]),
    ] {
        let expected: Vec<Value> = expected.into_iter().cloned().collect();
        assert_eq!(ids(&listed(&scene, &query).await), expected, "{query}");
    }
    // An agent sees its own.
    let own = scene.server.get(LOG).by_agent(&scene.help).send().await.expect(200);
    assert_eq!(own.json["deliveries"].as_array().map(Vec::len), Some(3));
    let sales = scene.acme.identity("sales").await;
    for query in [
        String::new(),
        format!("phone_number_id={number}"),
        format!("before={}", failed.as_str().expect("an id")),
    ] {
        let none = scene.server.get(&format!("{LOG}?{query}")).by_agent(&sales).send().await.expect(200);
        assert_eq!(none.json["deliveries"], json!([]), "{query}");
    }
}

#[tokio::test]
async fn it_outlives_the_number_and_goes_with_its_time() {
    let scene = Scene::new().await;
    scene.ask_both(json!({})).await;
    scene.first.answer(500);
    scene.second.answer(no());
    scene.put().await;
    scene.log(2).await;
    scene.server.delete(&scene.number_path()).by(&scene.acme).send().await.expect(204);
    let log = scene.log(2).await;
    assert_eq!(log[0]["phone_number_id"], scene.number_id());
    scene.put_as(json!({"remote_phone_number": REMOTE})).await.refused(404);
    // Not before its time.
    let (store, clock) = (&scene.server.app.store, &scene.server.app.clock);
    let organization = scene.acme.no;
    store.expire_attempts_chunk(organization, clock.wall().before(DAY)).await.expect("the store works");
    assert_eq!(scene.log(2).await, log);
    scene.server.advance(DAY);
    store.expire_attempts_chunk(organization, clock.wall().before(DAY)).await.expect("the store works");
    scene.log(0).await;
    assert_eq!(scene.server.query::<i64>("SELECT count(*) FROM calls"), [0]);
}

/// The decision waits neither for the writer nor for a disk; an orderly stop waits for the log.
#[tokio::test]
async fn a_decision_does_not_wait_for_the_writer_and_its_line_is_not_lost() {
    let faults = Faults::scripted();
    let scene = Scene::with(Setup { faults: faults.clone(), ..Setup::default() }).await;
    scene.ask_first(json!({})).await;
    scene.first.answer(yes());
    faults.hold();
    // Something that the writer has to do first.
    let (decision, written) = tokio::join!(
        async {
            let decision = tokio::time::timeout(PATIENCE, scene.put()).await.expect("it is decided");
            assert_eq!(listed(&scene, "").await, Vec::<Value>::new(), "not in the log yet");
            faults.resume();
            decision
        },
        scene.server.app.store.probe()
    );
    written.expect("the store works");
    scene.server.app.calls.finish().await;
    let log = listed(&scene, "").await;
    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["event_id"], decision["call_id"]);
}

/// What cannot be written is kept, and written without what the receiver had to say if that is the reason.
#[tokio::test]
async fn a_store_that_cannot_write_just_now_gets_the_line_later() {
    let faults = Faults::scripted();
    let scene = Scene::with(Setup { faults: faults.clone(), ..Setup::default() }).await;
    scene.ask_first(json!({})).await;
    scene.first.answer(yes());
    faults.push(Point::Settle, Fault::Conflict);
    scene.put().await;
    let log = scene.log(1).await;
    assert!(faults.is_spent());
    assert_eq!(log[0]["response_status"], 200);
}

/// A commit whose end nobody knows is run again: the line is there once all the same.
#[tokio::test]
async fn a_line_is_written_once_however_often_it_is_tried() {
    let faults = Faults::scripted();
    let scene = Scene::with(Setup { faults: faults.clone(), ..Setup::default() }).await;
    scene.ask_both(json!({})).await;
    scene.first.answer(500);
    scene.second.answer(yes());
    faults.push(Point::AfterCommit, Fault::Unknown);
    scene.put().await;
    scene.server.app.calls.finish().await;
    assert!(faults.is_spent());
    scene.log(2).await;
    assert_eq!(scene.server.query::<i64>("SELECT count(*) FROM calls"), [1]);
}

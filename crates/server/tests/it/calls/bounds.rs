//! As many calls at the same time as there may be.

use inkhook_server::domain::call::Bounds;
use inkhook_server::store::faults::Faults;
use serde_json::json;

use super::{REMOTE, Scene, assert_decided, no};
use crate::support::{Receiver, Setup};

#[tokio::test]
async fn one_past_the_bound_is_refused_at_once_and_asks_nobody() {
    let call_bounds = Bounds { total: 3, organization_percent: 67, ..Bounds::default() };
    let scene = Scene::with(Setup { call_bounds, ..Setup::default() }).await;
    scene.ask_first(json!({})).await;
    let globex = scene.server.organization("globex").await;
    let theirs = globex.identity_with_number("theirs").await;
    let receiver = Receiver::start().await;
    let number = format!("/api/v1/phone/numbers/{}", theirs.phone_number.expect("one").0);
    let rule = json!({"incoming_call_action": "webhook", "incoming_call_webhook_url": receiver.url("/")});
    scene.server.patch(&number).by(&globex).json(rule).send().await.expect(200);
    let theirs = || {
        let call = json!({"remote_phone_number": REMOTE});
        scene.server.post(&format!("{number}/incoming-calls")).by(&globex).json(call).send()
    };
    scene.first.hold();
    receiver.hold();
    for _ in 0..2 {
        scene.first.answer(no());
    }
    let refusals = async {
        scene.first.arrived(2).await;
        let own = scene.put_as(json!({"remote_phone_number": REMOTE})).await;
        assert_eq!(own.header("retry-after"), Some("1"));
        own.refused(429);
        let all = async {
            receiver.arrived(1).await;
            assert_eq!(scene.server.app.calls.under_way(), 3);
            let full = theirs().await;
            assert_eq!(full.header("retry-after"), Some("1"));
            full.refused(503);
            // What a rule decides needs no place.
            scene.set(json!({"incoming_call_action": "auto_reject"})).await;
            assert_decided(&scene.put().await, ("reject", None, "auto_reject", None));
            receiver.release();
            scene.first.release();
        };
        tokio::join!(theirs(), all).0
    };
    let (one, two, last) = tokio::join!(scene.put(), scene.put(), refusals);
    assert_decided(&one, ("reject", None, "webhook", None));
    assert_decided(&two, ("reject", None, "webhook", None));
    assert_decided(&last.expect(200).json, ("reject", None, "default_action", Some("invalid_body")));
    assert_eq!((scene.first.received().len(), receiver.received().len()), (2, 1));
    assert_eq!(scene.server.app.calls.under_way(), 0);
    scene.log(2).await;
    scene.server.app.calls.finish().await;
}

#[tokio::test]
async fn one_past_what_may_wait_for_the_log_is_decided_and_left_out() {
    let faults = Faults::scripted();
    let call_bounds = Bounds { unwritten: 1, ..Bounds::default() };
    let scene = Scene::with(Setup { call_bounds, faults: faults.clone(), ..Setup::default() }).await;
    scene.ask_first(json!({})).await;
    for _ in 0..3 {
        scene.first.answer(no());
    }
    faults.hold();
    let calls = async {
        let first = scene.put().await;
        assert_decided(&scene.put().await, ("reject", None, "webhook", None));
        faults.resume();
        first
    };
    // Something that the writer has to do first.
    let (first, written) = tokio::join!(calls, scene.server.app.store.probe());
    written.expect("the store works");
    assert_eq!(scene.log(1).await[0]["event_id"], first["call_id"]);
    // There is room again.
    scene.put().await;
    scene.log(2).await;
    scene.server.app.calls.finish().await;
}

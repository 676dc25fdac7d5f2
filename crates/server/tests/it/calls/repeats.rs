//! One call is asked about once.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use super::{OTHER, OWN, REMOTE, Scene, assert_decided, no, yes};

/// The last millisecond in which a call is known.
const ALMOST_A_MINUTE: Duration = Duration::from_millis(59_999);

fn call(id: u128) -> serde_json::Value {
    json!({"remote_phone_number": REMOTE, "call_id": Uuid::from_u128(id)})
}

#[tokio::test]
async fn the_same_call_gets_the_same_decision_for_a_minute() {
    let scene = Scene::asking().await;
    scene.first.answer(yes());
    let first = scene.put_as(call(1)).await.expect(200).json;
    assert_eq!(first["call_id"], Uuid::from_u128(1).to_string());
    // Whatever the number says by now.
    scene.set(json!({"incoming_call_action": "auto_reject"})).await;
    scene.server.advance(ALMOST_A_MINUTE);
    assert_eq!(scene.put_as(call(1)).await.expect(200).json, first);
    scene.set(json!({"incoming_call_action": "webhook"})).await;
    scene.server.advance(Duration::from_millis(1));
    scene.first.answer(no());
    assert_decided(&scene.put_as(call(1)).await.expect(200).json, ("reject", None, "webhook", None));
    assert_eq!(scene.first.received().len(), 2, "asked again");
    scene.log(2).await;
}

#[tokio::test]
async fn a_rules_decision_is_remembered_too() {
    let scene = Scene::new().await;
    let first = scene.put_as(call(1)).await.expect(200).json;
    scene.set(json!({"incoming_call_action": "auto_accept", "client_websocket_url": OWN})).await;
    assert_eq!(scene.put_as(call(1)).await.expect(200).json, first);
    assert_decided(&scene.put_as(call(2)).await.expect(200).json, ("answer", Some(OWN), "auto_accept", None));
}

#[tokio::test]
async fn whoever_puts_it_meanwhile_waits_for_the_one_decision() {
    let scene = Scene::asking().await;
    scene.first.hold();
    scene.first.answer(yes());
    let ((one, two, three), ()) = tokio::join!(
        async { tokio::join!(scene.put_as(call(1)), scene.put_as(call(1)), scene.put_as(call(1))) },
        async {
            scene.first.arrived(1).await;
            scene.first.release();
        }
    );
    for reply in [one, two, three] {
        assert_decided(&reply.expect(200).json, ("answer", Some(OTHER), "webhook", None));
    }
    assert_eq!(scene.first.received().len(), 1);
    scene.log(1).await;
}

#[tokio::test]
async fn one_who_hangs_up_leaves_the_decision_to_the_others() {
    let scene = Scene::asking().await;
    scene.first.hold();
    scene.first.answer(yes());
    let given_up = tokio::select! {
        _ = scene.put_as(call(1)) => false,
        _ = scene.first.arrived(1) => true,
    };
    assert!(given_up);
    let (reply, ()) = tokio::join!(scene.put_as(call(1)), async { scene.first.release() });
    assert_decided(&reply.expect(200).json, ("answer", Some(OTHER), "webhook", None));
    assert_eq!(scene.first.received().len(), 1);
    scene.log(1).await;
}

#[tokio::test]
async fn an_id_names_one_call() {
    let scene = Scene::asking().await;
    scene.first.answer(no());
    scene.put_as(call(1)).await.expect(200);
    let other = json!({"remote_phone_number": "+12025550179", "call_id": Uuid::from_u128(1)});
    assert!(scene.put_as(other).await.refused(409).contains("call_id"));
    let sales = scene.acme.identity_with_number("sales").await;
    let path = format!("/api/v1/phone/numbers/{}/incoming-calls", sales.phone_number.expect("one").0);
    scene.server.post(&path).by(&scene.acme).json(call(1)).send().await.refused(409);
    // Another organisation's ids are its own.
    let globex = scene.server.organization("globex").await;
    let theirs = globex.identity_with_number("theirs").await;
    let path = format!("/api/v1/phone/numbers/{}/incoming-calls", theirs.phone_number.expect("one").0);
    let reply = scene.server.post(&path).by(&globex).json(call(1)).send().await.expect(200);
    assert_decided(&reply.json, ("reject", None, "auto_reject", None));
    scene.log(1).await;
}

//! Who decides, when all goes well.

use serde_json::{Value, json};

use super::{OTHER, OWN, REMOTE, Scene, assert_decided, no, said, yes};

#[tokio::test]
async fn the_url_is_asked_signed_and_its_answer_decides() {
    let scene = Scene::asking().await;
    let path = format!("/api/v1/identities/{}/signing-key", scene.help.handle);
    let key = scene.server.post(&path).by(&scene.acme).send().await.text("signing_key");
    scene.first.answer(yes());
    let decision = scene.put().await;
    assert_decided(&decision, ("answer", Some(OTHER), "webhook", None));

    let asked = scene.first.received();
    assert_eq!(asked.len(), 1);
    asked[0].verify(&key);
    assert_eq!(asked[0].path, "/calls");
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    assert_eq!(asked[0].header("inkhook-attempt"), Some("1"));
    assert_eq!(asked[0].header("webhook-id"), decision["call_id"].as_str());
    assert!(asked[0].header("x-inkbox-request-id").is_some_and(|id| id.starts_with("req_")));
    let (_, number) = scene.help.phone_number.as_ref().expect("it has one");
    let expected = json!({
        "id": decision["call_id"], "phone_number_id": scene.number_id(), "local_phone_number": number,
        "remote_phone_number": REMOTE, "direction": "inbound", "status": "initiated",
        "client_websocket_url": null, "use_inkbox_tts": null, "use_inkbox_stt": null, "hangup_reason": null,
        "started_at": null, "ended_at": null, "created_at": "2026-05-28T20:26:40Z",
        "updated_at": "2026-05-28T20:26:40Z", "rate_limit": null, "contacts": [], "agent_identities": [],
    });
    let mut body = asked[0].json();
    for time in ["created_at", "updated_at"] {
        let text = body[time].as_str().expect("a time").replace(".000Z", "Z");
        body[time] = Value::from(text);
    }
    assert_eq!(body, expected);

    scene.first.answer(no());
    assert_decided(&scene.put().await, ("reject", None, "webhook", None));
    scene.log(2).await;
}

#[tokio::test]
async fn an_answer_without_a_websocket_uses_the_numbers_own() {
    let scene = Scene::new().await;
    scene.ask_first(json!({"client_websocket_url": OWN})).await;
    scene.first.answer(said(200, r#"{"action":"answer"}"#));
    assert_decided(&scene.put().await, ("answer", Some(OWN), "webhook", None));
    assert_eq!(scene.first.received()[0].json()["client_websocket_url"], OWN);
    scene.first.answer(said(200, format!(r#"{{"action":"answer","clientWebsocketUrl":"{OTHER}"}}"#)));
    assert_decided(&scene.put().await, ("answer", Some(OTHER), "webhook", None));
    scene.log(2).await;
}

#[tokio::test]
async fn rules_decide_without_asking() {
    let scene = Scene::new().await;
    assert_decided(&scene.put().await, ("reject", None, "auto_reject", None));
    let urls = json!({"incoming_call_action": "auto_accept", "client_websocket_url": OWN,
        "incoming_call_webhook_url": scene.first.url("/calls"),
        "incoming_call_fallback_url": scene.second.url("/calls")});
    scene.set(urls).await;
    assert_decided(&scene.put().await, ("answer", Some(OWN), "auto_accept", None));
    scene.set(json!({"incoming_call_action": "auto_reject"})).await;
    assert_decided(&scene.put().await, ("reject", None, "auto_reject", None));
    for action in ["hosted_agent", "forward"] {
        scene.set(json!({"incoming_call_action": action})).await;
        assert_decided(&scene.put().await, ("reject", None, action, Some("not_supported_here")));
    }
    assert!(scene.first.received().is_empty() && scene.second.received().is_empty());
    scene.log(0).await;
}

#[tokio::test]
async fn a_caller_that_is_an_agent_of_the_organisation_is_named() {
    let scene = Scene::asking().await;
    let sales = scene.acme.identity_with_number("sales").await;
    let globex = scene.server.organization("globex").await;
    let stranger = globex.identity_with_number("stranger").await;
    for (caller, expected) in [
        (&sales, json!([{"id": sales.id, "agent_handle": "sales", "display_name": "sales"}])),
        (&stranger, json!([])),
    ] {
        let remote = &caller.phone_number.as_ref().expect("it has one").1;
        scene.first.answer(no());
        scene.put_as(json!({"remote_phone_number": remote})).await.expect(200);
        let asked = scene.first.received();
        assert_eq!(asked.last().expect("asked").json()["agent_identities"], expected);
    }
    scene.first.answer(no());
    scene.put_as(json!({"remote_phone_number": "anonymous"})).await.expect(200);
    assert_eq!(scene.first.received()[2].json()["remote_phone_number"], "anonymous");
    scene.log(3).await;
}

#[tokio::test]
async fn what_the_number_says_now_counts() {
    let scene = Scene::asking().await;
    scene.first.answer(no());
    scene.put().await;
    scene.set(json!({"incoming_call_webhook_url": scene.second.url("/moved")})).await;
    let path = format!("/api/v1/identities/{}/signing-key", scene.help.handle);
    let key = scene.server.post(&path).by(&scene.acme).send().await.text("signing_key");
    scene.second.answer(no());
    assert_decided(&scene.put().await, ("reject", None, "webhook", None));
    assert_eq!(scene.first.received().len(), 1);
    let asked = scene.second.received();
    assert_eq!(asked[0].path, "/moved");
    asked[0].verify(&key);
    scene.log(2).await;
}

//! Whatever goes wrong, the call is decided in time, and the decision says why.

use std::time::Duration;

use inkhook_egress::Policy;
use inkhook_server::domain::call::DecidedBy;
use serde_json::json;

use super::{OTHER, OWN, Scene, assert_decided, no, said, yes};
use crate::support::{Answer, Setup, time};

/// A clock for how long an answer took; tests that look at it leave room for a busy machine.
struct Watch(std::time::Instant);

impl Watch {
    fn start() -> Self {
        Self(time::now())
    }

    fn gone(&self) -> Duration {
        time::now().duration_since(self.0)
    }
}

fn redirect() -> Answer {
    Answer {
        status: 302,
        headers: vec![("location", "https://elsewhere.client.test/".into())],
        body: Vec::new(),
    }
}

/// Answers that are of no use, with the reason and what the log has to say of it.
fn useless() -> Vec<(Answer, &'static str, Option<&'static str>)> {
    let socket = |url: &str| said(200, format!(r#"{{"action":"answer","client_websocket_url":{url}}}"#));
    let mut long = br#"{"action":"reject","more":""#.to_vec();
    long.resize(20 * 1024, b'x');
    long.extend_from_slice(br#""}"#);
    vec![
        (500.into(), "status", None),
        (said(201, r#"{"action":"answer"}"#), "status", Some("200")),
        (204.into(), "status", Some("200")),
        (redirect(), "redirect", Some("redirects")),
        (200.into(), "invalid_body", Some("JSON")),
        (said(200, "ok"), "invalid_body", Some("JSON")),
        (said(200, "[]"), "invalid_body", Some("JSON")),
        (said(200, b"\xff\xfe".to_vec()), "invalid_body", Some("JSON")),
        (said(200, r#"{"ok":true}"#), "invalid_action", Some("action")),
        (said(200, r#"{"action":"ignore"}"#), "invalid_action", Some("action")),
        (socket("\"ws://a.client.test\""), "invalid_websocket_url", Some("wss://")),
        (socket("7"), "invalid_websocket_url", Some("wss://")),
        (said(200, r#"{"action":"answer"}"#), "no_websocket_url", Some("client_websocket_url")),
        (said(200, long), "too_large", Some("too long")),
    ]
}

#[tokio::test]
async fn an_answer_of_no_use_declines_and_says_why() {
    let scene = Scene::asking().await;
    for (lines, (answer, reason, logged)) in (1..).zip(useless()) {
        let status = answer.status;
        scene.first.answer(answer);
        assert_decided(&scene.put().await, ("reject", None, "default_action", Some(reason)));
        let line = scene.log(lines).await.remove(0);
        assert_eq!(line["response_status"], status, "{line}");
        match logged {
            None => assert!(line["error_detail"].is_null(), "{line}"),
            Some(part) => {
                assert!(line["error_detail"].as_str().is_some_and(|text| text.contains(part)), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn with_a_default_action_they_answer() {
    let scene = Scene::new().await;
    scene.ask_first(json!({"client_websocket_url": OWN, "incoming_call_default_action": "answer"})).await;
    let mut lines = 0;
    for (answer, reason, _) in useless() {
        // With a WebSocket of its own the number can answer what the answer only half says.
        if reason == "no_websocket_url" {
            continue;
        }
        lines += 1;
        scene.first.answer(answer);
        assert_decided(&scene.put().await, ("answer", Some(OWN), "default_action", Some(reason)));
    }
    scene.log(lines).await;
}

#[tokio::test]
async fn one_that_does_not_answer_is_late() {
    let scene = Scene::new().await;
    scene.ask_first(json!({"incoming_call_timeout_ms": 500})).await;
    scene.first.hold();
    let watch = Watch::start();
    assert_decided(&scene.put().await, ("reject", None, "default_action", Some("timeout")));
    let gone = watch.gone();
    assert!(gone >= Duration::from_millis(490) && gone < Duration::from_secs(4), "{gone:?}");
    let line = scene.log(1).await.remove(0);
    assert!(line["response_status"].is_null(), "{line}");
    assert!(line["error_detail"].as_str().is_some_and(|text| text.contains("no answer within")), "{line}");
    scene.first.release();
    let metrics = scene.server.app.store.metrics();
    assert_eq!((metrics.calls(DecidedBy::DefaultAction), metrics.calls(DecidedBy::Webhook)), (1, 0));
}

#[tokio::test]
async fn one_that_cannot_be_reached_is_said_to_be() {
    let scene = Scene::asking().await;
    // Bound and closed again: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    scene.set(json!({"incoming_call_webhook_url": format!("http://{free}/calls")})).await;
    assert_decided(&scene.put().await, ("reject", None, "default_action", Some("unreachable")));
    let line = scene.log(1).await.remove(0);
    assert!(line["error_detail"].as_str().is_some_and(|text| text.contains("refused")), "{line}");
}

#[tokio::test]
async fn inside_addresses_are_not_asked() {
    let scene = Scene::with(Setup { policy: Policy::default(), ..Setup::default() }).await;
    // As from a server that was started with other rules.
    let set = format!(
        "UPDATE phone_numbers SET incoming_call_action = 'webhook', incoming_call_webhook_url = '{}'",
        scene.first.url("/calls")
    );
    scene.server.run(&set);
    let path = format!("/api/v1/identities/{}/signing-key", scene.help.handle);
    scene.server.post(&path).by(&scene.acme).send().await.expect(201);
    assert_decided(&scene.put().await, ("reject", None, "default_action", Some("not_allowed")));
    assert!(scene.first.received().is_empty());
    assert!(scene.log(1).await[0]["error_detail"].is_string());
}

#[tokio::test]
async fn without_a_key_nobody_is_asked() {
    let scene = Scene::asking().await;
    scene.server.run("UPDATE identities SET signing_key = NULL; UPDATE organizations SET signing_key = NULL");
    assert_decided(&scene.put().await, ("reject", None, "default_action", Some("no_signing_key")));
    // One that does not open counts as none.
    scene.server.run("UPDATE organizations SET signing_key = id");
    assert_decided(&scene.put().await, ("reject", None, "default_action", Some("no_signing_key")));
    assert!(scene.first.received().is_empty());
    scene.log(0).await;
}

#[tokio::test]
async fn the_second_is_asked_once_when_the_first_fails() {
    let scene = Scene::new().await;
    scene.ask_both(json!({})).await;
    let mut lines = 0;
    for (answer, reason, _) in useless() {
        scene.first.answer(answer);
        scene.second.answer(yes());
        assert_decided(&scene.put().await, ("answer", Some(OTHER), "fallback", Some(reason)));
        lines += 2;
    }
    let (first, second) = (scene.first.received(), scene.second.received());
    assert_eq!((first.len() * 2, second.len() * 2), (lines, lines));
    assert_eq!(first[0].body, second[0].body, "both are asked the same");
    assert_ne!(first[0].header("x-inkbox-request-id"), second[0].header("x-inkbox-request-id"));
    assert_eq!(second[0].header("inkhook-attempt"), Some("2"));
    assert_eq!(second[0].header("inkhook-possible-duplicate"), None, "the first said so itself");
    scene.log(lines).await;
}

#[tokio::test]
async fn the_second_is_asked_when_the_first_is_late() {
    let scene = Scene::new().await;
    scene.ask_both(json!({})).await;
    scene.first.hold();
    scene.second.answer(no());
    let watch = Watch::start();
    assert_decided(&scene.put().await, ("reject", None, "fallback", Some("timeout")));
    assert!(watch.gone() >= Duration::from_millis(490), "the first had half of the time");
    assert_eq!(scene.second.received()[0].header("inkhook-possible-duplicate"), Some("true"));
    scene.log(2).await;
    scene.first.release();
}

#[tokio::test]
async fn a_good_first_leaves_the_second_alone() {
    let scene = Scene::new().await;
    scene.ask_both(json!({})).await;
    scene.first.answer(no());
    assert_decided(&scene.put().await, ("reject", None, "webhook", None));
    assert!(scene.second.received().is_empty());
    scene.log(1).await;
}

#[tokio::test]
async fn when_both_fail_the_default_action_decides_in_time() {
    let scene = Scene::new().await;
    let mut lines = 0;
    for (default, action, websocket) in [("reject", "reject", None), ("answer", "answer", Some(OWN))] {
        scene.ask_both(json!({"client_websocket_url": OWN, "incoming_call_default_action": default})).await;
        scene.first.answer(500);
        scene.second.answer(said(200, "no"));
        let decision = scene.put().await;
        assert_decided(&decision, (action, websocket, "default_action", Some("invalid_body")));
        scene.first.answer(500);
        scene.second.hold();
        let watch = Watch::start();
        let decision = scene.put().await;
        assert_decided(&decision, (action, websocket, "default_action", Some("timeout")));
        assert!(watch.gone() < Duration::from_secs(5), "{:?}", watch.gone());
        scene.first.hold();
        let watch = Watch::start();
        let decision = scene.put().await;
        assert_decided(&decision, (action, websocket, "default_action", Some("timeout")));
        let gone = watch.gone();
        assert!(gone >= Duration::from_millis(980) && gone < Duration::from_secs(5), "{gone:?}");
        lines += 6;
        scene.log(lines).await;
        scene.first.release();
        scene.second.release();
    }
}

#[tokio::test]
async fn a_stop_at_once_decides_what_is_under_way() {
    let scene = Scene::asking().await;
    scene.first.hold();
    let (decision, ()) = tokio::join!(scene.put(), async {
        scene.first.arrived(1).await;
        scene.server.cut_off.cancel();
    });
    assert_decided(&decision, ("reject", None, "default_action", Some("stopping")));
    scene.server.app.calls.finish().await;
    let line = scene.log(1).await.remove(0);
    assert!(line["error_detail"].as_str().is_some_and(|text| text.contains("unknown")), "{line}");
    scene.first.release();
}

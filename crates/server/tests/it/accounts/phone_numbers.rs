use serde_json::{Value, json};

use crate::support::TestServer;

const NUMBERS: &str = "/api/v1/phone/numbers";

#[tokio::test]
async fn a_free_number_is_found_and_given_once() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    acme.identity("help").await;
    let body = json!({"agent_handle": "@help", "type": "local", "state": "wy"});
    let made = server.post(&format!("{NUMBERS}/")).by(&acme).json(body).send().await.expect(201).json;
    let number = made["number"].as_str().unwrap();
    assert!(number.starts_with("+130755501"), "{number}");
    assert_eq!(made["state"], "WY");
    assert_eq!(made["status"], "active");
    assert_eq!(made["sms_status"], "ready");
    assert_eq!(made["incoming_call_action"], "auto_reject");
    assert_eq!(made["country"], "US");
    let identity = server.get("/api/v1/identities/help").by(&acme).send().await.expect(200).json;
    assert_eq!(identity["phone_number"], made, "a client reads the identity again to find its number");
    let path = format!("{NUMBERS}/{}", made["id"].as_str().unwrap());
    assert_eq!(server.get(&path).by(&acme).send().await.expect(200).json, made);
    assert_eq!(server.get(NUMBERS).by(&acme).send().await.expect(200).json, json!([made]));
    let second = server.post(NUMBERS).by(&acme).json(json!({"agent_handle": "help"})).send().await;
    assert!(second.refused(409).contains("already has"));
}

#[tokio::test]
async fn a_state_has_100_numbers_and_the_101st_is_a_conflict() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    for n in 0..101 {
        acme.identity(&format!("a{n}")).await;
    }
    let make = async |n: usize| {
        // As fast as one key may, and not faster.
        server.advance(std::time::Duration::from_millis(10));
        let body = json!({"agent_handle": format!("a{n}"), "state": "WY"});
        server.post(NUMBERS).by(&acme).json(body).send().await
    };
    let mut given = std::collections::BTreeSet::new();
    for n in 0..100 {
        assert!(given.insert(make(n).await.expect(201).text("number")), "each once");
    }
    make(100).await.refused(409);
}

#[tokio::test]
async fn which_numbers_may_be_asked_for() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    for handle in ["a", "b", "c"] {
        acme.identity(handle).await;
    }
    globex.identity("g").await;
    let make = async |by, handle: &str, number: &str| {
        server.post(NUMBERS).by(by).json(json!({"agent_handle": handle, "number": number})).send().await
    };
    make(&acme, "a", "+14155550123").await.expect(201);
    make(&acme, "b", "+14155550123").await.refused(409);
    make(&globex, "g", "+14155550123").await.refused(409);
    for bad in ["+14155550200", "+4930123456"] {
        let detail = make(&acme, "b", bad).await.invalid(&["body", "number"], "invalid");
        assert!(detail.contains("operator"), "{detail}");
    }
    make(&acme, "b", "555-0100").await.invalid(&["body", "number"], "invalid");
    server.app.store.allow_number(acme.no, "+4930123456".into()).await.unwrap();
    make(&globex, "g", "+4930123456").await.refused(422);
    let german = make(&acme, "b", "+4930123456").await.expect(201).json;
    assert_eq!(german.get("country"), None);
    make(&acme, "nobody", "+14155550124").await.refused(404);
    for (field, value) in [("state", "XX"), ("type", "mobile")] {
        let body = json!({"agent_handle": "c", field: value});
        server.post(NUMBERS).by(&acme).json(body).send().await.invalid(&["body", field], "invalid");
    }
    let toll_free = json!({"agent_handle": "c", "type": "toll_free"});
    let toll_free = server.post(NUMBERS).by(&acme).json(toll_free).send().await.expect(201).json;
    assert_eq!(toll_free["type"], "toll_free");
    assert!(toll_free["number"].as_str().unwrap().starts_with("+18"));
}

#[tokio::test]
async fn a_rule_for_calls_needs_its_url() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity_with_number("help").await;
    let path = format!("{NUMBERS}/{}", help.phone_number.as_ref().unwrap().0);
    let patch = async |body: Value| server.patch(&path).by_agent(&help).json(body).send().await;
    let (socket, hook) = (["body", "client_websocket_url"], ["body", "incoming_call_webhook_url"]);
    patch(json!({"incoming_call_action": "auto_accept"})).await.invalid(&socket, "invalid");
    patch(json!({"incoming_call_action": "webhook"})).await.invalid(&hook, "invalid");
    for bad in ["https://a.example.com", "ws://a.example.com", "wss://", "x"] {
        patch(json!({"client_websocket_url": bad})).await.invalid(&socket, "invalid");
    }
    for bad in ["ftp://a.example.com", "https://10.0.0.1/", "https://u:p@a.example.com/", "x"] {
        let detail = patch(json!({"incoming_call_webhook_url": bad})).await.invalid(&hook, "invalid");
        assert!(!detail.contains("u:p"), "{detail}");
    }
    let long = format!("https://a.example.com/{}", "x".repeat(2048));
    patch(json!({"incoming_call_webhook_url": long})).await.invalid(&hook, "too_long");
    let url = "https://a.example.com/call";
    let set = json!({"incoming_call_action": "webhook", "incoming_call_webhook_url": url});
    let set = patch(set).await.expect(200).json;
    assert_eq!(set["incoming_call_webhook_url"], url);
    let status = server.get("/api/v1/signing-keys").by_agent(&help).send().await.expect(200).json;
    assert_eq!(status["configured"], true, "the question is signed");
    patch(json!({"incoming_call_webhook_url": null})).await.invalid(&hook, "invalid");
    let both = json!({"incoming_call_action": "auto_reject", "incoming_call_webhook_url": null});
    assert_eq!(patch(both).await.expect(200).json["incoming_call_webhook_url"], Value::Null);
    let accept =
        json!({"incoming_call_action": "auto_accept", "client_websocket_url": "wss://a.example.com/s"});
    assert_eq!(patch(accept).await.expect(200).json["incoming_call_action"], "auto_accept");
    assert_eq!(patch(json!({})).await.expect(200).json["client_websocket_url"], "wss://a.example.com/s");
}

#[tokio::test]
async fn what_has_no_function_here_is_kept_and_given_back() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity_with_number("help").await;
    let path = format!("{NUMBERS}/{}", help.phone_number.as_ref().unwrap().0);
    let patch = async |body: Value| server.patch(&path).by(&acme).json(body).send().await;
    let forward = json!({"incoming_call_action": "forward", "forwarding_target_type": "phone",
        "forwarding_phone_number": "+14155550111", "forwarding_sip_uri": null});
    let set = patch(forward).await.expect(200).json;
    assert_eq!(set["forwarding_phone_number"], "+14155550111");
    assert_eq!(set["incoming_call_action"], "forward");
    let cleared = patch(json!({"forwarding_phone_number": null})).await.expect(200).json;
    assert_eq!(cleared["forwarding_phone_number"], Value::Null);
    assert_eq!(cleared["forwarding_target_type"], "phone");
    patch(json!({"forwarding_target_type": "fax"}))
        .await
        .invalid(&["body", "forwarding_target_type"], "invalid");
    patch(json!({"incoming_text_webhook_url": "x"}))
        .await
        .invalid(&["body", "incoming_text_webhook_url"], "unknown_field");
    let mode = json!({"filter_mode": "whitelist"});
    server.patch(&path).by_agent(&help).json(mode.clone()).send().await.refused(403);
    assert_eq!(patch(mode).await.expect(200).json["filter_mode"], "whitelist");
}

#[tokio::test]
async fn deleting_a_number_ends_what_hangs_on_it() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    for by_identity in [false, true] {
        let help = acme.identity_with_number(if by_identity { "a" } else { "b" }).await;
        let (id, _) = help.phone_number.clone().unwrap();
        let body =
            json!({"phone_number_id": id, "url": "https://a.example.com", "event_types": ["text.received"]});
        server.post("/api/v1/webhooks/subscriptions").by(&acme).json(body).send().await.expect(201);
        let body = json!({"mailbox_id": help.mailbox, "url": "https://b.example.com", "event_types": ["message.sent"]});
        let kept =
            server.post("/api/v1/webhooks/subscriptions").by(&acme).json(body).send().await.expect(201);
        let path = if by_identity {
            format!("/api/v1/identities/{}/phone_number", help.handle)
        } else {
            format!("{NUMBERS}/{id}")
        };
        server.delete(&path).by_agent(&help).send().await.refused(403);
        server.delete(&path).by(&acme).send().await.expect(204);
        server.delete(&path).by(&acme).send().await.refused(404);
        server.get(&format!("{NUMBERS}/{id}")).by(&acme).send().await.refused(404);
        let left = server.get("/api/v1/webhooks/subscriptions").by_agent(&help).send().await.json;
        assert_eq!(left["subscriptions"].as_array().unwrap().len(), 1);
        assert_eq!(left["subscriptions"][0]["id"], kept.json["id"]);
    }
}

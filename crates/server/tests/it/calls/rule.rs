//! What is said of an identity's calls is one record, whichever way it is asked for.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{OWN, RULE, Scene, assert_decided, no};
use crate::support::{Reply, TestServer};
use inkhook_server::domain::api_key::KeyScope;
use inkhook_server::store::api_keys::NewApiKey;

const FIELDS: [&str; 9] = [
    "incoming_call_action",
    "client_websocket_url",
    "incoming_call_webhook_url",
    "incoming_call_fallback_url",
    "incoming_call_default_action",
    "incoming_call_timeout_ms",
    "forwarding_target_type",
    "forwarding_phone_number",
    "forwarding_sip_uri",
];

async fn put(scene: &Scene, mut body: Value) -> Reply {
    body["agent_identity_id"] = scene.help.id.to_string().into();
    scene.server.put(RULE).by(&scene.acme).json(body).send().await
}

async fn get(scene: &Scene) -> Value {
    let path = format!("{RULE}?agent_identity_id={}", scene.help.id);
    scene.server.get(&path).by(&scene.acme).send().await.expect(200).json
}

/// Both views, which must agree.
async fn views(scene: &Scene) -> Value {
    let rule = get(scene).await;
    assert_eq!(rule["agent_identity_id"], scene.help.id.to_string());
    let number = scene.server.get(&scene.number_path()).by(&scene.acme).send().await.expect(200).json;
    let identity = format!("/api/v1/identities/{}", scene.help.handle);
    let identity = scene.server.get(&identity).by(&scene.acme).send().await.expect(200).json;
    for field in FIELDS {
        assert_eq!(rule[field], number[field], "{field}");
        assert_eq!(rule[field], identity["phone_number"][field], "{field}");
    }
    rule
}

#[tokio::test]
async fn the_number_and_the_identity_say_the_same() {
    let scene = Scene::new().await;
    let rule = views(&scene).await;
    assert_eq!(
        (
            &rule["incoming_call_action"],
            &rule["incoming_call_default_action"],
            &rule["incoming_call_timeout_ms"]
        ),
        (&json!("auto_reject"), &json!("reject"), &json!(5_000))
    );
    let all = json!({"incoming_call_action": "webhook", "client_websocket_url": OWN,
        "incoming_call_webhook_url": scene.first.url("/a"), "incoming_call_fallback_url": scene.second.url("/b"),
        "incoming_call_default_action": "answer", "incoming_call_timeout_ms": 500,
        "forwarding_target_type": "phone", "forwarding_phone_number": "+12025550100"});
    put(&scene, all.clone()).await.expect(200);
    let rule = views(&scene).await;
    for (field, value) in all.as_object().expect("fields") {
        assert_eq!(rule[field], *value, "{field}");
    }
    scene.set(json!({"incoming_call_timeout_ms": 15_000, "incoming_call_default_action": null})).await;
    let rule = views(&scene).await;
    assert_eq!(
        (&rule["incoming_call_timeout_ms"], &rule["incoming_call_default_action"]),
        (&json!(15_000), &json!("reject"))
    );
}

#[tokio::test]
async fn a_put_replaces_the_two_urls_and_keeps_the_rest() {
    let scene = Scene::new().await;
    scene
        .ask_both(json!({"client_websocket_url": OWN, "forwarding_target_type": "sip",
            "forwarding_sip_uri": "sip:a@client.test"}))
        .await;
    put(&scene, json!({"incoming_call_action": "auto_reject"})).await.expect(200);
    let rule = views(&scene).await;
    assert_eq!(
        (&rule["client_websocket_url"], &rule["incoming_call_webhook_url"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(rule["incoming_call_fallback_url"], scene.second.url("/calls"));
    assert_eq!(
        (&rule["incoming_call_timeout_ms"], &rule["forwarding_sip_uri"]),
        (&json!(1_000), &json!("sip:a@client.test"))
    );
    let cleared = json!({"incoming_call_action": "hosted_agent", "client_websocket_url": null,
        "incoming_call_webhook_url": null, "incoming_call_fallback_url": null, "incoming_call_timeout_ms": null,
        "forwarding_sip_uri": null});
    put(&scene, cleared).await.expect(200);
    let rule = views(&scene).await;
    assert_eq!(
        (&rule["incoming_call_fallback_url"], &rule["incoming_call_timeout_ms"], &rule["forwarding_sip_uri"]),
        (&Value::Null, &json!(5_000), &Value::Null)
    );
}

#[tokio::test]
async fn an_identity_without_a_number_keeps_it_until_it_has_one() {
    let scene = Scene::new().await;
    let sales = scene.acme.identity("sales").await;
    let path = format!("{RULE}?agent_identity_id={}", sales.id);
    scene.server.get(&path).by(&scene.acme).send().await.refused(404);
    let body = json!({"incoming_call_action": "webhook", "incoming_call_webhook_url": scene.first.url("/calls"),
        "incoming_call_timeout_ms": 700});
    // Its own key need not name it.
    let set = scene.server.put(RULE).by_agent(&sales).json(body).send().await.expect(200).json;
    assert_eq!(set["agent_identity_id"], sales.id.to_string());
    let status = scene.server.get("/api/v1/identities/sales").by(&scene.acme).send().await.expect(200).json;
    assert_eq!(status["signing_key_configured"], true, "nothing is ever asked unsigned");
    // Changed once more before there is a number.
    let body = json!({"incoming_call_action": "webhook", "incoming_call_webhook_url": scene.first.url("/calls"),
        "forwarding_target_type": "sip"});
    let set = scene.server.put(RULE).by_agent(&sales).json(body).send().await.expect(200).json;
    assert_eq!(
        (&set["incoming_call_timeout_ms"], &set["forwarding_target_type"]),
        (&json!(700), &json!("sip"))
    );
    assert_eq!(scene.server.get(&path).by(&scene.acme).send().await.expect(200).json, set);
    assert_eq!(scene.server.get(RULE).by_agent(&sales).send().await.expect(200).json, set);

    let number = json!({"agent_handle": "sales"});
    let number =
        scene.server.post("/api/v1/phone/numbers").by(&scene.acme).json(number).send().await.expect(201).json;
    for field in FIELDS {
        assert_eq!(number[field], set[field], "{field}");
    }
    scene.first.answer(no());
    let calls = format!("/api/v1/phone/numbers/{}/incoming-calls", number["id"].as_str().expect("an id"));
    let call = json!({"remote_phone_number": super::REMOTE});
    let decision = scene.server.post(&calls).by(&scene.acme).json(call).send().await.expect(200).json;
    assert_decided(&decision, ("reject", None, "webhook", None));
    scene.log(1).await;
    assert_eq!(scene.server.query::<i64>("SELECT count(*) FROM call_rules"), [0]);
    // What was said of the number's calls goes with the number.
    let path_of = format!("/api/v1/phone/numbers/{}", number["id"].as_str().expect("an id"));
    scene.server.delete(&path_of).by(&scene.acme).send().await.expect(204);
    scene.server.get(&path).by(&scene.acme).send().await.refused(404);
}

#[tokio::test]
async fn what_it_must_have() {
    let scene = Scene::new().await;
    let refused = async |body: Value, field: &str| {
        put(&scene, body).await.invalid(&["body", field], "invalid");
    };
    refused(json!({"incoming_call_action": "webhook"}), "incoming_call_webhook_url").await;
    refused(json!({"incoming_call_action": "auto_accept"}), "client_websocket_url").await;
    refused(json!({"incoming_call_action": "sometimes"}), "incoming_call_action").await;
    refused(
        json!({"incoming_call_action": "auto_reject", "incoming_call_default_action": "answer"}),
        "incoming_call_default_action",
    )
    .await;
    for ms in [499, 15_001] {
        refused(
            json!({"incoming_call_action": "auto_reject", "incoming_call_timeout_ms": ms}),
            "incoming_call_timeout_ms",
        )
        .await;
    }
    refused(
        json!({"incoming_call_action": "auto_reject", "incoming_call_fallback_url": "ftp://a.test"}),
        "incoming_call_fallback_url",
    )
    .await;
    put(&scene, json!({})).await.invalid(&["body", "incoming_call_action"], "missing");
    for ms in [500, 15_000] {
        put(&scene, json!({"incoming_call_action": "auto_reject", "incoming_call_timeout_ms": ms}))
            .await
            .expect(200);
    }
    // A PATCH that takes away what the default action needs.
    scene.set(json!({"client_websocket_url": OWN, "incoming_call_default_action": "answer"})).await;
    let patch =
        scene.server.patch(&scene.number_path()).by(&scene.acme).json(json!({"client_websocket_url": null}));
    patch.send().await.invalid(&["body", "incoming_call_default_action"], "invalid");
    // With the identity, as a nested object.
    let made = json!({"agent_handle": "nested", "phone_number": {"incoming_call_timeout_ms": 400}});
    let made = scene.server.post("/api/v1/identities").by(&scene.acme).json(made).send().await;
    made.invalid(&["body", "phone_number", "incoming_call_timeout_ms"], "invalid");
}

#[tokio::test]
async fn whose_it_is() {
    let scene = Scene::new().await;
    let sales = scene.acme.identity("sales").await;
    let reject =
        |identity: Value| json!({"agent_identity_id": identity, "incoming_call_action": "auto_reject"});
    // An admin key must name one.
    scene.server.get(RULE).by(&scene.acme).send().await.invalid(&["query", "agent_identity_id"], "missing");
    let unnamed = scene
        .server
        .put(RULE)
        .by(&scene.acme)
        .json(json!({"incoming_call_action": "auto_reject"}))
        .send()
        .await;
    unnamed.invalid(&["body", "agent_identity_id"], "missing");
    // An agent key may name its own only, whether there is another or not.
    for other in [scene.help.id.as_uuid(), Uuid::from_u128(1)] {
        let path = format!("{RULE}?agent_identity_id={other}");
        scene.server.get(&path).by_agent(&sales).send().await.refused(403);
        let body = reject(other.to_string().into());
        scene.server.put(RULE).by_agent(&sales).json(body).send().await.refused(403);
    }
    scene
        .server
        .put(RULE)
        .by_agent(&sales)
        .json(reject(sales.id.to_string().into()))
        .send()
        .await
        .expect(200);
    // Somebody else's is as absent as nobody's.
    let globex = scene.server.organization("globex").await;
    for (key, other) in [(&globex, scene.help.id.as_uuid()), (&scene.acme, Uuid::from_u128(1))] {
        let path = format!("{RULE}?agent_identity_id={other}");
        let seen = scene.server.get(&path).by(key).send().await.refused(404);
        let body = reject(other.to_string().into());
        assert_eq!(scene.server.put(RULE).by(key).json(body).send().await.refused(404), seen);
        let bad = json!({"agent_identity_id": other.to_string(), "incoming_call_action": "webhook",
            "incoming_call_webhook_url": "ftp://a.test"});
        assert_eq!(scene.server.put(RULE).by(key).json(bad).send().await.refused(404), seen);
    }
    let unclaimed = NewApiKey {
        organization: Some(scene.acme.no),
        identity: Some(sales.id),
        claimed: false,
        ..TestServer::new_key(KeyScope::Agent)
    };
    let unclaimed = scene.server.mint(unclaimed).await;
    scene.server.get(RULE).key(&unclaimed).send().await.refused(403);
    scene.server.put(RULE).key(&unclaimed).json(reject(Value::Null)).send().await.refused(403);
    scene.server.get(RULE).send().await.refused(401);
}

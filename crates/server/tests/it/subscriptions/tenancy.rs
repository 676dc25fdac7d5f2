use serde_json::{Value, json};

use super::{Bench, NOTHING, PATH, URL, one};

/// Every request that names a row, as somebody else would send it.
async fn all_are_404(bench: &Bench, id: &str, key: &str) {
    let server = &bench.server;
    let unknown = server.get(&one(NOTHING)).key(key).send().await.expect(404).json;
    let before = server.snapshot();
    let requests = [
        server.get(&one(id)),
        server.patch(&one(id)).json(json!({})),
        server.patch(&one(id)).json(json!({"auth_token": "mine"})),
        server.patch(&one(id)).json(json!({"url": "ftp://x"})),
        server.patch(&one(id)).json(json!({"event_types": ["text.sent"]})),
        server.patch(&format!("{}?scope=identity", one(id))).json(json!({"url": "https://evil.example.com"})),
        server.delete(&one(id)),
        server.delete(&format!("{}?scope=identity", one(id))),
        server.post(&format!("{}/pause", one(id))),
        server.post(&format!("{}/resume", one(id))),
    ];
    for request in requests {
        assert_eq!(request.key(key).send().await.expect(404).json, unknown);
    }
    assert_eq!(server.snapshot(), before);
}

/// Every request that names an owner, as somebody else would send it.
async fn no_owner_is_there(bench: &Bench, key: &str) {
    let server = &bench.server;
    let before = server.snapshot();
    let owners = [
        ("mailbox_id", bench.identity.mailbox.to_string(), "message.sent"),
        ("phone_number_id", bench.number_id(), "text.sent"),
        ("agent_identity_id", bench.identity.id.to_string(), "message.sent"),
    ];
    for (field, id, event_type) in owners {
        let create = async |id: &str, url: &str| {
            let body = json!({field: id, "url": url, "event_types": [event_type]});
            server.post(PATH).key(key).json(body).send().await.expect(404).json
        };
        let unknown = create(NOTHING, URL).await;
        assert_eq!(create(&id, URL).await, unknown);
        assert_eq!(create(&id, "ftp://x").await, unknown);
        for scope in ["", "&scope=identity"] {
            let listed = server.get(&format!("{PATH}?{field}={id}{scope}")).key(key).send().await.expect(200);
            assert_eq!(listed.json, json!({"subscriptions": []}));
        }
    }
    let listed = server.get(&format!("{PATH}?url={URL}")).key(key).send().await.expect(200);
    assert_eq!(listed.json, json!({"subscriptions": []}));
    assert_eq!(server.snapshot(), before);
}

#[tokio::test]
async fn another_organisation_finds_nothing() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({"auth_token": "ours"})).await;
    let other = bench.server.organization("rival").await;
    let agent = other.identity("spy").await;
    for key in [&other.key, &agent.key] {
        all_are_404(&bench, &id, key).await;
        no_owner_is_there(&bench, key).await;
    }
}

#[tokio::test]
async fn an_agent_finds_only_what_is_its_own() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({"auth_token": "ours"})).await;
    let colleague = bench.organization.identity("colleague").await;
    all_are_404(&bench, &id, &colleague.key).await;
    no_owner_is_there(&bench, &colleague.key).await;
    let own = bench.server.get(&one(&id)).by_agent(&bench.identity).send().await.expect(200);
    assert_eq!(own.json["auth_token"], "ours");
    let body = bench.body(json!({"url": "https://hooks.example.com/agent"}));
    let made = bench.server.post(PATH).by_agent(&bench.identity).json(body).send().await.expect(201);
    let made = made.text("id");
    bench.server.delete(&one(&made)).by_agent(&bench.identity).send().await.expect(204);
}

#[tokio::test]
async fn the_same_url_of_another_organisation_is_no_duplicate() {
    let bench = Bench::new().await;
    bench.create(json!({})).await;
    let other = bench.server.organization("rival").await;
    let agent = other.identity("spy").await;
    let body = json!({"mailbox_id": agent.mailbox.to_string(), "url": URL, "event_types": ["message.received"]});
    let made = bench.server.post(PATH).by(&other).json(body).send().await.expect(201);
    assert_eq!(made.json["organization_id"], Value::from(other.id.to_string()));
    assert!(made.json["signing_key"].is_string());
}

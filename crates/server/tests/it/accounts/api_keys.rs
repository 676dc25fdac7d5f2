use serde_json::json;

use crate::support::TestServer;

const KEYS: &str = "/api/v1/api-keys";

#[tokio::test]
async fn an_admin_key_makes_a_key_for_an_identity_that_works_until_it_is_revoked() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let body = json!({"label": "bot", "description": "the bot's", "scoped_identity_id": help.id});
    let made = server.post(&format!("{KEYS}/")).by(&acme).json(body).send().await.expect(201).json;
    let (text, record) = (made["api_key"].as_str().unwrap().to_owned(), &made["record"]);
    let id = record["id"].as_str().unwrap();
    assert!(text.starts_with(&format!("{id}.")), "ApiKey_<uuid>.<secret>");
    assert!(text.ends_with(record["last4"].as_str().unwrap()));
    assert_eq!(record["status"], "active");
    assert_eq!(record["scoped_identity_id"], json!(help.id));
    assert_eq!(record["organization_id"], json!(acme.id));
    for field in ["last_used_at", "expires_at", "revoked_at"] {
        assert!(record.as_object().unwrap().contains_key(field), "{field} is there, as null");
    }
    let own = server.get(&format!("{KEYS}/self")).key(&text).send().await.expect(200);
    assert_eq!(own.json["label"], "bot");
    assert!(own.json.get("api_key").is_none(), "the text is never told again");
    let one = format!("{KEYS}/{id}");
    assert_eq!(server.get(&one).by(&acme).send().await.expect(200).json["id"], id);

    assert!(server.delete(&one).by(&acme).send().await.expect(204).bytes.is_empty());
    server.get("/api/whoami").key(&text).send().await.refused(401);
    let revoked = server.get(&one).by(&acme).send().await.expect(200).json;
    assert_eq!(revoked["status"], "revoked");
    assert!(revoked["revoked_at"].is_string());
    server.delete(&one).by(&acme).send().await.expect(204);
}

#[tokio::test]
async fn a_key_in_use_is_refused_by_the_next_request_after_its_revocation() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    for n in 0..20 {
        let victim = acme.admin_key().await;
        let who = server.get("/api/whoami").key(&victim).send().await.expect(200);
        let path = format!("{KEYS}/{}", who.text("key_id"));
        server.delete(&path).by(&acme).send().await.expect(204);
        server.get("/api/whoami").key(&victim).send().await.refused(401);
        assert!(n < 20);
    }
}

#[tokio::test]
async fn who_may_make_which_key() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let scoped = json!({"label": "bot", "scoped_identity_id": help.id});
    server.post(KEYS).by_agent(&help).json(scoped.clone()).send().await.refused(403);
    server.post(KEYS).by(&acme).json(json!({"label": "admin"})).send().await.refused(403);
    let operator = server.operator_key().await;
    server.post(KEYS).key(&operator).json(scoped.clone()).send().await.refused(403);
    let named = server.post(KEYS).key(&operator).header("inkhook-organization", &acme.id.to_string());
    named.json(scoped).send().await.expect(201);
    let unknown = json!({"label": "x", "scoped_identity_id": uuid::Uuid::nil()});
    server.post(KEYS).by(&acme).json(unknown).send().await.refused(404);
}

#[tokio::test]
async fn the_bounds_of_label_and_description() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let body = |label: usize, description: usize| json!({"label": "l".repeat(label), "description": "d".repeat(description), "scoped_identity_id": help.id});
    server.post(KEYS).by(&acme).json(body(255, 1000)).send().await.expect(201);
    server.post(KEYS).by(&acme).json(body(0, 0)).send().await.invalid(&["body", "label"], "invalid");
    server.post(KEYS).by(&acme).json(body(256, 0)).send().await.invalid(&["body", "label"], "too_long");
    let long = server.post(KEYS).by(&acme).json(body(1, 1001)).send().await;
    long.invalid(&["body", "description"], "too_long");
    let extra = json!({"label": "l", "scoped_identity_id": help.id, "admin": true});
    server.post(KEYS).by(&acme).json(extra).send().await.invalid(&["body", "admin"], "unknown_field");
    server.get(&format!("{KEYS}/nonsense")).by(&acme).send().await.invalid(&["path", "key_id"], "invalid");
}

#[tokio::test]
async fn an_agent_key_sees_the_keys_of_its_identity_only() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let (help, sales) = (acme.identity("help").await, acme.identity("sales").await);
    let list = server.get(KEYS).by_agent(&help).send().await.expect(200).json;
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["scoped_identity_id"], json!(help.id));
    assert_eq!(server.get(KEYS).by(&acme).send().await.expect(200).json.as_array().unwrap().len(), 3);
    let other = server.get("/api/whoami").by_agent(&sales).send().await.text("key_id");
    server.get(&format!("{KEYS}/{other}")).by_agent(&help).send().await.refused(404);
    server.delete(&format!("{KEYS}/{other}")).by_agent(&help).send().await.refused(403);
}

#[tokio::test]
async fn the_text_of_a_key_is_not_in_the_store() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let (_, secret) = acme.key.split_once('.').unwrap();
    assert!(!server.stores(secret.as_bytes()));
    assert!(server.stores(b"acme"), "the search works");
}

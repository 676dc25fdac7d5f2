use inkhook_server::domain::secret::Secret;
use inkhook_server::store::organizations::Bootstrap;
use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn the_first_start_makes_one_organisation_and_the_key_that_was_chosen() {
    let server = TestServer::new();
    let chosen = "chosen-by-the-operator";
    let made = server.app.store.bootstrap("default".into(), Some(Secret::new(chosen.into()))).await.unwrap();
    let Bootstrap::Made(organization, key) = made else { panic!("the store is empty") };
    assert_eq!(key.expose(), chosen);
    let who = server.get("/api/whoami").key(chosen).send().await.expect(200).json;
    assert_eq!(who["organization_id"], json!(organization.id));
    assert_eq!(who["auth_subtype"], "api_key.admin_scoped");
    let again = server.app.store.bootstrap("other".into(), None).await.unwrap();
    assert_eq!(again, Bootstrap::NotEmpty);
    assert_eq!(server.app.store.organizations().await.unwrap(), [organization]);
    assert!(!server.stores(chosen.as_bytes()));
}

#[tokio::test]
async fn without_a_chosen_key_one_is_made() {
    let server = TestServer::new();
    let made = server.app.store.bootstrap("default".into(), None).await.unwrap();
    let Bootstrap::Made(_, key) = made else { panic!("the store is empty") };
    assert!(key.expose().starts_with("ApiKey_"));
    server.get("/api/whoami").key(key.expose()).send().await.expect(200);
}

#[tokio::test]
async fn deleting_an_organisation_ends_its_keys_and_subscriptions_and_nobody_elses() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    let (help, other) = (acme.identity_with_number("help").await, globex.identity("other").await);
    for (by, mailbox) in [(&acme, help.mailbox), (&globex, other.mailbox)] {
        let body =
            json!({"mailbox_id": mailbox, "url": "https://a.example.com", "event_types": ["message.sent"]});
        server.post("/api/v1/webhooks/subscriptions").by(by).json(body).send().await.expect(201);
    }
    server.get("/api/whoami").by(&acme).send().await.expect(200);
    assert!(server.app.store.delete_organization(acme.id).await.unwrap());
    assert!(!server.app.store.delete_organization(acme.id).await.unwrap());
    server.get("/api/whoami").by(&acme).send().await.refused(401);
    server.get("/api/whoami").by_agent(&help).send().await.refused(401);
    let states: Vec<String> = server.query("SELECT status FROM subscriptions ORDER BY no");
    assert_eq!(states, ["deleted", "active"]);
    for table in ["identities", "mailboxes", "organizations"] {
        assert_eq!(server.query::<i64>(&format!("SELECT count(*) FROM {table}")), [1], "{table}");
    }
    let body = json!({"agent_handle": "help"});
    server.post("/api/v1/identities").by(&globex).json(body).send().await.expect(409);
    let again = server.organization("acme").await;
    assert_ne!(again.no, acme.no, "a number is never used again");
}

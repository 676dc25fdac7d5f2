use serde_json::{Value, json};

use crate::support::TestServer;

const OWN: &str = "/api/v1/signing-keys";
const OF_HELP: &str = "/api/v1/identities/@help/signing-key";

fn subscription(mailbox: inkhook_wire::id::MailboxId) -> Value {
    json!({"mailbox_id": mailbox, "url": "https://a.example.com", "event_types": ["message.received"]})
}

#[tokio::test]
async fn a_key_is_told_once_and_replaced_by_the_next() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    acme.identity("help").await;
    let nothing = json!({"configured": false, "created_at": null});
    assert_eq!(server.get(OF_HELP).by(&acme).send().await.expect(200).json, nothing);
    let first = server.post(OF_HELP).by(&acme).json(json!({})).send().await.expect(201);
    let second = server.post(&format!("{OF_HELP}/")).by(&acme).send().await.expect(201);
    let (first, second) = (first.text("signing_key"), second.text("signing_key"));
    assert!(first.starts_with("whsec_") && second.starts_with("whsec_"));
    assert_ne!(first, second);
    let status = server.get(OF_HELP).by(&acme).send().await.expect(200).json;
    assert_eq!(status["configured"], true);
    assert!(status["created_at"].is_string() && status.get("signing_key").is_none());
    let identity = server.get("/api/v1/identities/help").by(&acme).send().await.expect(200).json;
    assert_eq!(identity["signing_key_configured"], true);
    assert_eq!(identity["signing_key_created_at"], status["created_at"]);
    for key in [&first, &second] {
        assert!(!server.stores(key.as_bytes()), "a key is sealed in the store");
    }
}

#[tokio::test]
async fn the_old_route_is_the_organisations_for_admins_and_its_own_for_an_agent() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let (help, sales) = (acme.identity("help").await, acme.identity("sales").await);
    server.post(OWN).by_agent(&help).json(json!({})).send().await.expect(201);
    let configured = async |path: &str, key: &str| {
        server.get(path).key(key).send().await.expect(200).json["configured"].clone()
    };
    assert_eq!(configured(OWN, &help.key).await, true);
    assert_eq!(configured(OF_HELP, &help.key).await, true);
    assert_eq!(configured(OWN, &sales.key).await, false);
    assert_eq!(configured(OWN, &acme.key).await, true, "an identity of it has one");
    server.post(OWN).by(&acme).json(json!({})).send().await.expect(201);
    assert_eq!(configured(OWN, &sales.key).await, false, "the organisation's is not its own");
    let globex = server.organization("globex").await;
    assert_eq!(configured(OWN, &globex.key).await, false);
    globex.identity("g").await;
    server.post(OWN).by(&globex).json(json!({})).send().await.expect(201);
    assert_eq!(configured(OWN, &globex.key).await, true);
}

#[tokio::test]
async fn a_subscription_makes_the_first_key_only_when_nothing_signs() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    server.post(OWN).by(&acme).json(json!({})).send().await.expect(201);
    let body = subscription(help.mailbox);
    let made = server.post("/api/v1/webhooks/subscriptions").by(&acme).json(body).send().await.expect(201);
    assert_eq!(made.json["signing_key"], Value::Null);
}

#[tokio::test]
async fn a_rotation_raises_the_generation_of_exactly_what_it_signs() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    server.post(OWN).by(&acme).json(json!({})).send().await.expect(201);
    for handle in ["help", "sales"] {
        let identity = acme.identity(handle).await;
        let body = subscription(identity.mailbox);
        server.post("/api/v1/webhooks/subscriptions").by(&acme).json(body).send().await.expect(201);
    }
    let generations = || server.query::<i64>("SELECT generation FROM subscriptions ORDER BY no");
    assert_eq!(generations(), [1, 1]);
    server.post(OF_HELP).by(&acme).json(json!({})).send().await.expect(201);
    assert_eq!(generations(), [2, 1], "help has its own now");
    server.post(OWN).by(&acme).json(json!({})).send().await.expect(201);
    assert_eq!(generations(), [2, 2], "the organisation's signs for sales only");
    for no in [1, 2] {
        let no = inkhook_server::domain::number::SubscriptionNo(no);
        assert!(!server.generations.write_if_unchanged(no, 1, &mut || ()), "attempts see it");
        assert!(server.generations.write_if_unchanged(no, 2, &mut || ()));
    }
}

#[tokio::test]
async fn what_is_refused() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    acme.identity("sales").await;
    for path in [OWN, OF_HELP] {
        let later = json!({"activate_after_seconds": 60});
        let reply = server.post(path).by(&acme).json(later).send().await;
        reply.invalid(&["body", "activate_after_seconds"], "unsupported");
        let reply = server.post(path).by(&acme).json(json!({"x": 1})).send().await;
        reply.invalid(&["body", "x"], "unknown_field");
        let unclaimed = acme.unclaimed_key(help.id).await;
        server.post(path).key(&unclaimed).json(json!({})).send().await.refused(403);
        server.get(path).key(&unclaimed).send().await.refused(403);
    }
    for path in ["/api/v1/identities/sales/signing-key", "/api/v1/identities/nobody/signing-key"] {
        server.post(path).by_agent(&help).json(json!({})).send().await.refused(404);
        server.get(path).by_agent(&help).send().await.refused(404);
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM identities WHERE signing_key IS NOT NULL"), [0]);
}

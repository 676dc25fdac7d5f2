use std::time::Duration;

use serde_json::{Value, json};

use crate::support::TestServer;

const OWN: &str = "/api/v1/signing-keys";
const OF_HELP: &str = "/api/v1/identities/@help/signing-key";
const PAIR: &str = "/api/v1/organization/key-pair";

fn subscription(mailbox: inkhook_wire::id::MailboxId) -> Value {
    json!({"mailbox_id": mailbox, "url": "https://a.example.com", "event_types": ["message.received"]})
}

#[tokio::test]
async fn a_key_is_told_once_and_replaced_by_the_next() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    acme.identity("help").await;
    let nothing = json!({"configured": false, "created_at": null, "pending_from": null});
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
async fn a_key_that_is_to_follow_is_told_now_and_shown_from_its_time_on() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    acme.identity("help").await;
    let rotate = async |seconds: u64| {
        let body = json!({"activate_after_seconds": seconds});
        server.post(OF_HELP).by(&acme).json(body).send().await.expect(201).json
    };
    let status = async || server.get(OF_HELP).by(&acme).send().await.expect(200).json;
    let day = 86_400;

    let first = rotate(7 * day).await;
    assert_eq!(first["pending_from"], Value::Null, "there is nothing to sign until then");
    let second = rotate(day).await;
    assert_eq!(second["pending_from"], "2026-05-29T20:26:40.000Z");
    let expected = json!({"configured": true, "created_at": first["created_at"], "pending_from": second["pending_from"]});
    assert_eq!(status().await, expected);
    let third = rotate(2 * day).await;
    assert_ne!(third["signing_key"], second["signing_key"]);
    assert_eq!(status().await["pending_from"], "2026-05-30T20:26:40.000Z", "it took the second's place");
    let own = server.get(OWN).by(&acme).send().await.expect(200).json;
    assert_eq!(own, status().await, "of the whole organisation the same is true");

    server.advance(Duration::from_secs(2 * day));
    let expected = json!({"configured": true, "created_at": third["created_at"], "pending_from": null});
    assert_eq!(status().await, expected);
    let fourth = rotate(day).await;
    assert_eq!(status().await["created_at"], third["created_at"], "the third signs until then");
    let identity = server.get("/api/v1/identities/help").by(&acme).send().await.expect(200).json;
    assert_eq!(identity["signing_key_created_at"], third["created_at"]);
    let fifth = rotate(0).await;
    let expected = json!({"configured": true, "created_at": fifth["created_at"], "pending_from": null});
    assert_eq!(status().await, expected, "what was to follow does not");
    for key in [first, second, third, fourth, fifth] {
        let key = key["signing_key"].as_str().expect("a key");
        assert!(!server.stores(key.as_bytes()), "a key is sealed in the store");
    }
}

#[tokio::test]
async fn a_key_pair_is_published_for_receivers_and_its_secret_half_for_nobody() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let globex = server.organization("globex").await;
    let jwks_path = format!("/api/v1/organizations/{}/jwks.json", acme.id);
    let published = async |path: &str| {
        let reply = server.get(path).send().await.expect(200);
        assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
        let keys = reply.json["keys"].as_array().expect("a list").clone();
        keys.iter().map(|key| key["kid"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(published(&jwks_path).await, [""; 0]);
    server.delete(PAIR).by(&acme).send().await.expect(204);

    let first = server.post(PAIR).by(&acme).json(json!({})).send().await.expect(201).json;
    assert_eq!((&first["pending"], &first["jwks_path"]), (&Value::Null, &json!(jwks_path)));
    assert_eq!(server.get(PAIR).by(&acme).send().await.expect(200).json, first);
    let kid = |key: &Value| key["kid"].as_str().expect("a name").to_owned();
    let key = server.get(&jwks_path).send().await.expect(200).json["keys"][0].clone();
    assert_eq!((&key["kty"], &key["crv"], &key["use"]), (&json!("OKP"), &json!("Ed25519"), &json!("sig")));
    assert_eq!(kid(&key), kid(&first["current"]));

    let later = json!({"activate_after_seconds": 3600});
    let second = server.post(PAIR).by(&acme).json(later).send().await.expect(201).json;
    assert_eq!(second["current"], first["current"]);
    assert_eq!(second["pending_from"], "2026-05-28T21:26:40.000Z");
    assert_eq!(published(&jwks_path).await, [kid(&first["current"]), kid(&second["pending"])]);
    server.advance(Duration::from_hours(1));
    assert_eq!(published(&jwks_path).await, [kid(&second["pending"]), kid(&first["current"])]);
    server.advance(Duration::from_secs(301));
    assert_eq!(published(&jwks_path).await, [kid(&second["pending"])]);

    let nobody = "org_00000000000040008000000000000000";
    for other in [globex.id.to_string().as_str(), nobody] {
        assert_eq!(published(&format!("/api/v1/organizations/{other}/jwks.json")).await, [""; 0]);
    }
    server.delete(PAIR).by(&acme).send().await.expect(204);
    assert_eq!(published(&jwks_path).await, [""; 0]);
    assert!(!server.stores(b"whsk_"), "the secret half is sealed");
}

/// It needs no key, so it is the network that counts.
#[tokio::test]
async fn the_public_keys_are_not_read_without_bound() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let path = format!("/api/v1/organizations/{}/jwks.json", acme.id);
    let read_from = async |client: &str| server.get(&path).from(client).send().await;
    for n in 0..40 {
        read_from(&format!("192.0.2.{n}")).await.expect(200);
    }
    let refused = read_from("192.0.2.99").await.expect(429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    read_from("192.0.3.1").await.expect(200);
    server.advance(Duration::from_millis(50));
    read_from("192.0.2.99").await.expect(200);
    read_from("192.0.2.99").await.refused(429);
}

#[tokio::test]
async fn a_key_pair_is_for_those_who_manage_the_organisation() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    server.get(PAIR).by_agent(&help).send().await.refused(403);
    server.post(PAIR).by_agent(&help).json(json!({})).send().await.refused(403);
    server.delete(PAIR).by_agent(&help).send().await.refused(403);
    server.get(PAIR).send().await.refused(401);
    let reply = server.post(PAIR).by(&acme).json(json!({"activate_after_seconds": 604_801})).send().await;
    reply.invalid(&["body", "activate_after_seconds"], "too_long");
    let reply = server.get("/api/v1/organizations/acme/jwks.json").send().await;
    reply.invalid(&["path", "organization_id"], "invalid");
}

#[tokio::test]
async fn what_is_refused() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    acme.identity("sales").await;
    for path in [OWN, OF_HELP] {
        for (after, kind) in
            [(json!(604_801), "too_long"), (json!(-1), "invalid"), (json!("soon"), "invalid")]
        {
            let later = json!({"activate_after_seconds": after});
            let reply = server.post(path).by(&acme).json(later).send().await;
            reply.invalid(&["body", "activate_after_seconds"], kind);
        }
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

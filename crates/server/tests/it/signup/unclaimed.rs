//! What a key may do before and after somebody vouches for it.

use std::time::Duration;

use serde_json::json;

use super::{HUMAN, body, member, sign_up, subtype, take_code, verify};
use crate::support::TestServer;

#[tokio::test]
async fn until_somebody_vouches_it_may_look_at_what_is_its_own_and_no_more() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    acme.identity("help").await;
    let agent = sign_up(&server, body(HUMAN)).await;
    let own = format!("/api/v1/identities/{}", agent.handle);
    let key = &agent.key;
    let operator = server.operator_key().await;
    let number = server.post("/api/v1/phone/numbers").key(&operator);
    let number = number.header("inkhook-organization", &agent.organization);
    let number = number.json(json!({"agent_handle": agent.handle})).send().await.expect(201).text("id");
    let number = format!("/api/v1/phone/numbers/{number}");
    let before = server.snapshot();
    for path in ["/api/v1/webhooks/subscriptions", "/api/v1/webhooks/deliveries", "/api/v1/events"] {
        assert!(server.get(path).key(key).send().await.refused(403).contains("not claimed yet"));
    }
    let mailboxes = server.get("/api/v1/mail/mailboxes").key(key).send().await.expect(200);
    let hook = json!({"mailbox_id": mailboxes.json[0]["id"], "url": "https://127.0.0.1/in",
        "event_types": ["message.received"]});
    server.post("/api/v1/webhooks/subscriptions").key(key).json(hook.clone()).send().await.refused(403);
    server.post("/api/v1/signing-keys").key(key).json(json!({})).send().await.refused(403);
    server.post(&format!("{own}/signing-key")).key(key).json(json!({})).send().await.refused(403);
    server.get("/api/v1/phone/incoming-call-action").key(key).send().await.refused(403);
    server.get(&number).key(key).send().await.expect(200);
    for said in [
        json!({"incoming_call_action": "auto_accept", "client_websocket_url": "wss://calls.example/in"}),
        json!({"incoming_call_action": "webhook", "incoming_call_webhook_url": "https://calls.example/in"}),
        json!({"forwarding_target_type": "phone_number", "forwarding_phone_number": "+14155550100"}),
    ] {
        server.patch(&number).key(key).json(said).send().await.refused(403);
    }
    server
        .post("/api/v1/identities")
        .key(key)
        .json(json!({"agent_handle": "more"}))
        .send()
        .await
        .refused(403);
    server.delete(&own).key(key).send().await.refused(403);
    for handle in ["help", "nobody"] {
        let refused =
            server.patch(&own).key(key).json(json!({"agent_handle": handle})).send().await.refused(403);
        assert!(!refused.contains("taken"), "{refused}");
        server.get(&format!("/api/v1/identities/{handle}")).key(key).send().await.refused(404);
    }
    assert_eq!(server.snapshot(), before, "nothing changed");
    assert_eq!(
        server.get("/api/v1/identities").key(key).send().await.expect(200).json[0]["agent_handle"],
        agent.handle
    );
    assert_eq!(
        server.get("/api/v1/api-keys").key(key).send().await.expect(200).json.as_array().map(Vec::len),
        Some(1)
    );
    server.patch(&own).key(key).json(json!({"description": "mine"})).send().await.expect(200);

    let code = take_code(&server).await;
    verify(&server, key, &code).await.expect(200);
    assert_eq!(subtype(&server, key).await, "api_key.agent_scoped.claimed");
    server.post("/api/v1/webhooks/subscriptions").key(key).json(hook).send().await.expect(201);
    server.get("/api/v1/webhooks/deliveries").key(key).send().await.expect(200);
    let said = json!({"incoming_call_action": "auto_reject"});
    server.patch(&number).key(key).json(said).send().await.expect(200);
    server.patch(&own).key(key).json(json!({"agent_handle": "mine-now"})).send().await.expect(200);
    server
        .patch("/api/v1/identities/mine-now")
        .key(key)
        .json(json!({"agent_handle": "help"}))
        .send()
        .await
        .expect(409);
}

#[tokio::test]
async fn mail_reaches_it_from_the_start() {
    let server = TestServer::new();
    let agent = sign_up(&server, body(HUMAN)).await;
    let known = server.app.store.mailbox_by_address(agent.address.clone()).await.expect("it reads");
    assert!(known.is_some(), "its mailbox takes mail");
}

/// Many keys of one organisation, of which only the agent's is concerned.
#[tokio::test]
async fn a_claim_is_in_force_for_the_very_next_request() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    member(&server, &acme, HUMAN).await;
    for _ in 0..3 {
        let agent = sign_up(&server, body(HUMAN)).await;
        let code = take_code(&server).await;
        server.get("/api/v1/webhooks/subscriptions").key(&agent.key).send().await.refused(403);
        verify(&server, &agent.key, &code).await.expect(200);
        server.get("/api/v1/webhooks/subscriptions").key(&agent.key).send().await.expect(200);
        server.advance(Duration::from_secs(1));
    }
}

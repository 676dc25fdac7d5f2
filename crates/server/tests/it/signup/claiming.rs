//! Whose an agent is once somebody vouches for it.

use std::time::Duration;

use inkhook_server::domain::api_key::KeyScope;
use inkhook_server::store::api_keys::NewApiKey;
use serde_json::json;

use super::{Agent, HUMAN, body, identity_of, member, sign_up, take_code, token, verify};
use crate::support::{Receiver, Request, TestServer};

#[tokio::test]
async fn a_humans_first_agent_stays_and_the_next_ones_join_it() {
    let server = TestServer::new();
    let first = sign_up(&server, body(HUMAN)).await;
    let code = take_code(&server).await;
    let claimed = verify(&server, &first.key, &code).await.expect(200);
    assert_eq!(claimed.text("organization_id"), first.organization);
    let next = sign_up(&server, body(HUMAN)).await;
    assert_ne!(next.organization, first.organization, "nobody has vouched for it");
    let code = take_code(&server).await;
    let claimed = verify(&server, &next.key, &code).await.expect(200);
    assert_eq!(claimed.text("organization_id"), first.organization);
    assert_eq!(
        server.query::<i64>("SELECT count(*) FROM organizations"),
        [1],
        "the one that it left is gone"
    );
    for agent in [&first, &next] {
        let path = format!("/api/v1/identities/{}", agent.handle);
        let own = server.get(&path).key(&agent.key).send().await.expect(200);
        assert_eq!(own.text("organization_id"), first.organization);
        assert_eq!(own.text("email_address"), agent.address);
    }
}

#[tokio::test]
async fn a_members_agent_moves_to_the_organisation_with_all_that_is_its_own() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let globex = server.organization("globex").await;
    member(&server, &acme, HUMAN).await;
    server.advance(Duration::from_secs(1));
    member(&server, &globex, HUMAN).await;
    let agent = sign_up(&server, body(HUMAN)).await;
    let mailbox = server.get("/api/v1/mail/mailboxes").key(&agent.key).send().await.expect(200);
    let operator = server.operator_key().await;
    // What the operator sets up where the agent is for the time being stays behind.
    let receiver = Receiver::start().await;
    let hook = json!({"mailbox_id": mailbox.json[0]["id"], "url": receiver.url("/in"),
        "event_types": ["message.received"]});
    let as_operator =
        |request: Request| request.key(&operator).header("inkhook-organization", &agent.organization);
    as_operator(server.post("/api/v1/webhooks/subscriptions")).json(hook.clone()).send().await.expect(201);
    let number = json!({"agent_handle": agent.handle});
    let number = as_operator(server.post("/api/v1/phone/numbers")).json(number).send().await.expect(201);

    let code = take_code(&server).await;
    let claimed = verify(&server, &agent.key, &code).await.expect(200);
    assert_eq!(claimed.text("organization_id"), acme.id.to_string(), "the oldest membership counts");
    let whoami = server.get("/api/whoami").key(&agent.key).send().await.expect(200);
    assert_eq!(whoami.text("organization_id"), acme.id.to_string());
    assert_eq!(whoami.text("auth_subtype"), "api_key.agent_scoped.claimed");
    let path = format!("/api/v1/identities/{}", agent.handle);
    let shown = server.get(&path).by(&acme).send().await.expect(200);
    assert_eq!(shown.json["signing_key_configured"], false);
    assert_eq!(shown.json["phone_number"]["id"], number.json["id"]);
    server.get(&path).by(&globex).send().await.refused(404);
    let hooks = server.get("/api/v1/webhooks/subscriptions").key(&agent.key).send().await.expect(200);
    assert_eq!(hooks.json["subscriptions"], json!([]));
    as_operator(server.get("/api/v1/identities")).send().await.refused(404);

    // And from then on it works as any other.
    server.post("/api/v1/webhooks/subscriptions").key(&agent.key).json(hook).send().await.expect(201);
    let event = json!({"event_type": "message.received", "mailbox_id": mailbox.json[0]["id"], "data": {"message": {
        "from_address": "lee@client.test", "to_addresses": [agent.address], "subject": "hi",
        "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"}}});
    server.post("/api/v1/events").by(&acme).json(event).send().await.expect(202);
    server.pump().run_until_idle().await.expect("the store works");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn who_was_invited_stays_with_who_invited() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    member(&server, &globex, HUMAN).await;
    let mut asked = body(HUMAN);
    asked["invitation_token"] = json!(token(&server, &acme).await);
    let agent = sign_up(&server, asked).await;
    let code = take_code(&server).await;
    let claimed = verify(&server, &agent.key, &code).await.expect(200);
    assert_eq!(claimed.text("organization_id"), acme.id.to_string());
    assert_eq!(claimed.json["invitation"]["status"], "accepted");
    assert!(claimed.json["invitation"]["accepted_at"].is_string());
    let members = server.query::<i64>("SELECT count(*) FROM members");
    assert_eq!(
        members,
        [1],
        "vouching for one agent makes nobody a member of an organisation that others run"
    );
}

/// What somebody may put into the organisation of an agent that waits.
const MORE: [&str; 6] = ["identity", "key", "contact", "member", "invitation", "number"];

async fn put(server: &TestServer, operator: &str, agent: &Agent, what: &str) {
    let store = &server.app.store;
    let id = agent.organization.parse().expect("an id");
    let no = store.organization(id).await.expect("it reads").expect("it is there").no;
    let ask = async |path: &str, body: serde_json::Value| {
        let request = server.post(path).key(operator).header("inkhook-organization", &agent.organization);
        request.json(body).send().await.expect(201);
    };
    match what {
        "identity" => ask("/api/v1/identities", json!({"agent_handle": "more"})).await,
        "key" => {
            let key = TestServer::new_key(KeyScope::Admin);
            server.mint(NewApiKey { organization: Some(no), ..key }).await;
        }
        "contact" => ask("/api/v1/contacts", json!({"given_name": "Lee"})).await,
        "member" => assert!(store.add_member(no, "lee@client.test".into()).await.expect("stored")),
        "invitation" => drop(store.invite(no).await.expect("stored")),
        _ => store.allow_number(no, "+12025550000".into()).await.expect("stored"),
    }
}

#[tokio::test]
async fn an_organisation_in_which_somebody_put_more_stays_and_any_other_goes() {
    for what in MORE.into_iter().chain(["nothing"]) {
        for how in ["approve", "reject", "delete"] {
            let server = TestServer::new();
            let acme = server.organization("acme").await;
            member(&server, &acme, HUMAN).await;
            let operator = server.operator_key().await;
            let agent = sign_up(&server, body(HUMAN)).await;
            if what != "nothing" {
                put(&server, &operator, &agent, what).await;
            }
            let as_operator =
                |request: Request| request.key(&operator).header("inkhook-organization", &agent.organization);
            if how == "delete" {
                let path = format!("/api/v1/identities/{}", agent.handle);
                as_operator(server.delete(&path)).send().await.expect(204);
            } else {
                let id = identity_of(&server, &agent).await;
                server.post(&format!("/api/v1/agent-signup/{id}/{how}")).by(&acme).send().await.expect(200);
            }
            let left = as_operator(server.get("/api/v1/identities")).send().await;
            assert_eq!(
                left.status,
                if what == "nothing" { 404 } else { 200 },
                "{what}, {how}: {}",
                left.json
            );
        }
    }
}

/// Whoever was asked about its calls before is of the organisation that it has left.
#[tokio::test]
async fn who_was_asked_about_its_calls_is_not_asked_once_it_has_moved() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    member(&server, &acme, HUMAN).await;
    let operator = server.operator_key().await;
    for has_number in [true, false] {
        let agent = sign_up(&server, body(HUMAN)).await;
        let as_operator =
            |request: Request| request.key(&operator).header("inkhook-organization", &agent.organization);
        if has_number {
            let wanted = json!({"agent_handle": agent.handle});
            as_operator(server.post("/api/v1/phone/numbers")).json(wanted).send().await.expect(201);
        }
        let id = identity_of(&server, &agent).await;
        let rule = json!({"agent_identity_id": id, "incoming_call_action": "webhook",
            "incoming_call_webhook_url": "https://127.0.0.1/old", "incoming_call_fallback_url": "https://127.0.0.1/old",
            "client_websocket_url": "wss://127.0.0.1/old", "incoming_call_default_action": "answer",
            "incoming_call_timeout_ms": 2000});
        as_operator(server.put("/api/v1/phone/incoming-call-action")).json(rule).send().await.expect(200);
        let code = take_code(&server).await;
        verify(&server, &agent.key, &code).await.expect(200);
        let path = format!("/api/v1/identities/{}", agent.handle);
        let shown = server.get(&path).key(&agent.key).send().await.expect(200);
        assert_eq!(shown.json["phone_number"].is_object(), has_number);
        if has_number {
            let number = &shown.json["phone_number"];
            let number = format!("/api/v1/phone/numbers/{}", number["id"].as_str().expect("an id"));
            let number = server.get(&number).key(&agent.key).send().await.expect(200);
            assert_eq!(number.text("incoming_call_action"), "auto_reject");
            assert_eq!(number.text("incoming_call_default_action"), "reject");
        }
        for table in ["phone_numbers", "call_rules", "signups"] {
            let rows = server.query::<i64>(&format!("SELECT count(*) FROM {table}"))[0];
            let expected = match table {
                "call_rules" => 0,
                "signups" => {
                    if has_number {
                        1
                    } else {
                        2
                    }
                }
                _ => 1,
            };
            assert_eq!(rows, expected, "{table}");
        }
        let rows = server.snapshot();
        assert!(!rows.iter().any(|row| row.contains("127.0.0.1/old")), "nobody knows the old place any more");
    }
}

/// A key that was to follow is sealed for the organisation that it leaves.
#[tokio::test]
async fn a_key_that_was_to_follow_does_not_come_along() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    member(&server, &acme, HUMAN).await;
    let new = server.post("/api/v1/signing-keys").by(&acme).json(json!({})).send().await.expect(201);
    let operator = server.operator_key().await;
    for first in [false, true] {
        let agent = sign_up(&server, body(HUMAN)).await;
        let path = format!("/api/v1/identities/{}/signing-key", agent.handle);
        let rotate = async |seconds: u32| {
            let request =
                server.post(&path).key(&operator).header("inkhook-organization", &agent.organization);
            request.json(json!({"activate_after_seconds": seconds})).send().await.expect(201);
        };
        if first {
            rotate(0).await;
        }
        rotate(60).await;
        let code = take_code(&server).await;
        verify(&server, &agent.key, &code).await.expect(200);
        let mailbox = server.get("/api/v1/mail/mailboxes").key(&agent.key).send().await.expect(200);
        let mailbox = &mailbox.json[0]["id"];
        let receiver = Receiver::start().await;
        let hook =
            json!({"mailbox_id": mailbox, "url": receiver.url("/in"), "event_types": ["message.received"]});
        let hook = server.post("/api/v1/webhooks/subscriptions").key(&agent.key).json(hook).send().await;
        assert_eq!(hook.expect(201).json["signing_key"], serde_json::Value::Null, "the organisation's signs");
        // Before the time at which the key was to follow, and after it.
        for sent in 1..=2 {
            let event = json!({"event_type": "message.received", "mailbox_id": mailbox, "data": {"message": {
                "from_address": "lee@client.test", "to_addresses": [agent.address], "subject": "hi",
                "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"}}});
            server.post("/api/v1/events").by(&acme).json(event).send().await.expect(202);
            server.pump().run_until_idle().await.expect("the store works");
            let received = receiver.received();
            assert_eq!(received.len(), sent);
            assert_eq!(received[sent - 1].verdicts(&new.text("signing_key")), (true, true));
            server.advance(Duration::from_mins(2));
        }
    }
}

//! Whose an agent is once somebody vouches for it.

use serde_json::json;

use super::{HUMAN, body, identity_of, member, sign_up, subtype, take_code, token, verify};
use crate::support::{Receiver, TestServer};

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
    server.advance(std::time::Duration::from_secs(1));
    member(&server, &globex, HUMAN).await;
    let agent = sign_up(&server, body(HUMAN)).await;
    let mailbox = server.get("/api/v1/mail/mailboxes").key(&agent.key).send().await.expect(200);
    let operator = server.operator_key().await;
    // What the operator sets up where the agent is for the time being stays behind.
    let receiver = Receiver::start().await;
    let hook = json!({"mailbox_id": mailbox.json[0]["id"], "url": receiver.url("/in"),
        "event_types": ["message.received"]});
    let as_operator = |request: crate::support::Request| {
        request.key(&operator).header("inkhook-organization", &agent.organization)
    };
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

#[tokio::test]
async fn an_organisation_in_which_the_operator_put_more_stays() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    member(&server, &acme, HUMAN).await;
    let agent = sign_up(&server, body(HUMAN)).await;
    let operator = server.operator_key().await;
    let more = json!({"agent_handle": "more"});
    let request = server.post("/api/v1/identities").key(&operator);
    request.header("inkhook-organization", &agent.organization).json(more).send().await.expect(201);
    let id = identity_of(&server, &agent).await;
    server
        .post(&format!("/api/v1/agent-signup/{id}/approve"))
        .by(&acme)
        .json(json!({}))
        .send()
        .await
        .expect(200);
    assert_eq!(subtype(&server, &agent.key).await, "api_key.agent_scoped.claimed");
    let request = server.get("/api/v1/identities/more").key(&operator);
    request.header("inkhook-organization", &agent.organization).send().await.expect(200);
}

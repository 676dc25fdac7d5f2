//! What an organisation sees of those who wait, and what it may decide.

use std::time::Duration;

use serde_json::json;

use super::{
    Agent, HUMAN, PENDING, STATUS, ask, body, identity_of, member, pending, sign_up, subtype, take_code,
    token, verify,
};
use crate::support::{Organization, Reply, TestServer};

async fn decide(server: &TestServer, organization: &Organization, identity: &str, what: &str) -> Reply {
    server.post(&format!("/api/v1/agent-signup/{identity}/{what}")).by(organization).send().await
}

/// Somebody whom acme may see, for each reason, and somebody whom it may not.
async fn world(server: &TestServer) -> (Organization, Organization, Vec<Agent>) {
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    member(server, &acme, HUMAN).await;
    let mut invited = body("stranger@client.test");
    invited["invitation_token"] = json!(token(server, &acme).await);
    let mut agents = Vec::new();
    for asked in [body(HUMAN), invited, body("stranger@client.test")] {
        agents.push(sign_up(server, asked).await);
        server.advance(Duration::from_secs(1));
    }
    (acme, globex, agents)
}

#[tokio::test]
async fn an_organisation_sees_who_names_its_members_or_came_with_its_invitation() {
    let server = TestServer::new();
    let (acme, globex, agents) = world(&server).await;
    assert_eq!(pending(&server, &acme).await, [&*agents[0].handle, &*agents[1].handle], "oldest first");
    assert_eq!(pending(&server, &globex).await, [""; 0]);
    let shown = server.get(PENDING).by(&acme).send().await.expect(200);
    let first = &shown.json["agents"][0];
    assert_eq!(first["identity_id"], identity_of(&server, &agents[0]).await);
    assert_eq!(first["email_address"], agents[0].address);
    assert_eq!((&first["human_email"], &first["is_invited"]), (&json!(HUMAN), &json!(false)));
    assert_eq!(first["note_to_human"], "Hello, it is me");
    assert_eq!(shown.json["agents"][1]["is_invited"], true);
    server.get(PENDING).key(&agents[0].key).send().await.refused(403);
    server.get(PENDING).send().await.refused(401);

    assert!(server.app.store.remove_member(acme.no, HUMAN.into()).await.expect("stored"));
    assert_eq!(pending(&server, &acme).await, [&*agents[1].handle], "it is looked at now");
    server.advance(Duration::from_hours(48));
    assert_eq!(pending(&server, &acme).await, [""; 0], "who is too late does not wait any more");
}

#[tokio::test]
async fn others_are_not_there_and_nothing_happens_to_them() {
    let server = TestServer::new();
    let (acme, globex, agents) = world(&server).await;
    let nobody = decide(&server, &acme, "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001", "approve").await.refused(404);
    let before = server.snapshot();
    for (organization, agent) in [(&acme, &agents[2]), (&globex, &agents[0]), (&globex, &agents[1])] {
        let id = identity_of(&server, agent).await;
        for what in ["approve", "reject"] {
            assert_eq!(decide(&server, organization, &id, what).await.refused(404), nobody);
        }
    }
    // Nor is an agent of its own that did not sign up, for this.
    let id = identity_of(&server, &agents[0]).await;
    server.post(&format!("/api/v1/agent-signup/{id}/approve")).key(&agents[0].key).send().await.refused(403);
    server.post(&format!("/api/v1/agent-signup/{id}/reject")).key(&agents[0].key).send().await.refused(403);
    assert_eq!(server.snapshot(), before, "nothing changed");
}

#[tokio::test]
async fn approving_claims_for_the_organisation_at_once() {
    let server = TestServer::new();
    let (acme, globex, agents) = world(&server).await;
    for agent in &agents[..2] {
        // The key is in the server's memory as unclaimed.
        assert_eq!(subtype(&server, &agent.key).await, "api_key.agent_scoped.unclaimed");
        let id = identity_of(&server, agent).await;
        let path = format!("/api/v1/agent-signup/{id}/approve");
        let elsewhere = json!({"organization_id": globex.id});
        server.post(&path).by(&acme).json(elsewhere).send().await.refused(403);
        let asked = json!({"organization_id": acme.id});
        let approved = server.post(&path).by(&acme).json(asked).send().await.expect(200);
        assert_eq!(approved.text("claim_status"), "agent_claimed");
        assert_eq!(approved.text("organization_id"), acme.id.to_string());
        server.get("/api/v1/webhooks/subscriptions").key(&agent.key).send().await.expect(200);
        server.get(&format!("/api/v1/identities/{}", agent.handle)).by(&acme).send().await.expect(200);
        assert_eq!(
            server.get(STATUS).key(&agent.key).send().await.expect(200).text("human_state"),
            "verified"
        );
        decide(&server, &acme, &id, "approve").await.refused(404);
        decide(&server, &acme, &id, "reject").await.refused(404);
    }
    assert_eq!(pending(&server, &acme).await, [""; 0]);
    let waiting = server.query::<i64>("SELECT count(*) FROM signups WHERE mail_due_ms IS NOT NULL");
    assert_eq!(waiting, [1], "who is claimed gets no code any more");
    let notes = server.query::<String>("SELECT note FROM signups WHERE claimed_ms IS NOT NULL");
    assert_eq!(notes, ["", ""], "what it wrote is not kept");
}

#[tokio::test]
async fn an_approval_works_when_the_code_is_dead() {
    let server = TestServer::new();
    let (acme, _, agents) = world(&server).await;
    server.run("UPDATE signups SET guesses = 10");
    verify(&server, &agents[0].key, "123456").await.refused(410);
    let id = identity_of(&server, &agents[0]).await;
    decide(&server, &acme, &id, "approve").await.expect(200);
}

/// Who names a member of acme, and came with the invitation of globex.
#[tokio::test]
async fn who_was_invited_is_seen_by_the_humans_organisation_and_decided_about_by_who_invited() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    member(&server, &acme, HUMAN).await;
    let mut asked = body(HUMAN);
    asked["invitation_token"] = json!(token(&server, &globex).await);
    for what in ["approve", "reject"] {
        let agent = sign_up(&server, asked.clone()).await;
        let id = identity_of(&server, &agent).await;
        for (organization, is_invited) in [(&acme, false), (&globex, true)] {
            let shown = server.get(PENDING).by(organization).send().await.expect(200);
            assert_eq!(shown.json["agents"][0]["identity_id"], id);
            assert_eq!(shown.json["agents"][0]["is_invited"], is_invited, "by who asks");
        }
        let before = server.snapshot();
        for what in ["approve", "reject"] {
            assert!(decide(&server, &acme, &id, what).await.refused(409).contains("another organisation"));
        }
        assert_eq!(server.snapshot(), before, "nothing changed");
        let decided = decide(&server, &globex, &id, what).await.expect(200);
        if what == "approve" {
            assert_eq!(decided.text("organization_id"), globex.id.to_string());
        }
        decide(&server, &acme, &id, what).await.refused(404);
    }
}

#[tokio::test]
async fn nobody_makes_a_key_for_an_agent_before_somebody_vouches() {
    let server = TestServer::new();
    let (acme, _, agents) = world(&server).await;
    let id = identity_of(&server, &agents[1]).await;
    let key = json!({"label": "daily use", "scoped_identity_id": id});
    let make = async || server.post("/api/v1/api-keys").by(&acme).json(key.clone()).send().await;
    let before = server.snapshot();
    assert!(make().await.refused(409).contains("approve"));
    assert_eq!(server.snapshot(), before, "nothing changed");
    decide(&server, &acme, &id, "approve").await.expect(200);
    let made = make().await.expect(201).text("api_key");
    server.advance(Duration::from_hours(48));
    server.get("/api/v1/webhooks/subscriptions").key(&made).send().await.expect(200);
}

#[tokio::test]
async fn rejecting_deletes_the_agent_and_its_names_are_free() {
    let server = TestServer::new();
    let (acme, globex, agents) = world(&server).await;
    let organizations = server.query::<i64>("SELECT count(*) FROM organizations")[0];
    for agent in &agents[..2] {
        let id = identity_of(&server, agent).await;
        let rejected = decide(&server, &acme, &id, "reject").await.expect(200);
        assert_eq!(rejected.text("identity_id"), id);
        server.get("/api/whoami").key(&agent.key).send().await.refused(401);
        server.get(&format!("/api/v1/identities/{}", agent.handle)).by(&acme).send().await.refused(404);
        // Anybody may have them.
        let local_part = agent.address.split('@').next().expect("a part");
        let wanted = json!({"agent_handle": agent.handle, "mailbox": {"email_local_part": local_part}});
        server.post("/api/v1/identities").by(&globex).json(wanted).send().await.expect(201);
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM organizations"), [organizations - 1]);
    assert_eq!(server.query::<i64>("SELECT count(*) FROM signups"), [1]);
}

#[tokio::test]
async fn an_admin_who_deletes_the_identity_frees_its_names_too_until_it_is_claimed() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    let mut asked = body(HUMAN);
    asked["invitation_token"] = json!(token(&server, &acme).await);
    for is_claimed in [false, true] {
        let agent = sign_up(&server, asked.clone()).await;
        if is_claimed {
            let code = take_code(&server).await;
            verify(&server, &agent.key, &code).await.expect(200);
        }
        server.delete(&format!("/api/v1/identities/{}", agent.handle)).by(&acme).send().await.expect(204);
        let wanted = json!({"agent_handle": agent.handle});
        let reply = server.post("/api/v1/identities").by(&globex).json(wanted).send().await;
        assert_eq!(reply.status, if is_claimed { 409 } else { 201 }, "{}", reply.json);
    }
}

#[tokio::test]
async fn an_organisation_that_goes_takes_its_invitation_members_and_sign_ups_along() {
    let server = TestServer::new();
    let (acme, _, agents) = world(&server).await;
    assert!(server.app.store.delete_organization(acme.id).await.expect("stored"));
    for table in ["members", "invitations"] {
        assert_eq!(server.query::<i64>(&format!("SELECT count(*) FROM {table}")), [0], "{table}");
    }
    assert_eq!(server.query::<i64>("SELECT count(*) FROM signups"), [2], "those that were not its own stay");
    server.get(STATUS).key(&agents[1].key).send().await.refused(401);
    assert_eq!(subtype(&server, &agents[0].key).await, "api_key.agent_scoped.unclaimed");
    assert!(ask(&server, body(HUMAN)).await.status == 201);
}

//! Agents that sign up by themselves: registering, the code, the people and organisations that vouch, and what
//! nobody vouched for.

mod claiming;
mod codes;
mod expiring;
mod limits;
mod mailing;
mod nodes;
mod pending;
mod races;
mod registering;
mod sink;
mod unclaimed;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Organization, Reply, TestServer};

const SIGNUP: &str = "/api/v1/agent-signup";
const VERIFY: &str = "/api/v1/agent-signup/verify";
const RESEND: &str = "/api/v1/agent-signup/resend-verification";
const STATUS: &str = "/api/v1/agent-signup/status";
const PENDING: &str = "/api/v1/agent-signup/pending";
const TOKEN: &str = "/api/v1/organization/invitation-token";
const HUMAN: &str = "ana@client.test";

/// An agent that signed up.
#[derive(Debug, Clone)]
struct Agent {
    key: String,
    handle: String,
    address: String,
    organization: String,
}

/// The least that is asked for.
fn body(human: &str) -> Value {
    json!({"human_email": human, "note_to_human": "Hello, it is me"})
}

async fn ask(server: &TestServer, body: Value) -> Reply {
    server.post(SIGNUP).json(body).send().await
}

async fn sign_up(server: &TestServer, body: Value) -> Agent {
    let reply = ask(server, body).await.expect(201);
    let handle = reply.text("agent_handle");
    Agent {
        key: reply.text("api_key"),
        address: reply.text("email_address"),
        organization: reply.text("organization_id"),
        handle,
    }
}

/// The code that waits to be mailed.
async fn take_code(server: &TestServer) -> String {
    let store = &server.app.store;
    let mail =
        store.claim_signup_mail(server.app.clock.wall(), Duration::from_mins(1)).await.expect("it reads");
    let mail = mail.expect("a code waits to be mailed");
    store.settle_signup_mail(&mail, None).await.expect("stored");
    mail.content.code.expose().to_owned()
}

/// Another code than this one.
fn wrong(code: &str) -> String {
    let next = (code.parse::<u32>().expect("digits") + 1) % 1_000_000;
    format!("{next:06}")
}

async fn verify(server: &TestServer, key: &str, code: &str) -> Reply {
    server.post(VERIFY).key(key).json(json!({"verification_code": code})).send().await
}

async fn token(server: &TestServer, organization: &Organization) -> String {
    server.post(TOKEN).by(organization).send().await.expect(201).text("invitation_token")
}

/// What the key may do, by its own word.
async fn subtype(server: &TestServer, key: &str) -> String {
    server.get("/api/whoami").key(key).send().await.expect(200).text("auth_subtype")
}

async fn member(server: &TestServer, organization: &Organization, email: &str) {
    assert!(server.app.store.add_member(organization.no, email.into()).await.expect("stored"));
}

async fn pending(server: &TestServer, organization: &Organization) -> Vec<String> {
    let reply = server.get(PENDING).by(organization).send().await.expect(200);
    let agents = reply.json["agents"].as_array().expect("a list");
    agents.iter().map(|agent| agent["agent_handle"].as_str().expect("a handle").to_owned()).collect()
}

/// The identity of an agent that waits, as an organisation that sees it knows it.
async fn identity_of(server: &TestServer, agent: &Agent) -> String {
    let path = format!("/api/v1/identities/{}", agent.handle);
    server.get(&path).key(&agent.key).send().await.expect(200).text("id")
}

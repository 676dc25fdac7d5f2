//! What registering takes, and what it answers.

use inkhook_server::domain::metrics::render;
use inkhook_server::domain::signup::PER_HUMAN;
use serde_json::{Value, json};

use super::{HUMAN, PENDING, RESEND, SIGNUP, STATUS, TOKEN, VERIFY, ask, body, sign_up, subtype, token};
use crate::support::{MAIL_DOMAIN, Setup, TestServer};

#[tokio::test]
async fn an_agent_gets_a_key_a_mailbox_and_an_organisation_of_its_own() {
    let server = TestServer::new();
    for path in [SIGNUP, "/api/v1/agent-signup/"] {
        let mut asked = body("Ana@Client.Test");
        asked["agent_handle"] = json!("@Sales");
        asked["display_name"] = json!("Sales Agent");
        asked["harness"] = json!("tests");
        let reply = server.post(path).json(asked).send().await.expect(201);
        let handle = reply.text("agent_handle");
        assert!(handle.starts_with("sales-") && handle.len() == "sales-".len() + 8, "{handle}");
        assert_eq!(reply.text("email_address"), format!("{handle}@{MAIL_DOMAIN}"));
        assert_eq!(reply.text("claim_status"), "agent_unclaimed");
        assert_eq!(reply.text("human_email"), HUMAN);
        assert!(reply.text("message").contains(HUMAN));
        assert_eq!(reply.json["invitation"], Value::Null);
        let key = reply.text("api_key");
        assert_eq!(subtype(&server, &key).await, "api_key.agent_scoped.unclaimed");
        let own = server.get(&format!("/api/v1/identities/{handle}")).key(&key).send().await.expect(200);
        assert_eq!(own.json["display_name"], "Sales Agent");
        assert_eq!(own.text("organization_id"), reply.text("organization_id"));
        let whoami = server.get("/api/whoami").key(&key).send().await.expect(200);
        assert_eq!(
            (whoami.text("creator_type"), whoami.text("created_by")),
            ("agent".into(), "sign-up".into())
        );
    }
    let organizations = server.query::<i64>("SELECT count(*) FROM organizations");
    assert_eq!(organizations, [2], "one each");
}

#[tokio::test]
async fn names_come_from_what_is_said_and_fit() {
    let server = TestServer::new();
    let with = |field: &str, value: &str| {
        let mut asked = body(HUMAN);
        asked[field] = json!(value);
        asked
    };
    let begins = async |asked: Value, handle: &str, address: &str| {
        let agent = sign_up(&server, asked).await;
        assert!(agent.handle.starts_with(handle) && agent.handle.len() <= 63, "{}", agent.handle);
        assert!(agent.address.starts_with(address), "{}", agent.address);
        let local_part = agent.address.split('@').next().expect("a part");
        assert!(local_part.len() <= 64, "{local_part}");
    };
    begins(body(HUMAN), "agent-", "agent-").await;
    begins(with("display_name", "Sales & Support"), "sales-support-", "sales-support-").await;
    begins(with("email_local_part", "sales.desk"), "agent-", "sales.desk-").await;
    begins(with("agent_handle", &"h".repeat(63)), "hhh", "hhh").await;
    begins(with("email_local_part", &"p".repeat(64)), "agent-", "ppp").await;
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named() {
    let server = TestServer::new();
    let before = server.snapshot();
    let mut cases: Vec<(&str, Value)> = vec![
        ("human_email", json!("ana")),
        ("human_email", json!("ana@client.test\r\nBcc: lee@client.test")),
        ("human_email", json!(format!("help@{MAIL_DOMAIN}"))),
        ("human_email", json!(null)),
        ("note_to_human", json!("")),
        ("note_to_human", json!(" \n")),
        ("note_to_human", json!("n".repeat(2_001))),
        ("note_to_human", json!("a\0b")),
        ("agent_handle", json!("no handle")),
        ("agent_handle", json!("h".repeat(64))),
        ("email_local_part", json!("a@b")),
        ("email_local_part", json!("p".repeat(65))),
        ("display_name", json!("d".repeat(256))),
        ("harness", json!("h".repeat(256))),
        ("invitation_token", json!("a2ai_short")),
        ("invitation_token", json!(format!("a2ai_{}", "x".repeat(43)))),
    ];
    cases.push(("surprise", json!(1)));
    for (field, value) in cases {
        let mut asked = body(HUMAN);
        asked[field] = value;
        let reply = ask(&server, asked.clone()).await;
        assert_eq!(reply.json["errors"][0]["loc"], json!(["body", field]), "{asked}: {}", reply.json);
        reply.refused(422);
    }
    for missing in ["human_email", "note_to_human"] {
        let mut asked = body(HUMAN);
        asked.as_object_mut().expect("an object").remove(missing);
        ask(&server, asked).await.invalid(&["body", missing], "missing");
    }
    assert_eq!(server.snapshot(), before, "nothing was half done");
    let mut longest = body(HUMAN);
    longest["note_to_human"] = json!("n".repeat(2_000));
    longest["display_name"] = json!("d".repeat(255));
    longest["harness"] = json!("h".repeat(255));
    ask(&server, longest).await.expect(201);
}

/// An answer without what differs from one agent to the next.
fn shape(answer: &Value, own: &str) -> String {
    let mut answer = answer.clone();
    let handle = answer["agent_handle"].as_str().expect("a handle").to_owned();
    assert_eq!(handle.rsplit_once('-').expect("an ending").0, own, "whoever has the name");
    assert_eq!(answer["email_address"], format!("{handle}@{MAIL_DOMAIN}"));
    for field in ["agent_handle", "email_address", "organization_id", "api_key"] {
        answer[field] = json!("…");
    }
    answer.to_string()
}

#[tokio::test]
async fn the_answer_does_not_tell_which_handles_addresses_and_humans_are_known() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    acme.identity("taken").await;
    acme.identity("given-up").await;
    server.delete("/api/v1/identities/given-up").by(&acme).send().await.expect(204);
    super::member(&server, &acme, "member@client.test").await;
    let asked = |human: &str, handle: &str| {
        let mut asked = body(human);
        asked["agent_handle"] = json!(handle);
        asked
    };
    let mut answers = Vec::new();
    for handle in ["taken", "given-up", "nobody-has-it"] {
        for human in ["member@client.test", "nobody@client.test"] {
            let reply = ask(&server, asked(human, handle)).await.expect(201);
            answers.push(shape(&reply.json, handle).replace(human, "…"));
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    // And once more, by then they have signed up.
    for human in ["member@client.test", "nobody@client.test"] {
        let reply = ask(&server, asked(human, "taken")).await.expect(201);
        assert_eq!(shape(&reply.json, "taken").replace(human, "…"), answers[0]);
    }
}

/// What is done for one is done for the other: the time that it takes tells nothing either.
#[tokio::test]
async fn as_many_rows_are_written_for_whoever_is_named() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    acme.identity("taken").await;
    super::member(&server, &acme, "member@client.test").await;
    let mut written = Vec::new();
    for (human, handle) in [("member@client.test", "taken"), ("nobody@client.test", "nobody-has-it")] {
        let before = server.snapshot();
        let mut asked = body(human);
        asked["agent_handle"] = json!(handle);
        ask(&server, asked).await.expect(201);
        let after = server.snapshot();
        let tables = after.difference(&before).map(|row| row.split(':').next().expect("a table").to_owned());
        // Nodes are told that there is a new name.
        written.push(tables.filter(|table| table != "epochs").collect::<Vec<_>>());
    }
    assert_eq!(written[0], written[1]);
    assert_eq!(written[0].len(), 6, "organisation, identity, mailbox, key, sign-up, count: {written:?}");
}

#[tokio::test]
async fn with_an_invitation_it_belongs_to_who_invites_from_the_start() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let mut asked = body(HUMAN);
    asked["invitation_token"] = json!(token(&server, &acme).await);
    let reply = ask(&server, asked.clone()).await.expect(201);
    assert_eq!(reply.text("organization_id"), acme.id.to_string());
    let invitation = &reply.json["invitation"];
    assert_eq!(invitation["status"], "awaiting_verification");
    assert_eq!(invitation["invitee_agent_handle"], reply.json["agent_handle"]);
    assert_eq!(invitation["peer_agent_handles"], json!([]));
    assert_eq!(invitation["accepted_at"], Value::Null);
    assert_eq!(server.query::<i64>("SELECT count(*) FROM organizations"), [1]);

    let newer = token(&server, &acme).await;
    ask(&server, asked.clone()).await.invalid(&["body", "invitation_token"], "invalid");
    asked["invitation_token"] = json!(newer);
    ask(&server, asked.clone()).await.expect(201);
    server.delete(TOKEN).by(&acme).send().await.expect(204);
    server.delete(TOKEN).by(&acme).send().await.expect(204);
    ask(&server, asked).await.invalid(&["body", "invitation_token"], "invalid");
    let agent = acme.identity("help").await;
    server.post(TOKEN).by_agent(&agent).send().await.refused(403);
    assert!(!server.stores(newer.as_bytes()), "the token is in no row");
}

/// Anybody may ask, and what is refused is not counted: it must not keep the writer busy.
#[tokio::test]
async fn what_is_refused_costs_no_transaction() {
    let server = TestServer::new();
    let commits = || {
        let text = render(server.app.store.metrics(), None);
        let mut counts = text.lines().filter_map(|line| line.strip_prefix("inkhook_commit_seconds_count "));
        counts.next().expect("it is shown").parse::<u64>().expect("a number")
    };
    let mut unknown = body(HUMAN);
    unknown["invitation_token"] = json!(format!("a2ai_{}", "x".repeat(43)));
    let before = commits();
    for _ in 0..10 {
        ask(&server, unknown.clone()).await.invalid(&["body", "invitation_token"], "invalid");
    }
    assert_eq!(commits(), before);
    for _ in 0..PER_HUMAN {
        ask(&server, body(HUMAN)).await.expect(201);
    }
    let before = commits();
    assert!(before > 0, "those who may are written down");
    ask(&server, body(HUMAN)).await.refused(429);
    ask(&server, unknown).await.refused(429);
    assert_eq!(commits(), before);
}

#[tokio::test]
async fn where_it_is_off_every_route_says_so_and_how_it_is_turned_on() {
    let server = TestServer::with(Setup { signup: false, ..Setup::default() });
    let acme = server.organization("acme").await;
    let one = "/api/v1/agent-signup/0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001";
    for request in [
        server.post(SIGNUP).json(body(HUMAN)),
        server.post(SIGNUP).bytes("{"),
        server.post(VERIFY),
        server.post(RESEND).by(&acme),
        server.get(STATUS).by(&acme),
        server.get(PENDING).by(&acme),
        server.post(&format!("{one}/approve")).by(&acme),
        server.post(&format!("{one}/reject")).by(&acme),
        server.post(TOKEN).by(&acme),
        server.delete(TOKEN).by(&acme),
    ] {
        let detail = request.send().await.refused(404);
        assert!(detail.contains("signup.enabled") && detail.contains("INKHOOK_SIGNUP__ENABLED"), "{detail}");
    }
}

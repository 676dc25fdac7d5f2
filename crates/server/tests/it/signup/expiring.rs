//! Those for whom nobody vouched in time.

use std::time::Duration;

use inkhook_server::engine::janitor::House;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Agent, HUMAN, body, sign_up, take_code, token, verify};
use crate::support::TestServer;

async fn keep_house(server: &TestServer) {
    let soft = CancellationToken::new();
    let kept = House::default().keep(&server.app.store, &server.app.clock, 30, &soft).await;
    kept.expect("the store works");
}

fn count(server: &TestServer, table: &str) -> i64 {
    server.query::<i64>(&format!("SELECT count(*) FROM {table}"))[0]
}

#[tokio::test]
async fn after_48_hours_it_goes_with_everything_and_its_names_are_free() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let mut invited = body(HUMAN);
    invited["invitation_token"] = json!(token(&server, &acme).await);
    let claimed = sign_up(&server, body(HUMAN)).await;
    let code = take_code(&server).await;
    verify(&server, &claimed.key, &code).await.expect(200);
    let agents: Vec<Agent> = vec![sign_up(&server, body(HUMAN)).await, sign_up(&server, invited).await];

    server.advance(Duration::from_hours(48) - Duration::from_millis(1));
    keep_house(&server).await;
    for agent in &agents {
        server.get("/api/whoami").key(&agent.key).send().await.expect(200);
    }
    server.advance(Duration::from_millis(1));
    keep_house(&server).await;
    for agent in &agents {
        server.get("/api/whoami").key(&agent.key).send().await.refused(401);
        let local_part = agent.address.split('@').next().expect("a part");
        let wanted = json!({"agent_handle": agent.handle, "mailbox": {"email_local_part": local_part}});
        server.post("/api/v1/identities").by(&acme).json(wanted).send().await.expect(201);
    }
    server.get("/api/whoami").key(&claimed.key).send().await.expect(200);
    assert_eq!(count(&server, "signups"), 1, "who is claimed stays");
    assert_eq!(count(&server, "organizations"), 2, "acme, and the one of who is claimed");
    assert_eq!(count(&server, "reserved_names"), 0);
    assert_eq!(count(&server, "signup_counts"), 0, "and nothing counts any more");
}

#[tokio::test]
async fn more_than_one_chunk_goes() {
    let server = TestServer::new();
    for n in 0..25 {
        let request = server.post(super::SIGNUP).from(&format!("10.0.{n}.1"));
        request.json(body(&format!("human-{n}@client.test"))).send().await.expect(201);
    }
    server.advance(Duration::from_hours(24));
    keep_house(&server).await;
    assert_eq!((count(&server, "signups"), count(&server, "signup_counts")), (25, 0));
    server.advance(Duration::from_hours(24));
    keep_house(&server).await;
    for table in ["signups", "identities", "mailboxes", "api_keys", "organizations"] {
        assert_eq!(count(&server, table), 0, "{table}");
    }
}

#[tokio::test]
async fn a_code_that_was_not_mailed_in_time_is_not_mailed() {
    let server = TestServer::new();
    sign_up(&server, body(HUMAN)).await;
    server.advance(Duration::from_hours(48));
    let mail = server.app.store.claim_signup_mail(server.app.clock.wall(), Duration::from_mins(1)).await;
    assert_eq!(mail.expect("it reads"), None);
}

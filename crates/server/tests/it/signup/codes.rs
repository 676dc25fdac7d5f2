//! The code: guesses, their bounds, and sending it again.

use std::time::Duration;

use serde_json::json;

use super::{HUMAN, RESEND, STATUS, VERIFY, body, sign_up, subtype, take_code, verify, wrong};
use crate::support::TestServer;

/// Five minutes, from the contract.
const COOLDOWN: Duration = Duration::from_mins(5);

#[tokio::test]
async fn the_right_code_claims_and_a_wrong_one_is_401() {
    let server = TestServer::new();
    let agent = sign_up(&server, body(HUMAN)).await;
    let code = take_code(&server).await;
    let detail = verify(&server, &agent.key, &wrong(&code)).await.refused(401);
    assert!(detail.contains("guesses left: 9"), "{detail}");
    let status = server.get(STATUS).key(&agent.key).send().await.expect(200);
    assert_eq!(
        status.json,
        json!({"claim_status": "agent_unclaimed", "human_state": "pending", "human_email": HUMAN,
            "restrictions": {"max_sends_per_day": 0, "allowed_recipients": [], "can_receive": true,
                "can_create_mailboxes": false}})
    );
    let claimed = verify(&server, &agent.key, &code).await.expect(200);
    assert_eq!(claimed.text("claim_status"), "agent_claimed");
    assert_eq!(claimed.text("organization_id"), agent.organization);
    let status = server.get(STATUS).key(&agent.key).send().await.expect(200);
    assert_eq!(
        (status.text("claim_status"), status.text("human_state")),
        ("agent_claimed".into(), "verified".into())
    );
    // Twice is once, and a code that was right is not needed any more.
    assert_eq!(verify(&server, &agent.key, &code).await.expect(200).json, claimed.json);
    server.post(RESEND).key(&agent.key).send().await.refused(409);
}

#[tokio::test]
async fn what_is_no_code_is_422_and_counts_as_no_guess() {
    let server = TestServer::new();
    let agent = sign_up(&server, body(HUMAN)).await;
    for bad in ["", "12345", "1234567", "12345x", "１２３４５６"] {
        verify(&server, &agent.key, bad).await.invalid(&["body", "verification_code"], "invalid");
    }
    let reply = server.post(VERIFY).key(&agent.key).json(json!({"verification_code": 123_456})).send().await;
    let detail = reply.invalid(&["body", "verification_code"], "invalid");
    assert!(!detail.contains("123456"), "a code is not repeated: {detail}");
    server
        .post(VERIFY)
        .key(&agent.key)
        .json(json!({}))
        .send()
        .await
        .invalid(&["body", "verification_code"], "missing");
    assert_eq!(server.query::<i64>("SELECT guesses FROM signups"), [0]);
}

#[tokio::test]
async fn five_guesses_a_code_and_ten_in_all() {
    let server = TestServer::new();
    let agent = sign_up(&server, body(HUMAN)).await;
    let code = take_code(&server).await;
    for _ in 0..5 {
        verify(&server, &agent.key, &wrong(&code)).await.refused(401);
    }
    let reply = verify(&server, &agent.key, &code).await;
    assert_eq!(reply.header("retry-after"), Some("300"), "when another code may be sent");
    assert!(reply.refused(429).contains("sent"), "even the right one");
    server.advance(COOLDOWN);
    verify(&server, &agent.key, &code).await.refused(429);
    server.post(RESEND).key(&agent.key).send().await.expect(200);
    let second = take_code(&server).await;
    assert_ne!(code, second);
    for guess in [&code, &wrong(&second), &wrong(&second), &wrong(&second)] {
        verify(&server, &agent.key, guess).await.refused(401);
    }
    assert!(verify(&server, &agent.key, &wrong(&second)).await.refused(401).contains("left: 0"));
    assert!(
        verify(&server, &agent.key, &second).await.refused(410).contains("approval"),
        "dead, also for the right one"
    );
    server.advance(COOLDOWN);
    server.post(RESEND).key(&agent.key).send().await.refused(410);
    assert_eq!(server.query::<i64>("SELECT guesses FROM signups"), [10], "no more are counted");
    assert_eq!(subtype(&server, &agent.key).await, "api_key.agent_scoped.unclaimed");
}

#[tokio::test]
async fn another_code_takes_the_first_ones_place_five_times_and_not_too_soon() {
    let server = TestServer::new();
    let agent = sign_up(&server, body(HUMAN)).await;
    let first = take_code(&server).await;
    let resend = async || server.post(RESEND).key(&agent.key).send().await;
    let reply = resend().await;
    assert_eq!(reply.header("retry-after"), Some("300"));
    reply.refused(429);
    let mut code = first.clone();
    for _ in 0..5 {
        server.advance(COOLDOWN.checked_sub(Duration::from_millis(1)).expect("longer"));
        let reply = resend().await;
        assert_eq!(reply.header("retry-after"), Some("1"));
        reply.refused(429);
        server.advance(Duration::from_millis(1));
        let reply = resend().await.expect(200);
        assert_eq!(reply.text("claim_status"), "agent_unclaimed");
        assert_eq!(reply.text("organization_id"), agent.organization);
        let next = take_code(&server).await;
        assert_ne!(next, code, "each has a code of its own");
        code = next;
    }
    server.advance(COOLDOWN);
    assert!(resend().await.refused(429).contains("5 times"), "one past the bound");
    verify(&server, &agent.key, &first).await.refused(401);
    verify(&server, &agent.key, &code).await.expect(200);
}

#[tokio::test]
async fn a_code_is_good_for_48_hours() {
    let server = TestServer::new();
    let (early, late) = (sign_up(&server, body(HUMAN)).await, sign_up(&server, body(HUMAN)).await);
    let mut codes = [take_code(&server).await, take_code(&server).await];
    server.advance(Duration::from_hours(48) - Duration::from_millis(1));
    // Which of the two came first does not matter: one of them is right.
    if verify(&server, &early.key, &codes[0]).await.status == 401 {
        codes.swap(0, 1);
        verify(&server, &early.key, &codes[0]).await.expect(200);
    }
    server.advance(Duration::from_millis(1));
    verify(&server, &late.key, &codes[1]).await.refused(410);
    server.post(RESEND).key(&late.key).send().await.refused(410);
    assert_eq!(subtype(&server, &late.key).await, "api_key.agent_scoped.unclaimed");
}

#[tokio::test]
async fn a_code_is_in_no_row_and_another_agents_code_is_of_no_use() {
    let server = TestServer::new();
    let one = sign_up(&server, body(HUMAN)).await;
    let code = take_code(&server).await;
    let other = sign_up(&server, body(HUMAN)).await;
    let others = take_code(&server).await;
    assert!(!server.stores(code.as_bytes()) && !server.stores(others.as_bytes()));
    assert_ne!(code, others);
    verify(&server, &one.key, &others).await.refused(401);
    verify(&server, &other.key, &others).await.expect(200);
}

#[tokio::test]
async fn there_is_nothing_to_see_for_keys_that_did_not_sign_up() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let unclaimed = acme.unclaimed_key(help.id).await;
    for key in [&acme.key, &help.key, &unclaimed] {
        server.get(STATUS).key(key).send().await.refused(404);
        server.post(RESEND).key(key).send().await.refused(404);
        verify(&server, key, "123456").await.refused(404);
    }
    for request in [server.get(STATUS), server.post(RESEND), server.post(VERIFY)] {
        request.send().await.refused(401);
    }
}

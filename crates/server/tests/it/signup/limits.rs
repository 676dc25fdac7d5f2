//! How many may sign up.

use std::time::Duration;

use inkhook_server::domain::signup::{IN_ALL, PER_BLOCK, PER_HUMAN};
use serde_json::json;

use super::{HUMAN, SIGNUP, ask, body, identity_of, member, sign_up};
use crate::support::{Reply, Setup, TestServer};

const DAY: Duration = Duration::from_hours(24);

async fn ask_from(server: &TestServer, address: &str, human: &str) -> Reply {
    server.post(SIGNUP).from(address).json(body(human)).send().await
}

/// A human whom nobody has named.
fn human(n: usize) -> String {
    format!("human-{n}@client.test")
}

#[track_caller]
fn full(reply: Reply, seconds: &str) -> String {
    assert_eq!(reply.header("retry-after"), Some(seconds));
    reply.refused(429)
}

#[tokio::test]
async fn five_a_day_may_name_one_human() {
    let server = TestServer::new();
    for n in 0..PER_HUMAN {
        // However the address is written, it is the same human.
        let human = if n % 2 == 0 { "ana@client.test".to_owned() } else { format!("Ana+{n}@Client.test") };
        ask(&server, body(&human)).await.expect(201);
        server.advance(Duration::from_secs(1));
    }
    assert!(full(ask(&server, body(HUMAN)).await, "86395").contains("one human"));
    ask(&server, body("lee@client.test")).await.expect(201);
    server.advance(Duration::from_millis(86_400_000 - 5_001));
    full(ask(&server, body("ana+new@client.test")).await, "1");
    server.advance(Duration::from_millis(1));
    ask(&server, body(HUMAN)).await.expect(201);
    full(ask(&server, body(HUMAN)).await, "1");
}

#[tokio::test]
async fn a_rejected_one_counts_all_the_same_and_a_refused_one_does_not() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    member(&server, &acme, HUMAN).await;
    for _ in 0..PER_HUMAN {
        let agent = sign_up(&server, body(HUMAN)).await;
        let id = identity_of(&server, &agent).await;
        server.post(&format!("{SIGNUP}/{id}/reject")).by(&acme).send().await.expect(200);
        let wrong = json!({"human_email": HUMAN, "note_to_human": "hi", "agent_handle": "no handle"});
        ask(&server, wrong).await.refused(422);
    }
    full(ask(&server, body(HUMAN)).await, "86400");
}

#[tokio::test]
async fn twenty_a_day_may_come_from_one_network() {
    let server = TestServer::new();
    for n in 0..PER_BLOCK {
        ask_from(&server, &format!("192.0.2.{n}"), &human(n)).await.expect(201);
    }
    assert!(full(ask_from(&server, "192.0.2.200", &human(99)).await, "86400").contains("one network"));
    full(ask_from(&server, "::ffff:192.0.2.200", &human(99)).await, "86400");
    ask_from(&server, "192.0.3.1", &human(99)).await.expect(201);
    for n in 0..PER_BLOCK {
        ask_from(&server, &format!("2001:db8:1:{n}::1"), &human(100 + n)).await.expect(201);
    }
    full(ask_from(&server, "2001:db8:1:ffff::1", &human(999)).await, "86400");
    ask_from(&server, "2001:db8:2::1", &human(999)).await.expect(201);
    server.advance(DAY);
    ask_from(&server, "192.0.2.1", &human(98)).await.expect(201);
}

#[tokio::test]
async fn behind_a_proxy_it_is_the_clients_network_that_counts() {
    let proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    let server = TestServer::with(Setup { trusted_proxies: proxies, ..Setup::default() });
    let through = async |client: &str, n: usize| {
        let request = server.post(SIGNUP).from("10.0.0.1").header("x-forwarded-for", client);
        request.json(body(&human(n))).send().await
    };
    for n in 0..PER_BLOCK {
        // What the client says of itself stands before what the proxy saw.
        through(&format!("198.51.100.{n}, 192.0.2.{n}"), n).await.expect(201);
    }
    full(through("192.0.2.99", 99).await, "86400");
    through("192.0.3.1", 99).await.expect(201);
    // A client that is no proxy is not believed.
    for n in 0..PER_BLOCK {
        let request =
            server.post(SIGNUP).from("203.0.113.7").header("x-forwarded-for", &format!("10.0.{n}.1"));
        request.json(body(&human(200 + n))).send().await.expect(201);
    }
    let request = server.post(SIGNUP).from("203.0.113.7").header("x-forwarded-for", "10.0.99.1");
    full(request.json(body(&human(999))).send().await, "86400");
}

#[tokio::test]
async fn five_hundred_a_day_may_sign_up() {
    let server = TestServer::new();
    let mut n = 0;
    while n < IN_ALL {
        let address = format!("10.{}.{}.1", n / 200, n / PER_BLOCK);
        ask_from(&server, &address, &human(n)).await.expect(201);
        n += 1;
    }
    let before = server.snapshot();
    assert!(full(ask_from(&server, "192.0.2.1", &human(n)).await, "86400").contains("500"));
    assert_eq!(server.snapshot(), before, "nothing was half done");
    server.advance(DAY);
    ask_from(&server, "192.0.2.1", &human(n)).await.expect(201);
}

#[tokio::test]
async fn bounds_hold_for_those_who_come_at_once() {
    let server = TestServer::new();
    let all = (0..PER_HUMAN * 3).map(|_| ask(&server, body(HUMAN)));
    let statuses: Vec<u16> =
        futures_util::future::join_all(all).await.iter().map(|reply| reply.status.as_u16()).collect();
    let count = |status| statuses.iter().filter(|other| **other == status).count();
    assert_eq!((count(201), count(429)), (PER_HUMAN, PER_HUMAN * 2), "{statuses:?}");
}

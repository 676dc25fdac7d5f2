//! Keys: which are taken, what they may do, how often.

use std::time::Duration;

use inkhook_server::domain::api_key::KeyScope;
use inkhook_server::domain::time::Clock;
use inkhook_server::store::api_keys::NewApiKey;
use serde_json::json;

use crate::support::{START, Setup, TestServer};

const WHOAMI: &str = "/api/whoami";

#[tokio::test]
async fn no_key_a_wrong_key_and_a_bearer_token_are_401_with_a_sentence() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let almost = format!("{}x", acme.key);
    let long = "k".repeat(600);
    for (request, word) in [
        (server.get(WHOAMI), "X-API-Key"),
        (server.get(WHOAMI).key("short"), "not valid"),
        (server.get(WHOAMI).key(&almost), "not valid"),
        (server.get(WHOAMI).key(&long), "not valid"),
        (server.get(WHOAMI).key(""), "not valid"),
        (server.get(WHOAMI).header("x-api-key", "kéy-kéy-kéy-kéy-kéy-kéy"), "not valid"),
        (server.get(WHOAMI).by(&acme).by(&acme), "exactly one"),
        (server.get(WHOAMI).header("authorization", "Bearer abc"), "X-API-Key"),
    ] {
        let reply = request.send().await;
        assert_eq!(reply.header("www-authenticate"), Some("ApiKey"));
        let detail = reply.refused(401);
        assert!(detail.contains(word), "{detail}");
        assert!(!detail.contains(&acme.key[..20]), "no key is quoted");
    }
    server.get(WHOAMI).by(&acme).header("authorization", "Bearer abc").send().await.expect(200);
}

#[tokio::test]
async fn whoami_tells_what_the_key_is() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let unclaimed = acme.unclaimed_key(help.id).await;
    let operator = server.operator_key().await;
    for (key, subtype, organization) in [
        (&acme.key, "api_key.admin_scoped", json!(acme.id)),
        (&help.key, "api_key.agent_scoped.claimed", json!(acme.id)),
        (&unclaimed, "api_key.agent_scoped.unclaimed", json!(acme.id)),
        (&operator, "api_key.operator", json!(null)),
    ] {
        for path in ["/api/whoami", "/api/whoami/", "/api/v1/whoami", "/api/v1/whoami/"] {
            let who = server.get(path).key(key).send().await.expect(200).json;
            assert_eq!(who["auth_type"], "api_key");
            assert_eq!(who["auth_subtype"], subtype);
            assert_eq!(who["organization_id"], organization);
            assert_eq!(who["label"], "test");
            assert!(key.starts_with(who["key_id"].as_str().expect("an id")));
            assert_eq!(who["created_at"], START.to_string());
        }
    }
}

#[tokio::test]
async fn an_expired_key_is_refused_from_its_last_moment_on() {
    let server = TestServer::new();
    let expires_at = Some(START.after(Duration::from_mins(1)));
    let key = server.mint(NewApiKey { expires_at, ..TestServer::new_key(KeyScope::Operator) }).await;
    server.get(WHOAMI).key(&key).send().await.expect(200);
    server.advance(Duration::from_millis(59_999));
    server.get(WHOAMI).key(&key).send().await.expect(200);
    server.advance(Duration::from_millis(1));
    server.get(WHOAMI).key(&key).send().await.refused(401);
}

#[tokio::test]
async fn the_last_use_is_written_down_at_most_once_a_minute() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let last_used = async |server: &TestServer| {
        server.query::<Option<i64>>("SELECT last_used_ms FROM api_keys WHERE scope = 'admin'")[0]
    };
    server.get(WHOAMI).by(&acme).send().await.expect(200);
    let first = server.eventually("the first use", async || last_used(&server).await).await;
    assert_eq!(first, START.0);
    server.advance(Duration::from_secs(59));
    server.get(WHOAMI).by(&acme).send().await.expect(200);
    server.advance(Duration::from_secs(1));
    server.get(WHOAMI).by(&acme).send().await.expect(200);
    let second = async || last_used(&server).await.filter(|at| *at != START.0);
    let second = server.eventually("the next minute's use", second).await;
    assert_eq!(second, START.0 + 60_000, "the use after 59 seconds was not written");
}

#[tokio::test]
async fn one_past_the_rate_is_429_with_whole_seconds() {
    let server = TestServer::with(Setup { requests_per_second: 5, ..Setup::default() });
    let acme = server.organization("acme").await;
    for _ in 0..10 {
        server.get(WHOAMI).by(&acme).send().await.expect(200);
    }
    let reply = server.get(WHOAMI).by(&acme).send().await;
    assert_eq!(reply.header("retry-after"), Some("1"));
    reply.refused(429);
    let other = acme.admin_key().await;
    server.get(WHOAMI).key(&other).send().await.expect(200);
    server.get(WHOAMI).key("not-a-key-not-a-key-not").send().await.refused(401);
    server.advance(Duration::from_secs(1));
    server.get(WHOAMI).by(&acme).send().await.expect(200);
}

#[tokio::test]
async fn the_systems_clock_works_too() {
    let server = TestServer::with(Setup { clock: Clock::system(), ..Setup::default() });
    let acme = server.organization("acme").await;
    server.get(WHOAMI).by(&acme).send().await.expect(200);
}

#[tokio::test]
async fn publishing_does_not_count_against_the_rate() {
    let server = TestServer::with(Setup { requests_per_second: 1, ..Setup::default() });
    let acme = server.organization("acme").await;
    for path in ["/api/v1/events", "/api/v1/events/"] {
        for _ in 0..5 {
            server.post(path).by(&acme).json(json!({})).send().await.refused(422);
        }
    }
    for _ in 0..2 {
        server.get("/api/v1/events").by(&acme).send().await.expect(200);
    }
    server.get("/api/v1/events").by(&acme).send().await.refused(429);
    server.post("/api/v1/eventsx").by(&acme).send().await.refused(404);
}

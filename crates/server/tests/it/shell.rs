//! What is the same for every route.

use axum::http::Method;
use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn an_unknown_route_is_404_in_json() {
    let server = TestServer::new();
    for path in ["/nowhere", "/api/v1/nowhere", "/api/v1/nowhere/", "/"] {
        let detail = server.get(path).send().await.refused(404);
        assert!(detail.contains(path.trim_end_matches('/')), "{detail}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_are_right() {
    let server = TestServer::new();
    let reply = server.request(Method::PUT, "/api/whoami").send().await;
    assert_eq!(reply.header("allow"), Some("GET,HEAD"));
    reply.refused(405);
}

#[tokio::test]
async fn health_needs_no_key() {
    let server = TestServer::new();
    for path in ["/healthz", "/readyz", "/readyz/"] {
        assert_eq!(server.get(path).send().await.expect(200).json, json!({"status": "ok"}));
    }
}

#[tokio::test]
async fn not_ready_once_the_store_is_closed() {
    let server = TestServer::new();
    server.app.store.close().await;
    let reply = server.get("/readyz").send().await;
    assert_eq!(reply.header("retry-after"), Some("5"));
    assert_eq!(reply.json["reasons"], json!(["the store cannot commit"]));
    reply.refused(503);
    server.get("/healthz").send().await.expect(200);
}

#[tokio::test]
async fn one_byte_past_the_largest_body_is_413() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let body = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
    let largest = body(inkhook_server::api::BODY_BYTES);
    let reply = server.post("/api/v1/identities").by(&acme).bytes(largest).send().await;
    reply.invalid(&["body", "agent_handle"], "missing");
    let larger = body(inkhook_server::api::BODY_BYTES + 1);
    server.post("/api/v1/identities").by(&acme).bytes(larger).send().await.refused(413);
}

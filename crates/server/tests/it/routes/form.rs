//! Spelling of paths, content types, and the order in which a request is judged.

use super::{Names, World, routes};
use inkhook_server::api::BODY_BYTES;

#[tokio::test]
async fn every_route_answers_with_and_without_a_trailing_slash_in_json() {
    let world = World::new().await;
    for route in routes() {
        let path = Names::nobodys().fill(&route.path);
        let mut statuses = Vec::new();
        for path in [path.clone(), format!("{path}/")] {
            let request = world.server.request(route.method.clone(), &path).by(&world.acme);
            let reply =
                if route.takes_body { request.bytes("{}").send().await } else { request.send().await };
            let detail = reply.json["detail"].as_str().unwrap_or_default();
            assert!(
                !detail.starts_with("route ") && reply.status != 405,
                "{} {path}: {detail}",
                route.method
            );
            assert!(!reply.status.is_redirection(), "{} {path}", route.method);
            let json = reply.header("content-type") == Some("application/json");
            assert!(json != reply.bytes.is_empty(), "{} {path}: {:?}", route.method, reply.headers);
            statuses.push(reply.status);
        }
        assert_eq!(statuses[0], statuses[1], "{} {path}", route.method);
    }
}

#[tokio::test]
async fn every_body_refuses_a_field_that_nobody_sends_and_what_is_no_json() {
    let world = World::new().await;
    let mut tried = 0;
    let before = world.server.snapshot();
    for route in routes().into_iter().filter(|route| route.takes_body) {
        // Visible or not: syntax comes first.
        for names in [world.names.clone(), Names::nobodys()] {
            let path = names.fill(&route.path);
            let send = async |body: &str| {
                let request = world.server.request(route.method.clone(), &path).by(&world.acme);
                request.bytes(body.to_owned()).send().await
            };
            let reply = send(r#"{"no_such_field": 1}"#).await;
            assert_eq!(reply.status, 422, "{} {path}: {}", route.method, reply.json);
            reply.invalid(&["body", "no_such_field"], "unknown_field");
            assert!(send("{").await.refused(422).contains("not valid JSON"));
            send("[]").await.refused(422);
            let large = if path.ends_with("/batch") { 4 * BODY_BYTES } else { BODY_BYTES };
            let large = " ".repeat(large + 1);
            send(&large).await.refused(413);
        }
        tried += 1;
    }
    assert!(tried >= 9, "{tried}");
    assert_eq!(world.server.snapshot(), before, "nothing changed");
}

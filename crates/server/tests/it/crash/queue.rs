//! `inkhook queue`, with a server and without one.

use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::commands::{inkhook, refusal, stdout};
use crate::support::ask::Api;
use crate::support::running::RunningServer;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9/secret-path";

fn json_of(server: &RunningServer, arguments: &[&str]) -> Value {
    let arguments = [&["queue"], arguments, &["--json"]].concat();
    serde_json::from_str(&stdout(&server.run(&arguments))).expect("JSON")
}

fn use_every_command(server: &RunningServer, from: &str, to: &str, request: &str) {
    block_in_place(|| {
        let listed = json_of(server, &["list"]);
        let line = &listed[0];
        assert_eq!(
            (&line["subscription_id"], &line["host"], &line["organization"]),
            (&json!(from), &json!("127.0.0.1"), &json!("default")),
            "{listed}"
        );
        let shown = stdout(&server.run(&["queue", "list", "--org", "default"]));
        assert!(shown.contains("paused (by_hand) since") && !shown.contains("secret-path"), "{shown}");
        assert_eq!(json_of(server, &["list", "--after", from]), json!([]));
        let said = |arguments: &[&str]| stdout(&server.run(&[&["queue"], arguments].concat()));
        assert!(said(&["retry", "--request", request]).contains("due now"));
        assert_eq!(json_of(server, &["cancel", "--request", request]), json!({"changed": 1, "left": 0}));
        let refused = |arguments: &[&str]| refusal(&server.run(&[&["queue"], arguments].concat()));
        let gone = refused(&["cancel", "--request", request]);
        assert_eq!(gone, format!("nothing with the request id '{request}' is queued"));
        let nobody = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001";
        let unknown = refused(&["retry", "--subscription", nobody]);
        assert_eq!(unknown, format!("there is no active subscription '{nobody}'"));
        assert!(refused(&["list", "--limit", "201"]).starts_with("--limit: 201 is not between 1 and 200"));
        assert!(refused(&["list", "--org", "nobody"]).starts_with("there is no organisation"));
        assert!(refused(&["move", "--from", from, "--to", from]).contains("the same"));
        let moved = json_of(server, &["move", "--from", from, "--to", to]);
        assert_eq!(moved, json!({"changed": 2, "left": 0}));
        assert!(said(&["retry", "--subscription", to]).ends_with("2 left as they are"), "they are due");
        assert_eq!(said(&["cancel", "--subscription", to]), "2 cancelled");
        assert_eq!(json_of(server, &["list"]), json!([]));
    });
}

/// Three deliveries wait for a paused subscription; another one of the same types is paused, too.
async fn waiting(server: &RunningServer) -> [String; 3] {
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mailbox = api.identity("help").await;
    let from = api.subscribe(&mailbox, NOWHERE, &["message.received"]).await;
    let from = from["id"].as_str().expect("an id").to_owned();
    let pause = async |id: &str| {
        let path = format!("/api/v1/webhooks/subscriptions/{id}/pause");
        api.must(200, "POST", &path, None).await;
    };
    pause(&from).await;
    let mut events = Vec::new();
    for n in 0..3 {
        events.push(api.publish(&mailbox, "message.received", &format!("n{n}")).await);
    }
    let to = api.subscribe(&mailbox, "http://127.0.0.1:9/other", &["message.received"]).await;
    let to = to["id"].as_str().expect("an id").to_owned();
    pause(&to).await;
    let event = api.must(200, "GET", &format!("/api/v1/events/{}", events[0]), None).await;
    let request = event["deliveries"][0]["request_id"].as_str().expect("an id").to_owned();
    [from, to, request]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_reached_through_a_running_server() {
    let server = block_in_place(RunningServer::start_blocking);
    let [from, to, request] = waiting(&server).await;
    use_every_command(&server, &from, &to, &request);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_reached_when_no_server_runs() {
    let mut server = block_in_place(RunningServer::start_blocking);
    let [from, to, request] = waiting(&server).await;
    server.terminate();
    block_in_place(|| server.wait_exit());
    use_every_command(&server, &from, &to, &request);
}

#[test]
fn which_deliveries_are_meant_must_be_said_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for arguments in [
        &["queue", "cancel"][..],
        &["queue", "cancel", "--request", "x"],
        &[
            "queue",
            "retry",
            "--subscription",
            "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001",
            "--request",
            "req_0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001",
        ],
        &["queue", "move", "--from", "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001"],
    ] {
        assert_eq!(inkhook(directory.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

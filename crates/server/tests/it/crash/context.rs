//! A process that ends while a delivery gets its context: before the body is stored there is nothing of it, and from
//! then on every attempt sends what was stored.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::support::Receiver;
use crate::support::ask::{Api, Mailbox, mail_event};
use crate::support::running::RunningServer;
use crate::support::time::until;

const PATIENCE: Duration = Duration::from_secs(30);
const THREAD: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a0001";
const BODIES: &str = "SELECT body FROM delivery_bodies ORDER BY delivery";

/// A server that ends where it is told to, and a mailbox that asks for the last mails of a thread.
struct World {
    server: RunningServer,
    failpoints: tempfile::TempDir,
    help: Mailbox,
    receiver: Receiver,
}

impl World {
    async fn start() -> Self {
        let failpoints = tempfile::tempdir().expect("a temporary directory");
        let path = failpoints.path().to_str().expect("a path in UTF-8");
        let server = block_in_place(|| RunningServer::start_with(&[("FAILPOINTS", path)]));
        let receiver = Receiver::start().await;
        let api = Api { address: server.api, key: server.admin_key.clone() };
        let help = api.identity("help").await;
        let body = json!({"mailbox_id": help.id, "url": receiver.url("/in"), "event_types": ["message.received"],
            "context_config": {"email": {"mode": "count", "count": 5}}});
        api.must(201, "POST", "/api/v1/webhooks/subscriptions", Some(body)).await;
        let world = Self { server, failpoints, help, receiver };
        let before = world.mail("before");
        world.api().must(202, "POST", "/api/v1/events", Some(before)).await;
        world.receiver.arrived(1).await;
        world
    }

    fn api(&self) -> Api {
        Api { address: self.server.api, key: self.server.admin_key.clone() }
    }

    fn mail(&self, subject: &str) -> Value {
        let mut event = mail_event(&self.help, "message.received", subject);
        event["data"]["message"]["thread_id"] = json!(THREAD);
        event
    }

    fn place(&self, place: &str) -> std::path::PathBuf {
        Path::new(self.failpoints.path()).join(place)
    }

    /// Publishes a mail whose delivery comes to this place, where the process ends.
    async fn end_at(&mut self, place: &str) {
        std::fs::write(self.place(place), "").expect("a file");
        // The answer may be lost with the process.
        drop(self.api().ask("POST", "/api/v1/events", &[], Some(&self.mail("trigger"))).await);
        until("an end at a failpoint", PATIENCE, async || self.server.has_ended().then_some(())).await;
        std::fs::remove_file(self.place(place)).expect("it is there");
    }

    /// Starts it again; the bytes that come then, and the lines of the log about them, newest first.
    async fn go_on(&mut self) -> (Vec<u8>, Vec<Value>) {
        block_in_place(|| self.server.restart());
        let arrived = self.receiver.arrived(2).await;
        let api = self.api();
        let lines = until("the attempt in the log", PATIENCE, async || {
            let log = api.must(200, "GET", "/api/v1/webhooks/deliveries?limit=2", None).await;
            let lines = log["deliveries"].as_array().expect("a list").clone();
            (lines[0]["response_status"] == 200 && lines[0]["attempt"] == 2).then_some(lines)
        })
        .await;
        (arrived[1].body.to_vec(), lines)
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        block_in_place(|| self.server.books().column(BODIES))
    }
}

/// Fails unless the body has a context with the mail before, or says that it could not be read: on a busy machine a
/// second may not be enough.
#[track_caller]
fn check_context(body: &[u8]) {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let block = &body["data"]["context"]["email"];
    let subjects: Vec<_> =
        block["items"].as_array().expect("a list").iter().map(|it| &it["subject"]).collect();
    assert!(block["skipped"] == "unavailable" || subjects == ["before"], "{block}");
}

/// Fails unless the log shows what arrived, which it reads from what is stored.
#[track_caller]
fn check_log(lines: &[Value], arrived: &[u8]) {
    for line in lines {
        assert_eq!(line["request_payload"].as_str().map(str::as_bytes), Some(arrived), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_was_stored_is_what_the_next_process_sends() {
    if !cfg!(feature = "failpoints") {
        return;
    }
    let mut world = World::start().await;
    world.end_at("body_kept").await;
    let stored = world.bodies();
    assert_eq!(stored.len(), 2);
    let (arrived, lines) = world.go_on().await;
    check_context(&arrived);
    assert_eq!(world.bodies(), stored, "stored once");
    check_log(&lines, &arrived);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_was_not_stored_is_made_anew() {
    if !cfg!(feature = "failpoints") {
        return;
    }
    let mut world = World::start().await;
    world.end_at("body_built").await;
    assert_eq!(world.bodies().len(), 1, "only that of the mail before");
    let (arrived, lines) = world.go_on().await;
    check_context(&arrived);
    assert_eq!(world.bodies().len(), 2);
    check_log(&lines, &arrived);
}

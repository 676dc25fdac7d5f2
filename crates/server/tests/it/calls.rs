//! Incoming calls: a call is put, a URL is asked, a decision comes back in time.

mod access;
mod bounds;
mod deciding;
mod failures;
mod log;
mod repeats;
mod rule;

use serde_json::{Value, json};

use crate::support::{Answer, Identity, Organization, Receiver, Reply, Setup, TestServer};

/// Who calls.
const REMOTE: &str = "+12025550178";
/// Where the number's own media goes.
const OWN: &str = "wss://own.client.test/media";
/// Where an answer sends it.
const OTHER: &str = "wss://other.client.test/media";
const LOG: &str = "/api/v1/webhooks/deliveries";
const RULE: &str = "/api/v1/phone/incoming-call-action";

/// An agent with a number, and two receivers that may be asked about its calls.
struct Scene {
    server: TestServer,
    acme: Organization,
    help: Identity,
    first: Receiver,
    second: Receiver,
}

impl Scene {
    /// Nobody is asked yet.
    async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Self {
        let server = TestServer::with(setup);
        let acme = server.organization("acme").await;
        let help = acme.identity_with_number("help").await;
        let (first, second) = (Receiver::start().await, Receiver::start().await);
        Self { server, acme, help, first, second }
    }

    /// The first is asked.
    async fn asking() -> Self {
        let scene = Self::new().await;
        scene.ask_first(json!({})).await;
        scene
    }

    /// The first is asked, and the number says this beside it.
    async fn ask_first(&self, mut more: Value) {
        more["incoming_call_action"] = "webhook".into();
        more["incoming_call_webhook_url"] = self.first.url("/calls").into();
        self.set(more).await;
    }

    /// The first is asked, then the second; in a second in all.
    async fn ask_both(&self, mut more: Value) {
        more["incoming_call_fallback_url"] = self.second.url("/calls").into();
        more["incoming_call_timeout_ms"] = 1_000.into();
        self.ask_first(more).await;
    }

    async fn set(&self, fields: Value) {
        self.server.patch(&self.number_path()).by(&self.acme).json(fields).send().await.expect(200);
    }

    fn number_id(&self) -> String {
        self.help.phone_number.as_ref().expect("it has one").0.to_string()
    }

    fn number_path(&self) -> String {
        format!("/api/v1/phone/numbers/{}", self.number_id())
    }

    fn calls_path(&self) -> String {
        format!("{}/incoming-calls", self.number_path())
    }

    /// Puts a call with a new id.
    async fn put(&self) -> Value {
        self.put_as(json!({"remote_phone_number": REMOTE})).await.expect(200).json
    }

    async fn put_as(&self, body: Value) -> Reply {
        self.server.post(&self.calls_path()).by(&self.acme).json(body).send().await
    }

    /// The log, once it has so many lines.
    async fn log(&self, lines: usize) -> Vec<Value> {
        self.server
            .eventually("the log", async || {
                let reply = self.server.get(LOG).by(&self.acme).send().await.expect(200);
                let log = reply.json["deliveries"].as_array().expect("a list").clone();
                assert!(log.len() <= lines, "{log:?}");
                (log.len() == lines).then_some(log)
            })
            .await
    }
}

/// An answer with this status and body.
fn said(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, headers: Vec::new(), body: body.into() }
}

fn yes() -> Answer {
    said(200, format!(r#"{{"action":"answer","client_websocket_url":"{OTHER}"}}"#))
}

fn no() -> Answer {
    said(200, r#"{"action":"reject"}"#)
}

/// Action, WebSocket, who decided, why not somebody else.
#[track_caller]
fn assert_decided(decision: &Value, expected: (&str, Option<&str>, &str, Option<&str>)) {
    let text = |name: &str| decision[name].as_str();
    let found = (
        text("action").expect("an action"),
        text("client_websocket_url"),
        text("decided_by").expect("who decided"),
        text("reason"),
    );
    assert_eq!(found, expected, "{decision}");
}

//! Receivers that do not do what receivers should: what each of them costs, and what the log says of it.
//!
//! The figures to beat are those of Svix 1.100.0 under the same receivers, with a limit of two seconds for an
//! attempt; each test names its own.

mod bodies;
mod connections;
mod stop;
mod words;

use std::time::Duration;

use inkhook_bench::receive::{Group, Receiver, ReceiverOptions};
use inkhook_server::engine::EngineSettings;
use inkhook_server::engine::pump::Pump;
use serde_json::{Value, json};

use crate::support::{Identity, Organization, TestServer};

/// The limit of a whole attempt here.
const TIMEOUT: Duration = Duration::from_secs(1);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(2);
/// Longer than the first waits of the schedule, spread included.
const RETRY: Duration = Duration::from_mins(3);

/// One agent whose mailbox is subscribed to one misbehaving URL, and an engine whose loop is turned by hand.
struct Scene {
    server: TestServer,
    acme: Organization,
    agent: Identity,
    receiver: Receiver,
    pump: Pump,
}

impl Scene {
    /// The receiver behaves as this first segment says.
    async fn new(mode: &str) -> Self {
        let listen = ([127, 0, 0, 1], 0).into();
        let receiver =
            Receiver::start(ReceiverOptions { tls_listen: Some(listen), ..ReceiverOptions::default() });
        let receiver = receiver.expect("a free port");
        let url = receiver.url(&format!("/{mode}/x"));
        Self::at(&url, receiver).await
    }

    /// The same at the port that speaks TLS.
    async fn secure() -> Self {
        let scene = Self::new("ok").await;
        let url = format!("https://{}/ok/x", scene.receiver.tls_address().expect("asked for"));
        Self::at(&url, scene.receiver).await
    }

    async fn at(url: &str, receiver: Receiver) -> Self {
        let server = TestServer::new();
        let acme = server.organization("acme").await;
        let agent = acme.identity("help").await;
        let settings = EngineSettings {
            attempt_timeout: TIMEOUT,
            keep_inside_bodies: true,
            ..EngineSettings::default()
        };
        let pump = server.pump_with(settings);
        let body = json!({"mailbox_id": agent.mailbox, "url": url, "event_types": ["message.received"]});
        server.post("/api/v1/webhooks/subscriptions").by(&acme).json(body).send().await.expect(201);
        Self { server, acme, agent, receiver, pump }
    }

    /// Publishes an event and turns the engine until it has nothing to do; the event's id.
    async fn publish(&self) -> String {
        let body = json!({"event_type": "message.received", "mailbox_id": self.agent.mailbox, "data": {"message": {
            "from_address": "ana@client.test", "to_addresses": ["help@mail.test"], "subject": "hi",
            "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"}}});
        let reply = self.server.post("/api/v1/events").by(&self.acme).json(body).send().await.expect(202);
        self.turn().await;
        reply.text("id")
    }

    async fn turn(&self) {
        self.pump.run_until_idle().await.expect("the store works");
    }

    /// Lets the next retry become due, and makes it.
    async fn retry(&self) {
        self.server.advance(RETRY);
        self.turn().await;
    }

    /// The attempt log, newest first.
    async fn attempts(&self) -> Vec<Value> {
        let reply = self.server.get("/api/v1/webhooks/deliveries").by(&self.acme).send().await.expect(200);
        reply.json["deliveries"].as_array().expect("a list").clone()
    }

    /// How far the only delivery of an event is.
    async fn state(&self, event: &str) -> String {
        let reply =
            self.server.get(&format!("/api/v1/events/{event}")).by(&self.acme).send().await.expect(200);
        reply.json["deliveries"][0]["state"].as_str().expect("a state").to_owned()
    }

    /// What one group of the receiver's paths has had.
    fn group(&self, name: &str) -> Group {
        self.receiver.stats().group(name)
    }
}

/// The sentence in an attempt's log entry.
#[track_caller]
fn error(attempt: &Value) -> &str {
    attempt["error_detail"].as_str().unwrap_or_else(|| panic!("no error: {attempt}"))
}

//! Operational events, from their cause to the organisation's `alerts_url`.

mod bounds;
mod coalescing;
mod kinds;
mod sending;

use inkhook_server::engine::alerts::Alerts;
use inkhook_server::engine::pump::Pump;
use serde_json::{Value, json};

use crate::support::{Identity, Organization, Receiver, Setup, TestServer};

const ORGANIZATION: &str = "/api/v1/organization";
const SUBSCRIPTIONS: &str = "/api/v1/webhooks/subscriptions";

/// One organisation with an agent whose receiver answers nothing but 500, and a place that hears of it.
struct Scene {
    server: TestServer,
    acme: Organization,
    help: Identity,
    /// Where deliveries go.
    receiver: Receiver,
    /// Where operational events go.
    ops: Receiver,
    pump: Pump,
    alerts: Alerts,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::with(Setup { requests_per_second: 10_000, ..Setup::default() });
        let acme = server.organization("acme").await;
        let help = acme.identity("help").await;
        let (pump, alerts) = (server.pump(), server.alerts());
        let (receiver, ops) = (Receiver::start().await, Receiver::start().await);
        Self { server, acme, help, receiver, ops, pump, alerts }
    }

    /// The same with an `alerts_url`; the key that signs.
    async fn told() -> (Self, String) {
        let scene = Self::new().await;
        let key = scene.tell(&scene.acme, json!(scene.ops.url("/ops"))).await;
        (scene, key.as_str().expect("made with the first URL").to_owned())
    }

    /// Sets an organisation's `alerts_url`; its key, if that made one.
    async fn tell(&self, organization: &Organization, url: Value) -> Value {
        let change = json!({"alerts_url": url});
        let reply = self.server.patch(ORGANIZATION).by(organization).json(change).send().await.expect(200);
        reply.json["signing_key"].clone()
    }

    /// Subscribes an agent's mailbox to a path of the receiver; one attempt a delivery. The subscription.
    async fn subscribe(&self, by: &Organization, agent: &Identity, path: &str) -> Value {
        let body = json!({"mailbox_id": agent.mailbox, "url": self.receiver.url(path),
            "event_types": ["message.received"], "delivery": {"retry_schedule_s": []}});
        self.server.post(SUBSCRIPTIONS).by(by).json(body).send().await.expect(201).json
    }

    /// An event of an agent, to be answered 500 by each of so many subscriptions; its id.
    async fn fail(&self, by: &Organization, agent: &Identity, subscriptions: usize) -> String {
        (0..subscriptions).for_each(|_| self.receiver.answer(500));
        let data = json!({"message": {"from_address": "ana@client.test", "to_addresses": ["x@client.test"],
            "subject": "hi", "direction": "inbound", "status": "received", "has_attachments": false,
            "body": "Hello"}});
        let body = json!({"event_type": "message.received", "mailbox_id": agent.mailbox, "data": data});
        let id = self.server.post("/api/v1/events").by(by).json(body).send().await.expect(202).text("id");
        self.pump.run_until_idle().await.expect("the store works");
        id
    }

    /// One of ours fails at its only subscription.
    async fn fail_once(&self) -> String {
        self.fail(&self.acme, &self.help, 1).await
    }

    /// Sends what is due.
    async fn turn(&self) {
        self.alerts.run_until_idle().await.expect("the store works");
    }

    /// A column of every operational event, oldest first.
    fn column(&self, column: &str) -> Vec<i64> {
        self.server.query(&format!("SELECT {column} FROM alerts ORDER BY no"))
    }
}

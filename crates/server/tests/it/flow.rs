//! An event's way from its publisher to its receivers, with the engine's loop turned by hand.

mod context;
mod delete;
mod delivery;
mod delivery_settings;
mod expiry;
mod gate;
mod hand_over;
mod health;
mod late;
mod ordering;
mod rate;
mod recover;
mod retries;
mod settings;
mod signing;

use serde_json::{Value, json};

use inkhook_server::engine::pump::Pump;

use crate::support::{Identity, Organization, Receiver, TestServer};

const SUBSCRIPTIONS: &str = "/api/v1/webhooks/subscriptions";

/// The least that makes a mail event.
fn mail(subject: &str) -> Value {
    json!({"message": {
        "from_address": "ana@client.test", "to_addresses": ["help@mail.test"], "subject": subject,
        "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"
    }})
}

/// One organisation, one agent, one receiver, and an engine whose loop is turned by hand.
struct Scene {
    server: TestServer,
    acme: Organization,
    help: Identity,
    receiver: Receiver,
    pump: Pump,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::new();
        let acme = server.organization("acme").await;
        let help = acme.identity("help").await;
        let pump = server.pump();
        Self { server, acme, help, receiver: Receiver::start().await, pump }
    }

    /// The same, with the agent's mailbox subscribed to the receiver; the subscription.
    async fn subscribed() -> (Self, Value) {
        let scene = Self::new().await;
        let subscription = scene.subscribe(&scene.receiver.url("/in")).await;
        (scene, subscription)
    }

    /// Subscribes the agent's mailbox; the subscription.
    async fn subscribe(&self, url: &str) -> Value {
        let body = json!({"mailbox_id": self.help.mailbox, "url": url, "event_types": ["message.received"]});
        let reply = self.server.post(SUBSCRIPTIONS).by(&self.acme).json(body).send().await;
        assert_eq!(reply.status, 201, "{:?}", reply.json);
        reply.json
    }

    /// Publishes a mail event for the agent's mailbox; its id.
    async fn publish(&self, subject: &str) -> String {
        self.publish_with(subject, json!({})).await
    }

    /// The same with more fields.
    async fn publish_with(&self, subject: &str, more: Value) -> String {
        let mut body = json!({"event_type": "message.received", "mailbox_id": self.help.mailbox,
            "data": mail(subject)});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let reply = self.server.post("/api/v1/events").by(&self.acme).json(body).send().await;
        assert_eq!(reply.status, 202, "{:?}", reply.json);
        reply.json["id"].as_str().expect("an id").to_owned()
    }

    /// Turns the engine until it has nothing to do.
    async fn turn(&self) {
        self.pump.run_until_idle().await.expect("the store works");
    }

    /// Lets the engine look at the queue once.
    async fn turn_once(&self) {
        self.pump.turn().await.expect("the store works");
    }

    /// The attempt log, newest first.
    async fn attempts(&self) -> Vec<Value> {
        let reply = self.server.get("/api/v1/webhooks/deliveries").by(&self.acme).send().await;
        assert_eq!(reply.status, 200, "{:?}", reply.json);
        reply.json["deliveries"].as_array().expect("a list").clone()
    }

    /// The deliveries of one event.
    async fn deliveries(&self, event: &str) -> Vec<Value> {
        let reply = self.server.get(&format!("/api/v1/events/{event}")).by(&self.acme).send().await;
        assert_eq!(reply.status, 200, "{:?}", reply.json);
        reply.json["deliveries"].as_array().expect("a list").clone()
    }

    /// State and reason of an event's only delivery.
    async fn state(&self, event: &str) -> (String, Option<String>) {
        let deliveries = self.deliveries(event).await;
        assert_eq!(deliveries.len(), 1);
        let text = |name: &str| deliveries[0][name].as_str().map(ToOwned::to_owned);
        (text("state").expect("a state"), text("reason"))
    }
}

/// Where a subscription is changed.
fn path_of(subscription: &Value) -> String {
    format!("{SUBSCRIPTIONS}/{}", subscription["id"].as_str().expect("an id"))
}

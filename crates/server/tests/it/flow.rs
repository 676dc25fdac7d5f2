//! An event's way from its publisher to its receivers, with the engine's loop turned by hand.

mod delete;
mod delivery;
mod expiry;
mod late;
mod retries;
mod settings;

use serde_json::{Value, json};

use crate::support::{Identity, Organization, TestServer};

/// The least that makes a mail event.
fn mail(subject: &str) -> Value {
    json!({"message": {
        "from_address": "ana@client.test", "to_addresses": ["help@mail.test"], "subject": subject,
        "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"
    }})
}

/// Publishes a mail event for an identity's mailbox; its id.
async fn publish(
    server: &TestServer,
    organization: &Organization,
    identity: &Identity,
    data: Value,
) -> String {
    let body = json!({"event_type": "message.received", "mailbox_id": identity.mailbox, "data": data});
    let reply = server.post("/api/v1/events").by(organization).json(body).send().await;
    assert_eq!(reply.status, 202, "{:?}", reply.json);
    reply.json["id"].as_str().expect("an id").to_owned()
}

/// Subscribes an identity's mailbox; the subscription.
async fn subscribe(
    server: &TestServer,
    organization: &Organization,
    identity: &Identity,
    url: &str,
) -> Value {
    let body = json!({"mailbox_id": identity.mailbox, "url": url, "event_types": ["message.received"]});
    let reply = server.post("/api/v1/webhooks/subscriptions").by(organization).json(body).send().await;
    assert_eq!(reply.status, 201, "{:?}", reply.json);
    reply.json
}

/// The attempt log, newest first.
async fn attempts(server: &TestServer, organization: &Organization) -> Vec<Value> {
    let reply = server.get("/api/v1/webhooks/deliveries").by(organization).send().await;
    assert_eq!(reply.status, 200, "{:?}", reply.json);
    reply.json["deliveries"].as_array().expect("a list").clone()
}

/// The deliveries of one event.
async fn deliveries(server: &TestServer, organization: &Organization, event: &str) -> Vec<Value> {
    let reply = server.get(&format!("/api/v1/events/{event}")).by(organization).send().await;
    assert_eq!(reply.status, 200, "{:?}", reply.json);
    reply.json["deliveries"].as_array().expect("a list").clone()
}

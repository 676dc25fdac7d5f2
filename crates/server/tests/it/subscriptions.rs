//! Subscriptions and the catalogue, through HTTP.

mod catalog;
mod change;
mod conflicts;
mod create;
mod delivery;
mod list;
mod queue;
mod secrets;
mod stats;
mod tenancy;

use inkhook_egress::Policy;
use inkhook_server::domain::subscription::MAX_ACTIVE_PER_OWNER;
use serde_json::{Value, json};

use crate::support::{Identity, Organization, Reply, Request, Setup, TestServer};

const PATH: &str = "/api/v1/webhooks/subscriptions";
const URL: &str = "https://hooks.example.com/in";
/// A UUID that names nothing.
const NOTHING: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001";

/// A server with one organisation and one identity that has a number.
struct Bench {
    server: TestServer,
    organization: Organization,
    identity: Identity,
}

impl Bench {
    async fn new() -> Self {
        let server = TestServer::with(Setup {
            requests_per_second: 10_000,
            policy: Policy::default(),
            ..Setup::default()
        });
        let organization = server.organization("acme").await;
        let identity = organization.identity_with_number("help").await;
        Self { server, organization, identity }
    }

    fn number_id(&self) -> String {
        let (id, _) = self.identity.phone_number.as_ref().expect("it has one");
        id.to_string()
    }

    fn get(&self, path: &str) -> Request {
        self.server.get(path).by(&self.organization)
    }

    fn post(&self, body: Value) -> Request {
        self.server.post(PATH).by(&self.organization).json(body)
    }

    fn patch(&self, id: &str, body: Value) -> Request {
        self.server.patch(&one(id)).by(&self.organization).json(body)
    }

    fn delete(&self, id: &str) -> Request {
        self.server.delete(&one(id)).by(&self.organization)
    }

    fn post_to(&self, id: &str, action: &str) -> Request {
        self.server.post(&format!("{}/{action}", one(id))).by(&self.organization)
    }

    /// A body for the identity's mailbox; `changes` replaces fields, null removes them.
    fn body(&self, changes: Value) -> Value {
        let whole = json!({
            "mailbox_id": self.identity.mailbox.to_string(),
            "url": URL,
            "event_types": ["message.received"],
        });
        changed(whole, changes)
    }

    async fn create(&self, changes: Value) -> Reply {
        self.post(self.body(changes)).send().await.expect(201)
    }

    async fn created_id(&self, changes: Value) -> String {
        self.create(changes).await.text("id")
    }

    async fn shown(&self, id: &str) -> Value {
        self.get(&one(id)).send().await.expect(200).json
    }
}

fn one(id: &str) -> String {
    format!("{PATH}/{id}")
}

fn changed(mut whole: Value, changes: Value) -> Value {
    let (Some(fields), Value::Object(changes)) = (whole.as_object_mut(), changes) else {
        panic!("objects only");
    };
    for (field, value) in changes {
        match value {
            Value::Null => fields.remove(&field),
            value => fields.insert(field, value),
        };
    }
    whole
}

/// How the official plugins recognise a duplicate: `/active subscription/i` and `/url/i`.
fn reads_as_duplicate(detail: &str) -> bool {
    let detail = detail.to_lowercase();
    detail.contains("active subscription") && detail.contains("url")
}

/// How they recognise the limit: `/max\s*\d+|maximum/i` and `/subscription/i`, but not a duplicate.
fn reads_as_limit(detail: &str) -> bool {
    let lower = detail.to_lowercase();
    let number_follows = |rest: &str| rest.trim_start().starts_with(|first: char| first.is_ascii_digit());
    let bounded = lower.contains("maximum") || lower.split("max").skip(1).any(number_follows);
    bounded && lower.contains("subscription") && !lower.contains("url") && !reads_as_duplicate(detail)
}

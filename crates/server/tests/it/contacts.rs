//! The address book, through HTTP, and what payloads say because of it.

mod bounds;
mod cards;
mod facts;
mod finding;
mod payloads;

use serde_json::{Value, json};

use crate::support::{Identity, Organization, Reply, Setup, TestServer};

const PATH: &str = "/api/v1/contacts";
const PHONE: &str = "+12025550178";

/// A server with an organisation and its agent `help`, which has a number; and a second organisation.
struct Book {
    server: TestServer,
    acme: Organization,
    help: Identity,
    globex: Organization,
}

impl Book {
    async fn new() -> Self {
        let server = TestServer::with(Setup { requests_per_second: 10_000, ..Setup::default() });
        let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
        let help = acme.identity_with_number("help").await;
        Self { server, acme, help, globex }
    }

    async fn post(&self, body: Value) -> Reply {
        self.server.post(PATH).by(&self.acme).json(body).send().await
    }

    /// A contact of `acme`.
    async fn made(&self, body: Value) -> Value {
        self.post(body).await.expect(201).json
    }

    /// Ana, who has an address and a number.
    async fn ana(&self) -> Value {
        let body = json!({"preferred_name": "Ana", "emails": [{"value": "Ana@Client.test"}],
            "phones": [{"value_e164": PHONE}]});
        self.made(body).await
    }

    async fn patch(&self, contact: &Value, body: Value) -> Reply {
        self.server.patch(&path(contact)).by(&self.acme).json(body).send().await
    }

    async fn get(&self, query: &str) -> Value {
        self.server.get(&format!("{PATH}{query}")).by(&self.acme).send().await.expect(200).json
    }

    /// The preferred names of a list.
    async fn names(&self, query: &str) -> Vec<String> {
        let list = self.get(query).await;
        let list = list.as_array().expect("a list").iter();
        list.map(|it| it["preferred_name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Writes a fact, a second after the last.
    async fn remember(&self, contact: &Value, content: &str) -> Value {
        self.server.advance(std::time::Duration::from_secs(1));
        let body = json!({"content": content, "kind": "context"});
        let path = format!("{}/facts", path(contact));
        self.server.post(&path).by(&self.acme).json(body).send().await.expect(201).json
    }
}

fn path(contact: &Value) -> String {
    format!("{PATH}/{}", contact["id"].as_str().expect("an id"))
}

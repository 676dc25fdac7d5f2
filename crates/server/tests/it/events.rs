//! Publishing, and reading what was accepted, through HTTP.

mod batch;
mod data;
mod list;
mod publish;
mod repeats;

use serde_json::{Value, json};

use crate::support::{Identity, Organization, Request, Setup, TestServer};

const PATH: &str = "/api/v1/events";

/// A server with one organisation and the identities `help`, which has a number, and `sales`.
struct Bench {
    server: TestServer,
    acme: Organization,
    help: Identity,
    sales: Identity,
}

impl Bench {
    async fn new() -> Self {
        let server = TestServer::with(Setup { requests_per_second: 10_000, ..Setup::default() });
        let acme = server.organization("acme").await;
        let help = acme.identity_with_number("help").await;
        let sales = acme.identity("sales").await;
        Self { server, acme, help, sales }
    }

    fn post(&self, body: Value) -> Request {
        self.server.post(PATH).by(&self.acme).json(body)
    }

    fn get(&self, query: &str) -> Request {
        self.server.get(&format!("{PATH}{query}")).by(&self.acme)
    }

    /// A mail event of `help`; `changes` replaces fields, null removes them.
    fn body(&self, changes: Value) -> Value {
        let mut body =
            json!({"event_type": "message.received", "mailbox_id": self.help.mailbox, "data": mail()});
        let Value::Object(changes) = changes else { panic!("an object") };
        let fields = body.as_object_mut().expect("an object");
        for (field, value) in changes {
            match value {
                Value::Null => fields.remove(&field),
                value => fields.insert(field, value),
            };
        }
        body
    }

    async fn accepted(&self, changes: Value) -> String {
        self.post(self.body(changes)).send().await.expect(202).text("id")
    }

    fn events(&self) -> i64 {
        self.server.query("SELECT count(*) FROM events")[0]
    }
}

/// The least that makes a mail.
fn mail() -> Value {
    json!({"message": {"from_address": "ana@client.test", "to_addresses": ["help@mail.test"],
        "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"}})
}

/// Changes that make another event of it: a mail that was sent.
fn sent() -> Value {
    let mut data = mail();
    data["message"]["body"] = Value::Null;
    (data["message"]["direction"], data["message"]["status"]) = (json!("outbound"), json!("sent"));
    json!({"event_type": "message.sent", "data": data})
}

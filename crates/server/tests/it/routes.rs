//! What holds on every route. The routes come from the OpenAPI document, so that a new one is held to it
//! from its first day: a route that names somebody's rows in a new way fails here until its case is written.

mod cases;
mod connection;
mod form;
mod tenancy;

use axum::http::Method;
use serde_json::{Value, json};

use crate::support::{Identity, Organization, Receiver, Reply, Setup, TestServer};

/// A UUID that names nothing.
const NOTHING: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001";

/// Where the address book is.
const CONTACTS: &str = "/api/v1/contacts";

/// A route of the document.
#[derive(Debug, Clone)]
struct Route {
    method: Method,
    path: String,
    takes_body: bool,
}

impl Route {
    fn is_public(&self) -> bool {
        !self.path.starts_with("/api/")
            || (self.method == "POST" && self.path == "/api/v1/agent-signup")
            || self.path.ends_with("/jwks.json")
    }

    /// Answers with what there is, which may be nothing.
    fn is_list(&self) -> bool {
        self.method == "GET" && !self.path.contains('{') && self.path != "/api/v1/phone/incoming-call-action"
    }

    /// Of the routes that an unclaimed key may not use.
    fn is_webhook(&self) -> bool {
        let prefixes =
            ["/api/v1/webhooks/", "/api/v1/events", "/api/v1/phone/incoming-call-action", CONTACTS];
        prefixes.iter().any(|prefix| self.path.starts_with(prefix)) || self.path.ends_with("/incoming-calls")
    }

    /// Of those whose rows all agents of an organisation share.
    fn is_shared(&self) -> bool {
        self.path.starts_with(CONTACTS)
    }
}

fn routes() -> Vec<Route> {
    let document = serde_json::to_value(inkhook_server::api::openapi()).expect("JSON");
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            routes.push(Route {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                takes_body: operation["requestBody"].is_object(),
            });
        }
    }
    routes
}

/// What a request can name: one identity and what belongs to it.
#[derive(Debug, Clone)]
struct Names {
    handle: String,
    identity: String,
    address: String,
    mailbox: String,
    number: String,
    key: String,
    subscription: String,
    event: String,
    attempt: String,
    job: String,
    contact: String,
    contact_address: String,
    fact: String,
}

impl Names {
    /// Names of nothing.
    fn nobodys() -> Self {
        let nothing = || NOTHING.to_owned();
        Self {
            handle: "nobody".into(),
            identity: nothing(),
            address: "nobody@mail.test".into(),
            mailbox: nothing(),
            number: nothing(),
            key: format!("ApiKey_{NOTHING}"),
            subscription: nothing(),
            event: format!("evt_{NOTHING}"),
            attempt: nothing(),
            job: nothing(),
            contact: nothing(),
            contact_address: "nobody@client.test".into(),
            fact: nothing(),
        }
    }

    /// The path with its variables filled in.
    fn fill(&self, path: &str) -> String {
        // Only what is public is named by it.
        let organization = format!("org_{}", NOTHING.replace('-', ""));
        let filled = [
            ("{organization_id}", &organization),
            ("{agent_handle}", &self.handle),
            ("{identity_id}", &self.identity),
            ("{email_address}", &self.address),
            ("{phone_number_id}", &self.number),
            ("{key_id}", &self.key),
            ("{subscription_id}", &self.subscription),
            ("{event_id}", &self.event),
            ("{delivery_id}", &self.attempt),
            ("{job_id}", &self.job),
            ("{contact_id}", &self.contact),
            ("{fact_id}", &self.fact),
        ]
        .iter()
        .fold(path.to_owned(), |path, (variable, value)| path.replace(variable, value));
        assert!(!filled.contains('{'), "{path}: a variable that no test knows");
        filled
    }
}

/// An organisation with two identities, one of which has something of everything, and a second organisation.
struct World {
    server: TestServer,
    acme: Organization,
    help: Identity,
    sales: Identity,
    globex: Organization,
    spy: Identity,
    names: Names,
}

impl World {
    async fn new() -> Self {
        let server = TestServer::with(Setup { requests_per_second: 10_000, ..Setup::default() });
        let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
        let help = acme.identity_with_number("help").await;
        let (sales, spy) = (acme.identity("sales").await, globex.identity("spy").await);
        let receiver = Receiver::start().await;
        let (mut subscription, mut event) = (String::new(), String::new());
        // Everybody has something to find, and what the tests ask for is the newest.
        for (organization, identity, token) in
            [(&globex, &spy, "theirs"), (&acme, &sales, "theirs"), (&acme, &help, "ours-alone")]
        {
            let body = json!({"mailbox_id": identity.mailbox, "url": receiver.url("/in"),
                "event_types": ["message.received"], "auth_token": token});
            let made = server.post("/api/v1/webhooks/subscriptions").by(organization).json(body).send().await;
            subscription = made.expect(201).text("id");
            let body = cases::event(&identity.mailbox.to_string(), token);
            let accepted = server.post("/api/v1/events").by(organization).json(body).send().await;
            event = accepted.expect(202).text("id");
            server.pump().run_until_idle().await.expect("the store works");
        }
        let recover = format!("/api/v1/webhooks/subscriptions/{subscription}/recover");
        let body = json!({"since": "2026-05-28T00:00:00Z", "which": "failed"});
        let job = server.post(&recover).by(&acme).json(body).send().await.expect(202).text("id");
        let (mut contact, mut fact) = (String::new(), String::new());
        for (organization, name) in [(&globex, "theirs"), (&acme, "ours-alone")] {
            let body = json!({"preferred_name": name, "emails": [{"value": format!("{name}@client.test")}]});
            contact = server.post(CONTACTS).by(organization).json(body).send().await.expect(201).text("id");
            let body = json!({"content": name, "kind": "profile"});
            let facts = format!("{CONTACTS}/{contact}/facts");
            fact = server.post(&facts).by(organization).json(body).send().await.expect(201).text("id");
        }
        let attempts = server.get("/api/v1/webhooks/deliveries").by(&acme).send().await.expect(200);
        let names = Names {
            handle: help.handle.clone(),
            identity: help.id.to_string(),
            address: help.address.clone(),
            mailbox: help.mailbox.to_string(),
            number: help.phone_number.as_ref().expect("it has one").0.to_string(),
            key: server.get("/api/whoami").by_agent(&help).send().await.text("key_id"),
            subscription,
            event,
            attempt: attempts.json["deliveries"][0]["id"].as_str().expect("one attempt").to_owned(),
            job,
            contact,
            contact_address: "ours-alone@client.test".into(),
            fact,
        };
        Self { server, acme, help, sales, globex, spy, names }
    }

    async fn send(&self, method: &Method, path: &str, key: &str, body: Option<&Value>) -> Reply {
        let request = self.server.request(method.clone(), path).key(key);
        match body {
            Some(body) => request.json(body.clone()).send().await,
            None => request.send().await,
        }
    }
}

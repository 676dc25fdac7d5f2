//! Our server's API, for preparing what is measured: one plain request after the other.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::drive::Template;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// The header by which an operator key says for whom it acts.
const ORGANIZATION: &str = "Inkhook-Organization";
/// Where subscriptions are.
pub const SUBSCRIPTIONS: &str = "/api/v1/webhooks/subscriptions";
/// The only event type that is measured.
pub(crate) const EVENT_TYPE: &str = "message.received";

/// A call from somebody.
pub(crate) const CALL: &str = r#"{"remote_phone_number":"+12025550178"}"#;

/// Where to ask, and as whom.
#[derive(Debug, Clone)]
pub struct Api {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

/// An agent that was made to be measured with.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Its name.
    pub handle: String,
    identity: Value,
    mailbox: Value,
}

impl Api {
    /// With this key.
    pub fn new(address: SocketAddr, key: &str) -> Self {
        Self { address, headers: vec![("X-API-Key".into(), key.into())] }
    }

    /// The same at another address: a server that was started again.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, headers: self.headers.clone() }
    }

    /// The same for another organisation; the key must be an operator's.
    #[must_use]
    pub fn acting_for(&self, organization: &str) -> Self {
        let mut api = self.clone();
        api.headers.retain(|(name, _)| name != ORGANIZATION);
        api.headers.push((ORGANIZATION.into(), organization.into()));
        api
    }

    /// One request; its answer, which must be a 2xx.
    ///
    /// # Errors
    /// No connection, no answer, or another status.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in &self.headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        let length = body.len();
        stream.write_all(request.as_bytes())?;
        write!(stream, "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !status.starts_with('2') {
            bail!("{method} {path} was answered {status}: {body}");
        }
        Ok(serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Makes an identity with a mailbox.
    ///
    /// # Errors
    /// The server refuses.
    pub fn agent(&self, handle: &str) -> anyhow::Result<Agent> {
        let made = self.call("POST", "/api/v1/identities", Some(&json!({"agent_handle": handle})))?;
        let (identity, mailbox) = (made["id"].clone(), made["mailbox"]["id"].clone());
        anyhow::ensure!(mailbox.is_string(), "an identity without a mailbox: {made}");
        Ok(Agent { handle: handle.into(), identity, mailbox })
    }

    /// Makes an identity with a number whose calls are decided by asking this URL; calls to it.
    ///
    /// # Errors
    /// The server refuses.
    pub fn called(&self, handle: &str, url: &str) -> anyhow::Result<Template> {
        let number = json!({"incoming_call_action": "webhook", "incoming_call_webhook_url": url});
        let identity = json!({"agent_handle": handle, "phone_number": number});
        let made = self.call("POST", "/api/v1/identities", Some(&identity))?;
        let number = made["phone_number"]["id"].as_str().context("an identity without a number")?;
        let path = format!("/api/v1/phone/numbers/{number}/incoming-calls");
        Template::post(self.address, &path, &self.headers, CALL)
    }

    /// Removes it again.
    ///
    /// # Errors
    /// The server refuses.
    pub fn remove(&self, agent: &Agent) -> anyhow::Result<()> {
        self.call("DELETE", &format!("/api/v1/identities/{}", agent.handle), None).map(drop)
    }

    /// Subscribes the agent to so many URLs below this one: `{url}/0`, `{url}/1` … Half of them hang on its
    /// mailbox, half on its identity, because each of the two can have only 20.
    ///
    /// # Errors
    /// The server refuses.
    pub fn subscribe(&self, agent: &Agent, url: &str, count: usize) -> anyhow::Result<()> {
        for number in 0..count {
            let (owner, id) = match number % 2 {
                0 => ("mailbox_id", &agent.mailbox),
                _ => ("agent_identity_id", &agent.identity),
            };
            let body = json!({owner: id, "url": format!("{url}/{number}"), "event_types": [EVENT_TYPE]});
            self.call("POST", SUBSCRIPTIONS, Some(&body))?;
        }
        Ok(())
    }

    /// Subscribes the agent's mailbox to a URL that gets the last fifty mails of a thread with each one.
    ///
    /// # Errors
    /// The server refuses.
    pub fn ask_for_contexts(&self, agent: &Agent, url: &str) -> anyhow::Result<()> {
        let body = json!({"mailbox_id": agent.mailbox, "url": url, "event_types": [EVENT_TYPE],
            "context_config": {"email": {"mode": "count", "count": 50}}});
        self.call("POST", SUBSCRIPTIONS, Some(&body)).map(drop)
    }

    /// A publish of a mail event with so many bytes of text, for the agent's mailbox.
    ///
    /// # Errors
    /// The key or organisation cannot be a header.
    pub fn event(&self, agent: &Agent, body_bytes: usize) -> anyhow::Result<Template> {
        Template::post(self.address, "/api/v1/events", &self.headers, &event(agent, body_bytes))
    }

    /// The same where all mails are of one thread.
    ///
    /// # Errors
    /// See there.
    pub fn mail_of_a_thread(&self, agent: &Agent, body_bytes: usize) -> anyhow::Result<Template> {
        let thread = format!(r#""thread_id":{},"subject":"#, agent.identity);
        let event = event(agent, body_bytes).replacen(r#""subject":"#, &thread, 1);
        Template::post(self.address, "/api/v1/events", &self.headers, &event)
    }

    /// The same for the route that takes many.
    ///
    /// # Errors
    /// See there.
    pub fn batch(&self, agent: &Agent, body_bytes: usize, events: u64) -> anyhow::Result<Template> {
        let template =
            Template::post(self.address, "/api/v1/events/batch", &self.headers, &event(agent, body_bytes))?;
        Ok(template.batched(crate::drive::Batch::of(events)))
    }
}

/// The mark stands before the text, so that the receiver finds it soon.
fn event(agent: &Agent, body_bytes: usize) -> String {
    let text = "x".repeat(body_bytes);
    format!(
        r#"{{"event_type":"{EVENT_TYPE}","mailbox_id":{},"data":{{"message":{{"subject":"{{{{mark}}}}","from_address":"ana@client.test","to_addresses":["help@mail.test"],"direction":"inbound","status":"received","has_attachments":false,"body":"{text}"}}}}}}"#,
        agent.mailbox
    )
}

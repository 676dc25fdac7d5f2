//! The API of a running server, asked over a plain socket: a test that kills servers must know which of its
//! requests were out when the answer did not come.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Where to ask, and as whom.
#[derive(Debug, Clone)]
pub struct Api {
    pub address: SocketAddr,
    pub key: String,
}

/// There is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// And no request either.
    NotSent,
    /// The connection ended first: nobody knows what became of the request.
    CutOff,
}

/// A mailbox to publish to.
#[derive(Debug, Clone)]
pub struct Mailbox {
    pub id: String,
    pub address: String,
}

impl Api {
    /// One request on a connection of its own; status and answer.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(u16, Value), Unanswered> {
        parse(&self.exchange(method, path, headers, body).await?).ok_or(Unanswered::CutOff)
    }

    /// The same with the value of this header of the answer.
    pub async fn ask_for(
        &self,
        wanted: &str,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(u16, Value, Option<String>), Unanswered> {
        let answer = self.exchange(method, path, headers, body).await?;
        let (status, value) = parse(&answer).ok_or(Unanswered::CutOff)?;
        let text = String::from_utf8_lossy(&answer);
        let found = text.lines().take_while(|line| !line.is_empty()).find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case(wanted).then(|| value.to_owned())
        });
        Ok((status, value, found))
    }

    /// The bytes of an answer.
    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Vec<u8>, Unanswered> {
        let mut stream = TcpStream::connect(self.address).await.map_err(|_| Unanswered::NotSent)?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n",
            self.address,
            self.key,
            body.len()
        );
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        request.push_str(&body);
        // From the first byte on it counts as sent: a part may have been read.
        stream.write_all(request.as_bytes()).await.map_err(|_| Unanswered::CutOff)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map_err(|_| Unanswered::CutOff)?;
        Ok(answer)
    }

    /// The same for a request that must be answered with this status.
    #[track_caller]
    pub fn must(
        &self,
        status: u16,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> impl Future<Output = Value> {
        let what = format!("{method} {path}");
        let caller = std::panic::Location::caller();
        let (api, method, path) = (self.clone(), method.to_owned(), path.to_owned());
        async move {
            match api.ask(&method, &path, &[], body.as_ref()).await {
                Ok((got, answer)) if got == status => answer,
                other => panic!("{caller}: {what}: expected {status}, got {other:?}"),
            }
        }
    }

    /// Makes an identity; its mailbox.
    pub async fn identity(&self, handle: &str) -> Mailbox {
        let made = self.must(201, "POST", "/api/v1/identities", Some(json!({"agent_handle": handle}))).await;
        let mailbox = &made["mailbox"];
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
        Mailbox { id: text(&mailbox["id"]), address: text(&mailbox["email_address"]) }
    }

    /// Subscribes a mailbox; the subscription.
    pub async fn subscribe(&self, mailbox: &Mailbox, url: &str, event_types: &[&str]) -> Value {
        let body = json!({"mailbox_id": mailbox.id, "url": url, "event_types": event_types});
        self.must(201, "POST", "/api/v1/webhooks/subscriptions", Some(body)).await
    }

    /// Publishes a mail event of this type; its id.
    pub async fn publish(&self, mailbox: &Mailbox, event_type: &str, subject: &str) -> String {
        let published =
            self.must(202, "POST", "/api/v1/events", Some(mail_event(mailbox, event_type, subject))).await;
        published["id"].as_str().expect("an id").to_owned()
    }
}

/// The least that makes a mail event.
pub fn mail_event(mailbox: &Mailbox, event_type: &str, subject: &str) -> Value {
    let is_inbound = event_type == "message.received";
    let (direction, status) = if is_inbound { ("inbound", "received") } else { ("outbound", "sent") };
    let (client, ours) = ("ana@client.test", &*mailbox.address);
    let (from, to) = if is_inbound { (client, ours) } else { (ours, client) };
    let body = is_inbound.then_some("Hello");
    json!({"event_type": event_type, "mailbox_id": mailbox.id, "data": {"message": {
        "from_address": from, "to_addresses": [to], "subject": subject, "direction": direction,
        "status": status, "has_attachments": false, "body": body
    }}})
}

/// A whole answer; `None` when a part is missing.
fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]);
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) if body.len() < length => None,
        None if status != 204 => None,
        _ if body.is_empty() => Some((status, Value::Null)),
        _ => Some((status, serde_json::from_slice(body).ok()?)),
    }
}

//! The publisher: prepares an agent with subscriptions, then publishes over keep-alive connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::measure::{Measurement, now};
use crate::receive::MARK;

/// When the next event is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as the connection's last one was answered.
    Closed,
    /// So many a second, whatever the answers do.
    Open { rate: u32 },
}

/// An agent on the server, with its subscriptions.
#[derive(Debug)]
pub(crate) struct Target {
    authority: String,
    key: String,
    handle: String,
    before: String,
    after: String,
}

impl Target {
    /// Makes an agent of its own with `fan_out` subscriptions to the receiver.
    pub(crate) async fn prepare(
        url: &str,
        key: &str,
        receiver: SocketAddr,
        fan_out: usize,
        body_bytes: usize,
    ) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().context("--url is not a URL")?;
        let authority = uri.authority().context("--url has no host")?.to_string();
        let handle = format!("bench-{}", std::process::id());
        let mut target =
            Self { authority, key: key.into(), handle, before: String::new(), after: String::new() };
        let identity =
            target.call(Method::POST, "/api/v1/identities/", json!({"agent_handle": target.handle}));
        let identity = identity.await?;
        let mailbox = identity["mailbox"]["id"].as_str().context("an identity without a mailbox")?;
        for subscription in 0..fan_out {
            // Half of the subscriptions that an event can have are its mailbox's, half its identity's.
            let owner = if subscription % 2 == 0 { "mailbox_id" } else { "agent_identity_id" };
            let id = if subscription % 2 == 0 { &identity["mailbox"]["id"] } else { &identity["id"] };
            let body = json!({owner: id, "url": format!("http://{receiver}/{subscription}"),
                "event_types": ["message.received"]});
            target.call(Method::POST, "/api/v1/webhooks/subscriptions", body).await?;
        }
        let event = json!({"event_type": "message.received", "mailbox_id": mailbox, "data": {"message": {
            "from_address": "ana@client.test", "to_addresses": ["help@mail.test"], "subject": MARK,
            "direction": "inbound", "status": "received", "has_attachments": false,
            "body": "x".repeat(body_bytes)}}})
        .to_string();
        let (before, after) = event.split_once(MARK).context("the mark is in the event")?;
        target.before = format!("{before}{MARK}");
        after.clone_into(&mut target.after);
        Ok(target)
    }

    /// Removes the agent again.
    pub(crate) async fn clean_up(&self) -> anyhow::Result<()> {
        self.call(Method::DELETE, &format!("/api/v1/identities/{}", self.handle), Value::Null).await?;
        Ok(())
    }

    fn event(&self, number: usize) -> Bytes {
        format!("{}{number}{}", self.before, self.after).into()
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.authority).await;
        let stream = stream.with_context(|| format!("cannot connect to {}", self.authority))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its end shows in the next request.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        Ok(Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.authority)
            .header("x-api-key", &self.key)
            .header("content-type", "application/json")
            .body(Full::new(body))?)
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let mut connection = self.connect().await?;
        let bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = connection.send_request(self.request(method.clone(), path, bytes)?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{method} {path} was answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

/// Publishes every event of the measurement; an answer that is not 202 ends it.
pub(crate) async fn all(
    target: &Target,
    connections: usize,
    pace: Pace,
    measurement: &Arc<Measurement>,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let mut publishers = Vec::new();
    for _ in 0..connections {
        publishers.push(publish(target, target.connect().await?, pace, measurement, &next));
    }
    futures_util::future::try_join_all(publishers).await?;
    Ok(())
}

/// When the `event`th of an evenly spaced load is due.
fn due(event: usize, rate: u32) -> Duration {
    let micros = (event as u64).saturating_mul(1_000_000).checked_div(u64::from(rate));
    Duration::from_micros(micros.unwrap_or(0))
}

async fn publish(
    target: &Target,
    mut connection: SendRequest<Full<Bytes>>,
    pace: Pace,
    measurement: &Measurement,
    next: &AtomicUsize,
) -> anyhow::Result<()> {
    loop {
        let event = next.fetch_add(1, Ordering::Relaxed);
        if event >= measurement.events() {
            return Ok(());
        }
        let at = match pace {
            Pace::Closed => now(),
            Pace::Open { rate } => {
                let at = measurement.began() + due(event, rate);
                tokio::time::sleep_until(at.into()).await;
                at
            }
        };
        measurement.published(event, at);
        connection.ready().await?;
        let request = target.request(Method::POST, "/api/v1/events", target.event(event))?;
        let answer = connection.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::ACCEPTED {
            bail!("a publish was answered {status}: {}", String::from_utf8_lossy(&body));
        }
        measurement.answered(event);
    }
}

//! The receiver: what a user of this server would write, on a free loopback port.
//!
//! It keeps the bytes as they were read, hands them over, and answers. The first delivery of a mail is
//! answered with 500, to have something to retry; everything after it with 200.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use inkhook_wire::sign::{HEADER_ATTEMPT, HEADER_REQUEST_ID, HEADER_WEBHOOK_ID};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::domain::time::{Clock, TimeMs};

/// Bytes of a delivery's body at most: an event's 512 KiB, its envelope, and some room.
const BODY_BYTES: usize = 1024 * 1024;
/// Deliveries that wait to be looked at; more than that and senders wait for their answer.
const UNREAD: usize = 256;

/// Which URL was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hook {
    Mail,
    Text,
}

impl Hook {
    /// The URL's path.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Mail => "/mail",
            Self::Text => "/text",
        }
    }
}

/// One request, as it was read.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) hook: Hook,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The status that it was answered with.
    pub(super) answered: u16,
    /// Schedule time.
    pub(super) at: TimeMs,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("(none)")
    }

    /// Names the delivery.
    pub(super) fn request_id(&self) -> &str {
        self.header(HEADER_REQUEST_ID)
    }

    /// Names the event.
    pub(super) fn event_id(&self) -> &str {
        self.header(HEADER_WEBHOOK_ID)
    }

    /// The attempt's number, from 1.
    pub(super) fn attempt(&self) -> &str {
        self.header(HEADER_ATTEMPT)
    }
}

/// Runs until it is dropped.
pub(super) struct Receiver {
    address: SocketAddr,
    arrivals: mpsc::Receiver<Received>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Desk {
    clock: Clock,
    to: mpsc::Sender<Received>,
    refused_once: Arc<AtomicBool>,
}

impl Receiver {
    /// Starts it.
    ///
    /// # Errors
    /// There is no free port.
    pub(super) async fn start(clock: Clock) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("no free port for the receiver")?;
        let address = listener.local_addr()?;
        let (to, arrivals) = mpsc::channel(UNREAD);
        let app = router(Desk { clock, to, refused_once: Arc::default() });
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the receiver's listener failed");
            }
        });
        Ok(Self { address, arrivals, _task: AbortOnDropHandle::new(task) })
    }

    /// Where it listens.
    pub(super) fn url(&self, hook: Hook) -> String {
        format!("http://{}{}", self.address, hook.path())
    }

    /// The next request that was read.
    ///
    /// # Errors
    /// The receiver has died.
    pub(super) async fn next(&mut self) -> anyhow::Result<Received> {
        self.arrivals.recv().await.context("the receiver has stopped")
    }
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route(Hook::Mail.path(), post(mail))
        .route(Hook::Text.path(), post(text))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(desk)
}

async fn mail(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    if desk.refused_once.swap(true, Ordering::SeqCst) {
        desk.take(Hook::Mail, headers, body, StatusCode::OK).await
    } else {
        desk.take(Hook::Mail, headers, body, StatusCode::INTERNAL_SERVER_ERROR).await
    }
}

async fn text(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    desk.take(Hook::Text, headers, body, StatusCode::OK).await
}

impl Desk {
    async fn take(
        &self,
        hook: Hook,
        headers: HeaderMap,
        body: Bytes,
        status: StatusCode,
    ) -> (StatusCode, &'static str) {
        let received = Received { hook, headers, body, answered: status.as_u16(), at: self.clock.schedule() };
        if self.to.send(received).await.is_err() {
            return (StatusCode::SERVICE_UNAVAILABLE, "the demo is over");
        }
        (status, if status.is_success() { "thank you" } else { "sorry, my database is on holiday" })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn posted(router: &Router, hook: Hook, bytes: usize) -> u16 {
        let request = Request::post(hook.path()).body(Body::from(vec![b'x'; bytes])).unwrap();
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn only_the_first_mail_is_refused_and_a_body_past_the_cap_is_not_read() {
        let (to, mut arrivals) = mpsc::channel(UNREAD);
        let clock = Clock::manual(TimeMs(7));
        let router = router(Desk { clock, to, refused_once: Arc::default() });
        assert_eq!(posted(&router, Hook::Text, BODY_BYTES).await, 200);
        assert_eq!(posted(&router, Hook::Text, BODY_BYTES + 1).await, 413);
        assert_eq!(posted(&router, Hook::Mail, 1).await, 500);
        assert_eq!(posted(&router, Hook::Mail, 1).await, 200);
        let mut seen = Vec::new();
        while let Ok(read) = arrivals.try_recv() {
            seen.push((read.hook, read.answered, read.body.len()));
        }
        assert_eq!(seen, [(Hook::Text, 200, BODY_BYTES), (Hook::Mail, 500, 1), (Hook::Mail, 200, 1)]);
    }
}

//! A customer's endpoint on loopback: remembers what it was sent, answers what it was told to.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub at: Instant,
}

impl Received {
    /// A header's only value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().expect("text");
        assert!(values.next().is_none(), "{name} came twice");
        Some(value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Verifies both signatures with what receivers have for that.
    pub fn verify(&self, secret: &str) {
        let headers = || self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        inkhook_wire::sign::verify_inkbox(secret, headers(), &self.body, None).expect("signed by us");
        inkhook_wire::sign::verify_standard(secret, headers(), &self.body, None)
            .expect("and by the standard");
    }

    /// Whether the Inkbox signature verifies, and whether the standard one does.
    pub fn verdicts(&self, secret: &str) -> (bool, bool) {
        let headers = || self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let inkbox = inkhook_wire::sign::verify_inkbox(secret, headers(), &self.body, None);
        let standard = inkhook_wire::sign::verify_standard(secret, headers(), &self.body, None);
        (inkbox.is_ok(), standard.is_ok())
    }

    /// Whether the signature verifies for which a receiver needs a public key only.
    pub fn verifies_by_public_key(&self, key: &str) -> bool {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let key = key.parse().expect("a public key");
        inkhook_wire::sign::asymmetric::verify(&key, headers, &self.body, None).is_ok()
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }
}

/// See the module. Answers 200 when the script is used up, unless it was told otherwise.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    script: Mutex<VecDeque<Answer>>,
    /// What is answered when the script is used up.
    otherwise: Mutex<Option<u16>>,
    held: Mutex<bool>,
    arrived: Notify,
    released: Notify,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let receiver = Self { address: listener.local_addr().expect("bound"), shared: Arc::default() };
        let router = Router::new().fallback(receive).with_state(receiver.shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path here.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers this next, after what was said before.
    pub fn answer(&self, answer: impl Into<Answer>) {
        self.shared.script.lock().expect("no panic").push_back(answer.into());
    }

    /// Answers this whenever the script is used up.
    pub fn answer_always(&self, status: u16) {
        *self.shared.otherwise.lock().expect("no panic") = Some(status);
    }

    /// From now on requests are read but not answered until [`Receiver::release`].
    pub fn hold(&self) {
        *self.shared.held.lock().expect("no panic") = true;
    }

    /// Answers what is held.
    pub fn release(&self) {
        *self.shared.held.lock().expect("no panic") = false;
        self.shared.released.notify_waiters();
    }

    /// Everything that came so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().expect("no panic").clone()
    }

    /// How many came to a path after this.
    pub fn arrivals_after(&self, path: &str, at: Instant) -> usize {
        self.received().iter().filter(|received| received.path == path && received.at > at).count()
    }

    /// Waits until so many requests have come.
    pub async fn arrived(&self, count: usize) -> Vec<Received> {
        let wait = async {
            loop {
                let arrived = self.shared.arrived.notified();
                let received = self.received();
                if received.len() >= count {
                    return received;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(super::PATIENCE, wait).await.expect("requests arrive")
    }
}

async fn receive(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
    let (path, at) = (parts.uri.path().to_owned(), super::time::now());
    let received = Received { path, headers: parts.headers, body, at };
    shared.received.lock().expect("no panic").push(received);
    shared.arrived.notify_waiters();
    loop {
        let released = shared.released.notified();
        if !*shared.held.lock().expect("no panic") {
            break;
        }
        released.await;
    }
    let answer = shared.script.lock().expect("no panic").pop_front();
    let otherwise = shared.otherwise.lock().expect("no panic").unwrap_or(200);
    let answer = answer.unwrap_or_else(|| otherwise.into());
    let status = StatusCode::from_u16(answer.status).expect("a status");
    let mut response = (status, answer.body).into_response();
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().expect("a header's value"));
    }
    response
}

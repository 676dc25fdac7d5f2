//! The client: one call, one attempt, at most one request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hickory_resolver::TokioResolver;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;

use crate::clock::now;
use crate::connect::{self, Conn};
use crate::exchange::{Answer, Attempt, BodyEnd, Unanswered};
use crate::failure::{Failure, FailureKind, Phase, broken};
use crate::gate::{Gate, Slot};
use crate::policy::Policy;
use crate::pool::Pool;
use crate::resolve::{self, ResolverConfig, Vetted};
use crate::target::Target;
use crate::tls::{self, Roots};

/// What an attempt may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For the TCP connection, over all addresses tried.
    pub connect_timeout: Duration,
    /// Largest response head, status line included; also bounds trailers. A
    /// head has at most [`Limits::MAX_HEADER_FIELDS`] fields.
    pub max_header_bytes: usize,
    /// Where reading of a body stops.
    pub max_body_bytes: usize,
    /// Longest wait of an idle connection for its next request.
    pub idle: Duration,
    /// Idle connections of one tenant to one origin and address.
    pub max_idle_per_key: usize,
    /// Idle connections in all, rounded down to a multiple of 16.
    pub max_idle: usize,
}

impl Limits {
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    pub const MAX_HEADER_BYTES: usize = 32 * 1024;
    /// hyper's own bound, which needs no allocation; a test pins it.
    pub const MAX_HEADER_FIELDS: usize = 100;
    pub const MAX_BODY_BYTES: usize = 16 * 1024;
    pub const IDLE: Duration = Duration::from_millis(1_500);
    pub const MAX_IDLE_PER_KEY: usize = 128;
    pub const MAX_IDLE: usize = 4_096;
    /// Longest deadline of one attempt; a longer one is cut to it.
    pub const MAX_DEADLINE: Duration = Duration::from_mins(10);
    /// How much sooner than the server's promise an idle connection is given up.
    pub const KEEP_ALIVE_MARGIN: Duration = Duration::from_secs(1);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Self::CONNECT_TIMEOUT,
            max_header_bytes: Self::MAX_HEADER_BYTES,
            max_body_bytes: Self::MAX_BODY_BYTES,
            idle: Self::IDLE,
            max_idle_per_key: Self::MAX_IDLE_PER_KEY,
            max_idle: Self::MAX_IDLE,
        }
    }
}

/// One POST.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose request it is: tenants share no connection.
    pub tenant: u64,
    pub target: Target,
    /// Sent as given, except that `Host`, `Content-Length` and
    /// `Accept-Encoding` are ours and fields that steer the connection itself
    /// are left out.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// For everything: name lookup, connect, TLS, headers and body.
    pub deadline: Duration,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("the TLS configuration is not usable: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the system's name server configuration cannot be read: {0}")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends requests under one policy. Cheap to clone; clones share the pool.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

struct Inner {
    policy: Policy,
    limits: Limits,
    connector: TlsConnector,
    resolver: TokioResolver,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("policy", &self.policy)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Reads the system's authorities and name servers where asked to.
    pub fn new(
        policy: Policy,
        limits: Limits,
        roots: Roots,
        resolver: ResolverConfig,
    ) -> Result<Self, BuildError> {
        let resolver = resolve::build(resolver).map_err(|error| BuildError::Resolver(Box::new(error)))?;
        Ok(Self(Arc::new(Inner {
            connector: tls::connector(roots)?,
            pool: Pool::new(limits.max_idle_per_key, limits.max_idle),
            policy,
            limits,
            resolver,
        })))
    }

    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// Makes one attempt. Any status is an [`Answer`]; a [`Failure`] says
    /// whether the request may have been seen. Dropping the future closes the
    /// connection, and no first byte is written after that.
    pub async fn post(&self, request: Request, gate: impl Gate) -> Result<Answer, Failure> {
        let began = now();
        let deadline = request.deadline.min(Limits::MAX_DEADLINE);
        let mut attempt = Attempt::new(began);
        let work = self.0.run(&mut attempt, request, Box::new(gate));
        match timeout_at((began + deadline).into(), work).await {
            Ok(Ok(end)) => Ok(attempt.answer(end)),
            Ok(Err(kind)) => Err(attempt.fail(kind)),
            Err(_) => {
                let phase = attempt.wait_phase();
                let after = deadline;
                Err(attempt.fail(FailureKind::Deadline { phase, after }))
            }
        }
    }
}

impl Inner {
    async fn run(
        &self,
        attempt: &mut Attempt,
        request: Request,
        mut gate: Box<dyn Gate>,
    ) -> Result<BodyEnd, FailureKind> {
        let Request { tenant, target, headers, body, .. } = request;
        let addresses = resolve::vetted(&self.resolver, &self.policy, &target).await?;
        let message = Message::new(&target, headers, body);
        while let Some(mut conn) = self.pool.take(tenant, &target, &addresses) {
            if !conn.ready().await {
                continue;
            }
            if let Some(turn) = gate.turn() {
                turn.await;
            }
            match attempt.send(&mut conn, message.copy(), gate, true).await {
                Ok(response) => {
                    let body = response.into_body();
                    return self.finish(attempt, tenant, target, conn, body).await;
                }
                // It died while it was idle: the next one, nothing was sent.
                Err(Unanswered::Unwritten(unused, _)) => gate = unused,
                Err(Unanswered::Failed(kind)) => return Err(kind),
            }
        }
        let mut conn = self.open(attempt, &target, &addresses).await?;
        if let Some(turn) = gate.turn() {
            turn.await;
        }
        match attempt.send(&mut conn, message.into_request(), gate, false).await {
            Ok(response) => {
                let body = response.into_body();
                self.finish(attempt, tenant, target, conn, body).await
            }
            Err(Unanswered::Unwritten(_, kind) | Unanswered::Failed(kind)) => Err(kind),
        }
    }

    /// A connection of our own to one of the vetted addresses.
    async fn open(
        &self,
        attempt: &mut Attempt,
        target: &Target,
        addresses: &[Vetted],
    ) -> Result<Conn, FailureKind> {
        attempt.phase = Phase::Connect;
        let (stream, to) = connect::tcp(addresses, self.limits.connect_timeout).await?;
        attempt.connected(to);
        attempt.phase = Phase::Tls;
        let slot = Slot::new();
        let stream = connect::secure(&self.connector, target, stream, &slot).await?;
        connect::http(stream, slot, to, self.limits.max_header_bytes)
            .await
            .map_err(|error| broken(&error, Phase::Send))
    }

    /// Reads the body and keeps the connection when it can be used again.
    async fn finish(
        &self,
        attempt: &mut Attempt,
        tenant: u64,
        target: Target,
        conn: Conn,
        body: Incoming,
    ) -> Result<BodyEnd, FailureKind> {
        let end = attempt.read_body(body, self.limits.max_body_bytes).await?;
        if let (BodyEnd::Ended, Some(keep)) = (end, attempt.keep()) {
            let promised =
                keep.promised.map_or(Duration::MAX, |time| time.saturating_sub(Limits::KEEP_ALIVE_MARGIN));
            let wait = self.limits.idle.min(promised);
            if !wait.is_zero() && !conn.sender.is_closed() {
                self.pool.put(tenant, target, conn, wait);
            }
        }
        Ok(end)
    }
}

/// The request, ready to be put on a connection, if need be on several.
struct Message {
    target: Target,
    headers: HeaderMap,
    body: Bytes,
}

/// Fields that steer the connection or the framing, which are ours alone.
const NOT_FORWARDED: [HeaderName; 7] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
];

impl Message {
    fn new(target: &Target, mut headers: HeaderMap, body: Bytes) -> Self {
        for name in NOT_FORWARDED {
            headers.remove(name);
        }
        headers.insert(header::HOST, target.host_header());
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Self { target: target.clone(), headers, body }
    }

    fn copy(&self) -> http::Request<Full<Bytes>> {
        let copy =
            Self { target: self.target.clone(), headers: self.headers.clone(), body: self.body.clone() };
        copy.into_request()
    }

    fn into_request(self) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(self.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.uri();
        *request.headers_mut() = self.headers;
        request
    }
}

//! One attempt: its state, and the answer it ends with.
//!
//! The state outlives the work on it, because the deadline drops the work in
//! the middle and the caller still learns how far it came.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};

use crate::clock::now;
use crate::connect::Conn;
use crate::failure::{Failure, FailureKind, Phase, broken};
use crate::gate::{Gate, Slot, Stage};
use crate::resolve::Vetted;

/// An answer that is whole as far as it was wanted.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// `Retry-After` as sent, bytes that are not text replaced.
    pub retry_after: Option<String>,
    /// `Content-Type` as sent, bytes that are not text replaced.
    pub content_type: Option<String>,
    /// At most [`Limits::max_body_bytes`](crate::Limits), as sent: nothing is
    /// decompressed.
    pub body: Bytes,
    pub body_complete: BodyEnd,
    /// From the call to the end of the response head.
    pub first_byte: Duration,
    /// From the call to the end of the body.
    pub duration: Duration,
    /// Whether the peer was reachable only because `allow_cidrs` lists it.
    pub opened: bool,
    pub peer: SocketAddr,
    /// Whether the request went over a connection that an earlier one opened.
    pub reused: bool,
}

/// How the reading of a body ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// The body ended.
    Ended,
    /// The cap was reached; the connection was closed there.
    CapReached,
}

/// How far an attempt has come.
#[derive(Debug)]
pub(crate) struct Attempt {
    began: Instant,
    pub(crate) phase: Phase,
    to: Option<Vetted>,
    slot: Option<Arc<Slot>>,
    reused: bool,
    head: Option<Head>,
    body: BytesMut,
}

#[derive(Debug)]
struct Head {
    status: u16,
    retry_after: Option<String>,
    content_type: Option<String>,
    first_byte: Duration,
    keep: Option<Keep>,
}

/// The server lets the connection be used again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// What `Keep-Alive: timeout` promises.
    pub(crate) promised: Option<Duration>,
}

/// Why a response head did not come.
pub(crate) enum Unanswered {
    /// Nothing was written: the gate comes back and another connection may try.
    Unwritten(Box<dyn Gate>, FailureKind),
    Failed(FailureKind),
}

impl Attempt {
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            began,
            phase: Phase::Resolve,
            to: None,
            slot: None,
            reused: false,
            head: None,
            body: BytesMut::new(),
        }
    }

    pub(crate) fn connected(&mut self, to: Vetted) {
        self.to = Some(to);
    }

    /// Sends the request over `conn` and waits for the response head.
    pub(crate) async fn send(
        &mut self,
        conn: &mut Conn,
        request: http::Request<Full<Bytes>>,
        gate: Box<dyn Gate>,
        reused: bool,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.phase = Phase::Send;
        self.to = Some(conn.to);
        self.reused = reused;
        self.slot = Some(Arc::clone(&conn.slot));
        conn.slot.arm(gate, reused);
        match conn.sender.send_request(request).await {
            // A server that answers before it was asked.
            Ok(_) if !conn.slot.started() => Err(Unanswered::Failed(FailureKind::Protocol(
                "the server answered before the request was sent",
            ))),
            Ok(response) => {
                self.read_head(&response);
                if !conn.slot.flushed() {
                    // Answered before it was sent whole: what is left of it
                    // would pass for the start of the next one.
                    self.do_not_keep();
                }
                Ok(response)
            }
            Err(error) => Err(self.unanswered(conn, &error)),
        }
    }

    fn unanswered(&mut self, conn: &Conn, error: &hyper::Error) -> Unanswered {
        match conn.slot.revoke() {
            (Stage::Started, _) => Unanswered::Failed(broken(error, self.wait_phase())),
            (Stage::Armed { .. } | Stage::Revoked, Some(gate)) => {
                Unanswered::Unwritten(gate, broken(error, Phase::Send))
            }
            _ => Unanswered::Failed(FailureKind::GateClosed),
        }
    }

    fn read_head(&mut self, response: &Response<Incoming>) {
        let headers = response.headers();
        self.phase = Phase::Body;
        self.head = Some(Head {
            status: response.status().as_u16(),
            retry_after: text(headers, header::RETRY_AFTER),
            content_type: text(headers, header::CONTENT_TYPE),
            first_byte: now() - self.began,
            keep: keep(response),
        });
    }

    /// Reads the body to its end or to `cap` bytes, whichever comes first.
    pub(crate) async fn read_body(&mut self, mut body: Incoming, cap: usize) -> Result<BodyEnd, FailureKind> {
        while !body.is_end_stream() {
            if self.body.len() >= cap {
                return Ok(BodyEnd::CapReached);
            }
            let Some(frame) = body.frame().await else {
                break;
            };
            let frame = frame.map_err(|error| broken(&error, Phase::Body))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let room = cap - self.body.len();
            self.body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return Ok(BodyEnd::CapReached);
            }
        }
        Ok(BodyEnd::Ended)
    }

    /// Whether the connection may carry another request, and how the server
    /// limits that.
    pub(crate) fn keep(&self) -> Option<Keep> {
        self.head.as_ref().and_then(|head| head.keep)
    }

    fn do_not_keep(&mut self) {
        if let Some(head) = &mut self.head {
            head.keep = None;
        }
    }

    /// What the attempt is doing, as far as a request that waits can tell.
    pub(crate) fn wait_phase(&self) -> Phase {
        match (self.phase, &self.slot) {
            (Phase::Send, Some(slot)) if slot.started() && slot.flushed() => Phase::Headers,
            (phase, _) => phase,
        }
    }

    /// Ends well, after [`Attempt::read_body`].
    pub(crate) fn answer(self, body_complete: BodyEnd) -> Answer {
        let head = self.head.expect("a body is read after its head");
        let to = self.to.expect("a head comes over a connection");
        let duration = now() - self.began;
        Answer {
            status: head.status,
            retry_after: head.retry_after,
            content_type: head.content_type,
            body: self.body.freeze(),
            body_complete,
            first_byte: head.first_byte,
            duration,
            opened: to.opened,
            peer: to.address,
            reused: self.reused,
        }
    }

    /// Ends badly. From here on nothing of the request is written that has not
    /// been: the connection was dropped with the work.
    pub(crate) fn fail(self, kind: FailureKind) -> Failure {
        let started = self.slot.as_ref().is_some_and(|slot| slot.started());
        let (status, retry_after) = match self.head {
            Some(head) => (Some(head.status), head.retry_after),
            None => (None, None),
        };
        Failure {
            kind,
            request_started: started,
            status,
            retry_after,
            body: self.body.freeze(),
            duration: now() - self.began,
            peer: self.to.map(|to| to.address),
            opened: self.to.is_some_and(|to| to.opened),
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn keep(response: &Response<Incoming>) -> Option<Keep> {
    let reusable = response.version() == Version::HTTP_11
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
        && !has_token(response.headers(), "close");
    reusable.then(|| Keep { promised: promised(response.headers()) })
}

fn has_token(headers: &HeaderMap, token: &str) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// `Keep-Alive: timeout=N` (RFC 2068, 19.7.1), in seconds.
fn promised(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    value.split(',').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("timeout") {
            return None;
        }
        let seconds = value.trim().trim_matches('"').parse().ok()?;
        Some(Duration::from_secs(seconds))
    })
}

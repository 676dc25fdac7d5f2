//! Why an attempt brought no whole answer, in words for the tenant's log.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

/// An attempt without a whole answer.
#[derive(Clone, Debug)]
pub struct Failure {
    pub kind: FailureKind,
    /// Whether the first byte of the request was handed to the kernel. When
    /// not, it is certain that the receiver has seen nothing of it and never
    /// will.
    pub request_started: bool,
    /// The status, when a response head came and its body did not end well.
    pub status: Option<u16>,
    /// The head's `Retry-After`, unread.
    pub retry_after: Option<String>,
    /// What was read of the body, within the cap.
    pub body: Bytes,
    /// From the call to its end.
    pub duration: Duration,
    /// The address that was connected to.
    pub peer: Option<SocketAddr>,
    /// Whether that address was reachable only because `allow_cidrs` lists it.
    pub opened: bool,
}

/// What an attempt was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Resolve,
    Connect,
    Tls,
    Send,
    Headers,
    Body,
}

/// What went wrong. `Display` is a sentence that holds no header values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// One of the target's addresses is not public.
    Forbidden { address: IpAddr, reason: &'static str },
    /// The URL is http and the address is not one that the operator opened.
    HttpToUnopened(IpAddr),
    /// The name has no usable address; the reason continues "… NAME".
    Resolve { host: String, reason: &'static str },
    /// Every address refused or failed, in the order tried.
    Connect { tried: Vec<(SocketAddr, io::ErrorKind)> },
    /// No address answered in time.
    ConnectTimeout { after: Duration },
    /// The handshake failed, most often over the certificate.
    Tls { reason: String },
    /// The total deadline passed.
    Deadline { phase: Phase, after: Duration },
    /// The peer broke the connection off.
    Reset { phase: Phase },
    /// The peer closed the connection in the middle.
    Closed { phase: Phase },
    /// The peer's bytes are not an answer we take; the text says why.
    Protocol(&'static str),
    /// The gate was closed: nothing was sent, and nothing will be.
    GateClosed,
    /// Another error of the connection.
    Io { phase: Phase, error: io::ErrorKind },
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for FailureKind {}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden { address, reason } => {
                write!(f, "the address {address} is {reason} and not allowed")
            }
            Self::HttpToUnopened(address) => write!(
                f,
                "http is allowed only to addresses that the operator has opened, and {address} is not one"
            ),
            Self::Resolve { host, reason } => write!(f, "the name {host} {reason}"),
            Self::Connect { tried } => write_tried(f, tried),
            Self::ConnectTimeout { after } => {
                write!(f, "no connection within {}", Span(*after))
            }
            Self::Tls { reason } => write!(f, "TLS: {reason}"),
            Self::Deadline { phase, after } => {
                write!(f, "no answer within {} while {phase}", Span(*after))
            }
            Self::Reset { phase } => write!(f, "the connection was reset while {phase}"),
            Self::Closed { phase } => {
                write!(f, "the server closed the connection while we were {phase}")
            }
            Self::Protocol(what) => f.write_str(what),
            Self::GateClosed => f.write_str("the request was stopped before it was sent"),
            Self::Io { phase, error } => {
                write!(f, "the connection failed while {phase}: {error}")
            }
        }
    }
}

fn write_tried(f: &mut fmt::Formatter<'_>, tried: &[(SocketAddr, io::ErrorKind)]) -> fmt::Result {
    for (index, (address, error)) in tried.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        match error {
            io::ErrorKind::ConnectionRefused => {
                write!(f, "{comma}connection refused by {address}")?;
            }
            other => write!(f, "{comma}no connection to {address}: {other}")?,
        }
    }
    Ok(())
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "looking up the name",
            Self::Connect => "connecting",
            Self::Tls => "waiting for the TLS handshake",
            Self::Send => "sending the request",
            Self::Headers => "waiting for the response headers",
            Self::Body => "reading the response body",
        })
    }
}

/// A duration as people write it: `30 s`, `2.5 s`, `200 ms`.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_millis())
        } else {
            write!(f, "{} s", self.0.as_secs_f64())
        }
    }
}

/// Reads what hyper says of a connection that broke.
pub(crate) fn broken(error: &hyper::Error, phase: Phase) -> FailureKind {
    if error.is_canceled() {
        // It broke before it took the request; the reason is one level down.
        let reason = std::error::Error::source(error).and_then(|source| source.downcast_ref());
        return reason.map_or(FailureKind::Closed { phase }, |reason| broken(reason, phase));
    }
    if error.is_parse_too_large() {
        return FailureKind::Protocol("the response head has too many bytes or fields");
    }
    if error.is_parse() {
        return FailureKind::Protocol("the answer is not valid HTTP/1.1");
    }
    if error.is_incomplete_message() {
        return FailureKind::Closed { phase };
    }
    match io_source(error) {
        Some(error) => broken_io(error, phase),
        None if phase == Phase::Body => FailureKind::Protocol("the response body is malformed"),
        None => FailureKind::Protocol("the server sent bytes that answer no request"),
    }
}

fn broken_io(error: &io::Error, phase: Phase) -> FailureKind {
    use io::ErrorKind as Kind;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    if let Some(error) = inner {
        let reason = crate::tls::rustls_reason(error);
        return FailureKind::Tls { reason };
    }
    match error.kind() {
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => FailureKind::Reset { phase },
        Kind::UnexpectedEof => FailureKind::Closed { phase },
        Kind::InvalidData | Kind::InvalidInput => FailureKind::Protocol("the response body is malformed"),
        error => FailureKind::Io { phase, error },
    }
}

fn io_source(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_reads_as_a_sentence() {
        let address: SocketAddr = "203.0.113.5:443".parse().unwrap();
        let other: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        let cases = [
            (
                FailureKind::Connect {
                    tried: vec![
                        (other, io::ErrorKind::NetworkUnreachable),
                        (address, io::ErrorKind::ConnectionRefused),
                    ],
                },
                "no connection to [2001:db8::1]:443: network unreachable, connection refused by 203.0.113.5:443",
            ),
            (
                FailureKind::Deadline { phase: Phase::Headers, after: Duration::from_secs(30) },
                "no answer within 30 s while waiting for the response headers",
            ),
            (
                FailureKind::Deadline { phase: Phase::Tls, after: Duration::from_millis(250) },
                "no answer within 250 ms while waiting for the TLS handshake",
            ),
            (
                FailureKind::Forbidden { address: "10.0.0.1".parse().unwrap(), reason: "private" },
                "the address 10.0.0.1 is private and not allowed",
            ),
            (
                FailureKind::ConnectTimeout { after: Duration::from_millis(2_500) },
                "no connection within 2.5 s",
            ),
        ];
        for (kind, sentence) in cases {
            assert_eq!(kind.to_string(), sentence);
        }
    }
}

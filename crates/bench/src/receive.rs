//! The receiver: answers 200 at once and notes what arrived.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::measure::Measurement;

/// What stands before an event's number in the mail's subject.
pub(crate) const MARK: &str = "bench-event-";

/// Starts it on a free port of loopback. The path's number is the subscription's.
pub(crate) async fn start(measurement: Arc<Measurement>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream.set_nodelay(true));
            let measurement = measurement.clone();
            let service = service_fn(move |request| receive(measurement.clone(), request));
            // A sender that goes away is not ours to report.
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

async fn receive(
    measurement: Arc<Measurement>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let subscription = request.uri().path().trim_start_matches('/').parse().unwrap_or(0);
    if let Ok(body) = request.into_body().collect().await
        && let Some(event) = event_number(&body.to_bytes())
    {
        measurement.arrived(event, subscription);
    }
    Ok(Response::new(Empty::new()))
}

/// Finds the mark without reading the JSON: the receiver must cost little.
fn event_number(body: &[u8]) -> Option<usize> {
    let mark = MARK.as_bytes();
    let start = body.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let digits = body[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&body[start..start + digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_number_behind_the_mark() {
        assert_eq!(event_number(br#"{"subject":"bench-event-42","x":1}"#), Some(42));
        assert_eq!(event_number(b"nothing"), None);
        assert_eq!(event_number(b"bench-event-"), None);
    }
}

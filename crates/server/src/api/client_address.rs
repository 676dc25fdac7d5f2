//! Whom a request is from, as far as somebody who can be believed says so.
//!
//! The peer of the connection; behind proxies that the operator named, the last address in `X-Forwarded-For` that is
//! not such a proxy's. What stands before that address may be anybody's invention, and is not read.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ipnet::IpNet;

use super::error::ApiError;
use crate::app::App;

/// The header in which proxies say whom they forward for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// See the module. `None`: there is no connection, as in tests of the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientAddress(pub(super) Option<IpAddr>);

impl FromRequestParts<App> for ClientAddress {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(
            peer.map(|ConnectInfo(peer)| client(peer.ip(), &parts.headers, &app.settings.trusted_proxies)),
        ))
    }
}

fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut client = peer.to_canonical();
    let values = headers.get_all(FORWARDED_FOR).iter();
    let hops: Vec<&str> =
        values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')).collect();
    for hop in hops.into_iter().rev() {
        if !is_trusted(client) {
            break;
        }
        // What is no address was not written by a proxy that is set up well: the one that passed it on stands for it.
        let Some(address) = address(hop.trim()) else { break };
        client = address;
    }
    client
}

/// With or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = plain.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().expect("a value"));
        }
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().expect("a network"));
        client(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn only_proxies_that_the_operator_named_are_believed() {
        assert_eq!(found("192.0.2.7", &[]), "192.0.2.7");
        assert_eq!(found("192.0.2.7", &["203.0.113.9"]), "192.0.2.7", "a client speaks for itself");
        assert_eq!(found("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(found("::ffff:10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(
            found("10.0.0.1", &["1.1.1.1, 203.0.113.9, 10.9.9.9"]),
            "203.0.113.9",
            "the last but proxies"
        );
        assert_eq!(
            found("10.0.0.1", &["1.1.1.1", "203.0.113.9", "fd00::2"]),
            "203.0.113.9",
            "over all lines"
        );
        assert_eq!(found("10.0.0.1", &["10.0.0.2"]), "10.0.0.2");
        assert_eq!(found("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_is_no_address_stands_for_nobody() {
        assert_eq!(found("10.0.0.1", &["203.0.113.9, unknown"]), "10.0.0.1");
        assert_eq!(found("10.0.0.1", &[""]), "10.0.0.1");
        for (text, expected) in [
            ("203.0.113.9:1234", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:1234", "2001:db8::1"),
        ] {
            assert_eq!(found("10.0.0.1", &[text]), expected);
        }
    }
}

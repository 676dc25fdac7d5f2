//! A checked URL: where a request goes.
//!
//! Parsing is the WHATWG URL Standard's, which is what receivers' own tools
//! use; normalisation is what that parser does (lower-case host, default port
//! dropped, empty path `/`) and nothing else. A host that ends in a dot is
//! refused rather than normalised: the same name with and without the dot
//! would otherwise be two URLs with one receiver.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use url::{Host, Position, Url};

use crate::policy::{Policy, Verdict};

/// Longest URL accepted, as given and as normalised. Characters outside ASCII count as often as they have bytes: an
/// index takes keys of that many and not of four times as many.
pub(crate) const MAX_URL_BYTES: usize = 2_048;
/// Longest host name and longest label in it, in bytes (RFC 1035, 2.3.4).
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// Top-level names of the IANA special-use domain registry that never lead to
/// a public receiver. `example.com`, `.net` and `.org` are in the registry too
/// but resolve like any other name (RFC 6761, 6.5) and are not refused.
const SPECIAL_USE: &[&str] =
    &["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test"];

/// A URL that passed [`Policy::check_url`]. Cheap to clone.
#[derive(Clone)]
pub struct Target(Arc<Inner>);

struct Inner {
    normalized: String,
    /// Byte range of the host in `normalized`.
    host: std::ops::Range<usize>,
    address: Option<IpAddr>,
    port: u16,
    tls: bool,
    host_header: HeaderValue,
    uri: Uri,
}

/// Why a URL is refused. The text is for the API's user; it never repeats a
/// URL's user info.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("the URL is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    #[error("the URL contains a control character")]
    ControlCharacter,
    #[error("the text is not an absolute URL")]
    NotAUrl,
    #[error("the URL's scheme must be https")]
    Scheme,
    #[error("the URL's scheme must be https; this server does not allow http")]
    HttpNotAllowed,
    #[error("http is allowed only to addresses that this server's operator has opened; {0} is not one")]
    HttpToUnopened(IpAddr),
    #[error("the URL must not contain a user name or password")]
    UserInfo,
    #[error("the URL must not contain a fragment (#…)")]
    Fragment,
    #[error("the URL has no host")]
    NoHost,
    #[error("the URL's host is not a valid domain name")]
    InvalidHost,
    #[error("the URL's host must not end with a dot")]
    TrailingDot,
    #[error("the URL's host {0:?} is a single label; a full domain name is needed")]
    SingleLabel(String),
    #[error("the URL's host {host:?} is under the special-use name .{suffix}, which is not public")]
    SpecialUse { host: String, suffix: &'static str },
    #[error("the address {address} is {reason} and not allowed")]
    Address { address: IpAddr, reason: &'static str },
    #[error("the URL's address must not carry a zone id")]
    ZoneId,
    #[error("the URL's host is not a valid IP address")]
    InvalidAddress,
    #[error("the URL's port is not a number from 1 to 65535")]
    InvalidPort,
    #[error("the URL's port must not be 0")]
    PortZero,
    #[error("the URL's path or query cannot be sent in a request")]
    InvalidPath,
}

impl Target {
    pub(crate) fn parse(policy: &Policy, text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(UrlError::ControlCharacter);
        }
        let url = Url::parse(text).map_err(|error| parse_error(error, text))?;
        let tls = check_scheme(policy, &url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        let address = check_host(policy, &url, tls)?;
        let port = url.port_or_known_default().ok_or(UrlError::InvalidPort)?;
        if port == 0 {
            return Err(UrlError::PortZero);
        }
        Self::assemble(url, address, port, tls)
    }

    fn assemble(url: Url, address: Option<IpAddr>, port: u16, tls: bool) -> Result<Self, UrlError> {
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        let path = PathAndQuery::try_from(&url[Position::BeforePath..]).map_err(|_| UrlError::InvalidPath)?;
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        let host_header = HeaderValue::from_str(authority).map_err(|_| UrlError::InvalidHost)?;
        let start = url[..Position::BeforeHost].len();
        let end = url[..Position::AfterHost].len();
        Ok(Self(Arc::new(Inner {
            host: start..end,
            address,
            port,
            tls,
            host_header,
            uri: Uri::from(path),
            normalized: url.into(),
        })))
    }

    /// The URL as the parser writes it; two URLs are the same when this is.
    pub fn normalized(&self) -> &str {
        &self.0.normalized
    }

    /// The host, lower case, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.0.normalized[self.0.host.clone()]
    }

    /// The port, the scheme's default when the URL has none.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Whether the scheme is https.
    pub fn is_tls(&self) -> bool {
        self.0.tls
    }

    /// The host as an address, when it is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    pub(crate) fn host_header(&self) -> HeaderValue {
        self.0.host_header.clone()
    }

    /// The request target in origin form.
    pub(crate) fn uri(&self) -> Uri {
        self.0.uri.clone()
    }

    /// Whether both lead to the same scheme, host and port.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.tls == other.0.tls && self.0.port == other.0.port && self.host() == other.host())
    }

    /// Feeds what [`Target::same_origin`] compares to a hasher.
    pub(crate) fn hash_origin(&self, state: &mut impl Hasher) {
        self.0.tls.hash(state);
        self.0.port.hash(state);
        self.host().hash(state);
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.0.normalized).finish()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.normalized)
    }
}

/// Whether the URL is https; http passes only when the policy allows it.
fn check_scheme(policy: &Policy, url: &Url) -> Result<bool, UrlError> {
    match url.scheme() {
        "https" => Ok(true),
        "http" if policy.allow_http => Ok(false),
        "http" => Err(UrlError::HttpNotAllowed),
        _ => Err(UrlError::Scheme),
    }
}

fn check_host(policy: &Policy, url: &Url, tls: bool) -> Result<Option<IpAddr>, UrlError> {
    let address = match url.host().ok_or(UrlError::NoHost)? {
        Host::Domain(name) => return check_name(policy, name).map(|()| None),
        Host::Ipv4(v4) => IpAddr::V4(v4),
        Host::Ipv6(v6) => IpAddr::V6(v6),
    };
    if let Verdict::Forbidden(reason) = policy.judge(address) {
        return Err(UrlError::Address { address, reason });
    }
    if !tls && !policy.lists(address) {
        return Err(UrlError::HttpToUnopened(address));
    }
    Ok(Some(address))
}

fn check_name(policy: &Policy, name: &str) -> Result<(), UrlError> {
    if name.ends_with('.') {
        return Err(UrlError::TrailingDot);
    }
    let fits = |label: &str| (1..=MAX_LABEL_BYTES).contains(&label.len());
    if name.len() > MAX_NAME_BYTES || !name.split('.').all(fits) {
        return Err(UrlError::InvalidHost);
    }
    if policy.opens_host(name) {
        return Ok(());
    }
    let top = name.rsplit('.').next().unwrap_or(name);
    if let Some(suffix) = SPECIAL_USE.iter().find(|special| **special == top) {
        let host = name.to_owned();
        return Err(UrlError::SpecialUse { host, suffix });
    }
    if top.len() == name.len() {
        return Err(UrlError::SingleLabel(name.to_owned()));
    }
    Ok(())
}

fn parse_error(error: url::ParseError, text: &str) -> UrlError {
    use url::ParseError;
    match error {
        ParseError::EmptyHost => UrlError::NoHost,
        ParseError::IdnaError | ParseError::InvalidDomainCharacter => UrlError::InvalidHost,
        ParseError::InvalidPort => UrlError::InvalidPort,
        // The standard knows no zone ids: the parser only sees a bad address.
        ParseError::InvalidIpv6Address if text.contains('%') => UrlError::ZoneId,
        ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address => UrlError::InvalidAddress,
        ParseError::Overflow => UrlError::TooLong,
        _ => UrlError::NotAUrl,
    }
}

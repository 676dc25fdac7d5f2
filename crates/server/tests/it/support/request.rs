//! A request to the router, without a socket.

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderName, HeaderValue, Method, header, request};
use serde_json::Value;
use tower::ServiceExt;

use super::{Identity, Organization, Reply};

/// A request on its way; nothing happens before [`Request::send`].
pub struct Request {
    router: Router,
    builder: request::Builder,
    body: Body,
}

impl Request {
    pub(super) fn new(router: Router, method: Method, path: &str) -> Self {
        Self { router, builder: request::Builder::new().method(method).uri(path), body: Body::empty() }
    }

    /// With this API key.
    pub fn key(self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    /// With the admin key of an organisation.
    pub fn by(self, organization: &Organization) -> Self {
        self.key(&organization.key)
    }

    /// With a key of an identity.
    pub fn by_agent(self, identity: &Identity) -> Self {
        self.key(&identity.key)
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        self.builder = self.builder.header(HeaderName::from_static(name), value);
        self
    }

    /// Over a connection from this address.
    pub fn from(mut self, address: &str) -> Self {
        let address: IpAddr = address.parse().expect("an address");
        self.builder = self.builder.extension(ConnectInfo(SocketAddr::from((address, 50_000))));
        self
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better with json!")]
    pub fn json(self, body: Value) -> Self {
        self.bytes(body.to_string())
    }

    /// Exactly these bytes, said to be JSON.
    pub fn bytes(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self.builder = self.builder.header(header::CONTENT_TYPE, "application/json");
        self
    }

    pub async fn send(self) -> Reply {
        let request = self.builder.body(self.body).expect("a request");
        let Ok(response) = self.router.oneshot(request).await;
        Reply::read(response).await
    }
}

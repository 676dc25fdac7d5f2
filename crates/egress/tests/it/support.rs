//! Clients and requests as the tests need them.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use inkhook_egress::{AlwaysOpen, Answer, Client, Failure, Limits, Policy, Request, ResolverConfig, Roots};

/// How long a test waits for what must come; reached only by a failing test.
const PATIENCE: Duration = Duration::from_secs(10);
/// The deadline of attempts that are not meant to reach it.
pub(crate) const AMPLE: Duration = Duration::from_secs(8);
/// The deadline of attempts that are meant to reach it.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the test's patience ended")
}

pub(crate) fn client() -> Client {
    client_with(Limits::default())
}

pub(crate) fn client_with(limits: Limits) -> Client {
    let nobody = ResolverConfig::Nameservers(Vec::new());
    Client::new(Policy::loopback_dev(), limits, Roots::Given(Vec::new()), nobody).unwrap()
}

pub(crate) fn request(client: &Client, url: &str) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    Request {
        tenant: 1,
        target: client.policy().check_url(url).unwrap(),
        headers,
        body: Bytes::from_static(b"{\"a\":1}"),
        deadline: AMPLE,
    }
}

/// Posts to `url`, with time enough.
pub(crate) fn post(client: &Client, url: &str) -> impl Future<Output = Result<Answer, Failure>> + use<> {
    post_within(client, url, AMPLE)
}

pub(crate) fn post_within(
    client: &Client,
    url: &str,
    deadline: Duration,
) -> impl Future<Output = Result<Answer, Failure>> + use<> {
    let client = client.clone();
    let request = Request { deadline, ..request(&client, url) };
    async move { within(client.post(request, AlwaysOpen)).await }
}

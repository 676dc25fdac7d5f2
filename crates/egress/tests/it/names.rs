//! Names are judged by what they resolve to, every time.

use std::net::SocketAddr;
use std::time::Duration;

use inkhook_egress::{Client, FailureKind, Limits, Phase, Policy, ResolverConfig, Roots};
use socket2::{Domain, Type};

use crate::nameserver::NameServer;
use crate::receiver::{EMPTY_200, Receiver};
use crate::support::{SHORT, post, post_within};

/// How long a connection to a listener whose queue has room may take.
const QUEUE_WAIT: Duration = Duration::from_millis(100);

/// 127.0.0.1 and 127.0.0.5 stand for public addresses: they are opened, the
/// rest of loopback is not.
fn client(server: SocketAddr) -> Client {
    let policy = Policy {
        allow_http: true,
        allow_cidrs: vec!["127.0.0.1/32".parse().unwrap(), "127.0.0.5/32".parse().unwrap()],
        allow_hosts: Vec::new(),
    };
    let names = ResolverConfig::Nameservers(vec![server]);
    Client::new(policy, Limits::default(), Roots::Given(Vec::new()), names).unwrap()
}

fn url(port: u16) -> String {
    format!("http://hooks.example.com:{port}/")
}

/// Two receivers on one port: the one that stands for outside, and inside.
async fn outside_and_inside() -> (Receiver, Receiver) {
    let outside = Receiver::bind().await;
    let port = outside.address().port();
    let inside = Receiver::bind_to(SocketAddr::from(([127, 0, 0, 2], port))).await;
    (outside, inside)
}

fn forbidden(address: &str) -> FailureKind {
    FailureKind::Forbidden { address: address.parse().unwrap(), reason: "loopback" }
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_refused_though_a_connection_waits() {
    let (outside, inside) = outside_and_inside().await;
    let script: [Option<&[&str]>; 2] = [Some(&["127.0.0.1"]), Some(&["127.0.0.2"])];
    let server = NameServer::start(&script).await;
    let client = client(server.address);
    let url = url(outside.address().port());
    let (answer, (_peer, seen)) = tokio::join!(post(&client, &url), outside.answer_one(EMPTY_200));
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.opened), (200, true));
    let host = format!("hooks.example.com:{}", outside.address().port());
    assert_eq!(seen.header("host"), Some(&*host));
    let failure = post(&client, &url).await.unwrap_err();
    assert_eq!(failure.kind, forbidden("127.0.0.2"));
    assert_eq!(failure.to_string(), "the address 127.0.0.2 is loopback and not allowed");
    assert!(!failure.request_started);
    inside.nobody_else();
    outside.nobody_else();
}

#[tokio::test]
async fn one_forbidden_address_among_the_answers_refuses_the_name() {
    for (answers, bad) in [
        (["127.0.0.1", "127.0.0.2"], "127.0.0.2"),
        (["127.0.0.2", "127.0.0.1"], "127.0.0.2"),
        (["127.0.0.1", "::1"], "::1"),
        (["127.0.0.1", "::ffff:127.0.0.2"], "::ffff:127.0.0.2"),
    ] {
        let (outside, inside) = outside_and_inside().await;
        let server = NameServer::start(&[Some(&answers)]).await;
        let url = url(outside.address().port());
        let failure = post(&client(server.address), &url).await.unwrap_err();
        assert_eq!(failure.kind, forbidden(bad));
        outside.nobody_else();
        inside.nobody_else();
    }
}

#[tokio::test]
async fn a_waiting_connection_is_used_only_while_its_address_is_among_the_answers() {
    let outside = Receiver::bind().await;
    let port = outside.address().port();
    let moved = Receiver::bind_to(SocketAddr::from(([127, 0, 0, 5], port))).await;
    let script: [Option<&[&str]>; 3] =
        [Some(&["127.0.0.1"]), Some(&["127.0.0.5"]), Some(&["127.0.0.5", "127.0.0.1"])];
    let server = NameServer::start(&script).await;
    let client = client(server.address);
    let (first, (_one, _)) = tokio::join!(post(&client, &url(port)), outside.answer_one(EMPTY_200));
    assert!(!first.unwrap().reused);
    let (second, (mut two, _)) = tokio::join!(post(&client, &url(port)), moved.answer_one(EMPTY_200));
    let second = second.unwrap();
    assert_eq!((second.reused, second.peer), (false, moved.address()));
    let serve = async {
        two.request().await;
        two.send(EMPTY_200.as_bytes()).await.unwrap();
    };
    let (third, ()) = tokio::join!(post(&client, &url(port)), serve);
    assert!(third.unwrap().reused);
}

#[tokio::test]
async fn http_to_an_address_that_is_public_but_not_opened_is_refused() {
    let server = NameServer::start(&[Some(&["93.184.215.14"])]).await;
    let failure = post(&client(server.address), "http://hooks.example.com/").await.unwrap_err();
    let address = "93.184.215.14".parse().unwrap();
    assert_eq!(failure.kind, FailureKind::HttpToUnopened(address));
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let outside = Receiver::bind().await;
    let server = NameServer::start(&[Some(&["127.0.0.5", "127.0.0.1"])]).await;
    let client = client(server.address);
    let url = url(outside.address().port());
    let (answer, _peer) = tokio::join!(post(&client, &url), outside.answer_one(EMPTY_200));
    assert_eq!(answer.unwrap().peer, outside.address());
}

/// A listener that answers nobody: its queue is full and stays so.
fn full(address: SocketAddr) -> (socket2::Socket, Vec<std::net::TcpStream>) {
    let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(0).unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, QUEUE_WAIT) {
        queued.push(stream);
    }
    (listener, queued)
}

#[tokio::test]
async fn the_next_address_joins_in_when_one_does_not_answer() {
    let outside = Receiver::bind().await;
    let port = outside.address().port();
    let _full = full(SocketAddr::from(([127, 0, 0, 5], port)));
    let server = NameServer::start(&[Some(&["127.0.0.5", "127.0.0.1"])]).await;
    let client = client(server.address);
    let (answer, _peer) = tokio::join!(post(&client, &url(port)), outside.answer_one(EMPTY_200));
    assert_eq!(answer.unwrap().peer, outside.address());
}

#[tokio::test]
async fn connecting_has_a_limit_of_its_own() {
    let outside = Receiver::bind().await;
    let port = outside.address().port();
    let _full = full(SocketAddr::from(([127, 0, 0, 5], port)));
    let limits = Limits { connect_timeout: SHORT, ..Limits::default() };
    let client = crate::support::client_with(limits);
    let failure = post(&client, &format!("http://127.0.0.5:{port}/")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::ConnectTimeout { after: SHORT });
    assert!(!failure.request_started);
}

#[tokio::test]
async fn every_address_that_refused_is_named() {
    let outside = Receiver::bind().await;
    let port = outside.address().port();
    drop(outside);
    let server = NameServer::start(&[Some(&["127.0.0.5", "127.0.0.1"])]).await;
    let failure = post(&client(server.address), &url(port)).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        format!("connection refused by 127.0.0.5:{port}, connection refused by 127.0.0.1:{port}")
    );
}

#[tokio::test]
async fn only_the_first_four_addresses_are_tried() {
    let answers = ["127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14", "127.0.0.15"];
    let server = NameServer::start(&[Some(&answers)]).await;
    let names = ResolverConfig::Nameservers(vec![server.address]);
    let (policy, roots) = (Policy::loopback_dev(), Roots::Given(Vec::new()));
    let client = Client::new(policy, Limits::default(), roots, names).unwrap();
    let free = Receiver::bind().await;
    let port = free.address().port();
    drop(free);
    let failure = post(&client, &url(port)).await.unwrap_err();
    let FailureKind::Connect { tried } = failure.kind else {
        panic!("{failure}");
    };
    assert_eq!(tried.len(), 4, "{tried:?}");
}

#[tokio::test]
async fn a_name_without_addresses_says_so() {
    let nothing: &[&str] = &[];
    for (answers, sentence) in [
        (None, "the name hooks.example.com does not exist"),
        (Some(nothing), "the name hooks.example.com has no address"),
    ] {
        let server = NameServer::start(&[answers]).await;
        let failure = post(&client(server.address), &url(1)).await.unwrap_err();
        assert_eq!(failure.to_string(), sentence);
        assert!(!failure.request_started);
    }
}

#[tokio::test]
async fn the_deadline_covers_the_lookup() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let client = client(silent.local_addr().unwrap());
    let failure = post_within(&client, &url(1), SHORT).await.unwrap_err();
    let deadline = FailureKind::Deadline { phase: Phase::Resolve, after: SHORT };
    assert_eq!(failure.kind, deadline);
    assert!(!failure.request_started);
}

#[tokio::test]
async fn localhost_works_in_development() {
    let receiver = Receiver::bind().await;
    let client = crate::support::client();
    let url = format!("http://localhost:{}/", receiver.address().port());
    let (answer, _peer) = tokio::join!(post(&client, &url), receiver.answer_one(EMPTY_200));
    assert_eq!(answer.unwrap().status, 200);
}

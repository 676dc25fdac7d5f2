//! Who is trusted, and what TLS may not change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use inkhook_egress::{
    CertificateDer, Client, FailureKind, Gate, GateDecision, Limits, Phase, Policy, ResolverConfig, Roots,
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::HandshakeKind;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::nameserver::NameServer;
use crate::receiver::{EMPTY_200, Peer, Receiver, Seen};
use crate::support::{SHORT, post, post_within, request, within};

/// A receiver with a certificate of its own making.
struct Secure {
    receiver: Receiver,
    acceptor: TlsAcceptor,
    certificate: CertificateDer<'static>,
}

impl Secure {
    async fn bind(names: &[&str]) -> Self {
        Self::with(names, |_| {}).await
    }

    async fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { receiver: Receiver::bind().await, acceptor: TlsAcceptor::from(Arc::new(config)), certificate }
    }

    fn url(&self) -> String {
        format!("https://{}/hook", self.receiver.address())
    }

    fn trusted(&self) -> Client {
        client(Roots::Given(vec![self.certificate.clone()]))
    }

    async fn accept(&self) -> std::io::Result<Peer<TlsStream<TcpStream>>> {
        let stream = self.receiver.accept().await.into_stream();
        Ok(Peer::new(within(self.acceptor.accept(stream)).await?))
    }

    async fn answer_one(&self) -> (Peer<TlsStream<TcpStream>>, Seen) {
        let mut peer = self.accept().await.unwrap();
        let seen = peer.request().await;
        peer.send(EMPTY_200.as_bytes()).await.unwrap();
        (peer, seen)
    }
}

fn client(roots: Roots) -> Client {
    let nobody = ResolverConfig::Nameservers(Vec::new());
    Client::new(Policy::loopback_dev(), Limits::default(), roots, nobody).unwrap()
}

async fn refused(server: &Secure, client: &Client) -> String {
    let (failure, handshake) = tokio::join!(post(client, &server.url()), server.accept());
    let failure = failure.unwrap_err();
    assert!(matches!(failure.kind, FailureKind::Tls { .. }), "{failure}");
    assert!(!failure.request_started);
    // With TLS 1.3 the server may have thought itself done.
    if let Ok(peer) = handshake {
        assert_eq!(peer.closed().await, 0);
    }
    failure.to_string()
}

#[tokio::test]
async fn a_given_authority_is_trusted_and_http_1_1_is_spoken() {
    let server = Secure::bind(&["127.0.0.1"]).await;
    let client = server.trusted();
    let (answer, (mut peer, seen)) = tokio::join!(post(&client, &server.url()), server.answer_one());
    assert_eq!(answer.unwrap().status, 200);
    assert!(seen.head.starts_with("POST /hook HTTP/1.1\r\n"));
    let (_, session) = peer.stream().get_ref();
    assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
    let serve = async {
        peer.request().await;
        peer.send(EMPTY_200.as_bytes()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(post(&client, &server.url()), serve);
    assert!(answer.unwrap().reused);
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused() {
    let server = Secure::bind(&["127.0.0.1"]).await;
    assert_eq!(
        refused(&server, &client(Roots::System)).await,
        "TLS: certificate is not signed by a trusted authority"
    );
    let server = Secure::bind(&["127.0.0.2", "other.example.com"]).await;
    assert_eq!(refused(&server, &server.trusted()).await, "TLS: certificate is not valid for 127.0.0.1");
    let server = Secure::with(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let server = server.await;
    assert_eq!(refused(&server, &server.trusted()).await, "TLS: certificate has expired");
    let server = Secure::with(&["127.0.0.1"], |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let server = server.await;
    assert_eq!(refused(&server, &server.trusted()).await, "TLS: certificate is not valid yet");
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart() {
    let receiver = Receiver::bind().await;
    let url = format!("https://{}/", receiver.address());
    let serve = async {
        let mut peer = receiver.accept().await;
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        peer
    };
    let client = client(Roots::Given(Vec::new()));
    let (failure, _peer) = tokio::join!(post(&client, &url), serve);
    assert_eq!(failure.unwrap_err().to_string(), "TLS: the server does not speak TLS");
}

#[tokio::test]
async fn a_handshake_that_never_comes_ends_at_the_deadline() {
    let receiver = Receiver::bind().await;
    let url = format!("https://{}/", receiver.address());
    let client = client(Roots::Given(Vec::new()));
    let (failure, peer) = tokio::join!(post_within(&client, &url, SHORT), receiver.accept());
    let failure = failure.unwrap_err();
    let deadline = FailureKind::Deadline { phase: Phase::Tls, after: SHORT };
    assert_eq!(failure.kind, deadline);
    assert!(!failure.request_started);
    assert_eq!(failure.peer, Some(receiver.address()));
    // The client's hello, and then the end.
    assert!(peer.closed().await > 0);
}

#[derive(Clone)]
struct Switch(Arc<AtomicBool>);

impl Gate for Switch {
    fn enter(&self, write: &mut dyn FnMut()) -> GateDecision {
        if self.0.load(Ordering::SeqCst) {
            return GateDecision::Closed;
        }
        write();
        GateDecision::Pass
    }
}

#[tokio::test]
async fn a_closed_gate_lets_the_handshake_through_and_nothing_more() {
    let server = Secure::bind(&["127.0.0.1"]).await;
    let client = server.trusted();
    let request = request(&client, &server.url());
    let closed = Switch(Arc::new(AtomicBool::new(true)));
    let (failure, peer) = tokio::join!(within(client.post(request, closed)), server.accept());
    let failure = failure.unwrap_err();
    assert_eq!(failure.kind, FailureKind::GateClosed);
    assert!(!failure.request_started);
    assert_eq!(peer.unwrap().closed().await, 0);
}

#[tokio::test]
async fn a_session_closed_while_idle_is_replaced_and_not_resumed() {
    for _ in 0..20 {
        let server = Secure::bind(&["127.0.0.1"]).await;
        let client = server.trusted();
        let (first, (peer, _)) = tokio::join!(post(&client, &server.url()), server.answer_one());
        first.unwrap();
        peer.shutdown().await;
        let (second, (peer, _)) = tokio::join!(post(&client, &server.url()), server.answer_one());
        assert!(!second.unwrap().reused);
        let (_, session) = peer.stream().get_ref();
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
        server.receiver.nobody_else();
    }
}

#[tokio::test]
async fn a_name_is_what_the_certificate_must_carry() {
    for (carried, trusted) in [("hooks.example.com", true), ("other.example.com", false)] {
        let server = Secure::bind(&[carried]).await;
        let nameserver = NameServer::start(&[Some(&["127.0.0.1"])]).await;
        let roots = Roots::Given(vec![server.certificate.clone()]);
        let names = ResolverConfig::Nameservers(vec![nameserver.address]);
        let client = Client::new(Policy::loopback_dev(), Limits::default(), roots, names).unwrap();
        let port = server.receiver.address().port();
        let url = format!("https://hooks.example.com:{port}/");
        let serve = async {
            let mut peer = server.accept().await.ok()?;
            if !trusted {
                return Some((peer.closed().await, None));
            }
            peer.request().await;
            peer.send(EMPTY_200.as_bytes()).await.unwrap();
            let name = peer.stream().get_ref().1.server_name().map(str::to_owned);
            Some((0, name))
        };
        let (outcome, seen) = tokio::join!(post(&client, &url), serve);
        if trusted {
            assert_eq!(outcome.unwrap().status, 200);
            assert_eq!(seen, Some((0, Some("hooks.example.com".to_owned()))));
        } else {
            assert_eq!(
                outcome.unwrap_err().to_string(),
                "TLS: certificate is not valid for hooks.example.com"
            );
            assert_eq!(seen.map_or(0, |(bytes, _)| bytes), 0);
        }
    }
}

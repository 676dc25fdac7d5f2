//! A mail relay on loopback that keeps what it takes, and misbehaves when told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What becomes of a mail. Where nothing is said it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// 451 to its end.
    Later,
    /// 550 to its recipient.
    Refused,
    /// 535 to the login.
    NoLogin,
    /// The connection ends before the greeting.
    HangsUp,
    /// It is taken, and then the connection ends without a word to QUIT.
    TakesAndHangsUp,
    /// It is taken, and then nothing is said any more.
    TakesAndSaysNoMore,
    /// Nothing is said at all.
    Silent,
}

/// When it speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    Never,
    Always,
    /// From STARTTLS on.
    Later,
}

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) data: String,
    /// User and password, as they were given.
    pub(super) login: Option<String>,
    pub(super) over_tls: bool,
}

/// See the module. Serves until the test's runtime ends.
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    /// Who signed its certificate.
    pub(super) ca: Vec<u8>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    answers: Mutex<VecDeque<Answer>>,
    taken: Mutex<Vec<Taken>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

type Lines = BufReader<Box<dyn Stream>>;

impl Sink {
    pub(super) async fn start(tls: Tls) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (acceptor, ca) = acceptor();
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, acceptor) = (shared.clone(), acceptor.clone());
                // A client that goes away in the middle is no fault of the sink's.
                tokio::spawn(async move { drop(session(stream, tls, &acceptor, &state).await) });
            }
        });
        Self { address, ca, state }
    }

    /// What becomes of the next mails.
    pub(super) fn answer(&self, answers: &[Answer]) {
        self.state.answers.lock().expect("no panic").extend(answers);
    }

    /// What was taken, and not asked for before.
    pub(super) fn take(&self) -> Vec<Taken> {
        std::mem::take(&mut *self.state.taken.lock().expect("no panic"))
    }
}

fn acceptor() -> (TlsAcceptor, Vec<u8>) {
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let pem = certificate.pem().into_bytes();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("its versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .expect("a configuration");
    (TlsAcceptor::from(Arc::new(config)), pem)
}

async fn session(stream: TcpStream, tls: Tls, acceptor: &TlsAcceptor, state: &State) -> std::io::Result<()> {
    let answer = state.answers.lock().expect("no panic").pop_front();
    match answer {
        Some(Answer::HangsUp) => return Ok(()),
        Some(Answer::Silent) => {
            std::future::pending::<()>().await;
        }
        _ => {}
    }
    if tls == Tls::Always {
        let mut lines: Lines = BufReader::new(Box::new(acceptor.accept(stream).await?));
        say(&mut lines, "220 relay.test").await?;
        return dialogue(&mut lines, answer, true, state).await;
    }
    let mut plain = BufReader::new(stream);
    plain.write_all(b"220 relay.test\r\n").await?;
    if tls == Tls::Never {
        let mut lines: Lines = BufReader::new(Box::new(plain));
        return dialogue(&mut lines, answer, false, state).await;
    }
    // Nothing but EHLO and STARTTLS before the way is safe.
    for reply in ["250-relay.test\r\n250 STARTTLS\r\n", "220 go ahead\r\n"] {
        let mut line = String::new();
        plain.read_line(&mut line).await?;
        let expected = if reply.starts_with("250") { "EHLO " } else { "STARTTLS" };
        assert!(line.starts_with(expected), "{line}");
        plain.write_all(reply.as_bytes()).await?;
    }
    let mut lines: Lines = BufReader::new(Box::new(acceptor.accept(plain.into_inner()).await?));
    dialogue(&mut lines, answer, true, state).await
}

async fn say(lines: &mut Lines, text: &str) -> std::io::Result<()> {
    lines.write_all(format!("{text}\r\n").as_bytes()).await
}

/// From EHLO on.
async fn dialogue(
    lines: &mut Lines,
    answer: Option<Answer>,
    over_tls: bool,
    state: &State,
) -> std::io::Result<()> {
    let (mut from, mut to, mut login) = (String::new(), Vec::new(), None);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let path =
            line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path.to_owned());
        match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => say(lines, "250-relay.test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN").await?,
            "AUTH" if answer == Some(Answer::NoLogin) => say(lines, "535 no").await?,
            "AUTH" => {
                let given = line.rsplit_once(' ').expect("its argument").1;
                let given = STANDARD.decode(given).expect("base64");
                login = Some(String::from_utf8(given).expect("text").replace('\0', "/"));
                say(lines, "235 welcome").await?;
            }
            "MAIL" => {
                from = path.expect("a sender");
                say(lines, "250 ok").await?;
            }
            "RCPT" if answer == Some(Answer::Refused) => say(lines, "550 no such human").await?,
            "RCPT" => {
                to.push(path.expect("a recipient"));
                say(lines, "250 ok").await?;
            }
            "DATA" => {
                say(lines, "354 go on").await?;
                let data = data(lines).await?;
                if answer == Some(Answer::Later) {
                    say(lines, "451 not now").await?;
                    continue;
                }
                let taken =
                    Taken { from: from.clone(), to: to.clone(), data, login: login.clone(), over_tls };
                state.taken.lock().expect("no panic").push(taken);
                say(lines, "250 taken").await?;
                if answer == Some(Answer::TakesAndHangsUp) {
                    return Ok(());
                }
            }
            "QUIT" if answer == Some(Answer::TakesAndSaysNoMore) => std::future::pending().await,
            "QUIT" => {
                say(lines, "221 bye").await?;
                return Ok(());
            }
            other => panic!("a relay is not told {other:?}"),
        }
    }
}

/// A mail to its end, dots unstuffed.
async fn data(lines: &mut Lines) -> std::io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).await?;
        assert!(line.ends_with("\r\n") && !line.trim_end_matches("\r\n").contains(['\r', '\n']), "{line:?}");
        if line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

//! Receivers that take their time, and say truthfully when a request can have begun.
//!
//! What a promise about the first byte needs is not when a slow receiver got round to reading it: bytes can
//! lie in the kernel for seconds, written long before. So each request carries a *stamp* with this meaning:
//! **if the stamp is later than a moment that was noted after [`Receivers::look`], the first byte was written
//! after that look began.** Never the other way round: a byte that was written before is never stamped later,
//! however busy the machine is. All stamps are of this process's one clock.
//!
//! - `secure` accepts at once and holds the TLS handshake back for a while. Until it says hello the sender has
//!   no keys and cannot have written a byte of the request: the stamp is the moment before the hello.
//! - `lazy` lets connections wait before it accepts them. The kernel completes them meanwhile and takes their
//!   bytes, so a look accepts all that wait and asks the kernel, with a peek, which of them have a byte.
//! - `prompt` accepts at once, keeps connections open for the next request, and answers late. A look peeks at
//!   every connection.

use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::dice::Dice;
use crate::support::post::Post;
use crate::support::time::{now, pass};

/// A request and its stamp.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) post: Post,
    pub(super) stamp: Instant,
}

/// How long things take here: up to three seconds, most of them less unless the long form runs.
#[derive(Debug, Clone)]
pub(super) struct Pace(pub(super) Dice);

/// Milliseconds that a receiver waits at most.
const LATEST: u64 = 3_000;
/// The same for most of the waits of the short form.
const SOON: u64 = 600;

impl Pace {
    fn wait(&self) -> Duration {
        let is_long = crate::crash::is_soak() || self.0.once_in(4);
        self.0.millis(0..if is_long { LATEST } else { SOON })
    }
}

/// All three; the URL of each is in `urls`.
#[derive(Debug)]
pub(super) struct Receivers {
    /// `secure`, `lazy`, `prompt`; a path goes behind each.
    pub(super) urls: [String; 3],
    plain: [Arc<Plain>; 2],
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pace: Pace,
    seen: Mutex<Vec<Seen>>,
    /// Handshakes held back or requests waited for.
    open: AtomicUsize,
    /// Connections that were ready for a request and ended without one.
    turned_back: AtomicUsize,
}

impl Receivers {
    /// Writes the certificate that senders must trust to `certificate`.
    pub(super) async fn start(dice: Dice, certificate: &Path) -> Self {
        let shared = Arc::new(Shared {
            pace: Pace(dice),
            seen: Mutex::default(),
            open: AtomicUsize::new(0),
            turned_back: AtomicUsize::new(0),
        });
        let secure = listen().await;
        let secure_url = format!("https://{}", secure.local_addr().expect("bound"));
        tokio::spawn(accept_secure(secure, acceptor(certificate), shared.clone()));
        let lazy = Plain::new(listen().await, shared.clone());
        let prompt = Plain::new(listen().await, shared.clone());
        tokio::spawn(lazy.clone().accept_lazily());
        tokio::spawn(prompt.clone().accept_promptly());
        Self { urls: [secure_url, lazy.url(), prompt.url()], plain: [lazy, prompt], shared }
    }

    /// Stamps every request that has begun by now.
    pub(super) fn look(&self) {
        self.plain.iter().for_each(Plain::look);
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("no panic").clone()
    }

    pub(super) fn turned_back(&self) -> usize {
        self.shared.turned_back.load(Ordering::SeqCst)
    }

    /// Whether no handshake is held back.
    pub(super) fn is_quiet(&self) -> bool {
        self.shared.open.load(Ordering::SeqCst) == 0
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

fn acceptor(certificate: &Path) -> TlsAcceptor {
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let made = params.self_signed(&key).expect("a certificate");
    std::fs::write(certificate, made.pem()).expect("a file");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into());
    TlsAcceptor::from(Arc::new(config.expect("a configuration")))
}

async fn accept_secure(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            shared.open.fetch_add(1, Ordering::SeqCst);
            // How it ended is in what was seen.
            drop(answer_secure(stream, acceptor, &shared).await);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

async fn answer_secure(stream: TcpStream, acceptor: TlsAcceptor, shared: &Shared) -> io::Result<()> {
    pass(shared.pace.wait()).await;
    let stamp = now();
    let mut stream = acceptor.accept(stream).await?;
    let Some(post) = Post::read(&mut stream).await else {
        shared.turned_back.fetch_add(1, Ordering::SeqCst);
        return Ok(());
    };
    shared.seen.lock().expect("no panic").push(Seen { post, stamp });
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
    stream.shutdown().await
}

/// A receiver without TLS.
#[derive(Debug)]
struct Plain {
    listener: TcpListener,
    connections: Mutex<Vec<Weak<Connection>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// The stamp of the request that has begun and is not read to its end. Reading and looking hold the
    /// lock, so that no byte is taken from the kernel without its stamp.
    begun: Mutex<Option<Instant>>,
}

impl Plain {
    fn new(listener: TcpListener, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { listener, connections: Mutex::default(), shared })
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("bound"))
    }

    async fn accept_promptly(self: Arc<Self>) {
        while let Ok((stream, _)) = self.listener.accept().await {
            self.welcome(stream);
        }
    }

    async fn accept_lazily(self: Arc<Self>) {
        loop {
            pass(self.shared.pace.wait()).await;
            self.accept_waiting();
        }
    }

    /// Accepts all that wait, whatever the runtime knows of them.
    fn accept_waiting(self: &Arc<Self>) {
        while let Ok((socket, _)) = SockRef::from(&self.listener).accept() {
            socket.set_nonblocking(true).expect("a socket");
            self.welcome(TcpStream::from_std(socket.into()).expect("a socket"));
        }
    }

    fn welcome(self: &Arc<Self>, stream: TcpStream) {
        let connection = Arc::new(Connection { stream, begun: Mutex::default() });
        let mut connections = self.connections.lock().expect("no panic");
        connections.retain(|connection| connection.strong_count() > 0);
        connections.push(Arc::downgrade(&connection));
        drop(connections);
        let shared = self.shared.clone();
        tokio::spawn(async move { connection.serve(&shared).await });
    }

    fn look(self: &Arc<Self>) {
        self.accept_waiting();
        let connections = self.connections.lock().expect("no panic").clone();
        connections.iter().filter_map(Weak::upgrade).for_each(|connection| connection.look());
    }
}

impl Connection {
    async fn serve(&self, shared: &Shared) {
        let mut bytes = Vec::new();
        loop {
            let Ok(()) = self.stream.readable().await else { return };
            match self.take(&mut bytes) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {}
            }
            let Some(post) = Post::parse(&bytes) else { continue };
            bytes.clear();
            let stamp = self.begun.lock().expect("no panic").take().expect("it has begun");
            shared.seen.lock().expect("no panic").push(Seen { post, stamp });
            pass(shared.pace.wait() / 4).await;
            let Ok(()) = self.stream.writable().await else { return };
            if self.stream.try_write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    }

    fn take(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let mut begun = self.begun.lock().expect("no panic");
        let count = self.stream.try_read_buf(bytes)?;
        if count > 0 {
            begun.get_or_insert_with(now);
        }
        Ok(count)
    }

    fn look(&self) {
        let mut begun = self.begun.lock().expect("no panic");
        let mut byte = [MaybeUninit::uninit()];
        if begun.is_none() && SockRef::from(&self.stream).peek(&mut byte).is_ok_and(|count| count > 0) {
            *begun = Some(now());
        }
    }
}

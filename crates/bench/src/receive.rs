//! The receiver: counts what arrives, finds what arrives twice, measures how long it took, and misbehaves when
//! told to.
//!
//! The first segment of a path is a *group*: it is counted apart, and it says how the receiver behaves. A
//! segment that is the name of a [`Mode`] (`/hang/…`, `/slow-250/…`) behaves like that; any other behaves as
//! [`Receiver::set`] said, or as the receiver does by default. `GET /stats` answers with what was counted so
//! far, as JSON.
//!
//! An arrival counts when its request was read to the end, before it is answered. It is a repeat when its
//! request id came before. Its latency is the time since the moment that [`mark`] put into its payload.

mod behave;
mod bomb;
mod ledger;
pub mod mark;
mod mode;
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

pub use ledger::{Group, Stats};
pub use mode::{Mode, UnknownMode};

use crate::clock::Clock;
use ledger::Ledger;

/// How a receiver is started.
#[derive(Debug, Clone)]
pub struct ReceiverOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it listens for TLS, with a certificate that nobody trusts.
    pub tls_listen: Option<SocketAddr>,
    /// What it does when a path says nothing else.
    pub mode: Mode,
    /// Threads that serve connections.
    pub threads: usize,
    /// Signing keys, one of which every request must verify with; none: signatures are not looked at.
    pub secrets: Vec<String>,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tls_listen: None,
            mode: Mode::Ok,
            threads: 1,
            secrets: Vec::new(),
        }
    }
}

/// A receiver that runs until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
    ledger: Arc<Ledger>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Receiver {
    /// Binds its ports and starts its threads.
    ///
    /// # Errors
    /// A port is taken, or the operating system gives no thread.
    pub fn start(options: ReceiverOptions) -> io::Result<Self> {
        let listener = bind(options.listen)?;
        let address = listener.local_addr()?;
        let tls = options.tls_listen.map(|listen| Ok::<_, io::Error>((bind(listen)?, tls::acceptor()?)));
        let tls = tls.transpose()?;
        let tls_address = tls.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
        let ledger = Arc::new(Ledger::new(Clock::start(), options.mode, options.secrets));
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::new();
        let mut workers = Vec::new();
        for number in 1..options.threads.max(1) {
            let (give, take) = mpsc::unbounded_channel();
            workers.push(give);
            let work = work(ledger.clone(), take);
            threads.push(spawn(format!("receive-{number}"), stopped.clone(), work)?);
        }
        let accept = accept(ledger.clone(), listener, tls, workers);
        threads.push(spawn("receive-0".into(), stopped, accept)?);
        Ok(Self { address, tls_address, ledger, stop, threads })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for TLS.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// The URL of a path on it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on, requests whose path has this first segment are answered like this.
    pub fn set(&self, segment: &str, mode: Mode) {
        self.ledger.set(segment, mode);
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        self.ledger.stats()
    }

    /// Forgets what was counted, ids included.
    pub fn reset(&self) {
        self.ledger.reset();
    }

    /// Waits until a group has had so many deliveries, at most so long; how many it had.
    pub fn wait(&self, group: &str, deliveries: u64, at_most: Duration) -> u64 {
        self.ledger.wait(group, deliveries, at_most)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for thread in self.threads.drain(..) {
            // Its panic has been printed; there is nothing to add.
            drop(thread.join());
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // As many as connect at once: a connection that finds no room would wait for a second.
    socket.listen(4_096)?;
    Ok(socket.into())
}

/// A thread with a runtime of its own, which ends with `work` or when told to.
fn spawn(
    name: String,
    mut stopped: watch::Receiver<bool>,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name).spawn(move || {
        runtime.block_on(async move {
            tokio::select! {
                () = work => {}
                // An error means that the receiver is gone, which is as good.
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        });
    })
}

/// Accepts, and serves one connection of as many as there are threads.
async fn accept(
    ledger: Arc<Ledger>,
    listener: std::net::TcpListener,
    tls: Option<(std::net::TcpListener, tokio_rustls::TlsAcceptor)>,
    workers: Vec<mpsc::UnboundedSender<std::net::TcpStream>>,
) {
    if let Some((listener, acceptor)) = tls {
        tokio::spawn(tls::accept(ledger.clone(), listener, acceptor));
    }
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut next = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: one may be free in a moment.
            crate::clock::linger(Duration::from_millis(10)).await;
            continue;
        };
        drop(stream.set_nodelay(true));
        let worker = (next % (workers.len() + 1)).checked_sub(1);
        next += 1;
        match worker {
            None => drop(tokio::spawn(behave::serve(ledger.clone(), stream))),
            Some(worker) => {
                if let Ok(stream) = stream.into_std() {
                    // A worker that is gone takes no more connections: they end.
                    drop(workers[worker].send(stream));
                }
            }
        }
    }
}

async fn work(ledger: Arc<Ledger>, mut take: mpsc::UnboundedReceiver<std::net::TcpStream>) {
    while let Some(stream) = take.recv().await {
        if let Ok(stream) = TcpStream::from_std(stream) {
            tokio::spawn(behave::serve(ledger.clone(), stream));
        }
    }
}

#[cfg(test)]
mod tests;

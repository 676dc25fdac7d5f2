//! A node's way to the database, or to a receiver: proxies that can be cut, or fall silent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Connections end, and new ones are refused at once.
    Cut,
    /// Connections stay, and nothing comes through.
    Silent,
    /// What is asked comes through, and no answer.
    Deaf,
}

impl State {
    fn carries_questions(self) -> bool {
        self != Self::Silent
    }

    fn carries_answers(self) -> bool {
        self != Self::Silent && self != Self::Deaf
    }
}

/// A proxy.
#[derive(Debug, Clone)]
pub(super) struct Link {
    address: SocketAddr,
    state: Arc<watch::Sender<State>>,
}

impl Link {
    /// From `here` to `there`.
    pub(super) async fn start(here: SocketAddr, there: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(here).await?;
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(watch::Sender::new(State::Open));
        let states = state.subscribe();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *states.borrow() != State::Cut {
                    tokio::spawn(carry(stream, there, states.clone()));
                }
            }
        });
        Ok(Self { address, state })
    }

    pub(super) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub(super) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    pub(super) fn deafen(&self) {
        self.state.send_replace(State::Deaf);
    }

    pub(super) fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

/// All of a node's ways to the database: one for each host of its URL.
#[derive(Debug, Clone)]
pub(super) struct Way {
    links: Vec<Link>,
    url: String,
}

impl Way {
    pub(super) async fn start(url: &str) -> Self {
        let (head, rest) = url.split_once('@').expect("a user");
        let (hosts, database) = rest.split_once('/').expect("a database");
        let mut links = Vec::new();
        for host in hosts.split(',') {
            let there = host.parse().expect("an address");
            let link = Link::start((Ipv4Addr::LOCALHOST, 0).into(), there).await;
            links.push(link.expect("a free port"));
        }
        let hosts: Vec<String> = links.iter().map(|link| link.address.to_string()).collect();
        Self { url: format!("{head}@{}/{database}", hosts.join(",")), links }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) fn cut(&self) {
        self.links.iter().for_each(Link::cut);
    }

    pub(super) fn silence(&self) {
        self.links.iter().for_each(Link::silence);
    }

    pub(super) fn mend(&self) {
        self.links.iter().for_each(Link::mend);
    }

    /// The way to one host.
    pub(super) fn to(&self, host: usize) -> &Link {
        &self.links[host]
    }
}

async fn carry(from: TcpStream, there: SocketAddr, mut states: watch::Receiver<State>) {
    let Ok(to) = TcpStream::connect(there).await else { return };
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    let (there, back) = (states.clone(), states.clone());
    tokio::select! {
        () = copy(from_read, to_write, there, State::carries_questions) => {}
        () = copy(to_read, from_write, back, State::carries_answers) => {}
        _ = states.wait_for(|state| *state == State::Cut) => {}
    }
}

/// Until either end has closed; while the link does not carry this what was read waits.
async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut states: watch::Receiver<State>,
    carries: fn(State) -> bool,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        if states.wait_for(|state| carries(*state)).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

//! A node's way to the database: a proxy that can be cut, or fall silent.

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
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Link {
    url: String,
    state: Arc<watch::Sender<State>>,
}

impl Link {
    pub(super) async fn start(url: &str) -> Self {
        let (head, rest) = url.split_once('@').expect("a user");
        let (host, database) = rest.split_once('/').expect("a database");
        let there: SocketAddr = host.parse().expect("an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
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
        Self { url: format!("{head}@{address}/{database}"), state }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub(super) fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    pub(super) fn mend(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn carry(from: TcpStream, there: SocketAddr, mut states: watch::Receiver<State>) {
    let Ok(to) = TcpStream::connect(there).await else { return };
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    let (there, back) = (states.clone(), states.clone());
    tokio::select! {
        () = copy(from_read, to_write, there) => {}
        () = copy(to_read, from_write, back) => {}
        _ = states.wait_for(|state| *state == State::Cut) => {}
    }
}

/// Until either end has closed; while the link is silent what was read waits.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut states: watch::Receiver<State>) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else { return };
        if states.wait_for(|state| *state != State::Silent).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

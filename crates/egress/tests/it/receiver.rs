//! A receiver whose every byte the test decides.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::within;

pub(crate) const EMPTY_200: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

pub(crate) struct Receiver {
    listener: TcpListener,
}

impl Receiver {
    pub(crate) async fn bind() -> Self {
        Self::bind_to("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn bind_to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        Self { listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address())
    }

    pub(crate) async fn accept(&self) -> Peer<TcpStream> {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer::new(stream)
    }

    /// The listener itself, for asking the kernel without a runtime between.
    pub(crate) fn into_std(self) -> std::net::TcpListener {
        self.listener.into_std().unwrap()
    }

    /// Asks the kernel whether a connection is waiting to be accepted.
    pub(crate) fn nobody_else(self) {
        let waiting = self.into_std().accept();
        assert!(
            matches!(&waiting, Err(error) if error.kind() == io::ErrorKind::WouldBlock),
            "a connection was made: {waiting:?}"
        );
    }

    /// Accepts one connection and answers one request on it.
    pub(crate) async fn answer_one(&self, response: &str) -> (Peer<TcpStream>, Seen) {
        let mut peer = self.accept().await;
        let seen = peer.request().await;
        peer.send(response.as_bytes()).await.unwrap();
        (peer, seen)
    }
}

/// A request as it arrived.
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One accepted connection.
pub(crate) struct Peer<S> {
    stream: S,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// Ends the connection as politely as the stream can.
    pub(crate) async fn shutdown(mut self) {
        within(self.stream.shutdown()).await.unwrap();
    }

    /// Reads exactly one request.
    pub(crate) async fn request(&mut self) -> Seen {
        let head_end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at + 4;
            }
            assert_ne!(self.read_more().await.unwrap(), 0, "closed in the head");
        };
        let head: Vec<u8> = self.unread.drain(..head_end).collect();
        let mut seen = Seen { head: String::from_utf8(head).unwrap(), body: Vec::new() };
        let length: usize = seen.header("content-length").unwrap().parse().unwrap();
        while self.unread.len() < length {
            assert_ne!(self.read_more().await.unwrap(), 0, "closed in the body");
        }
        seen.body = self.unread.drain(..length).collect();
        seen
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(self.stream.write_all(bytes)).await?;
        within(self.stream.flush()).await
    }

    /// Reads until the client closes; says how many bytes came before that.
    pub(crate) async fn closed(mut self) -> usize {
        loop {
            match self.read_more().await {
                Ok(0) | Err(_) => return self.unread.len(),
                Ok(_) => {}
            }
        }
    }

    async fn read_more(&mut self) -> io::Result<usize> {
        within(self.stream.read_buf(&mut self.unread)).await
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

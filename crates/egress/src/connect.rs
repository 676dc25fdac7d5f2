//! From vetted addresses to a connection that can carry requests.
//!
//! Addresses are tried in order, the next one joining in when the one before
//! has failed or has not answered within a moment (RFC 8305 in small). Each
//! connection has one task, which ends when the [`Conn`] is dropped.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::failure::FailureKind;
use crate::gate::{GatedIo, Slot};
use crate::resolve::Vetted;
use crate::target::Target;
use crate::tls;

/// How many of a name's addresses are tried.
const MAX_TRIED_ADDRESSES: usize = 4;
/// When the next address joins in (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// How long a connection that has just ended a response may take to be ready.
const READY_WAIT: Duration = Duration::from_millis(20);
/// hyper's least buffer size.
const MIN_READ_BUFFER: usize = 8 * 1024;

/// One connection, between requests or carrying one. Dropping it closes it at
/// once and writes nothing more.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) to: Vetted,
    task: Option<AbortHandle>,
}

impl Conn {
    /// Whether an idle connection can take a request now.
    pub(crate) async fn ready(&mut self) -> bool {
        if self.sender.is_closed() {
            return false;
        }
        if self.sender.is_ready() {
            return true;
        }
        matches!(timeout(READY_WAIT, self.sender.ready()).await, Ok(Ok(())))
    }

    /// Lets an idle connection say goodbye (TLS close_notify) and end.
    pub(crate) fn retire(mut self) {
        self.task = None;
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.slot.revoke();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Connects over TCP to the first of `addresses` that answers.
pub(crate) async fn tcp(addresses: &[Vetted], limit: Duration) -> Result<(TcpStream, Vetted), FailureKind> {
    match timeout(limit, race(addresses)).await {
        Ok(result) => result,
        Err(_) => Err(FailureKind::ConnectTimeout { after: limit }),
    }
}

async fn race(addresses: &[Vetted]) -> Result<(TcpStream, Vetted), FailureKind> {
    let mut waiting = addresses.iter().copied().take(MAX_TRIED_ADDRESSES);
    let mut trying = FuturesUnordered::new();
    let mut tried = Vec::new();
    loop {
        let next = waiting.next();
        let last = next.is_none();
        trying.extend(next.map(connect_one));
        let ended = if last {
            trying.next().await
        } else {
            match timeout(STAGGER, trying.next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        };
        match ended {
            Some((to, Ok(stream))) => return Ok((stream, to)),
            Some((to, Err(error))) => tried.push((to.address, error.kind())),
            None => return Err(FailureKind::Connect { tried }),
        }
    }
}

async fn connect_one(to: Vetted) -> (Vetted, io::Result<TcpStream>) {
    let connect = async {
        let stream = TcpStream::connect(to.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    (to, connect.await)
}

/// Wraps a TCP stream as the target wants it; for https this is the handshake.
pub(crate) async fn secure(
    connector: &TlsConnector,
    target: &Target,
    stream: TcpStream,
    slot: &Arc<Slot>,
) -> Result<Stream, FailureKind> {
    let io = GatedIo::new(stream, Arc::clone(slot));
    if !target.is_tls() {
        return Ok(Stream::Plain(io));
    }
    let name = tls::server_name(target).map_err(|reason| FailureKind::Tls { reason })?;
    match connector.connect(name, io).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(FailureKind::Tls { reason: tls::reason(&error) }),
    }
}

/// Starts HTTP/1.1 on the stream.
pub(crate) async fn http(
    stream: Stream,
    slot: Arc<Slot>,
    to: Vetted,
    max_header_bytes: usize,
) -> Result<Conn, hyper::Error> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(max_header_bytes.max(MIN_READ_BUFFER)).max_header_size(max_header_bytes);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let task = tokio::spawn(async move {
        // What ends it reaches the attempt through the sender.
        if let Err(error) = connection.await {
            tracing::trace!(%error, "connection ended");
        }
    });
    Ok(Conn { sender, slot, to, task: Some(task.abort_handle()) })
}

/// A connection's bytes, plain or in TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(GatedIo),
    Tls(Box<TlsStream<GatedIo>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => {
                io.stop();
                Pin::new(io).poll_shutdown(cx)
            }
            Self::Tls(io) => {
                io.get_ref().0.stop();
                Pin::new(io).poll_shutdown(cx)
            }
        }
    }
}

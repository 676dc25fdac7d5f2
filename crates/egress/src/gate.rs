//! The gate: the last word before a request's first byte.
//!
//! A [`Gate`] is asked when the connection is up and the operating system is
//! about to be given the first byte of the request. The write happens *inside*
//! [`Gate::enter`], so a caller that takes the same lock to close the gate
//! knows, once it holds the lock, that no first byte will be written later.
//!
//! It sits below TLS: the handshake passes through before a request arms it,
//! and what it counts are bytes handed to the kernel. An attempt that ends for
//! whatever reason (deadline, cancellation, a broken connection) revokes its
//! gate, and from then on this connection writes nothing.
//!
//! One imprecision, on the safe side: when a peer breaks TLS in the instant
//! between arming and the first byte, the alert that answers it counts as the
//! start of the request.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a gate decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateDecision {
    /// The write was called.
    Pass,
    /// The write was not called; the request must not be sent.
    Closed,
}

/// Asked once per write until the first byte of the request is out.
pub trait Gate: Send + 'static {
    /// Calls `write` once, inside the critical section that closing the gate
    /// also takes, and answers [`GateDecision::Pass`]; or does not call it and
    /// answers [`GateDecision::Closed`].
    ///
    /// `write` is one system call on a socket that does not block. When the
    /// socket takes nothing, `enter` is called again later, so it must look
    /// again and must not count on being called once. It runs on the thread of
    /// an async runtime: it must not wait for anything but a short-held lock.
    fn enter(&self, write: &mut dyn FnMut()) -> GateDecision;

    /// What to wait for when the connection is ready, before the request is
    /// put on it; nothing unless a gate says so. The deadline goes on.
    fn turn(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        None
    }
}

/// A gate for requests that nothing can stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysOpen;

impl Gate for AlwaysOpen {
    fn enter(&self, write: &mut dyn FnMut()) -> GateDecision {
        write();
        GateDecision::Pass
    }
}

/// Where a connection stands with the request it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No request yet: the TLS handshake passes.
    Handshake,
    /// A request is about to be written; the next write asks the gate.
    Armed { reused: bool },
    /// The first byte was written.
    Started,
    /// The gate was closed. Nothing more is written.
    Refused,
    /// The attempt ended, or the connection died, before the first byte.
    /// Nothing more is written.
    Revoked,
}

/// Shared by the attempt and the connection's IO.
pub(crate) struct Slot {
    state: Mutex<State>,
    /// Whether everything handed to the last write was taken.
    flushed: AtomicBool,
}

struct State {
    stage: Stage,
    gate: Option<Box<dyn Gate>>,
}

impl Slot {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { stage: Stage::Handshake, gate: None }),
            flushed: AtomicBool::new(true),
        })
    }

    /// Makes the next write ask `gate`. `reused` says that an earlier request
    /// went over this connection.
    pub(crate) fn arm(&self, gate: Box<dyn Gate>, reused: bool) {
        let mut state = self.lock();
        state.stage = Stage::Armed { reused };
        state.gate = Some(gate);
    }

    /// Ends an attempt whose first byte is not out: from now on nothing is
    /// written. Returns the stage it was in and the gate, when it was not used.
    pub(crate) fn revoke(&self) -> (Stage, Option<Box<dyn Gate>>) {
        let mut state = self.lock();
        let before = state.stage;
        if matches!(before, Stage::Armed { .. }) {
            state.stage = Stage::Revoked;
        }
        (before, state.gate.take())
    }

    /// As [`Slot::revoke`], but leaves the gate for the attempt to take back.
    fn stop(&self) {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Armed { .. }) {
            state.stage = Stage::Revoked;
        }
    }

    pub(crate) fn started(&self) -> bool {
        self.lock().stage == Stage::Started
    }

    /// Whether the kernel has taken everything that was offered to it.
    pub(crate) fn flushed(&self) -> bool {
        self.flushed.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

/// A TCP stream whose writes go through its slot.
#[derive(Debug)]
pub(crate) struct GatedIo {
    io: TcpStream,
    slot: Arc<Slot>,
}

impl GatedIo {
    pub(crate) fn new(io: TcpStream, slot: Arc<Slot>) -> Self {
        Self { io, slot }
    }

    /// Stops a request that has not started; called before a shutdown, whose
    /// own bytes (a TLS close_notify) must not pass for the request's first.
    pub(crate) fn stop(&self) {
        self.slot.stop();
    }

    fn write_through(
        &mut self,
        offered: usize,
        write: &mut dyn FnMut(&mut TcpStream) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Self { io, slot } = self;
        let mut state = slot.lock();
        let result = match state.stage {
            Stage::Handshake | Stage::Started => write(io),
            Stage::Refused | Stage::Revoked => return Poll::Ready(Err(stopped())),
            Stage::Armed { reused } => first_write(&mut state, io, reused, write),
        };
        let all = matches!(result, Poll::Ready(Ok(taken)) if taken == offered);
        slot.flushed.store(all, Ordering::Release);
        result
    }
}

/// Asks the gate, and writes inside it.
fn first_write(
    state: &mut State,
    io: &mut TcpStream,
    reused: bool,
    write: &mut dyn FnMut(&mut TcpStream) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    if reused && !is_quiet(io) {
        state.stage = Stage::Revoked;
        return Poll::Ready(Err(stopped()));
    }
    let mut result = None;
    let decision = state.gate.as_ref().map_or(GateDecision::Closed, |gate| {
        gate.enter(&mut || {
            if result.is_none() {
                result = Some(write(io));
            }
        })
    });
    match (decision, result) {
        (_, Some(Poll::Ready(Ok(taken)))) if taken > 0 => {
            state.stage = Stage::Started;
            state.gate = None;
            Poll::Ready(Ok(taken))
        }
        (GateDecision::Pass, Some(result)) => {
            if matches!(result, Poll::Ready(Err(_))) {
                state.stage = Stage::Revoked;
            }
            result
        }
        (GateDecision::Closed, _) | (_, None) => {
            state.stage = Stage::Refused;
            Poll::Ready(Err(stopped()))
        }
    }
}

/// Whether nothing waits to be read: neither the peer's close nor bytes that
/// answer no request. Asks the kernel itself, because the runtime learns of a
/// close only when it next polls for events.
fn is_quiet(io: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(io).peek(&mut byte);
    matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "stopped before it was sent")
}

impl AsyncRead for GatedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for GatedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().write_through(buf.len(), &mut |io| Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        self.get_mut().write_through(offered, &mut |io| Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.get_mut().io).poll_shutdown(cx))?;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::sync::atomic::AtomicUsize;
use std::task::Waker;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Counting {
    fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Gate for Counting {
    fn enter(&self, write: &mut dyn FnMut()) -> GateDecision {
        self.0.fetch_add(1, Ordering::SeqCst);
        write();
        GateDecision::Pass
    }
}

async fn pair() -> (GatedIo, Arc<Slot>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let slot = Slot::new();
    let io = GatedIo::new(client.unwrap(), Arc::clone(&slot));
    (io, slot, accepted.unwrap().0)
}

/// Writes until the kernel takes no more; says how much it took.
fn fill(io: &mut GatedIo) -> usize {
    let mut context = Context::from_waker(Waker::noop());
    let mut taken = 0;
    while let Poll::Ready(written) = Pin::new(&mut *io).poll_write(&mut context, &[0; 16_384]) {
        taken += written.unwrap();
    }
    taken
}

#[tokio::test]
async fn a_socket_that_takes_nothing_asks_the_gate_again() {
    let (mut io, slot, mut peer) = pair().await;
    io.write_all(b"handshake").await.unwrap();
    let taken = fill(&mut io);
    assert!(!slot.flushed());
    let gate = Counting::default();
    slot.arm(Box::new(gate.clone()), false);
    let mut context = Context::from_waker(Waker::noop());
    let first = Pin::new(&mut io).poll_write(&mut context, b"request");
    assert!(first.is_pending());
    assert_eq!(gate.asked(), 1);
    assert!(!slot.started());
    let mut room = vec![0; taken + b"handshake".len()];
    peer.read_exact(&mut room).await.unwrap();
    let written = poll_fn(|cx| Pin::new(&mut io).poll_write(cx, b"request")).await;
    assert_eq!(written.unwrap(), 7);
    assert!(gate.asked() > 1);
    assert!(slot.started() && slot.flushed());
    // The rest of the request asks nobody.
    let asked = gate.asked();
    io.write_all(b"more").await.unwrap();
    assert_eq!(gate.asked(), asked);
}

#[tokio::test]
async fn a_revoked_slot_writes_nothing_and_gives_the_gate_back() {
    let (mut io, slot, mut peer) = pair().await;
    slot.arm(Box::new(AlwaysOpen), false);
    let (stage, gate) = slot.revoke();
    assert_eq!(stage, Stage::Armed { reused: false });
    assert!(gate.is_some());
    assert!(io.write_all(b"request").await.is_err());
    assert!(!slot.started());
    drop(io);
    assert_eq!(peer.read_to_end(&mut Vec::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn stopping_before_a_shutdown_keeps_its_bytes_from_starting_the_request() {
    let (mut io, slot, _peer) = pair().await;
    let gate = Counting::default();
    slot.arm(Box::new(gate.clone()), false);
    io.stop();
    assert!(io.write_all(b"close_notify").await.is_err());
    assert_eq!(gate.asked(), 0);
    let (stage, gate) = slot.revoke();
    assert_eq!(stage, Stage::Revoked);
    assert!(gate.is_some(), "the attempt may take it to another connection");
}

#[tokio::test]
async fn a_used_connection_with_something_to_read_is_not_written_to() {
    for closed in [false, true] {
        let (mut io, slot, mut peer) = pair().await;
        if closed {
            peer.shutdown().await.unwrap();
        } else {
            peer.write_all(b"x").await.unwrap();
        }
        let gate = Counting::default();
        slot.arm(Box::new(gate.clone()), true);
        assert!(io.write_all(b"request").await.is_err());
        assert_eq!((gate.asked(), slot.started()), (0, false));
    }
}

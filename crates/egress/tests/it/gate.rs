//! The gate is exact.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use inkhook_egress::{FailureKind, Gate, GateDecision};

use crate::receiver::{EMPTY_200, Receiver};
use crate::support::{client, request, within};

/// A door that many attempts share; whoever closes it takes the write lock.
#[derive(Clone, Default)]
struct Door(Arc<Shared>);

#[derive(Default)]
struct Shared {
    closed: RwLock<bool>,
    asked: AtomicUsize,
    passed: AtomicUsize,
}

impl Door {
    fn close(&self) {
        *self.0.closed.write().unwrap() = true;
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn passed(&self) -> usize {
        self.0.passed.load(Ordering::SeqCst)
    }
}

impl Gate for Door {
    fn enter(&self, write: &mut dyn FnMut()) -> GateDecision {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let closed = self.0.closed.read().unwrap();
        if *closed {
            return GateDecision::Closed;
        }
        self.0.passed.fetch_add(1, Ordering::SeqCst);
        write();
        GateDecision::Pass
    }
}

#[tokio::test]
async fn an_open_gate_is_asked_once() {
    let (receiver, client, door) = (Receiver::bind().await, client(), Door::default());
    let request = request(&client, &receiver.url());
    let (answer, _peer) =
        tokio::join!(within(client.post(request, door.clone())), receiver.answer_one(EMPTY_200));
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!((door.asked(), door.passed()), (1, 1));
    // The connection waits in the pool without the gate.
    assert_eq!(Arc::strong_count(&door.0), 1);
}

#[tokio::test]
async fn a_closed_gate_lets_nothing_through() {
    let (receiver, client, door) = (Receiver::bind().await, client(), Door::default());
    door.close();
    let request = request(&client, &receiver.url());
    let (failure, peer) = tokio::join!(within(client.post(request, door.clone())), receiver.accept());
    let failure = failure.unwrap_err();
    assert_eq!(failure.kind, FailureKind::GateClosed);
    assert!(!failure.request_started);
    assert_eq!(peer.closed().await, 0);
    assert_eq!(door.asked(), 1);
    receiver.nobody_else();
}

#[tokio::test]
async fn a_gate_closed_over_a_waiting_connection_lets_nothing_through() {
    let (receiver, client, door) = (Receiver::bind().await, client(), Door::default());
    let again = request(&client, &receiver.url());
    let (answer, (peer, _)) =
        tokio::join!(within(client.post(again.clone(), door.clone())), receiver.answer_one(EMPTY_200));
    answer.unwrap();
    door.close();
    let failure = within(client.post(again, door.clone())).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::GateClosed);
    assert!(!failure.request_started);
    assert_eq!(peer.closed().await, 0);
    receiver.nobody_else();
}

#[tokio::test]
async fn a_gate_that_passes_without_writing_counts_as_closed() {
    struct Forgetful;
    impl Gate for Forgetful {
        fn enter(&self, _write: &mut dyn FnMut()) -> GateDecision {
            GateDecision::Pass
        }
    }
    let (receiver, client) = (Receiver::bind().await, client());
    let request = request(&client, &receiver.url());
    let (failure, peer) = tokio::join!(within(client.post(request, Forgetful)), receiver.accept());
    assert_eq!(failure.unwrap_err().kind, FailureKind::GateClosed);
    assert_eq!(peer.closed().await, 0);
}

#[tokio::test]
async fn the_first_byte_is_written_while_the_gate_is_held() {
    struct Watching(std::net::TcpListener);
    impl Gate for Watching {
        fn enter(&self, write: &mut dyn FnMut()) -> GateDecision {
            let (peer, _) = self.0.accept().unwrap();
            peer.set_nonblocking(true).unwrap();
            let before = peer.peek(&mut [0]).unwrap_err();
            assert_eq!(before.kind(), std::io::ErrorKind::WouldBlock);
            write();
            assert_eq!(peer.peek(&mut [0]).unwrap(), 1);
            // Called twice, it still writes once.
            write();
            GateDecision::Pass
        }
    }
    let (receiver, client) = (Receiver::bind().await, client());
    let request = request(&client, &receiver.url());
    let gate = Watching(receiver.into_std());
    // The gate drops the peer, so there is no answer.
    let failure = within(client.post(request, gate)).await.unwrap_err();
    assert!(failure.request_started, "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_holds_the_lock_knows_that_nothing_starts_later() {
    const ATTEMPTS: usize = 64;
    let (receiver, client, door) = (Receiver::bind().await, client(), Door::default());
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..ATTEMPTS {
        let (client, door) = (client.clone(), door.clone());
        let request = request(&client, &receiver.url());
        attempts.spawn(async move { within(client.post(request, door)).await });
    }
    let mut peers = Vec::new();
    for _ in 0..4 {
        peers.push(receiver.answer_one(EMPTY_200).await);
    }
    door.close();
    let passed = door.passed();
    // Whoever waits for an answer now sees the close; who has not started
    // finds the gate closed, or the connection gone before it is asked.
    drop((receiver, peers));
    let mut started = 0;
    while let Some(ended) = attempts.join_next().await {
        started += match ended.unwrap() {
            Ok(_) => 1,
            Err(failure) => usize::from(failure.request_started),
        };
    }
    assert_eq!(door.passed(), passed);
    assert_eq!(started, passed);
}

#[tokio::test]
async fn nothing_is_sent_before_the_turn_has_come_and_the_deadline_goes_on() {
    struct Later(std::sync::Mutex<Option<tokio::sync::oneshot::Receiver<()>>>);
    impl Gate for Later {
        fn enter(&self, write: &mut dyn FnMut()) -> GateDecision {
            write();
            GateDecision::Pass
        }

        fn turn(&self) -> Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> {
            let turn = self.0.lock().unwrap().take()?;
            Some(Box::pin(async move { drop(turn.await) }))
        }
    }
    let (receiver, client) = (Receiver::bind().await, client());
    let (come, turn) = tokio::sync::oneshot::channel();
    let post = within(client.post(request(&client, &receiver.url()), Later(Some(turn).into())));
    let peer = async {
        let mut peer = receiver.accept().await;
        let unread = peer.stream().try_read(&mut [0]).unwrap_err();
        assert_eq!(unread.kind(), std::io::ErrorKind::WouldBlock, "connected, and nothing is written");
        come.send(()).unwrap();
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    };
    let (answer, ()) = tokio::join!(post, peer);
    assert_eq!(answer.unwrap().status, 200);

    let (_never, turn) = tokio::sync::oneshot::channel();
    let mut late = request(&client, &receiver.url());
    late.deadline = std::time::Duration::from_millis(50);
    let failure = within(client.post(late, Later(Some(turn).into()))).await.unwrap_err();
    assert!(!failure.request_started, "{failure:?}");
}

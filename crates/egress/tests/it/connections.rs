//! When a connection is used again, replaced, or closed.

use std::time::Duration;

use bytes::Bytes;
use inkhook_egress::{AlwaysOpen, FailureKind, Limits, Phase, Request};

use crate::receiver::{EMPTY_200, Receiver};
use crate::support::{client, client_with, post, request, within};

#[tokio::test]
async fn requests_follow_one_another_on_one_connection() {
    let (receiver, client) = (Receiver::bind().await, client());
    let (first, (mut peer, _)) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(EMPTY_200));
    assert!(!first.unwrap().reused);
    for body in ["", "hello"] {
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let serve = async {
            peer.request().await;
            peer.send(response.as_bytes()).await.unwrap();
        };
        let (answer, ()) = tokio::join!(post(&client, &receiver.url()), serve);
        let answer = answer.unwrap();
        assert!(answer.reused);
        assert_eq!(answer.body, body);
    }
    receiver.nobody_else();
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced_and_one_request_is_seen() {
    for _ in 0..50 {
        let (receiver, client) = (Receiver::bind().await, client());
        let (first, (peer, _)) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(EMPTY_200));
        first.unwrap();
        // Closed without the client's runtime having had a turn to notice.
        drop(peer);
        let (second, (mut peer, _)) =
            tokio::join!(post(&client, &receiver.url()), receiver.answer_one(EMPTY_200));
        assert!(!second.unwrap().reused);
        drop(client);
        assert_eq!(
            within(async {
                peer.send(b"").await.unwrap();
                peer.closed().await
            })
            .await,
            0
        );
        receiver.nobody_else();
    }
}

#[tokio::test]
async fn bytes_on_an_idle_connection_make_it_unusable() {
    let (receiver, client) = (Receiver::bind().await, client());
    let (first, (mut peer, _)) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(EMPTY_200));
    first.unwrap();
    peer.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
    let (second, (_other, _)) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(EMPTY_200));
    let second = second.unwrap();
    assert_eq!((second.status, second.reused), (200, false));
    assert_eq!(peer.closed().await, 0);
}

#[tokio::test]
async fn a_close_after_the_request_is_a_failure_and_not_a_second_request() {
    for warm in [false, true] {
        let (receiver, client) = (Receiver::bind().await, client());
        let mut idle = None;
        if warm {
            let (first, (peer, _)) =
                tokio::join!(post(&client, &receiver.url()), receiver.answer_one(EMPTY_200));
            first.unwrap();
            idle = Some(peer);
        }
        let serve = async {
            let mut peer = match idle {
                Some(peer) => peer,
                None => receiver.accept().await,
            };
            peer.request().await;
            drop(peer);
        };
        let (failure, ()) = tokio::join!(post(&client, &receiver.url()), serve);
        let failure = failure.unwrap_err();
        let kind = FailureKind::Closed { phase: Phase::Headers };
        assert_eq!((failure.kind, failure.request_started), (kind, true));
        receiver.nobody_else();
    }
}

#[tokio::test]
async fn tenants_never_share_a_connection() {
    let (receiver, client) = (Receiver::bind().await, client());
    let mut open = Vec::new();
    for tenant in [1, 2, 3] {
        let request = Request { tenant, ..request(&client, &receiver.url()) };
        let (answer, (peer, _)) =
            tokio::join!(within(client.post(request, AlwaysOpen)), receiver.answer_one(EMPTY_200));
        assert!(!answer.unwrap().reused);
        open.push(peer);
    }
}

#[tokio::test]
async fn the_server_says_whether_and_how_long() {
    for (head, reused) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nkeep-alive: timeout=5, max=9", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nkeep-alive: timeout=1", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nkeep-alive: max=9, timeout=0", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: x, Close", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive", false),
        ("HTTP/1.1 204 Nothing", true),
    ] {
        let (receiver, client) = (Receiver::bind().await, client());
        let response = format!("{head}\r\n\r\n");
        let (first, (mut peer, _)) =
            tokio::join!(post(&client, &receiver.url()), receiver.answer_one(&response));
        first.unwrap();
        let serve = async {
            if reused {
                peer.request().await;
                peer.send(EMPTY_200.as_bytes()).await.unwrap();
            } else {
                let (_other, _) = receiver.answer_one(EMPTY_200).await;
                assert_eq!(peer.closed().await, 0);
            }
        };
        let (second, ()) = tokio::join!(post(&client, &receiver.url()), serve);
        assert_eq!(second.unwrap().reused, reused, "{head}");
    }
}

#[tokio::test]
async fn an_answer_before_the_request_is_read_ends_the_connection() {
    let limits = Limits { idle: Duration::from_mins(10), ..Limits::default() };
    let (receiver, client) = (Receiver::bind().await, client_with(limits));
    let body = Bytes::from(vec![b'r'; 64 * 1024 * 1024]);
    let request = Request { body: body.clone(), ..request(&client, &receiver.url()) };
    let serve = async {
        let mut peer = receiver.accept().await;
        peer.send(EMPTY_200.as_bytes()).await.unwrap();
        peer
    };
    let (answer, peer) = tokio::join!(within(client.post(request, AlwaysOpen)), serve);
    assert_eq!(answer.unwrap().status, 200);
    // Were it kept, the rest of the body would come.
    assert!(peer.closed().await < body.len());
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_its_time_is_up() {
    let limits = Limits { idle: Duration::from_millis(20), ..Limits::default() };
    let (receiver, client) = (Receiver::bind().await, client_with(limits));
    let (answer, (peer, _)) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(EMPTY_200));
    answer.unwrap();
    assert_eq!(peer.closed().await, 0);
    // And once more, after the sweep has ended.
    let (answer, (peer, _)) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(EMPTY_200));
    assert!(!answer.unwrap().reused);
    assert_eq!(peer.closed().await, 0);
}

#[tokio::test]
async fn dropping_the_client_closes_what_is_idle() {
    let limits = Limits { idle: Duration::from_mins(10), ..Limits::default() };
    let (receiver, client) = (Receiver::bind().await, client_with(limits));
    let (answer, (peer, _)) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(EMPTY_200));
    answer.unwrap();
    drop(client);
    assert_eq!(peer.closed().await, 0);
}

#[tokio::test]
async fn only_so_many_wait() {
    let idle = Duration::from_mins(10);
    one_of_two_is_closed(Limits { idle, max_idle_per_key: 1, ..Limits::default() }).await;
    // One in each of the pool's sixteen parts, and one origin is in one part.
    one_of_two_is_closed(Limits { idle, max_idle: 16, ..Limits::default() }).await;
}

async fn one_of_two_is_closed(limits: Limits) {
    let (receiver, client) = (Receiver::bind().await, client_with(limits));
    let url = receiver.url();
    let serve = async {
        let (mut one, mut two) = (receiver.accept().await, receiver.accept().await);
        one.request().await;
        two.request().await;
        one.send(EMPTY_200.as_bytes()).await.unwrap();
        two.send(EMPTY_200.as_bytes()).await.unwrap();
        (one, two)
    };
    let (first, second, (one, two)) = tokio::join!(post(&client, &url), post(&client, &url), serve);
    first.unwrap();
    second.unwrap();
    let closed = within(async {
        tokio::select! {
            left = one.closed() => left,
            left = two.closed() => left,
        }
    });
    assert_eq!(closed.await, 0);
}

#[tokio::test]
async fn nobody_listening_is_refused_by_address() {
    let receiver = Receiver::bind().await;
    let (url, address) = (receiver.url(), receiver.address());
    drop(receiver);
    let failure = post(&client(), &url).await.unwrap_err();
    assert_eq!(failure.to_string(), format!("connection refused by {address}"));
    assert!(!failure.request_started);
}

#[tokio::test]
async fn a_server_that_closes_on_sight_is_said_to_close() {
    let (receiver, client) = (Receiver::bind().await, client());
    let serve = async { drop(receiver.accept().await) };
    let (failure, ()) = tokio::join!(post(&client, &receiver.url()), serve);
    // Whether the request was out by then is the kernel's business.
    let kind = failure.unwrap_err().kind;
    let closed = matches!(kind, FailureKind::Closed { .. } | FailureKind::Reset { .. });
    assert!(closed, "{kind:?}");
    receiver.nobody_else();
}

#[tokio::test]
async fn an_abandoned_attempt_closes_its_connection() {
    let (receiver, client) = (Receiver::bind().await, client());
    let attempt = tokio::spawn(post(&client, &receiver.url()));
    let mut peer = receiver.accept().await;
    peer.request().await;
    attempt.abort();
    assert_eq!(peer.closed().await, 0);
    receiver.nobody_else();
}

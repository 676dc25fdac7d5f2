//! What comes back: statuses, bodies, caps, deadlines.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use inkhook_egress::{AlwaysOpen, BodyEnd, FailureKind, Limits, Phase, Request};

use crate::receiver::{EMPTY_200, Receiver};
use crate::support::{SHORT, client, client_with, post, post_within, request, within};

#[tokio::test]
async fn the_request_is_what_was_given_and_what_is_ours() {
    let (receiver, client) = (Receiver::bind().await, client());
    let mut request = request(&client, &format!("{}?q=%20", receiver.url()));
    for (name, value) in [
        ("x-mine", "1"),
        ("host", "evil.example.com"),
        ("accept-encoding", "gzip"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("transfer-encoding", "chunked"),
        ("content-length", "3"),
        ("expect", "100-continue"),
    ] {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers.insert(name, HeaderValue::from_static(value));
    }
    let (answer, (_peer, seen)) =
        tokio::join!(within(client.post(request, AlwaysOpen)), receiver.answer_one(EMPTY_200));
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.opened), (200, true));
    assert_eq!(answer.peer, receiver.address());
    assert!(answer.first_byte <= answer.duration);
    assert!(seen.head.starts_with("POST /hook?q=%20 HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.body, b"{\"a\":1}");
    let host = receiver.address().to_string();
    assert_eq!(seen.header("host"), Some(&*host));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert_eq!(seen.header("content-length"), Some("7"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("x-mine"), Some("1"));
    for absent in ["connection", "upgrade", "transfer-encoding", "expect"] {
        assert_eq!(seen.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn an_empty_body_still_has_a_length() {
    let (receiver, client) = (Receiver::bind().await, client());
    let request = Request { body: Bytes::new(), ..request(&client, &receiver.url()) };
    let (answer, (_peer, seen)) =
        tokio::join!(within(client.post(request, AlwaysOpen)), receiver.answer_one(EMPTY_200));
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(seen.header("content-length"), Some("0"));
}

#[tokio::test]
async fn status_fields_and_body_come_back_as_sent() {
    let (receiver, client) = (Receiver::bind().await, client());
    let response = "HTTP/1.1 503 No\r\nretry-after: 12\u{e9}\r\ncontent-type: text/x\r\n\
                    content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n\
                    2\r\nno\r\n3\r\npe!\r\n0\r\n\r\n";
    let (answer, _peer) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(response));
    let answer = answer.unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.retry_after.as_deref(), Some("12\u{e9}"));
    assert_eq!(answer.content_type.as_deref(), Some("text/x"));
    assert_eq!(answer.body, "nope!");
    assert_eq!(answer.body_complete, BodyEnd::Ended);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (receiver, other, client) = (Receiver::bind().await, Receiver::bind().await, client());
    let response = format!("HTTP/1.1 307 Go\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", other.url());
    let (answer, _peer) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(&response));
    assert_eq!(answer.unwrap().status, 307);
    other.nobody_else();
    receiver.nobody_else();
}

#[tokio::test]
async fn informational_answers_are_skipped_but_a_switch_of_protocols_ends_it() {
    let (receiver, client) = (Receiver::bind().await, client());
    let hints = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n{EMPTY_200}");
    let (answer, _peer) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(&hints));
    assert_eq!(answer.unwrap().status, 200);

    let (receiver, client) = (Receiver::bind().await, crate::support::client());
    let switch = "HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nraw";
    let (answer, (peer, _)) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(switch));
    assert_eq!(answer.unwrap().status, 101);
    assert_eq!(peer.closed().await, 0);
}

#[tokio::test]
async fn the_cap_cuts_one_byte_past_it() {
    for (length, end) in
        [(Limits::MAX_BODY_BYTES, BodyEnd::Ended), (Limits::MAX_BODY_BYTES + 1, BodyEnd::CapReached)]
    {
        let (receiver, client) = (Receiver::bind().await, client());
        let body = "b".repeat(length);
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        let (answer, (peer, _)) =
            tokio::join!(post(&client, &receiver.url()), receiver.answer_one(&response));
        let answer = answer.unwrap();
        assert_eq!(answer.body.len(), Limits::MAX_BODY_BYTES);
        assert_eq!(answer.body_complete, end);
        if end == BodyEnd::CapReached {
            assert_eq!(peer.closed().await, 0);
        }
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_and_the_server_sees_the_close() {
    let (receiver, client) = (Receiver::bind().await, client());
    let serve = async {
        let mut peer = receiver.accept().await;
        peer.request().await;
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        let chunk = [b'x'; 16 * 1024];
        let mut sent = 0_usize;
        while peer.send(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        sent
    };
    let (answer, sent) = tokio::join!(post(&client, &receiver.url()), serve);
    let answer = answer.unwrap();
    assert_eq!(answer.body.len(), Limits::MAX_BODY_BYTES);
    assert_eq!(answer.body_complete, BodyEnd::CapReached);
    // What the kernel's buffers took, not what a reader asked for.
    assert!(sent < 64 * 1024 * 1024, "{sent}");
}

#[tokio::test]
async fn a_dripping_body_ends_at_the_total_deadline_and_is_a_failure() {
    let (receiver, client) = (Receiver::bind().await, client());
    let serve = async {
        let mut peer = receiver.accept().await;
        peer.request().await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nretry-after: 7\r\n\r\n";
        peer.send(head).await.unwrap();
        let mut drips = tokio::time::interval(Duration::from_millis(5));
        let mut sent = 0_usize;
        while peer.send(b"d").await.is_ok() {
            sent += 1;
            drips.tick().await;
        }
        sent
    };
    let (failure, sent) = tokio::join!(post_within(&client, &receiver.url(), SHORT), serve);
    let failure = failure.unwrap_err();
    let deadline = FailureKind::Deadline { phase: Phase::Body, after: SHORT };
    assert_eq!(failure.kind, deadline);
    assert_eq!((failure.status, failure.request_started), (Some(200), true));
    assert_eq!(failure.retry_after.as_deref(), Some("7"));
    assert!(failure.duration >= SHORT);
    assert!((1..=sent).contains(&failure.body.len()), "{:?}", failure.body);
    assert!(failure.opened);
}

#[tokio::test]
async fn silence_after_the_request_ends_at_the_deadline() {
    let (receiver, client) = (Receiver::bind().await, client());
    let serve = async {
        let mut peer = receiver.accept().await;
        peer.request().await;
        peer.closed().await
    };
    let (failure, left) = tokio::join!(post_within(&client, &receiver.url(), SHORT), serve);
    let failure = failure.unwrap_err();
    assert_eq!(failure.to_string(), "no answer within 150 ms while waiting for the response headers");
    assert!(failure.request_started);
    assert_eq!((failure.status, left), (None, 0));
    receiver.nobody_else();
}

#[tokio::test]
async fn a_request_that_is_not_read_ends_while_sending() {
    let (receiver, client) = (Receiver::bind().await, client());
    let request = Request {
        body: Bytes::from(vec![b'r'; 64 * 1024 * 1024]),
        deadline: SHORT,
        ..request(&client, &receiver.url())
    };
    let (failure, peer) = tokio::join!(within(client.post(request, AlwaysOpen)), receiver.accept());
    let failure = failure.unwrap_err();
    let deadline = FailureKind::Deadline { phase: Phase::Send, after: SHORT };
    assert_eq!(failure.kind, deadline);
    assert!(failure.request_started);
    assert!(peer.closed().await > 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_failure_with_its_status() {
    for (head, kind) in [
        ("content-length: 10", FailureKind::Closed { phase: Phase::Body }),
        ("transfer-encoding: chunked", FailureKind::Protocol("the response body is malformed")),
    ] {
        let (receiver, client) = (Receiver::bind().await, client());
        let response = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\nzzz\r\n");
        let serve = async { drop(receiver.answer_one(&response).await) };
        let (failure, ()) = tokio::join!(post(&client, &receiver.url()), serve);
        let failure = failure.unwrap_err();
        assert_eq!(failure.kind, kind);
        assert_eq!((failure.status, failure.request_started), (Some(200), true));
    }
}

/// A response whose head has exactly `length` bytes, in few fields.
fn with_head_of(length: usize) -> String {
    let start = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: ";
    let end = "\r\n\r\n";
    format!("{start}{}{end}", "h".repeat(length - start.len() - end.len()))
}

#[tokio::test]
async fn a_response_head_one_byte_too_long_fails() {
    let (receiver, client) = (Receiver::bind().await, client());
    let longest = with_head_of(Limits::MAX_HEADER_BYTES);
    let (answer, _peer) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(&longest));
    assert_eq!(answer.unwrap().status, 200);

    for length in [Limits::MAX_HEADER_BYTES + 1, 33 * 1024] {
        let (receiver, client) = (Receiver::bind().await, crate::support::client());
        let longer = with_head_of(length);
        let (failure, (peer, _)) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(&longer));
        let failure = failure.unwrap_err();
        let kind = FailureKind::Protocol("the response head has too many bytes or fields");
        assert_eq!(failure.kind, kind);
        assert!(failure.request_started);
        assert_eq!(peer.closed().await, 0);
    }
}

#[tokio::test]
async fn a_response_head_with_one_field_too_many_fails() {
    for (fields, fits) in [(Limits::MAX_HEADER_FIELDS, true), (Limits::MAX_HEADER_FIELDS + 1, false)] {
        let (receiver, client) = (Receiver::bind().await, client());
        let others = "x: y\r\n".repeat(fields - 1);
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{others}\r\n");
        let (answer, _peer) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(&response));
        let too_large = FailureKind::Protocol("the response head has too many bytes or fields");
        let failed = answer.map(|answer| answer.status).map_err(|failure| failure.kind);
        assert_eq!(failed, if fits { Ok(200) } else { Err(too_large) });
    }
}

#[tokio::test]
async fn bytes_that_are_not_http_fail() {
    let (receiver, client) = (Receiver::bind().await, client());
    let (failure, _peer) =
        tokio::join!(post(&client, &receiver.url()), receiver.answer_one("220 mail ESMTP\r\n\r\n"));
    let failure = failure.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Protocol("the answer is not valid HTTP/1.1"));
    assert!(failure.request_started);
}

#[tokio::test]
async fn limits_are_the_callers() {
    let limits = Limits { max_body_bytes: 3, ..Limits::default() };
    let (receiver, client) = (Receiver::bind().await, client_with(limits));
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour";
    let (answer, _peer) = tokio::join!(post(&client, &receiver.url()), receiver.answer_one(response));
    assert_eq!(answer.unwrap().body, "fou");
}

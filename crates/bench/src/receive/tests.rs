use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;

fn receiver() -> Receiver {
    Receiver::start(ReceiverOptions::default()).unwrap()
}

/// What a path answers, read until the connection ends or so many bytes have come.
fn ask(receiver: &Receiver, path: &str, at_most: u64) -> Vec<u8> {
    let mut stream = TcpStream::connect(receiver.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    drop(stream.take(at_most).read_to_end(&mut answer));
    answer
}

#[test]
fn each_mode_answers_as_it_says() {
    let receiver = receiver();
    let starts = [
        ("/ok", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("/slow-50", "HTTP/1.1 200 "),
        ("/fail-100", "HTTP/1.1 500 "),
        ("/status-410", "HTTP/1.1 410 "),
        ("/busy-7", "HTTP/1.1 429 It Is\r\nRetry-After: 7\r\n"),
        ("/redirect", "HTTP/1.1 307 It Is\r\nLocation: /redirected\r\n"),
        ("/early", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 "),
        ("/garbage", "\0\u{1}\u{2} this"),
        ("/drip", "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n."),
        ("/flood", "HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n\0"),
    ];
    for (path, start) in starts {
        let answer = ask(&receiver, path, start.len() as u64);
        assert_eq!(String::from_utf8_lossy(&answer), start, "{path}");
    }
    for path in ["/reset", "/close"] {
        assert_eq!(ask(&receiver, path, 1), b"", "{path}");
    }
}

#[test]
fn a_bomb_is_gzip() {
    let answer = ask(&receiver(), "/bomb", 512);
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(String::from_utf8_lossy(&answer[..end]).contains("Content-Encoding: gzip\r\n"));
    assert_eq!(answer[end..end + 2], [0x1f, 0x8b]);
}

#[test]
fn a_hanging_receiver_notices_who_gives_up() {
    let receiver = receiver();
    let mut stream = TcpStream::connect(receiver.address()).unwrap();
    stream.write_all(b"POST /hang HTTP/1.1\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(receiver.wait("hang", 1, Duration::from_secs(10)), 1);
    assert_eq!(receiver.stats().group("hang").given_up, 0);
    drop(stream);
    let noticed = (0..1_000).any(|_| {
        crate::clock::pause(Duration::from_millis(5));
        receiver.stats().group("hang").given_up == 1
    });
    assert!(noticed);
}

#[test]
fn what_was_counted_can_be_asked_for_and_forgotten() {
    let receiver = receiver();
    ask(&receiver, "/close/7", 1);
    let mut stream = TcpStream::connect(receiver.address()).unwrap();
    stream.write_all(b"GET /stats HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = vec![0; 16 * 1024];
    let length = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let stats: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(stats["groups"]["close"]["requests"], 1, "{stats}");
    receiver.reset();
    assert!(receiver.stats().groups.is_empty());
}

#[test]
fn a_signature_that_does_not_verify_is_counted() {
    let key = inkhook_wire::sign::SigningKey::from_random_bytes([1; 32]);
    let options = ReceiverOptions { secrets: vec![key.secret().to_owned()], ..ReceiverOptions::default() };
    let receiver = Receiver::start(options).unwrap();
    ask(&receiver, "/close", 1);
    let group = receiver.stats().group("close");
    assert_eq!((group.requests, group.unsigned), (1, 1));
}

#[test]
fn several_threads_serve_one_port() {
    let receiver = Receiver::start(ReceiverOptions { threads: 3, ..ReceiverOptions::default() }).unwrap();
    for _ in 0..6 {
        assert!(ask(&receiver, "/status-204", 12).starts_with(b"HTTP/1.1 204"));
    }
    assert_eq!(receiver.stats().group("status-204").requests, 6);
}

#[test]
fn nobody_trusts_its_certificate() {
    let listen = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let options = ReceiverOptions { tls_listen: Some(listen), ..ReceiverOptions::default() };
    let receiver = Receiver::start(options).unwrap();
    let mut stream = TcpStream::connect(receiver.tls_address().unwrap()).unwrap();
    stream.write_all(b"no TLS either").unwrap();
    let refused = (0..1_000).any(|_| {
        crate::clock::pause(Duration::from_millis(5));
        receiver.stats().handshakes_refused == 1
    });
    assert!(refused);
}

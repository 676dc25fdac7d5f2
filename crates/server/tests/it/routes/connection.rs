//! A connection that saw a refusal takes the next request, or the refusal says that it does not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use inkhook_server::api::read_first::READ_FIRST_BYTES;

use crate::support::running::RunningServer;

/// Requests that are refused before their body is looked at, and with what.
const REFUSED: [(&str, &str, u16); 3] = [
    ("POST /api/v1/nothing", "test-admin-key-0123456789", 404),
    ("DELETE /api/v1/webhooks/catalog", "test-admin-key-0123456789", 405),
    ("POST /api/v1/identities", "nobody-has-this-key-0123456789", 401),
];

fn connect(server: &RunningServer) -> TcpStream {
    let stream = TcpStream::connect(server.api).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a deadline");
    stream
}

fn write_head(stream: &mut TcpStream, request: &str, key: &str, body_bytes: usize) {
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
         Content-Length: {body_bytes}\r\n\r\n"
    )
    .expect("it reads");
}

/// Status and head of the next answer, whose body is read, too.
fn read_answer(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("UTF-8").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.expect("a length")];
    stream.read_exact(&mut body).expect("a body");
    (head[9..12].parse().expect("a status"), head)
}

#[test]
fn a_small_body_that_comes_late_does_not_end_the_connection_of_a_refusal() {
    let server = RunningServer::start_blocking();
    let size = usize::try_from(READ_FIRST_BYTES).expect("small");
    for (request, key, status) in REFUSED {
        let mut stream = connect(&server);
        write_head(&mut stream, request, key, size);
        // Whoever answers a head as soon as it is there has answered it when this is answered.
        let mut other = connect(&server);
        for _ in 0..10 {
            write_head(&mut other, "GET /healthz", key, 0);
            assert_eq!(read_answer(&mut other).0, 200);
        }
        stream.write_all(&vec![b' '; size]).expect("it reads");
        assert_eq!(read_answer(&mut stream).0, status, "{request}");
        write_head(&mut stream, "GET /healthz", key, 0);
        assert_eq!(read_answer(&mut stream).0, 200, "after {request}");
    }
}

#[test]
fn a_refusal_that_leaves_a_larger_body_unread_says_that_the_connection_ends() {
    let server = RunningServer::start_blocking();
    let size = usize::try_from(READ_FIRST_BYTES).expect("small") + 1;
    for (request, key, status) in REFUSED {
        let mut stream = connect(&server);
        write_head(&mut stream, request, key, size);
        let (answered, head) = read_answer(&mut stream);
        assert_eq!(answered, status, "{request} is not waited for");
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    }
}

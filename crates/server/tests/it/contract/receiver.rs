//! A receiver on loopback that answers 200 to every POST and keeps what it read.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

/// How long a POST may take to arrive.
const DEADLINE: Duration = Duration::from_secs(30);

/// Listens until the process ends.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    requests: mpsc::Receiver<Received>,
}

/// One POST, as it was read.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A connection that ends before a request is not one.
                if let Some(received) = answer(&stream)
                    && sender.send(received).is_err()
                {
                    break;
                }
            }
        });
        Self { address, requests }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits for the next POST.
    pub(super) fn take(&self) -> Received {
        self.requests.recv_timeout(DEADLINE).expect("a POST arrives")
    }

    pub(super) fn assert_quiet(&self) {
        let unexpected = self.requests.try_recv().ok();
        assert!(unexpected.is_none(), "an unexpected POST: {unexpected:?}");
    }
}

/// Reads one request, closes the connection after the answer.
fn answer(stream: &TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").ok()?;
    Some(Received { path, headers, body })
}

//! A mail client that says what it is told to.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One session. Fails the test when the server hangs up.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    /// Greeted, and has said EHLO.
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let mut client = Self(BufReader::new(stream));
        assert_eq!(client.reply().await.0, 220);
        assert_eq!(client.ask("EHLO client.test").await.0, 250);
        client
    }

    /// Says a line; code and text of the reply.
    pub(super) async fn ask(&mut self, line: &str) -> (u16, String) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.expect("it reads");
        self.reply().await
    }

    /// Says who it is from and for whom; every recipient must be taken.
    pub(super) async fn envelope(&mut self, from: &str, recipients: &[&str]) {
        assert_eq!(self.ask(&format!("MAIL FROM:<{from}>")).await.0, 250);
        for recipient in recipients {
            let (code, text) = self.ask(&format!("RCPT TO:<{recipient}>")).await;
            assert_eq!(code, 250, "{recipient}: {text}");
        }
    }

    /// Sends the mail itself, dots stuffed.
    pub(super) async fn data(&mut self, mail: &[u8]) -> (u16, String) {
        assert_eq!(self.ask("DATA").await.0, 354);
        let mut stuffed = Vec::with_capacity(mail.len() + 5);
        for (at, byte) in mail.iter().enumerate() {
            if *byte == b'.' && (at == 0 || mail[..at].ends_with(b"\r\n")) {
                stuffed.push(b'.');
            }
            stuffed.push(*byte);
        }
        if !mail.is_empty() && !mail.ends_with(b"\r\n") {
            stuffed.extend_from_slice(b"\r\n");
        }
        stuffed.extend_from_slice(b".\r\n");
        self.0.write_all(&stuffed).await.expect("it reads");
        self.reply().await
    }

    /// A whole mail; the reply to its end.
    pub(super) async fn mail(&mut self, from: &str, recipients: &[&str], mail: &[u8]) -> (u16, String) {
        self.envelope(from, recipients).await;
        self.data(mail).await
    }

    async fn reply(&mut self) -> (u16, String) {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).await.expect("a reply"), 0, "it hung up");
            text.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return (line[..3].parse().expect("a code"), text);
            }
        }
    }
}

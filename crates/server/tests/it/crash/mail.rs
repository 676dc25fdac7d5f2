//! One mail over SMTP, as a mail server would send it.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use crate::support::ask::Unanswered;

/// Sends `message` (with its line ends, without the final dot) and gives the last reply's code. A mail whose
/// final dot was not sent counts as not sent.
pub async fn send(server: SocketAddr, to: &str, message: &str) -> Result<u16, Unanswered> {
    let stream = TcpStream::connect(server).await.map_err(|_| Unanswered::NotSent)?;
    let mut stream = BufStream::new(stream);
    reply(&mut stream).await.ok_or(Unanswered::NotSent)?;
    let (from, to) = ("MAIL FROM:<ana@client.test>", format!("RCPT TO:<{to}>"));
    for command in ["EHLO mx.client.test", from, &to, "DATA"] {
        let code = command_reply(&mut stream, command).await.ok_or(Unanswered::NotSent)?;
        if code >= 400 {
            return Ok(code);
        }
    }
    stream.write_all(message.as_bytes()).await.map_err(|_| Unanswered::NotSent)?;
    stream.flush().await.map_err(|_| Unanswered::NotSent)?;
    command_reply(&mut stream, ".").await.ok_or(Unanswered::CutOff)
}

async fn command_reply(stream: &mut BufStream<TcpStream>, command: &str) -> Option<u16> {
    stream.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
    stream.flush().await.ok()?;
    reply(stream).await
}

/// The code of a reply, read to its last line.
async fn reply(stream: &mut BufStream<TcpStream>) -> Option<u16> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 || !line.ends_with('\n') {
            return None;
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return line.get(..3)?.parse().ok();
        }
    }
}

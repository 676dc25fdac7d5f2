//! One connection: reads requests and answers them as their mode says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::bomb;
use super::ledger::Ledger;
use super::mode::Mode;
use crate::clock::linger;
use crate::http::Requests;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const DECLINE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"action\":\"reject\"}";
/// Between two bytes of a body that drips.
const DRIP_EVERY: Duration = Duration::from_millis(500);
/// Bytes of a body that floods.
const FLOOD_BYTES: usize = 256 * 1024 * 1024;
/// Bytes that are written at a time.
const PIECE: usize = 16 * 1024;
static ZEROS: [u8; PIECE] = [0; PIECE];

/// A connection, plain or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the connection's end a reset.
    fn reset_at_end(&self);
}

impl Stream for TcpStream {
    fn reset_at_end(&self) {
        // It then ends in the ordinary way, which the test that wanted a reset notices.
        drop(self.set_zero_linger());
    }
}

impl Stream for TlsStream<TcpStream> {
    fn reset_at_end(&self) {
        self.get_ref().0.reset_at_end();
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(ledger: Arc<Ledger>, stream: impl Stream) {
    let mut requests = Requests::new(stream);
    loop {
        let next = requests.next(|request| {
            let is_stats = request.method == "GET" && request.path == "/stats";
            (!is_stats).then(|| ledger.arrived(request))
        });
        let goes_on = match next.await {
            None => return,
            Some(None) => stats(&ledger, &mut requests.stream).await,
            Some(Some((Mode::Ok, _))) => requests.stream.write_all(OK).await.is_ok(),
            Some(Some((mode, group))) => {
                answer(&ledger, &mut requests.stream, mode, group.as_deref().unwrap_or_default()).await
            }
        };
        if !goes_on {
            return;
        }
    }
}

async fn stats(ledger: &Ledger, stream: &mut impl Stream) -> bool {
    let body = ledger.stats().to_json().to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await.is_ok()
}

/// Behaves; whether the connection goes on.
async fn answer(ledger: &Ledger, stream: &mut impl Stream, mode: Mode, group: &str) -> bool {
    let head = |status: u32, more: &str| {
        format!("HTTP/1.1 {status} It Is\r\n{more}Content-Length: 0\r\n\r\n").into_bytes()
    };
    let bytes = match mode {
        Mode::Ok => OK.to_vec(),
        Mode::Decline => DECLINE.to_vec(),
        Mode::Slow(millis) => {
            linger(Duration::from_millis(millis.into())).await;
            OK.to_vec()
        }
        Mode::Hang => {
            until_given_up(stream).await;
            ledger.answered(group, 0, true);
            return false;
        }
        Mode::Reset => {
            stream.reset_at_end();
            return false;
        }
        Mode::Close => return false,
        Mode::Drip => {
            let (written, result) = drip(stream).await;
            ledger.answered(group, written, result.is_err());
            return false;
        }
        Mode::Flood => return body(ledger, stream, group, "", None).await,
        Mode::Bomb => {
            return body(ledger, stream, group, "Content-Encoding: gzip\r\n", Some(&bomb::GZIP)).await;
        }
        Mode::Garbage => b"\x00\x01\x02 this is no HTTP\r\n\r\n".to_vec(),
        Mode::Early => {
            [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", OK].concat()
        }
        Mode::Busy(seconds) => head(429, &format!("Retry-After: {seconds}\r\n")),
        Mode::Redirect => head(307, "Location: /redirected\r\n"),
        Mode::Fail(_) => head(500, ""),
        Mode::Status(status) => head(status, ""),
    };
    stream.write_all(&bytes).await.is_ok()
}

/// Reads until the other side ends the connection.
async fn until_given_up(stream: &mut impl Stream) {
    let mut ignored = [0; 64];
    while !matches!(stream.read(&mut ignored).await, Ok(0) | Err(_)) {}
}

/// A byte now and then. What was written, and how it ended.
async fn drip(stream: &mut impl Stream) -> (u64, io::Result<()>) {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    if let Err(error) = stream.write_all(head).await {
        return (0, Err(error));
    }
    let mut written = 0;
    loop {
        if let Err(error) = stream.write_all(b".").await {
            return (written, Err(error));
        }
        written += 1;
        linger(DRIP_EVERY).await;
    }
}

/// A body as long as it is, or 256 MiB of zeros; whether it was taken whole.
async fn body(
    ledger: &Ledger,
    stream: &mut impl Stream,
    group: &str,
    headers: &str,
    body: Option<&[u8]>,
) -> bool {
    let length = body.map_or(FLOOD_BYTES, <[u8]>::len);
    let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n");
    let mut written = 0;
    let mut taken = stream.write_all(head.as_bytes()).await.is_ok();
    while taken && written < length {
        let end = length.min(written + PIECE);
        let piece = body.map_or(&ZEROS[..end - written], |body| &body[written..end]);
        match stream.write(piece).await {
            Ok(count) if count > 0 => written += count,
            _ => taken = false,
        }
    }
    ledger.answered(group, written as u64, !taken);
    taken
}

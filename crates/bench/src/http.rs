//! As much HTTP/1.1 as a measurement needs, on a socket, with buffers that are used again.
//!
//! A load driver and a receiver that share a machine with the server must cost little: one write a request,
//! one read an answer when it comes whole, nothing allocated for each.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Headers that a request or answer may have.
const HEADERS: usize = 64;
/// Bytes of a head at most.
const HEAD_BYTES: usize = 64 * 1024;
/// Bytes of a body at most: no event comes near it.
const BODY_BYTES: usize = 64 * 1024 * 1024;
/// What a read asks for at least.
const READ_BYTES: usize = 8 * 1024;

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
}

/// A connection that asks.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back, its body read to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Retry-After` in seconds, when it was given so.
    pub retry_after_s: Option<u64>,
    /// The other side closes the connection now.
    pub closes: bool,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends a whole request and reads its whole answer.
    ///
    /// # Errors
    /// The connection ended, or the answer is no HTTP/1.1.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let (mut answer, start, length) = loop {
            more(&mut self.stream, &mut self.buffer).await?;
            if let Some(found) = answer_head(&self.buffer)? {
                if found.0.status >= 200 {
                    break found;
                }
                self.buffer.drain(..found.1);
            }
        };
        match length {
            Some(Length::Known(length)) => {
                while self.buffer.len() < start + length {
                    more(&mut self.stream, &mut self.buffer).await?;
                }
            }
            Some(Length::Chunked) => {
                while !chunks_end(&self.buffer[start..])? {
                    more(&mut self.stream, &mut self.buffer).await?;
                }
            }
            None if answer.status == 204 || answer.status == 304 => {}
            // The body ends with the connection.
            None => {
                answer.closes = true;
                while self.stream.read_buf(&mut self.buffer).await? > 0 {
                    self.buffer.truncate(start);
                }
            }
        }
        Ok(answer)
    }
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<()> {
    if buffer.len() > HEAD_BYTES + BODY_BYTES {
        return Err(invalid("too much"));
    }
    buffer.reserve(READ_BYTES);
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Head, where the body starts, and how long it is; `None` while a part is missing.
fn answer_head(bytes: &[u8]) -> io::Result<Option<(Answer, usize, Option<Length>)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let parsed = head.parse(bytes).map_err(|_| invalid("not an answer"))?;
    let httparse::Status::Complete(start) = parsed else { return Ok(None) };
    let status = head.code.ok_or_else(|| invalid("no status"))?;
    let mut answer = Answer { status, retry_after_s: None, closes: false };
    let mut length = None;
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = Some(Length::Known(number(header.value).ok_or_else(|| invalid("no length"))?));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            length = Some(Length::Chunked);
        } else if header.name.eq_ignore_ascii_case("retry-after") {
            answer.retry_after_s = number(header.value).map(|seconds| seconds as u64);
        } else if header.name.eq_ignore_ascii_case("connection") {
            answer.closes = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(Some((answer, start, length)))
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

/// Whether the last chunk is there.
fn chunks_end(mut bytes: &[u8]) -> io::Result<bool> {
    loop {
        match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete((line, 0))) => return Ok(bytes.len() >= line + 2),
            Ok(httparse::Status::Complete((line, size))) => {
                let size = usize::try_from(size).map_err(|_| invalid("a chunk that large"))?;
                match bytes.get(line + size + 2..) {
                    Some(rest) => bytes = rest,
                    None => return Ok(false),
                }
            }
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(invalid("no chunk")),
        }
    }
}

/// A connection that is asked: requests, one after the other.
#[derive(Debug)]
pub(crate) struct Requests<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
    /// Bytes of the request that was given out last.
    used: usize,
}

/// A request as it arrived, body and all.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [httparse::Header<'a>],
    pub(crate) body: &'a [u8],
}

impl<S: AsyncRead + Unpin> Requests<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(READ_BYTES), used: 0 }
    }

    /// Reads the next request to its end and shows it to `look`; `None` when the connection ends first or
    /// says something else than HTTP/1.1.
    pub(crate) async fn next<T>(&mut self, look: impl FnOnce(&Request<'_>) -> T) -> Option<T> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let mut whole = 0;
        loop {
            if whole == 0 || self.buffer.len() >= whole {
                let mut headers = [httparse::EMPTY_HEADER; HEADERS];
                let mut head = httparse::Request::new(&mut headers);
                if let httparse::Status::Complete(start) = head.parse(&self.buffer).ok()? {
                    whole = start + body_length(head.headers)?;
                    if self.buffer.len() >= whole {
                        self.used = whole;
                        let (method, path) = (head.method?, head.path?);
                        let body = &self.buffer[start..whole];
                        return Some(look(&Request { method, path, headers: head.headers, body }));
                    }
                    self.buffer.reserve(whole - self.buffer.len());
                } else if self.buffer.len() > HEAD_BYTES {
                    return None;
                }
            }
            more(&mut self.stream, &mut self.buffer).await.ok()?;
        }
    }
}

fn body_length(headers: &[httparse::Header<'_>]) -> Option<usize> {
    let given = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    given.map_or(Some(0), |header| number(header.value)).filter(|length| *length <= BODY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_when_to_come_again() {
        let bytes = b"HTTP/1.1 429 No\r\nRetry-After: 7\r\ncontent-length: 3\r\nConnection: close\r\n\r\nabc";
        let (answer, start, length) = answer_head(bytes).unwrap().unwrap();
        assert_eq!(answer, Answer { status: 429, retry_after_s: Some(7), closes: true });
        assert_eq!((&bytes[start..], length), (&b"abc"[..], Some(Length::Known(3))));
        assert!(answer_head(&bytes[..40]).unwrap().is_none());
        assert!(answer_head(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_end_with_the_empty_one() {
        let whole = b"3\r\nabc\r\n0\r\n\r\n";
        assert!(chunks_end(whole).unwrap());
        for end in 0..whole.len() {
            assert!(!chunks_end(&whole[..end]).unwrap(), "{end}");
        }
    }

    #[tokio::test]
    async fn requests_may_come_in_pieces_and_one_behind_the_other() {
        let bytes = b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n\r\n";
        let mut pieces = tokio_pieces(bytes);
        let mut requests = Requests::new(&mut pieces);
        let first = requests.next(|request| (request.path.to_owned(), request.body.to_vec())).await;
        assert_eq!(first, Some(("/a".to_owned(), b"hi".to_vec())));
        let second = requests.next(|request| (request.path.to_owned(), request.method.to_owned())).await;
        assert_eq!(second, Some(("/b".to_owned(), "GET".to_owned())));
        assert_eq!(requests.next(|_| ()).await, None);
    }

    /// A stream that gives seven bytes at a time.
    fn tokio_pieces(bytes: &[u8]) -> impl AsyncRead + Unpin {
        let mut reader: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
        for piece in bytes.chunks(7).rev() {
            reader = Box::new(std::io::Cursor::new(piece.to_vec()).chain(reader));
        }
        reader
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_is_not_read() {
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", BODY_BYTES + 1);
        assert_eq!(Requests::new(head.as_bytes()).next(|_| ()).await, None);
    }
}

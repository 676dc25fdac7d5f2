//! POSTs as a receiver reads them from a connection, byte by byte if need be.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a request at most.
const REQUEST_BYTES: usize = 1024 * 1024;

/// One request.
#[derive(Debug, Clone)]
pub struct Post {
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Post {
    /// Reads one whole request; `None` when the connection ends first. Nobody pipelines here, so nothing is
    /// left over.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut bytes = Vec::new();
        loop {
            if let Some(post) = Self::parse(&bytes) {
                return Some(post);
            }
            assert!(bytes.len() < REQUEST_BYTES, "a request without an end");
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// `None` while a part is missing.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).expect("ASCII");
        let mut lines = head.split("\r\n");
        let path = lines.next()?.split(' ').nth(1).expect("a request line").to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').expect("a header");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        let mut post = Self { path, headers: headers.collect(), body: Vec::new() };
        let length: usize = post.header("content-length").expect("a length").parse().expect("a number");
        let body = bytes.get(end + 4..end + 4 + length)?;
        post.body = body.to_vec();
        Some(post)
    }

    /// A header's only value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(given, _)| given == name);
        let value = values.next().map(|(_, value)| &**value);
        assert!(values.next().is_none(), "{name} came twice");
        value
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Whether both signatures verify, by what receivers have for that.
    pub fn verifies(&self, secret: &str) -> bool {
        let headers = || self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        inkhook_wire::sign::verify_inkbox(secret, headers(), &self.body, None).is_ok()
            && inkhook_wire::sign::verify_standard(secret, headers(), &self.body, None).is_ok()
    }
}

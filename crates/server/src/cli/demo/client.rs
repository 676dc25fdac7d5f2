//! The API as a user calls it: over a socket, with a key, JSON both ways.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::domain::secret::Secret;

/// Bytes of an answer at most: the attempt log has a handful of bodies of 1 KB here.
const ANSWER_BYTES: usize = 1024 * 1024;

/// See the module.
pub(super) struct Api {
    address: SocketAddr,
    key: Secret,
}

impl Api {
    /// The API at this address, with this key.
    pub(super) fn new(address: SocketAddr, key: Secret) -> Self {
        Self { address, key }
    }

    /// Reads.
    ///
    /// # Errors
    /// No answer, or another status than 200.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None, 200).await
    }

    /// Changes, and expects this status.
    ///
    /// # Errors
    /// No answer, or another status; the error says what the server said.
    pub(super) async fn post(&self, path: &str, body: Option<&Value>, expect: u16) -> anyhow::Result<Value> {
        self.call(Method::POST, path, body, expect).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        expect: u16,
    ) -> anyhow::Result<Value> {
        let what = format!("{method} {path}");
        let body = body.map(ToString::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header("X-API-Key", self.key.expose())
            .body(Full::new(Bytes::from(body)))?;
        let (status, answer) = self.send(request).await.with_context(|| format!("{what} got no answer"))?;
        if status != expect {
            let detail = String::from_utf8_lossy(&answer);
            bail!("{what} was answered {status} instead of {expect}: {detail}");
        }
        serde_json::from_slice(&answer).with_context(|| format!("{what} was not answered in JSON"))
    }

    /// One connection a request: this is a user with a shell, not a load test.
    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(u16, Bytes)> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
            drop(sender);
            anyhow::Ok((status, body))
        };
        let (answer, _) = tokio::join!(exchange, connection);
        answer
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks a server that says this.
    async fn answered(status: u16, body: String) -> anyhow::Result<Value> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::new(listener.local_addr().unwrap(), Secret::new("key".into()));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            // A client that stops reading is what one of the tests is about.
            drop(stream.write_all((head + &body).as_bytes()).await);
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let answer = api.get("/api/x").await;
        assert!(server.await.unwrap().contains("x-api-key: key\r\n"));
        answer
    }

    #[tokio::test]
    async fn another_status_is_an_error_that_says_what_the_server_said() {
        let error = answered(409, r#"{"detail":"taken"}"#.into()).await.unwrap_err().to_string();
        assert_eq!(error, r#"GET /api/x was answered 409 instead of 200: {"detail":"taken"}"#);
    }

    #[tokio::test]
    async fn reading_stops_at_the_cap() {
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert!(answered(200, text(ANSWER_BYTES)).await.unwrap().is_string());
        let error = format!("{:#}", answered(200, text(ANSWER_BYTES + 1)).await.unwrap_err());
        assert!(error.contains("length limit exceeded"), "{error}");
    }
}

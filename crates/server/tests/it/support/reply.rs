//! What came back.

use axum::http::{HeaderMap, Response, StatusCode};
use serde_json::Value;

/// Bytes of an answer that a test reads at most.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    /// Null when there is no body, or it is plain text.
    pub json: Value,
}

impl Reply {
    pub(super) async fn read(response: Response<axum::body::Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, ANSWER_BYTES).await.expect("an answer").to_vec();
        let is_text =
            parts.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/"));
        let none = bytes.is_empty() || is_text;
        let json = if none { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
        Self { status: parts.status, headers: parts.headers, bytes, json }
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.json);
        self
    }

    /// The sentence of a refusal with this status.
    #[track_caller]
    pub fn refused(self, status: u16) -> String {
        let reply = self.expect(status);
        let detail = reply.json["detail"].as_str().map(ToOwned::to_owned);
        detail.filter(|detail| !detail.is_empty()).unwrap_or_else(|| panic!("no detail: {}", reply.json))
    }

    /// A 422 about this one field: its place and the word for programs.
    #[track_caller]
    pub fn invalid(self, loc: &[&str], kind: &str) -> String {
        let errors = self.json["errors"].clone();
        let detail = self.refused(422);
        assert_eq!(errors[0]["loc"], serde_json::json!(loc), "{errors}");
        assert_eq!(errors[0]["type"], kind, "{errors}");
        let field = loc.last().expect("a field");
        assert!(detail.contains(field), "{detail:?} names {field}");
        detail
    }

    /// A field of the answer that is a string.
    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        let text = self.json[field].as_str();
        text.unwrap_or_else(|| panic!("{field} is no string: {}", self.json)).to_owned()
    }

    /// An answer that is not JSON.
    #[track_caller]
    pub fn body_text(&self) -> String {
        assert_eq!(self.status.as_u16(), 200, "{}", self.json);
        String::from_utf8(self.bytes.clone()).expect("UTF-8")
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

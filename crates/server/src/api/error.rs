//! What a caller is told when a request is refused.
//!
//! The body is always `{"detail": …}`: a sentence that a person can act on. A 422 also has
//! `errors: [{loc, msg, type}]`, one entry a field. Values are quoted cut and with control characters
//! escaped; secrets are never quoted. What went wrong on our side is logged once, here, and not told.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::StoreError;

/// Characters of an offending value that are quoted.
pub const QUOTED_CHARS: usize = 200;

/// How long a publisher whose organisation has too much queued is asked to wait.
const BACKLOG_WAIT_SECONDS: u32 = 30;

/// A refusal.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    detail: Detail,
    errors: Vec<FieldError>,
    retry_after_seconds: Option<u32>,
}

/// What is said of a refusal: a sentence, or a sentence with a code where official clients look for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Detail {
    /// A sentence that says what to change.
    Text(String),
    /// The name of an agent is taken.
    Handle {
        /// `agent_handle_unavailable`.
        code: String,
        /// A sentence that says what to change.
        message: String,
        /// Whose namespace it is taken in: `identities` or `mail`.
        blocking_namespace: String,
    },
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where it is: `["body", "url"]`, `["query", "limit"]`, `["header", "Idempotency-Key"]`.
    pub loc: Vec<String>,
    /// What is wrong with it.
    pub msg: String,
    /// A word for programs: `missing`, `invalid`, `unknown_field`, `unsupported`, `too_long`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// The body of every refusal.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// A sentence that says what to change.
    pub detail: Detail,
    /// With 422: each field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl ApiError {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: Detail::Text(detail.into()), errors: Vec::new(), retry_after_seconds: None }
    }

    /// 400: not something this server can read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: no valid key.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 403: this key may not do that.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: not there, or not for this caller to know; the same body for both.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} not found"))
    }

    /// 404: what it is about is not there, in a sentence that says why.
    pub fn not_found_because(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405: the route exists, but not for this method.
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// 409: it conflicts with what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 409: a handle or its address is taken, in the form from which official clients make a typed error.
    pub fn handle_unavailable(message: impl Into<String>, blocking_namespace: &str) -> Self {
        let detail = Detail::Handle {
            code: "agent_handle_unavailable".into(),
            message: message.into(),
            blocking_namespace: blocking_namespace.into(),
        };
        Self { detail, ..Self::new(StatusCode::CONFLICT, "") }
    }

    /// 410: it was there, and is not any more.
    pub fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, detail)
    }

    /// 413: too large.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 422: one field of the body is wrong. The sentence names the field.
    pub fn invalid(field: &str, msg: impl Into<String>) -> Self {
        Self::invalid_at(vec!["body".into(), field.into()], msg, "invalid")
    }

    /// 422: one field anywhere is wrong.
    pub fn invalid_at(loc: Vec<String>, msg: impl Into<String>, kind: &str) -> Self {
        let msg = msg.into();
        let field = loc.get(1..).unwrap_or_default().join(".");
        let detail = if field.is_empty() { msg.clone() } else { format!("{field}: {msg}") };
        Self {
            errors: vec![FieldError { loc, msg, kind: kind.into() }],
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        }
    }

    /// 422: one field is wrong, in a sentence that names it already.
    pub fn invalid_sentence(loc: Vec<String>, sentence: impl Into<String>, kind: &str) -> Self {
        let msg = sentence.into();
        Self {
            errors: vec![FieldError { loc, msg: msg.clone(), kind: kind.into() }],
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, msg)
        }
    }

    /// 429: this caller has to wait.
    pub fn too_many(detail: impl Into<String>, retry_after_seconds: u32) -> Self {
        let retry_after_seconds = Some(retry_after_seconds);
        Self { retry_after_seconds, ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// 503: the server has to recover first.
    pub fn unavailable(detail: impl Into<String>, retry_after_seconds: u32) -> Self {
        let retry_after_seconds = Some(retry_after_seconds);
        Self { retry_after_seconds, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// 504: nobody answered in time.
    pub fn timed_out(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// 500: our fault. Whoever makes it has logged why.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the server's log has it")
    }

    /// The same about one of several: what names a place in the body names it inside `place`.
    #[must_use]
    pub fn inside(mut self, place: &[String]) -> Self {
        for error in &mut self.errors {
            let at = usize::from(!error.loc.is_empty());
            error.loc.splice(at..at, place.iter().cloned());
        }
        if let Detail::Text(text) = &mut self.detail {
            *text = format!("{}: {text}", place.join("."));
        }
        self
    }

    /// The status, for tests and logs.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// Quotes a caller's value for a sentence: cut, control characters escaped.
#[must_use]
pub fn quote(value: &str) -> String {
    let mut quoted = String::from("'");
    quoted.extend(value.chars().take(QUOTED_CHARS).flat_map(char::escape_debug));
    quoted.push_str(if value.chars().nth(QUOTED_CHARS).is_some() { "…'" } else { "'" });
    quoted
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => {
                Self::too_many("too many events of this organisation are waiting to be stored", 1)
            }
            StoreError::Overloaded => Self::unavailable("too many events are waiting to be stored", 1),
            error @ (StoreError::TooManyQueued(_) | StoreError::TooMuchQueued(_)) => {
                Self::too_many(format!("{error}; wait until some of it is delivered"), BACKLOG_WAIT_SECONDS)
            }
            StoreError::LowDisk => Self::unavailable("the server's disk is almost full", 10),
            StoreError::TooSlow => Self::unavailable("the answer took too long to find", 1),
            StoreError::Away => Self::unavailable("the server's database is not reachable", 2),
            StoreError::Full => Self::unavailable("the server's disk is full", 10),
            StoreError::UnknownCommit => Self::unavailable(
                "it is not known whether this was stored; repeat it with the same Idempotency-Key",
                1,
            ),
            StoreError::Closed => Self::unavailable("the server is shutting down", 5),
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a request failed in the store");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { detail: self.detail, errors: self.errors };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("ApiKey");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_cut_and_escaped() {
        assert_eq!(quote("a\r\nb"), r"'a\r\nb'");
        assert_eq!(quote(&"x".repeat(QUOTED_CHARS)).chars().count(), QUOTED_CHARS + 2);
        assert_eq!(quote(&"x".repeat(QUOTED_CHARS + 1)).chars().count(), QUOTED_CHARS + 3);
    }

    #[test]
    fn a_refusal_of_one_of_several_says_which() {
        let error = ApiError::invalid("url", "must be https").inside(&["events".into(), "3".into()]);
        assert_eq!(error.detail, Detail::Text("events.3: url: must be https".into()));
        assert_eq!(error.errors[0].loc, ["body", "events", "3", "url"]);
    }

    #[test]
    fn a_field_is_named_in_the_sentence_and_in_the_list() {
        let error = ApiError::invalid("url", "must be https");
        assert_eq!(error.detail, Detail::Text("url: must be https".into()));
        assert_eq!(error.errors[0].loc, ["body", "url"]);
    }
}

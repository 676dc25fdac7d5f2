//! Extractors for a receiver on axum (feature `axum`).
//!
//! [`VerifiedWebhook`] reads the body (at most [`MAX_BODY_BYTES`], then it stops), verifies its
//! signature with the [`WebhookSecret`] of the router's state, and only then looks inside. A
//! handler that takes it as an argument never runs for a request that was not signed:
//!
//! | answer | when |
//! |---|---|
//! | 400 | a signature header is missing, doubled or malformed; the body is not the expected JSON |
//! | 401 | the signature is wrong, or its timestamp too far off |
//! | 413 | the body is too long |
//! | 500 | the receiver's own secret is empty |
//!
//! A request that carries the Inkbox signature is held to it; one that does not must carry the
//! Standard Webhooks signature.

use std::fmt;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::envelope::Envelope;
use crate::payload::Payload;
use crate::sign::{
    HEADER_REQUEST_ID, HEADER_SIGNATURE, HEADER_WEBHOOK_ID, SigningKey, VerifyError, verify_inkbox_with,
    verify_standard_with,
};

/// Longest body that is read. An event's data is at most 512 KiB and its context 256 KiB.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The secret that requests must be signed with. Put it into the router's state.
#[derive(Clone)]
pub struct WebhookSecret(Arc<Inner>);

struct Inner {
    key: SigningKey,
    clock: Option<Box<dyn Fn() -> i64 + Send + Sync>>,
}

impl WebhookSecret {
    /// From the secret's text. Timestamps are not checked.
    pub fn new(secret: impl Into<String>) -> Self {
        let key = SigningKey::new(secret);
        Self(Arc::new(Inner { key, clock: None }))
    }

    /// The same, but timestamps must be within
    /// [`TOLERANCE_SECONDS`](crate::sign::TOLERANCE_SECONDS) of `clock`, which gives the unix time
    /// in seconds.
    pub fn with_clock(secret: impl Into<String>, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let key = SigningKey::new(secret);
        let clock = Some(Box::new(clock) as _);
        Self(Arc::new(Inner { key, clock }))
    }

    /// Verifies one request and gives the id that it was signed with.
    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, VerifyError> {
        let Inner { key, clock } = &*self.0;
        let now = clock.as_ref().map(|clock| clock());
        let id = if headers.contains_key(HEADER_SIGNATURE) {
            verify_inkbox_with(key, headers, body, now)?;
            HEADER_REQUEST_ID
        } else {
            verify_standard_with(key, headers, body, now)?;
            HEADER_WEBHOOK_ID
        };
        let value = headers.get(id).and_then(|value| value.to_str().ok());
        value.map(str::to_owned).ok_or(VerifyError::Malformed(id))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret([redacted])")
    }
}

/// A body whose signature was verified, as it was read. For the incoming call, which has no
/// envelope, and for whoever wants the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBody {
    /// The signed id: the request id, or with the Standard Webhooks signature the event id.
    pub id: String,
    /// The bytes that were signed.
    pub bytes: Bytes,
}

/// A verified event. `D` is the data of one channel, [`Payload`] for those of all of them, or any
/// other type that the data deserialises to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedWebhook<D = serde_json::Value> {
    /// The event. Its `id` is the key to recognise a repeat by.
    pub event: Envelope<D>,
    /// What it was read from.
    pub signed: SignedBody,
}

/// Why a request was turned away.
#[derive(Debug, thiserror::Error)]
pub enum WebhookRejection {
    /// The signature.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// More than [`MAX_BODY_BYTES`].
    #[error("the body is longer than {MAX_BODY_BYTES} bytes")]
    TooLong,
    /// The connection broke.
    #[error("the body could not be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Signed, but not what this receiver expects.
    #[error("the body is not the expected event: {0}")]
    Json(#[from] serde_json::Error),
}

impl WebhookRejection {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Signature(VerifyError::Mismatch | VerifyError::OutOfTolerance) => StatusCode::UNAUTHORIZED,
            Self::Signature(VerifyError::EmptySecret) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Signature(_) | Self::Unreadable(_) | Self::Json(_) => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl IntoResponse for WebhookRejection {
    fn into_response(self) -> Response {
        (self.status(), self.to_string()).into_response()
    }
}

impl<S> FromRequest<S> for SignedBody
where
    S: Send + Sync,
    WebhookSecret: FromRef<S>,
{
    type Rejection = WebhookRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, WebhookRejection> {
        let (head, body) = request.into_parts();
        let bytes = read(body).await?;
        let id = WebhookSecret::from_ref(state).verify(&head.headers, &bytes)?;
        Ok(Self { id, bytes })
    }
}

impl<S, D> FromRequest<S> for VerifiedWebhook<D>
where
    S: Send + Sync,
    WebhookSecret: FromRef<S>,
    D: DeserializeOwned,
{
    type Rejection = WebhookRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, WebhookRejection> {
        let signed = SignedBody::from_request(request, state).await?;
        let event = serde_json::from_slice(&signed.bytes)?;
        Ok(Self { event, signed })
    }
}

/// The event type decides how the data reads.
impl<S> FromRequest<S> for VerifiedWebhook<Payload>
where
    S: Send + Sync,
    WebhookSecret: FromRef<S>,
{
    type Rejection = WebhookRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, WebhookRejection> {
        let signed = SignedBody::from_request(request, state).await?;
        let event = Envelope::read(&signed.bytes)?;
        Ok(Self { event, signed })
    }
}

async fn read(body: Body) -> Result<Bytes, WebhookRejection> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(WebhookRejection::TooLong),
        Err(error) => Err(WebhookRejection::Unreadable(error)),
    }
}

#[cfg(test)]
mod tests;

//! Small bodies are read before anything is decided about their request.
//!
//! A request can be refused by its path or its key, before its body has arrived. On the wire what is left of a
//! body stands before the next request, so the server would close the connection behind its answer, and a client
//! that was not told sends its next request into a closed one. Clients do write head and body apart. So whatever
//! is no batch is read first; a refusal that may leave more than that unread says that the connection ends.

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// Bytes of a body that is read first, at most.
pub const READ_FIRST_BYTES: u64 = 16 * 1024;

pub(super) async fn read_first(request: Request, next: Next) -> Response {
    match request.body().size_hint().exact() {
        Some(0) => next.run(request).await,
        Some(size @ 1..=READ_FIRST_BYTES) => {
            let (head, body) = request.into_parts();
            match axum::body::to_bytes(body, usize::try_from(size).unwrap_or_default()).await {
                Ok(bytes) => next.run(Request::from_parts(head, bytes.into())).await,
                Err(_) => {
                    ApiError::bad_request("the request body could not be read to its end").into_response()
                }
            }
        }
        _ => {
            let mut response = next.run(request).await;
            if may_be_unread(response.status()) {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

/// Refusals by path, key, rate or size, which do not wait for the body.
fn may_be_unread(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::TOO_MANY_REQUESTS
    )
}

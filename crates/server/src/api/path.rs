//! Parts of a path, with refusals that name them.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::{ApiError, quote};

/// The one variable part of a path, percent-decoded. What is not a `T` is 422.
#[derive(Debug)]
pub struct PathPart<T>(pub T);

impl<S: Send + Sync, T> FromRequestParts<S> for PathPart<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let raw = axum::extract::RawPathParams::from_request_parts(parts, state);
        let raw = raw.await.map_err(|_| ApiError::bad_request("the path is not valid UTF-8"))?;
        let (name, text) = raw.iter().next().unwrap_or_default();
        text.parse().map(Self).map_err(|error| {
            let msg = format!("{} is {error}", quote(text));
            ApiError::invalid_at(vec!["path".into(), name.into()], msg, "invalid")
        })
    }
}

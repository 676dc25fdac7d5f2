//! Parts of a path, with refusals that name them.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use super::error::{ApiError, quote};

/// The one variable part of a path, percent-decoded. What is not a `T` is 422.
#[derive(Debug)]
pub struct PathPart<T>(pub T);

/// The two variable parts of a path, the same way.
#[derive(Debug)]
pub struct PathParts<T, U>(pub T, pub U);

impl<S: Send + Sync, T> FromRequestParts<S> for PathPart<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let raw = raw(parts, state).await?;
        part(&raw, 0).map(Self)
    }
}

impl<S: Send + Sync, T, U> FromRequestParts<S> for PathParts<T, U>
where
    T: FromStr,
    T::Err: Display,
    U: FromStr,
    U::Err: Display,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let raw = raw(parts, state).await?;
        Ok(Self(part(&raw, 0)?, part(&raw, 1)?))
    }
}

async fn raw<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, ApiError> {
    let raw = RawPathParams::from_request_parts(parts, state);
    raw.await.map_err(|_| ApiError::bad_request("the path is not valid UTF-8"))
}

fn part<T>(raw: &RawPathParams, place: usize) -> Result<T, ApiError>
where
    T: FromStr,
    T::Err: Display,
{
    let (name, text) = raw.iter().nth(place).unwrap_or_default();
    text.parse().map_err(|error| {
        let msg = format!("{} is {error}", quote(text));
        ApiError::invalid_at(vec!["path".into(), name.into()], msg, "invalid")
    })
}

//! Reading what a caller sent: JSON bodies and query strings, with refusals that name the field.

use std::fmt;
use std::marker::PhantomData;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use bytes::Bytes;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::error::{ApiError, QUOTED_CHARS};
pub use crate::domain::patch::Patch;
use crate::domain::secret::Secret;

/// A JSON body. An empty one reads as `{}`; unknown fields are refused when the type says
/// `deny_unknown_fields`, which every request type here does.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(unreadable)?;
        parse(&bytes).map(Self)
    }
}

/// The refusal for a body that could not be read to its end.
pub fn unreadable(rejection: axum::extract::rejection::BytesRejection) -> ApiError {
    use axum::response::IntoResponse;
    if rejection.into_response().status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::too_large("the request body is larger than this route takes")
    } else {
        ApiError::bad_request("the request body could not be read to its end")
    }
}

/// Reads a JSON text into `T`, naming the field that is wrong.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { bytes };
    if bytes.trim_ascii_start().starts_with(b"[") {
        // The deserializer would take a list for an object's values in order.
        return Err(ApiError::invalid_at(vec!["body".into()], "the body must be a JSON object", "invalid"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path: Vec<String> = error.path().iter().map(|part| cut(&part.to_string())).collect();
        field_error("body", path, &error.into_inner())
    })?;
    deserializer.end().map_err(|error| field_error("body", Vec::new(), &error))?;
    Ok(value)
}

fn field_error(place: &str, mut path: Vec<String>, error: &serde_json::Error) -> ApiError {
    if error.is_syntax() || error.is_eof() {
        return ApiError::invalid_at(vec![place.into()], format!("not valid JSON: {error}"), "invalid_json");
    }
    let text = with_value_cut(&without_position(&error.to_string()));
    let kind = if let Some(field) = between_ticks(&text, "missing field ") {
        path.push(field);
        "missing"
    } else if let Some(field) = between_ticks(&text, "unknown field ") {
        if path.last() != Some(&field) {
            path.push(field);
        }
        "unknown_field"
    } else {
        "invalid"
    };
    let loc = std::iter::once(place.to_owned()).chain(path).collect();
    ApiError::invalid_at(loc, text, kind)
}

/// serde_json ends its sentences with a position, which says nothing once the field is named.
fn without_position(text: &str) -> String {
    text.rsplit_once(" at line ").map_or(text, |(sentence, _)| sentence).to_owned()
}

/// The deserializer quotes what the caller sent as it is, whatever its length.
fn with_value_cut(text: &str) -> String {
    let Some(start) = text.find(['"', '`']) else { return text.to_owned() };
    let (before, rest) = text.split_at(start + 1);
    let end = rest.rfind("\", expected").or_else(|| rest.rfind("`, expected")).unwrap_or(rest.len());
    let (value, after) = rest.split_at(end);
    format!("{before}{}{after}", cut(value))
}

fn cut(value: &str) -> String {
    let shown = value.chars().take(QUOTED_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c });
    shown.chain(value.chars().nth(QUOTED_CHARS).map(|_| '…')).collect()
}

fn between_ticks(text: &str, before: &str) -> Option<String> {
    let rest = text.strip_prefix(before)?.strip_prefix('`')?;
    rest.split_once('`').map(|(field, _)| field.to_owned())
}

/// A query string; unknown parameters are refused like unknown fields.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let axum::extract::Query(value) =
            axum::extract::Query::try_from_uri(&parts.uri).map_err(|rejection| {
                use std::error::Error;
                let text = rejection.source().map_or_else(|| rejection.to_string(), ToString::to_string);
                let (loc, text) = match text.split_once(": ") {
                    Some((field, text)) => (vec!["query".into(), cut(field)], with_value_cut(text)),
                    None => (vec!["query".into()], with_value_cut(&text)),
                };
                ApiError::invalid_at(loc, text, "invalid")
            })?;
        Ok(Self(value))
    }
}

/// A secret in a body: a refusal of what is not a text does not quote it.
#[derive(Debug, Clone)]
pub struct SecretText(pub Secret);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(Self(Secret::new(text))),
            _ => Err(D::Error::custom("must be a string")),
        }
    }
}

/// An object inside a body. The deserializer would take a list for an object's values in order.
#[derive(Debug, Clone)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

impl<T> From<Patch<T>> for Option<Option<T>> {
    /// `None` keeps, `Some(None)` clears.
    fn from(patch: Patch<T>) -> Self {
        match patch {
            Patch::Keep => None,
            Patch::Clear => Some(None),
            Patch::Set(value) => Some(Some(value)),
        }
    }
}

impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Clear => serializer.serialize_none(),
            Self::Set(value) => serializer.serialize_some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        url: String,
        #[serde(default)]
        token: Patch<String>,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        count: u8,
    }

    async fn refusal(text: &str) -> (u16, serde_json::Value) {
        let response = parse::<Sample>(text.as_bytes()).expect_err("refused").into_response();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn left_out_null_and_value_are_three_things() {
        let patch = |text: &str| parse::<Sample>(text.as_bytes()).unwrap().token;
        assert_eq!(parse::<Sample>(br#"{"url":"u"}"#).unwrap().url, "u");
        assert_eq!(patch(r#"{"url":"u"}"#), Patch::Keep);
        assert_eq!(patch(r#"{"url":"u","token":null}"#), Patch::Clear);
        assert_eq!(patch(r#"{"url":"u","token":"t"}"#), Patch::Set("t".into()));
        assert!(parse::<Sample>(br#"{"url":"u","inner":{"count":3}}"#).unwrap().inner.unwrap().count == 3);
    }

    #[tokio::test]
    async fn what_is_repeated_is_cut() {
        let long = "x".repeat(QUOTED_CHARS + 1);
        let shown = format!("{}…", "x".repeat(QUOTED_CHARS));
        for text in [format!(r#"{{"url":"u","{long}":1}}"#), format!(r#"{{"url":"u","inner":"{long}"}}"#)] {
            let (_, body) = refusal(&text).await;
            let detail = body["detail"].as_str().unwrap();
            assert!(detail.contains(&shown) && detail.contains("expected"), "{detail}");
            assert!(!body.to_string().contains(&long), "{body}");
        }
        let (_, body) = refusal("{\"a\\nb\": 1}").await;
        assert!(!body["detail"].as_str().unwrap().contains('\n'), "{body}");
    }

    #[tokio::test]
    async fn refusals_name_the_field() {
        let cases = [
            ("", "missing", vec!["body", "url"]),
            ("{}", "missing", vec!["body", "url"]),
            (r#"{"url":"u","colour":1}"#, "unknown_field", vec!["body", "colour"]),
            (r#"{"url":5}"#, "invalid", vec!["body", "url"]),
            (r#"{"url":"u","inner":{"count":"x"}}"#, "invalid", vec!["body", "inner", "count"]),
            (r#"{"url":"u","inner":{}}"#, "missing", vec!["body", "inner", "count"]),
            (r#"{"url":"u"} x"#, "invalid_json", vec!["body"]),
            (r#" ["u"]"#, "invalid", vec!["body"]),
            (r#"{"url":"#, "invalid_json", vec!["body"]),
        ];
        for (text, kind, loc) in cases {
            let (status, body) = refusal(text).await;
            assert_eq!(status, 422, "{text}");
            assert_eq!(body["errors"][0]["type"], kind, "{text}: {body}");
            assert_eq!(body["errors"][0]["loc"], serde_json::json!(loc), "{text}");
            let detail = body["detail"].as_str().unwrap();
            assert!(!detail.contains(" at line ") || kind == "invalid_json", "{detail}");
        }
    }
}

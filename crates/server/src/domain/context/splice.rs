//! A body with a context: every other byte stays as it was.

use inkhook_wire::payload::context::Context;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Data<'a> {
    /// What the publisher put there, null included.
    #[serde(borrow, default, deserialize_with = "whatever_it_is")]
    context: Option<&'a RawValue>,
}

fn whatever_it_is<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The body of an event with this context at the end of its data, or in the place of the one that is there.
///
/// # Errors
/// It is not the body of an event.
pub fn splice(payload: &[u8], context: &Context) -> Result<Vec<u8>, serde_json::Error> {
    let Envelope { data } = serde_json::from_slice(payload)?;
    // A struct reads from a list, too.
    if !data.get().starts_with('{') {
        return Err(serde_json::Error::custom("data is not an object"));
    }
    let Data { context: old } = serde_json::from_str(data.get())?;
    let context = serde_json::to_vec(context)?;
    let place = |part: &RawValue| {
        // A part of the payload: it was read from there.
        let start = part.get().as_ptr().addr() - payload.as_ptr().addr();
        (start, start + part.get().len())
    };
    let (start, end, before) = if let Some(old) = old {
        let (start, end) = place(old);
        (start, end, "")
    } else {
        // Before the brace that closes the data.
        let end = place(data).1 - 1;
        let is_empty = payload[..end].trim_ascii_end().ends_with(b"{");
        (end, end, if is_empty { "\"context\":" } else { ",\"context\":" })
    };
    let mut body = Vec::with_capacity(payload.len() + before.len() + context.len());
    body.extend_from_slice(&payload[..start]);
    body.extend_from_slice(before.as_bytes());
    body.extend_from_slice(&context);
    body.extend_from_slice(&payload[end..]);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(body: &str) -> String {
        String::from_utf8(splice(body.as_bytes(), &Context::default()).expect("a body")).expect("text")
    }

    #[test]
    fn it_goes_to_the_end_of_the_data_and_nothing_else_changes() {
        let body = r#"{"id":"evt_x","data":{ "a":1.00, "b":{"context":7} } ,"more":[1]}"#;
        let with = r#"{"id":"evt_x","data":{ "a":1.00, "b":{"context":7} ,"context":{}} ,"more":[1]}"#;
        assert_eq!(spliced(body), with);
        assert_eq!(spliced(r#"{"data":{ }}"#), r#"{"data":{ "context":{}}}"#);
    }

    #[test]
    fn it_takes_the_place_of_the_publishers() {
        for old in ["null", r#"{"texts":[1,2]}"#, "[]"] {
            let body = format!(r#"{{"data":{{"a":"é","context":{old},"b":2}}}}"#);
            assert_eq!(spliced(&body), r#"{"data":{"a":"é","context":{},"b":2}}"#);
        }
    }

    #[test]
    fn what_is_no_body_is_refused() {
        for body in ["", "{}", "[]", r#"{"data":[]}"#, r#"{"data":7}"#] {
            assert!(splice(body.as_bytes(), &Context::default()).is_err(), "{body}");
        }
    }
}

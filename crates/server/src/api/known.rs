//! Fields that official clients can send and that have no function here.
//!
//! They are not unknown: left out, null or the default is accepted, so that a client which always sends
//! them works. Anything else is refused, because accepting it would promise something.

use serde_json::Value;

use super::body::Patch;
use super::error::{ApiError, quote};
use crate::domain::identity::Settings;

/// A field that was left out, or whatever was sent.
pub(super) type Given = Option<Value>;

/// Accepts what asks for nothing: left out, null, or one of these.
///
/// # Errors
/// A 422 that names the field, `path` counted from the body.
pub(super) fn only_default(path: &[&str], given: &Given, defaults: &[Value]) -> Result<(), ApiError> {
    match given {
        Some(value) if !value.is_null() && !defaults.contains(value) => {
            let value = quote(&value.to_string());
            Err(at(path, format!("{value} is not supported by this server"), "unsupported"))
        }
        _ => Ok(()),
    }
}

/// Refuses a text that is longer than so many characters.
///
/// # Errors
/// A 422 that names the field.
pub(super) fn at_most(path: &[&str], text: &str, characters: usize) -> Result<(), ApiError> {
    if text.chars().nth(characters).is_some() {
        return Err(at(path, format!("must have at most {characters} characters"), "too_long"));
    }
    Ok(())
}

/// Refuses a text for a column of its own that is longer than so many characters, or has one that no database's
/// text can hold.
///
/// # Errors
/// A 422 that names the field.
pub(super) fn column_text(path: &[&str], text: &str, characters: usize) -> Result<(), ApiError> {
    at_most(path, text, characters)?;
    if text.contains('\0') {
        return Err(at(path, "must not contain the character U+0000", "invalid"));
    }
    Ok(())
}

/// Notes a change of a setting; null takes it away.
pub(super) fn set<T: Into<Value>>(settings: &mut Settings, name: &str, patch: Patch<T>) {
    match patch {
        Patch::Keep => {}
        Patch::Clear => {
            settings.insert(name.into(), Value::Null);
        }
        Patch::Set(value) => {
            settings.insert(name.into(), value.into());
        }
    }
}

/// A 422 about a field of the body.
pub(super) fn at(path: &[&str], msg: impl Into<String>, kind: &str) -> ApiError {
    let loc = std::iter::once("body").chain(path.iter().copied()).map(Into::into).collect();
    ApiError::invalid_at(loc, msg, kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_asks_for_nothing_is_accepted() {
        for given in [None, Some(Value::Null), Some(json!(false)), Some(json!([]))] {
            assert!(only_default(&["x"], &given, &[json!(false), json!([])]).is_ok(), "{given:?}");
        }
        assert!(only_default(&["x"], &Some(json!(true)), &[json!(false)]).is_err());
        assert!(at_most(&["x"], "äöü", 3).is_ok());
        assert!(at_most(&["x"], "äöüß", 3).is_err());
    }
}

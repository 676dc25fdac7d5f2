//! Names that are unique on the whole server: handles and mail addresses.

use std::time::Duration;

/// How long the names of something that was deleted stay its organisation's.
pub const RESERVED: Duration = Duration::from_hours(90 * 24);
/// Characters of a handle at most.
pub const HANDLE_CHARS: usize = 63;
/// Characters of the part of an address before the `@` at most (RFC 5321, 4.5.3.1.1).
pub const LOCAL_PART_CHARS: usize = 64;

/// Why a text is not a handle or not a local part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing is left of it.
    #[error("must not be empty")]
    Empty,
    /// It is too long.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// It has a character that is not allowed where it stands.
    #[error("must be ASCII letters and digits, with single '.', '-' or '_' only between them")]
    Characters,
}

/// The form in which a handle is stored and compared: without its leading `@`, lower case.
///
/// # Errors
/// It is not a handle: ASCII letters and digits, and between them `.`, `-`, `_`, no two dots in a row, at
/// most [`HANDLE_CHARS`].
pub fn handle(text: &str) -> Result<String, BadName> {
    name(text.strip_prefix('@').unwrap_or(text), HANDLE_CHARS)
}

/// The form in which the part of an address before the `@` is stored: lower case.
///
/// # Errors
/// As for [`handle`], with at most [`LOCAL_PART_CHARS`].
pub fn local_part(text: &str) -> Result<String, BadName> {
    name(text, LOCAL_PART_CHARS)
}

fn name(text: &str, most: usize) -> Result<String, BadName> {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return Err(BadName::Empty) };
    if bytes.len() > most {
        return Err(BadName::TooLong(most));
    }
    let inside = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
    let ends = first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric();
    if inside && ends && !text.contains("..") {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(BadName::Characters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_folded_and_bounded() {
        assert_eq!(handle("@Help.Desk-2_b"), Ok("help.desk-2_b".into()));
        assert_eq!(handle(&"h".repeat(HANDLE_CHARS)).map(|handle| handle.len()), Ok(HANDLE_CHARS));
        assert_eq!(handle(&"h".repeat(HANDLE_CHARS + 1)), Err(BadName::TooLong(HANDLE_CHARS)));
        assert_eq!(local_part(&"h".repeat(LOCAL_PART_CHARS + 1)), Err(BadName::TooLong(LOCAL_PART_CHARS)));
        for text in ["", "@"] {
            assert_eq!(handle(text), Err(BadName::Empty), "{text:?}");
        }
        for text in ["a b", "a/b", "-a", "a-", "a..b", "ü", "a@b", "@@a", ".", "a\n"] {
            assert_eq!(handle(text), Err(BadName::Characters), "{text:?}");
        }
        assert_eq!(local_part("@a"), Err(BadName::Characters), "only a handle may have an @");
    }
}

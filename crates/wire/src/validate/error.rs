//! What is wrong with published data, and where.

use std::fmt::Write as _;

use crate::event::{EventType, OwnerKind};

/// Longest piece of a refused value that an error repeats, in characters.
pub const MAX_ECHO_CHARS: usize = 200;

/// The kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataErrorKind {
    /// Longer than [`MAX_DATA_BYTES`](super::MAX_DATA_BYTES): the one that is not a 422 but a 413.
    TooLarge,
    /// Nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// More addresses than [`MAX_ADDRESSES`](super::MAX_ADDRESSES).
    TooMany,
    /// Not JSON, or a string that is not Unicode.
    Syntax,
    /// A key that comes twice in one object.
    DuplicateKey,
    /// A required key that is not there.
    Missing,
    /// A value of the wrong type or form.
    Type,
    /// A value outside a closed list.
    UnknownValue,
    /// Something that should name the owner and names another.
    NotTheOwner,
    /// The event type cannot be published for this owner.
    EventType,
}

impl DataErrorKind {
    /// A short stable word, for the `type` of an API error.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooDeep => "too_deep",
            Self::TooMany => "too_many",
            Self::Syntax => "syntax",
            Self::DuplicateKey => "duplicate_key",
            Self::Missing => "missing",
            Self::Type => "type",
            Self::UnknownValue => "unknown_value",
            Self::NotTheOwner => "not_the_owner",
            Self::EventType => "event_type",
        }
    }
}

/// One fault of published data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DataError {
    /// The way to the fault: `["data", "message", "to_addresses", "0"]`.
    pub loc: Vec<String>,
    /// A sentence for the publisher, which starts with the path and repeats at most
    /// [`MAX_ECHO_CHARS`] of the value, control characters escaped.
    pub message: String,
    /// The kind of fault.
    pub kind: DataErrorKind,
}

impl DataError {
    pub(super) fn event_type(event_type: EventType, owner: OwnerKind) -> Self {
        Self {
            loc: vec!["event_type".to_owned()],
            message: format!("event_type: {event_type} cannot be published with {}", owner.field_name()),
            kind: DataErrorKind::EventType,
        }
    }
}

/// A fault on its way up: each level that it leaves adds its own step.
#[derive(Debug)]
pub(super) struct Fault {
    kind: DataErrorKind,
    text: String,
    /// Innermost first.
    steps: Vec<String>,
}

pub(super) type Checked<T> = Result<T, Fault>;

impl Fault {
    /// `text` continues a sentence that starts with the path.
    pub(super) fn new(kind: DataErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), steps: Vec::new() }
    }

    pub(super) fn at(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }
}

impl From<Fault> for DataError {
    fn from(fault: Fault) -> Self {
        let mut loc = vec!["data".to_owned()];
        loc.extend(fault.steps.into_iter().rev());
        let path: Vec<_> = loc.iter().map(|step| echo(step)).collect();
        Self { message: format!("{} {}", path.join("."), fault.text), loc, kind: fault.kind }
    }
}

/// A value as errors repeat it: cut at [`MAX_ECHO_CHARS`], control characters escaped.
pub(super) fn echo(text: &str) -> String {
    let mut chars = text.chars();
    let mut out = String::new();
    for c in chars.by_ref().take(MAX_ECHO_CHARS) {
        if c.is_control() {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

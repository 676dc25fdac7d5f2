//! What a change says about one field.

/// A field of a PATCH: left out, null, or a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Keep what is there.
    #[default]
    Keep,
    /// Set to null.
    Clear,
    /// Replace.
    Set(T),
}

impl<T> Patch<T> {
    /// The field after the change.
    pub fn applied(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

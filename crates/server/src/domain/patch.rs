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
    /// The same field with another value, if `check` lets it pass.
    ///
    /// # Errors
    /// Whatever `check` says.
    pub fn try_map<U, E>(self, check: impl FnOnce(T) -> Result<U, E>) -> Result<Patch<U>, E> {
        Ok(match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(check(value)?),
        })
    }

    /// The field after the change.
    pub fn applied(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

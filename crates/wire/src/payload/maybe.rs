//! A key with three states.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The value of a key that may be absent, null or there. The difference between the first two
/// means nothing to a reader; it is kept so that what was read can be written again as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Maybe<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// The key is there and says null.
    Null,
    /// The key is there and says this.
    Value(T),
}

impl<T> Maybe<T> {
    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// The value, if there is one.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// Whether the key is left out.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// A key that is there: with the value, or with null.
impl<T> From<Option<T>> for Maybe<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Value)
    }
}

/// The containing struct leaves out what [`Maybe::is_absent`].
impl<T: Serialize> Serialize for Maybe<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

/// The containing struct has a default for keys that are not there.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        #[serde(default, skip_serializing_if = "Maybe::is_absent")]
        key: Maybe<u8>,
    }

    #[test]
    fn the_three_states_stay_apart() {
        for (json, state, value) in [
            (json!({}), Maybe::Absent, None),
            (json!({"key": null}), Maybe::Null, None),
            (json!({"key": 7}), Maybe::Value(7), Some(7)),
        ] {
            let row: Row = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(row.key, state);
            assert_eq!((row.key.get().copied(), row.key.into_option()), (value, value));
            assert_eq!(serde_json::to_value(row).unwrap(), json);
        }
        assert_eq!(Maybe::from(Some(7)), Maybe::Value(7));
        assert_eq!(Maybe::<u8>::from(None), Maybe::Null);
        assert_eq!(Maybe::<u8>::default(), Maybe::Absent);
        assert!(serde_json::from_value::<Row>(json!({"key": "x"})).is_err());
    }
}

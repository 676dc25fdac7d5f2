//! How much of a conversation goes with a received message.
//!
//! The setting is checked, stored and shown here; nothing is built from it yet.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Items of one class that can be asked for.
pub const MAX_CONTEXT_COUNT: u32 = 50;
/// Hours of one class that can be asked for: a week.
pub const MAX_CONTEXT_HOURS: u32 = 168;

/// What goes with a received message, by class; a class left out or null is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextConfig {
    /// Mails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<ClassContext>,
    /// Texts and chat messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<ClassContext>,
    /// Phone calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<ClassContext>,
}

/// How much of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClassContext {
    /// The newest items.
    Count {
        /// How many: 1 to 50.
        #[schema(minimum = 1, maximum = 50)]
        count: u32,
    },
    /// Everything of the last hours.
    Window {
        /// How many: 1 to 168.
        #[schema(minimum = 1, maximum = 168)]
        hours: u32,
    },
}

/// A number outside its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be from 1 to {max}, not {found}")]
pub struct ContextRefusal {
    /// The class: `email`, `texts`, `calls`.
    pub class: &'static str,
    /// The field in it: `count`, `hours`.
    pub field: &'static str,
    /// The largest that is taken.
    pub max: u32,
    /// What was asked for.
    pub found: u32,
}

impl ContextConfig {
    /// Whether every number is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), ContextRefusal> {
        let classes = [("email", self.email), ("texts", self.texts), ("calls", self.calls)];
        for (class, context) in classes {
            let (field, found, max) = match context {
                None => continue,
                Some(ClassContext::Count { count }) => ("count", count, MAX_CONTEXT_COUNT),
                Some(ClassContext::Window { hours }) => ("hours", hours, MAX_CONTEXT_HOURS),
            };
            if !(1..=max).contains(&found) {
                return Err(ContextRefusal { class, field, max, found });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<ContextConfig, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn what_is_taken_is_echoed() {
        for value in [
            json!({}),
            json!({"email": {"mode": "count", "count": 1}}),
            json!({"texts": {"mode": "window", "hours": 168}, "calls": {"mode": "count", "count": 50}}),
        ] {
            let config = read(value.clone()).unwrap();
            config.check().unwrap();
            assert_eq!(serde_json::to_value(config).unwrap(), value);
        }
        assert_eq!(read(json!({"email": null})).unwrap(), ContextConfig::default());
    }

    #[test]
    fn unknown_keys_modes_and_kinds_are_refused() {
        for value in [
            json!([]),
            json!({"mail": {"mode": "count", "count": 1}}),
            json!({"email": {"mode": "all"}}),
            json!({"email": {"count": 1}}),
            json!({"email": {"mode": "count"}}),
            json!({"email": {"mode": "count", "hours": 1}}),
            json!({"email": {"mode": "count", "count": 1, "hours": 1}}),
            json!({"email": {"mode": "count", "count": true}}),
            json!({"email": {"mode": "count", "count": 1.5}}),
            json!({"email": {"mode": "count", "count": "1"}}),
            json!({"email": {"mode": "count", "count": -1}}),
            json!({"email": {"mode": "count", "count": null}}),
            json!({"email": true}),
            json!({"email": 5}),
        ] {
            assert!(read(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn numbers_stay_in_their_ranges() {
        let refused = |value: Value| {
            let refusal = read(value).unwrap().check().unwrap_err();
            (refusal.class, refusal.field, refusal.found)
        };
        assert_eq!(refused(json!({"email": {"mode": "count", "count": 0}})), ("email", "count", 0));
        assert_eq!(refused(json!({"texts": {"mode": "count", "count": 51}})), ("texts", "count", 51));
        assert_eq!(refused(json!({"calls": {"mode": "window", "hours": 0}})), ("calls", "hours", 0));
        assert_eq!(refused(json!({"calls": {"mode": "window", "hours": 169}})), ("calls", "hours", 169));
    }
}

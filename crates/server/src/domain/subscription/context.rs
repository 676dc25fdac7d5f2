//! How much of a conversation goes with a received message.
//!
//! The setting is checked, stored and shown; what is built from it is in [`context`](crate::domain::context).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Items of one class that can be asked for.
pub const MAX_CONTEXT_COUNT: u32 = 50;
/// Hours of one class that can be asked for: a week.
pub const MAX_CONTEXT_HOURS: u32 = 168;

/// What goes with a received message, by class; a class left out or null is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[serde(tag = "mode", rename_all = "snake_case")]
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

/// A setting that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ContextRefusal {
    /// Where in the setting: class, then field.
    pub path: Vec<String>,
    /// What is wrong there.
    pub reason: String,
}

impl ContextRefusal {
    fn new(path: &[&str], reason: impl Into<String>) -> Self {
        Self { path: path.iter().map(ToString::to_string).collect(), reason: reason.into() }
    }
}

impl ContextConfig {
    /// Reads what a caller sent.
    ///
    /// # Errors
    /// It is not an object of known classes, each with a known mode and that mode's number in its range.
    pub fn parse(value: &Value) -> Result<Self, ContextRefusal> {
        let Value::Object(classes) = value else {
            return Err(ContextRefusal::new(&[], "must be an object of classes"));
        };
        let mut config = Self::default();
        for (class, value) in classes {
            let slot = match class.as_str() {
                "email" => &mut config.email,
                "texts" => &mut config.texts,
                "calls" => &mut config.calls,
                other => {
                    let reason = "is not a class; the classes are email, texts and calls";
                    return Err(ContextRefusal::new(&[other], reason));
                }
            };
            *slot = parse_class(class, value)?;
        }
        Ok(config)
    }
}

fn parse_class(class: &str, value: &Value) -> Result<Option<ClassContext>, ContextRefusal> {
    let setting = match value {
        Value::Null => return Ok(None),
        Value::Object(setting) => setting,
        _ => return Err(ContextRefusal::new(&[class], "must be an object with a mode, or null")),
    };
    let context = match setting.get("mode").and_then(Value::as_str) {
        Some("count") => ClassContext::Count { count: number(class, setting, "count", MAX_CONTEXT_COUNT)? },
        Some("window") => ClassContext::Window { hours: number(class, setting, "hours", MAX_CONTEXT_HOURS)? },
        _ => return Err(ContextRefusal::new(&[class, "mode"], "must be 'count' or 'window'")),
    };
    let field = match context {
        ClassContext::Count { .. } => "count",
        ClassContext::Window { .. } => "hours",
    };
    match setting.keys().find(|key| !["mode", field].contains(&key.as_str())) {
        Some(other) => Err(ContextRefusal::new(&[class, other], "is not a field of this mode")),
        None => Ok(Some(context)),
    }
}

fn number(
    class: &str,
    setting: &Map<String, Value>,
    field: &'static str,
    max: u32,
) -> Result<u32, ContextRefusal> {
    let number = setting.get(field).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    number.filter(|number| (1..=max).contains(number)).ok_or_else(|| {
        ContextRefusal::new(&[class, field], format!("must be a whole number from 1 to {max}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_taken_is_echoed() {
        for value in [
            json!({}),
            json!({"email": {"mode": "count", "count": 1}}),
            json!({"texts": {"mode": "window", "hours": 168}, "calls": {"mode": "count", "count": 50}}),
            json!({"texts": {"mode": "window", "hours": 1}}),
        ] {
            let config = ContextConfig::parse(&value).unwrap();
            let stored = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<ContextConfig>(&stored).unwrap(), config);
            assert_eq!(serde_json::to_value(config).unwrap(), value);
        }
        assert_eq!(ContextConfig::parse(&json!({"email": null})).unwrap(), ContextConfig::default());
    }

    #[test]
    fn everything_else_is_refused_and_named() {
        let cases = [
            (json!([]), ""),
            (json!(true), ""),
            (json!({"mail": {"mode": "count", "count": 1}}), "mail"),
            (json!({"mail": null}), "mail"),
            (json!({"email": true}), "email"),
            (json!({"email": ["count", 5]}), "email"),
            (json!({"email": 5}), "email"),
            (json!({"email": {}}), "email.mode"),
            (json!({"email": {"mode": "all"}}), "email.mode"),
            (json!({"email": {"mode": true}}), "email.mode"),
            (json!({"email": {"count": 1}}), "email.mode"),
            (json!({"email": {"mode": "count"}}), "email.count"),
            (json!({"email": {"mode": "count", "hours": 1}}), "email.count"),
            (json!({"email": {"mode": "count", "count": 1, "hours": 1}}), "email.hours"),
            (json!({"email": {"mode": "count", "count": true}}), "email.count"),
            (json!({"email": {"mode": "count", "count": 1.5}}), "email.count"),
            (json!({"email": {"mode": "count", "count": "1"}}), "email.count"),
            (json!({"email": {"mode": "count", "count": null}}), "email.count"),
            (json!({"email": {"mode": "count", "count": -1}}), "email.count"),
            (json!({"email": {"mode": "count", "count": 0}}), "email.count"),
            (json!({"texts": {"mode": "count", "count": 51}}), "texts.count"),
            (json!({"calls": {"mode": "window", "hours": 0}}), "calls.hours"),
            (json!({"calls": {"mode": "window", "hours": 169}}), "calls.hours"),
            (json!({"calls": {"mode": "window", "hours": 4_294_967_297_u64}}), "calls.hours"),
        ];
        for (value, path) in cases {
            let refusal = ContextConfig::parse(&value).expect_err(&value.to_string());
            assert_eq!(refusal.path.join("."), path, "{value}");
        }
    }
}

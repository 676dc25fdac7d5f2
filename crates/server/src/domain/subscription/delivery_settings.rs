//! How one subscription is delivered to, where that differs from the server's default.
//!
//! Checked here, stored as one value, and used by every attempt as it is when the attempt starts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::patch::Patch;
use crate::domain::retry::RetrySchedule;

/// Milliseconds that a whole attempt may take: 1 s to 1 min.
pub const TIMEOUT_MS: (u32, u32) = (1_000, 60_000);
/// Waits of a schedule: none at all means one attempt and no retry.
pub const MAX_WAITS: usize = 20;
/// Seconds of one wait: up to a day. Twenty such waits are over, jitter included, in 24 days: before the 30
/// days have passed after which a held delivery ends and an event may be forgotten.
pub const WAIT_S: (u32, u32) = (1, 24 * 3600);
/// Attempts that may begin in a second.
pub const PER_SECOND: (u32, u32) = (1, 10_000);
/// Attempts that may be under way.
pub const IN_FLIGHT: (u32, u32) = (1, 64);

/// What a subscription sets for itself; what it leaves out is the server's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliverySettings {
    /// The limit of a whole attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// The waits between attempts, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_schedule_s: Option<Vec<u32>>,
    /// Attempts that begin in a second at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_second: Option<u32>,
    /// Attempts under way at the same time at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// What waits for what.
    pub ordering: Ordering,
}

/// Which deliveries of a subscription wait for each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// None: a failed one does not hold back those after it.
    #[default]
    None,
    /// Those of the same conversation.
    Conversation,
}

impl Ordering {
    /// The public word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Conversation => "conversation",
        }
    }

    /// Reads [`Ordering::as_str`] back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::None, Self::Conversation].into_iter().find(|ordering| ordering.as_str() == word)
    }
}

impl DeliverySettings {
    /// Its own limit of a whole attempt.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(|ms| Duration::from_millis(ms.into()))
    }

    /// Its own schedule.
    #[must_use]
    pub fn retry_schedule(&self) -> Option<RetrySchedule> {
        let waits = self.retry_schedule_s.as_ref()?;
        Some(RetrySchedule::new(waits.iter().map(|wait| Duration::from_secs((*wait).into())).collect()))
    }
}

/// A change of some of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryChange {
    timeout_ms: Patch<u32>,
    retry_schedule_s: Patch<Vec<u32>>,
    max_per_second: Patch<u32>,
    max_in_flight: Patch<u32>,
    ordering: Patch<Ordering>,
}

/// A setting that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DeliveryRefusal {
    /// Which setting, when it is one of them.
    pub field: Option<String>,
    /// The setting is not one of those that there are.
    pub is_unknown: bool,
    /// What is wrong there.
    pub reason: String,
}

impl DeliveryRefusal {
    fn at(field: &str, reason: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), is_unknown: false, reason: reason.into() }
    }
}

impl DeliveryChange {
    /// Reads what a caller sent: what is left out is kept, what is null goes back to the default.
    ///
    /// # Errors
    /// It is not an object of known settings, each in its range.
    pub fn parse(value: &Value) -> Result<Self, DeliveryRefusal> {
        let Value::Object(settings) = value else {
            let reason = "must be an object of settings, or null".to_owned();
            return Err(DeliveryRefusal { field: None, is_unknown: false, reason });
        };
        if let Some(unknown) = settings.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            let reason = format!("is not a setting; the settings are {}", FIELDS.join(", "));
            return Err(DeliveryRefusal { is_unknown: true, ..DeliveryRefusal::at(unknown, reason) });
        }
        Ok(Self {
            timeout_ms: number(settings, "timeout_ms", TIMEOUT_MS)?,
            retry_schedule_s: waits(settings)?,
            max_per_second: number(settings, "max_per_second", PER_SECOND)?,
            max_in_flight: number(settings, "max_in_flight", IN_FLIGHT)?,
            ordering: ordering(settings)?,
        })
    }

    /// The settings with this change.
    #[must_use]
    pub fn applied(self, before: DeliverySettings) -> DeliverySettings {
        DeliverySettings {
            timeout_ms: self.timeout_ms.applied(before.timeout_ms),
            retry_schedule_s: self.retry_schedule_s.applied(before.retry_schedule_s),
            max_per_second: self.max_per_second.applied(before.max_per_second),
            max_in_flight: self.max_in_flight.applied(before.max_in_flight),
            ordering: self.ordering.applied(Some(before.ordering)).unwrap_or_default(),
        }
    }
}

const FIELDS: [&str; 5] = ["timeout_ms", "retry_schedule_s", "max_per_second", "max_in_flight", "ordering"];

fn in_range(value: &Value, (min, max): (u32, u32)) -> Option<u32> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.filter(|number| (min..=max).contains(number))
}

fn number(
    settings: &Map<String, Value>,
    field: &str,
    range: (u32, u32),
) -> Result<Patch<u32>, DeliveryRefusal> {
    match settings.get(field) {
        None => Ok(Patch::Keep),
        Some(Value::Null) => Ok(Patch::Clear),
        Some(value) => in_range(value, range).map(Patch::Set).ok_or_else(|| {
            let (min, max) = range;
            DeliveryRefusal::at(field, format!("must be a whole number from {min} to {max}, or null"))
        }),
    }
}

fn waits(settings: &Map<String, Value>) -> Result<Patch<Vec<u32>>, DeliveryRefusal> {
    let waits = match settings.get("retry_schedule_s") {
        None => return Ok(Patch::Keep),
        Some(Value::Null) => return Ok(Patch::Clear),
        Some(Value::Array(waits)) if waits.len() <= MAX_WAITS => {
            waits.iter().map(|wait| in_range(wait, WAIT_S)).collect()
        }
        Some(_) => None,
    };
    waits.map(Patch::Set).ok_or_else(|| {
        let (min, max) = WAIT_S;
        let reason =
            format!("must be a list of at most {MAX_WAITS} whole numbers from {min} to {max}, or null");
        DeliveryRefusal::at("retry_schedule_s", reason)
    })
}

fn ordering(settings: &Map<String, Value>) -> Result<Patch<Ordering>, DeliveryRefusal> {
    match settings.get("ordering") {
        None => Ok(Patch::Keep),
        Some(Value::Null) => Ok(Patch::Clear),
        Some(Value::String(word)) if word == "none" => Ok(Patch::Set(Ordering::None)),
        Some(Value::String(word)) if word == "conversation" => Ok(Patch::Set(Ordering::Conversation)),
        Some(_) => Err(DeliveryRefusal::at("ordering", "must be 'none', 'conversation' or null")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(value: &Value) -> DeliverySettings {
        DeliveryChange::parse(value).expect("valid").applied(DeliverySettings::default())
    }

    #[test]
    fn what_is_stored_reads_back() {
        for value in [
            json!({}),
            json!({"timeout_ms": 1000, "ordering": "conversation"}),
            json!({"retry_schedule_s": [], "max_per_second": 1, "max_in_flight": 64}),
        ] {
            let settings = parsed(&value);
            let stored = serde_json::to_string(&settings).expect("JSON");
            assert_eq!(serde_json::from_str::<DeliverySettings>(&stored).expect("it reads"), settings);
        }
        assert_eq!(serde_json::from_str::<DeliverySettings>("{}").expect("it reads"), parsed(&json!({})));
    }

    #[test]
    fn left_out_keeps_and_null_is_the_default() {
        let before = parsed(&json!({"timeout_ms": 5000, "max_in_flight": 2, "ordering": "conversation"}));
        let change = |value: &Value| DeliveryChange::parse(value).expect("valid").applied(before.clone());
        assert_eq!(change(&json!({})), before);
        assert_eq!(change(&json!({"max_in_flight": 3})).timeout_ms, Some(5000));
        let cleared = json!({"timeout_ms": null, "max_in_flight": null, "ordering": null,
            "retry_schedule_s": null, "max_per_second": null});
        assert_eq!(change(&cleared), DeliverySettings::default());
    }

    #[test]
    fn each_bound_refuses_one_past_it() {
        let day = WAIT_S.1;
        for fits in [
            json!({"timeout_ms": 1000}),
            json!({"timeout_ms": 60_000}),
            json!({"retry_schedule_s": vec![day; MAX_WAITS]}),
            json!({"retry_schedule_s": [1]}),
            json!({"max_per_second": 10_000}),
            json!({"max_in_flight": 64}),
        ] {
            assert!(DeliveryChange::parse(&fits).is_ok(), "{fits}");
        }
        for (wrong, field) in [
            (json!({"timeout_ms": 999}), "timeout_ms"),
            (json!({"timeout_ms": 60_001}), "timeout_ms"),
            (json!({"timeout_ms": 1500.5}), "timeout_ms"),
            (json!({"timeout_ms": "5000"}), "timeout_ms"),
            (json!({"retry_schedule_s": vec![1; MAX_WAITS + 1]}), "retry_schedule_s"),
            (json!({"retry_schedule_s": [day + 1]}), "retry_schedule_s"),
            (json!({"retry_schedule_s": [0]}), "retry_schedule_s"),
            (json!({"retry_schedule_s": [null]}), "retry_schedule_s"),
            (json!({"retry_schedule_s": 5}), "retry_schedule_s"),
            (json!({"max_per_second": 0}), "max_per_second"),
            (json!({"max_per_second": 10_001}), "max_per_second"),
            (json!({"max_in_flight": 0}), "max_in_flight"),
            (json!({"max_in_flight": 65}), "max_in_flight"),
            (json!({"max_in_flight": -1}), "max_in_flight"),
            (json!({"ordering": "strict"}), "ordering"),
            (json!({"ordering": true}), "ordering"),
            (json!({"colour": null}), "colour"),
        ] {
            let refusal = DeliveryChange::parse(&wrong).expect_err("refused");
            assert_eq!(refusal.field.as_deref(), Some(field), "{wrong}");
        }
        for wrong in [json!([]), json!(5), json!("x")] {
            assert_eq!(DeliveryChange::parse(&wrong).expect_err("refused").field, None, "{wrong}");
        }
    }
}

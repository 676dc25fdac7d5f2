//! `[delivery]`: how deliveries are made.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Problem, require};
use crate::domain::retry::RetrySchedule;
use crate::domain::slots::Bounds;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// A whole attempt: name lookup, connect, TLS, request and answer.
    pub timeout_ms: u64,
    /// The waits between attempts, in seconds; one attempt more than there are waits.
    pub retry_schedule_s: Vec<u64>,
    /// Attempts under way at the same time, as long as they are answered within a second.
    pub max_in_flight: usize,
    /// Attempts under way at the same time that have waited longer, beside the others.
    pub max_slow_in_flight: usize,
    /// Attempts of one subscription whose receiver keeps up; one that fails gets fewer.
    pub max_in_flight_per_subscription: usize,
    /// Deliveries of one subscription that are leased before it has a place for them.
    pub max_ahead_per_subscription: usize,
    /// Attempts of one subscription whose receiver is slow.
    pub max_slow_in_flight_per_subscription: usize,
    /// Attempts of one organisation, of either kind, in parts of a hundred of all.
    pub max_in_flight_per_organization_percent: usize,
    /// Attempts of one organisation to one host and port.
    pub max_in_flight_per_target: usize,
    /// Bytes of the bodies under way at the same time.
    pub max_body_bytes_in_flight: usize,
    /// Days for which deliveries of a paused subscription are held; then they end as expired.
    pub hold_days: u64,
}

/// Waits that a schedule can have.
const MAX_WAITS: usize = 20;
/// The longest wait: thirty days.
const MAX_WAIT_S: u64 = 30 * 24 * 3600;
/// The longest that deliveries are held: ten years.
const MAX_HOLD_DAYS: u64 = 3_650;

impl Default for Delivery {
    fn default() -> Self {
        let bounds = Bounds::default();
        Self {
            timeout_ms: 30_000,
            retry_schedule_s: vec![5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200],
            hold_days: 30,
            max_in_flight: bounds.fast,
            max_slow_in_flight: bounds.slow,
            max_in_flight_per_subscription: bounds.per_subscription,
            max_ahead_per_subscription: bounds.ahead,
            max_slow_in_flight_per_subscription: bounds.slow_per_subscription,
            max_in_flight_per_organization_percent: bounds.organization_percent,
            max_in_flight_per_target: bounds.per_target,
            max_body_bytes_in_flight: bounds.body_bytes,
        }
    }
}

impl Delivery {
    /// How long deliveries of a paused subscription are held.
    #[must_use]
    pub fn hold(&self) -> Duration {
        Duration::from_hours(24 * self.hold_days)
    }

    /// The waits as the engine takes them.
    #[must_use]
    pub fn schedule(&self) -> RetrySchedule {
        RetrySchedule::new(self.retry_schedule_s.iter().copied().map(Duration::from_secs).collect())
    }

    /// How many attempts may be under way, and for whom, as the engine takes it.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds {
            fast: self.max_in_flight,
            slow: self.max_slow_in_flight,
            per_subscription: self.max_in_flight_per_subscription,
            ahead: self.max_ahead_per_subscription,
            slow_per_subscription: self.max_slow_in_flight_per_subscription,
            organization_percent: self.max_in_flight_per_organization_percent,
            per_target: self.max_in_flight_per_target,
            body_bytes: self.max_body_bytes_in_flight,
            ..Bounds::default()
        }
    }

    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        require(
            problems,
            (1_000..=60_000).contains(&self.timeout_ms),
            "delivery.timeout_ms",
            format!("{} is not between 1000 and 60000", self.timeout_ms),
        );
        require(
            problems,
            (1..=MAX_HOLD_DAYS).contains(&self.hold_days),
            "delivery.hold_days",
            format!("{} is not between 1 and {MAX_HOLD_DAYS}", self.hold_days),
        );
        require(
            problems,
            self.retry_schedule_s.len() <= MAX_WAITS
                && self.retry_schedule_s.iter().all(|wait| (1..=MAX_WAIT_S).contains(wait)),
            "delivery.retry_schedule_s",
            format!("must have at most {MAX_WAITS} waits of 1 to {MAX_WAIT_S} seconds"),
        );
        require(
            problems,
            self.max_ahead_per_subscription <= 10_000,
            "delivery.max_ahead_per_subscription",
            format!("{} is not between 0 and 10000", self.max_ahead_per_subscription),
        );
        let counts = [
            ("delivery.max_in_flight", self.max_in_flight, 10_000),
            ("delivery.max_slow_in_flight", self.max_slow_in_flight, 10_000),
            ("delivery.max_in_flight_per_subscription", self.max_in_flight_per_subscription, 10_000),
            (
                "delivery.max_slow_in_flight_per_subscription",
                self.max_slow_in_flight_per_subscription,
                10_000,
            ),
            (
                "delivery.max_in_flight_per_organization_percent",
                self.max_in_flight_per_organization_percent,
                100,
            ),
            ("delivery.max_in_flight_per_target", self.max_in_flight_per_target, 10_000),
            ("delivery.max_body_bytes_in_flight", self.max_body_bytes_in_flight, 1 << 40),
        ];
        for (field, value, most) in counts {
            let problem = format!("{value} is not between 1 and {most}");
            require(problems, (1..=most).contains(&value), field, problem);
        }
    }
}

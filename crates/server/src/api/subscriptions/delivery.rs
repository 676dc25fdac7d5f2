//! A subscription's `delivery` settings, as they are shown and may be sent back.
//!
//! What is sent is read by [`DeliveryChange`](crate::domain::subscription::DeliveryChange), setting by setting, so
//! that a refusal names the one that is wrong.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::subscription::DeliverySettings;

/// How a subscription is delivered to; what is null, or left out when it is sent, is the server's default.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliverySettings, example = json!({
    "timeout_ms": 5000, "retry_schedule_s": [5, 60, 600, 3600], "max_per_second": null, "max_in_flight": 4,
    "ordering": "none"
}))]
pub(super) struct DeliveryShown {
    /// The limit of a whole attempt, its answer included; the server's default is 30,000.
    #[schema(minimum = 1000, maximum = 60_000, required = false)]
    timeout_ms: Option<u32>,
    /// The waits between attempts in seconds, one attempt more than there are waits; an empty list means
    /// one attempt and no retry. The server's default makes eleven attempts in about 28 hours.
    #[schema(max_items = 20, minimum = 1, maximum = 86_400, required = false)]
    retry_schedule_s: Option<Vec<u32>>,
    /// Attempts that begin in a second at most; no limit by default.
    #[schema(minimum = 1, maximum = 10_000, required = false)]
    max_per_second: Option<u32>,
    /// Attempts under way at the same time at most; by default the server finds out what the receiver takes.
    #[schema(minimum = 1, maximum = 64, required = false)]
    max_in_flight: Option<u32>,
    /// `none`, or `conversation`: events of one conversation are delivered one after another.
    #[schema(value_type = Option<String>, required = false)]
    ordering: &'static str,
}

impl From<DeliverySettings> for DeliveryShown {
    fn from(settings: DeliverySettings) -> Self {
        Self {
            timeout_ms: settings.timeout_ms,
            retry_schedule_s: settings.retry_schedule_s,
            max_per_second: settings.max_per_second,
            max_in_flight: settings.max_in_flight,
            ordering: settings.ordering.as_str(),
        }
    }
}

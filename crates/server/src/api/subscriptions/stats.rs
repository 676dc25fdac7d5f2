//! `GET /api/v1/webhooks/subscriptions/{id}/stats`: how a receiver is doing.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use inkhook_wire::id::SubscriptionId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::not_found;
use crate::api::auth::WebhookCaller;
use crate::api::body::Query;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::path::PathPart;
use crate::app::App;
use crate::domain::stats::Latencies;
use crate::domain::time::TimeMs;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(stats))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct StatsQuery {
    /// How far back; a day when left out.
    window: Window,
}

/// How far back attempts are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = StatsWindow)]
enum Window {
    #[serde(rename = "1h")]
    Hour,
    #[default]
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
}

impl Window {
    fn length(self) -> Duration {
        Duration::from_hours(match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 7 * 24,
        })
    }
}

/// What came of a subscription's attempts, replays included, and what waits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SubscriptionStats, example = json!({
    "subscription_id": "5b8f4a7e-0c1d-4e57-9a56-2f0f4bb0a3c1", "window": "24h",
    "since": "2026-05-27T20:26:40.000Z",
    "attempts": {"total": 1204, "succeeded": 1187, "failed": 16, "unknown": 1},
    "success_rate": 0.9867, "latency_ms": {"p50": 41, "p95": 180, "p99": 912},
    "sampled": false, "queued": 3, "more_queued": false
}))]
struct Stats {
    subscription_id: Uuid,
    window: Window,
    /// Attempts recorded since then are counted.
    #[schema(value_type = String, format = DateTime)]
    since: TimeMs,
    attempts: Counts,
    /// Share of `succeeded` in `succeeded` and `failed`, 0 to 1; null when there are none.
    success_rate: Option<f64>,
    /// How long attempts took, failed ones included; null when there are none.
    latency_ms: Option<LatencyShown>,
    /// The window has more than 10,000 attempts: the newest 10,000 are counted, and `since` is the time of
    /// the oldest of them.
    sampled: bool,
    /// Deliveries that have not ended; counted up to 10,000.
    queued: u32,
    /// There are more than `queued`.
    more_queued: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AttemptCounts)]
struct Counts {
    total: u32,
    /// Answered 2xx in time.
    succeeded: u32,
    /// Answered otherwise, or not at all.
    failed: u32,
    /// The server stopped before it had read an answer.
    unknown: u32,
}

/// Percentiles in milliseconds, nearest rank.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AttemptLatencies)]
struct LatencyShown {
    p50: u64,
    p95: u64,
    p99: u64,
}

impl From<Latencies> for LatencyShown {
    fn from(Latencies { p50, p95, p99 }: Latencies) -> Self {
        Self { p50, p95, p99 }
    }
}

/// How a subscription's receiver has been doing: attempts by outcome, latencies, and what waits.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}/stats",
    tag = "subscriptions",
    params(("subscription_id" = uuid::Uuid, Path), StatsQuery),
    responses(
        (status = 200, body = Stats),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 422, body = ErrorBody, description = "The id is not a UUID, or the window is not one."),
    )
)]
async fn stats(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<SubscriptionId>,
    Query(StatsQuery { window }): Query<StatsQuery>,
) -> Result<Json<Stats>, ApiError> {
    let since = app.clock.wall().before(window.length());
    let found = app.store.subscription_stats(caller.scope(), id, since).await?.ok_or_else(not_found)?;
    let mut attempts = found.attempts;
    Ok(Json(Stats {
        subscription_id: id.as_uuid(),
        window,
        since: found.cut_at.unwrap_or(since),
        success_rate: attempts.success_rate(),
        latency_ms: attempts.latencies().map(Into::into),
        attempts: Counts {
            total: attempts.total(),
            succeeded: attempts.succeeded,
            failed: attempts.failed,
            unknown: attempts.unknown,
        },
        sampled: found.cut_at.is_some(),
        queued: found.queued,
        more_queued: found.more_queued,
    }))
}

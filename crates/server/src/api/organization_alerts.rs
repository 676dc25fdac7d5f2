//! `/api/v1/organization/alerts`: the operational events that an organisation was told lately, or will be.

use axum::Json;
use axum::extract::State;
use inkhook_wire::id::EventId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AdminCaller;
use super::body::Query;
use super::error::ApiError;
use super::page;
use crate::app::App;
use crate::domain::alert::AlertDetail;
use crate::domain::time::TimeMs;
use crate::store::alerts::AlertView;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Cut to 1 to 200; 50 when left out.
    limit: Option<i64>,
}

/// Operational events, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperationalEventList)]
struct Listed {
    alerts: Vec<Shown>,
}

/// An operational event and how far it has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperationalEvent, example = json!({
    "id": "evt_019e70e5-1d00-7c3a-9f41-6d2b8e0c4a17", "event_type": "delivery.exhausted",
    "happened_at": "2026-05-28T20:26:40.000Z", "subscription_id": "5b8f4a7e-0c1d-4e57-9a56-2f0f4bb0a3c1",
    "url": "https://hooks.client.com/in", "count": 3, "detail": {"reason": "out_of_attempts", "attempts": 11},
    "state": "sent", "attempts": 1, "ended_at": "2026-05-28T20:26:40.120Z"
}))]
struct Shown {
    #[schema(value_type = String)]
    id: EventId,
    event_type: &'static str,
    /// Of several, the newest.
    #[schema(value_type = String, format = DateTime)]
    happened_at: TimeMs,
    subscription_id: uuid::Uuid,
    /// Where the subscription pointed.
    url: String,
    /// How often it happened since the one before.
    count: u32,
    /// The other fields of its `data`.
    #[schema(value_type = Object)]
    detail: AlertDetail,
    /// `waiting`, `sent` or `dropped`.
    state: &'static str,
    /// Attempts to send it.
    attempts: u32,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<TimeMs>,
}

impl From<AlertView> for Shown {
    fn from(alert: AlertView) -> Self {
        Self {
            id: alert.id,
            event_type: alert.kind.as_str(),
            happened_at: alert.happened_at,
            subscription_id: alert.subscription_id.as_uuid(),
            url: alert.url,
            count: alert.count,
            detail: alert.detail,
            state: alert.state,
            attempts: alert.attempts,
            ended_at: alert.ended_at,
        }
    }
}

/// The newest operational events of the organisation. Needs an admin or operator key.
///
/// Those that wait, and the newest 200 that were sent or dropped, are kept.
#[utoipa::path(get, path = "/api/v1/organization/alerts", tag = "organization", params(ListQuery),
    responses((status = 200, body = Listed)))]
async fn list(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed>, ApiError> {
    let found = app.store.alerts(caller.organization, page::limit(query.limit)).await?;
    Ok(Json(Listed { alerts: found.into_iter().map(Into::into).collect() }))
}

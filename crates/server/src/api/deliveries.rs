//! `/api/v1/webhooks/deliveries`: the attempt log, under its public name, and replays.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use inkhook_wire::event::EventType;
use inkhook_wire::id::{AttemptId, OrganizationId, PhoneNumberId, RequestId, SubscriptionId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::WebhookCaller;
use super::body::Query;
use super::error::{ApiError, quote};
use super::page;
use super::path::PathPart;
use crate::app::App;
use crate::domain::caller::{Caller, Scope};
use crate::domain::number::DeliveryNo;
use crate::domain::time::TimeMs;
use crate::store::attempts::{About, AttemptFilter, AttemptView, ByHand, ManualEnd};
use crate::store::replay::Replay;

/// How long a caller is kept waiting for the outcome of a replay.
const REPLAY_WAIT: Duration = Duration::from_secs(28);
/// How often the outcome is looked for when no bell rings.
const REPLAY_POLL: Duration = Duration::from_millis(250);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_deliveries)).routes(routes!(replay_delivery))
}

/// Which attempts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[param(value_type = Option<uuid::Uuid>)]
    subscription_id: Option<SubscriptionId>,
    /// Incoming calls to this number.
    #[param(value_type = Option<uuid::Uuid>)]
    phone_number_id: Option<PhoneNumberId>,
    /// A name of the catalogue.
    event_type: Option<String>,
    /// `true`: answered 2xx in time; `false`: everything else.
    success: Option<bool>,
    /// Attempts older than this one.
    #[param(value_type = Option<uuid::Uuid>)]
    before: Option<AttemptId>,
    /// Cut to 1 to 200; 50 when left out.
    limit: Option<i64>,
    /// At most 10,000.
    offset: Option<i64>,
}

/// Attempts.
#[derive(Debug, Serialize, ToSchema)]
struct DeliveriesBody {
    deliveries: Vec<AttemptBody>,
}

/// One HTTP request that was made, and what came back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AttemptBody {
    #[schema(value_type = uuid::Uuid)]
    id: AttemptId,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    /// Null for an incoming call.
    #[schema(value_type = Option<uuid::Uuid>)]
    webhook_subscription_id: Option<SubscriptionId>,
    /// The number that was called, for an incoming call.
    #[schema(value_type = Option<uuid::Uuid>)]
    phone_number_id: Option<PhoneNumberId>,
    /// `evt_` and a UUID; of an incoming call its id, a UUID.
    event_id: String,
    #[schema(value_type = String)]
    event_type: EventType,
    url: String,
    /// The exact bytes that were signed and sent.
    request_payload: String,
    response_status: Option<u16>,
    /// The first 16 KiB of the answer; bytes that are not UTF-8 are replaced.
    response_body: Option<String>,
    error_detail: Option<String>,
    duration_ms: Option<u64>,
    /// 1 for the first attempt of a delivery.
    attempt: u32,
    is_replay: bool,
    /// The event was made for this attempt: somebody tested the subscription.
    is_test: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    replayable: bool,
    /// `incoming_call`, `subscription_deleted`, `event_type_not_selected`, `event_expired` or `payload_gone`.
    replay_unavailable_reason: Option<&'static str>,
}

/// The attempt log, newest first.
#[utoipa::path(get, path = "/api/v1/webhooks/deliveries", tag = "deliveries", params(ListQuery),
    responses((status = 200, body = DeliveriesBody)))]
async fn list_deliveries(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    Query(query): Query<ListQuery>,
) -> Result<Json<DeliveriesBody>, ApiError> {
    let event_type = query.event_type.as_deref().map(event_type).transpose()?;
    let filter = AttemptFilter {
        subscription: query.subscription_id,
        phone_number: query.phone_number_id,
        event_type,
        success: query.success,
        before: query.before,
        limit: page::limit(query.limit),
        offset: page::offset(query.offset)?,
    };
    let attempts = app.store.attempts(caller.scope(), filter).await?;
    let now = app.clock.wall();
    let deliveries = attempts.into_iter().map(|attempt| attempt_body(&caller, attempt, now)).collect();
    Ok(Json(DeliveriesBody { deliveries }))
}

fn event_type(name: &str) -> Result<EventType, ApiError> {
    EventType::parse(name).ok_or_else(|| {
        let msg = format!("{} is not an event of the catalogue", quote(name));
        ApiError::invalid_at(vec!["query".into(), "event_type".into()], msg, "invalid")
    })
}

/// Sends a logged event once more, to where its subscription points now, and answers with the new attempt.
#[utoipa::path(post, path = "/api/v1/webhooks/deliveries/{delivery_id}/replay", tag = "deliveries",
    params(("delivery_id" = uuid::Uuid, Path, description = "The id of an attempt in the log")),
    responses((status = 201, description = "The attempt that was made, however it ended", body = AttemptBody),
        (status = 409, description = "The subscription is gone, no longer selects the event, or the event expired",
            body = super::error::ErrorBody),
        (status = 504, description = "The attempt has not ended yet", body = super::error::ErrorBody)))]
async fn replay_delivery(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<AttemptId>,
) -> Result<(StatusCode, Json<AttemptBody>), ApiError> {
    app.auth.admit_by_hand(&caller, "replays")?;
    let ended = app.bells.ended.listen();
    let (delivery, request_id) = match app.store.replay(caller.scope(), id).await? {
        Replay::Queued(delivery, request_id) => (delivery, request_id),
        Replay::NotFound => return Err(ApiError::not_found("delivery")),
        Replay::SubscriptionDeleted => {
            return Err(ApiError::conflict("the subscription of this delivery was deleted"));
        }
        Replay::TypeNotSelected => {
            return Err(ApiError::conflict("the subscription no longer selects the type of this event"));
        }
        Replay::EventExpired => return Err(ApiError::conflict("the event has expired")),
        Replay::IncomingCall => {
            let loc = vec!["path".into(), "delivery_id".into()];
            return Err(ApiError::invalid_at(loc, "an incoming call cannot be replayed", "invalid"));
        }
    };
    outcome(&app, &caller, "replay", (delivery, request_id), ended).await
}

/// Wakes the engine for a delivery made by hand and waits for what comes of it. `ended` has listened since
/// before the delivery was made.
pub(super) async fn outcome(
    app: &App,
    caller: &Caller,
    what: &str,
    (delivery, request_id): (DeliveryNo, RequestId),
    mut ended: crate::wake::Listener,
) -> Result<(StatusCode, Json<AttemptBody>), ApiError> {
    app.bells.queued.ring();
    let scope = Scope { organization: caller.organization, identity: None };
    let wait = wait_for_end(app, scope, delivery, &mut ended);
    match tokio::time::timeout(REPLAY_WAIT, wait).await {
        Ok(end) => answer(caller, end?, app.clock.wall()),
        Err(_) => Err(still_waiting(what, request_id)),
    }
}

async fn wait_for_end(
    app: &App,
    scope: Scope,
    delivery: DeliveryNo,
    ended: &mut crate::wake::Listener,
) -> Result<ManualEnd, ApiError> {
    loop {
        match app.store.manual_attempt(scope, delivery).await? {
            ManualEnd::Waiting => {
                // A bell that is missed only costs one poll.
                drop(tokio::time::timeout(REPLAY_POLL, ended.rung()).await);
            }
            end => return Ok(end),
        }
    }
}

fn answer(caller: &Caller, end: ManualEnd, now: TimeMs) -> Result<(StatusCode, Json<AttemptBody>), ApiError> {
    match end {
        ManualEnd::Attempted(attempt) => Ok((StatusCode::CREATED, Json(attempt_body(caller, *attempt, now)))),
        ManualEnd::Ended | ManualEnd::Waiting => Err(ApiError::conflict(
            "nothing was sent: the subscription was deleted or changed, or the event expired, meanwhile",
        )),
    }
}

fn still_waiting(what: &str, request_id: RequestId) -> ApiError {
    ApiError::timed_out(format!(
        "the {what} {request_id} has not ended yet; it goes on, and its attempt will be in the list"
    ))
}

fn attempt_body(caller: &Caller, attempt: AttemptView, now: TimeMs) -> AttemptBody {
    let reason = replay_unavailable(&attempt, now);
    let (webhook_subscription_id, phone_number_id, event_id) = match attempt.about {
        About::Delivery { subscription_id, event_id, .. } => {
            (Some(subscription_id), None, event_id.to_string())
        }
        About::Call { call_id, phone_number_id } => (None, Some(phone_number_id), call_id.to_string()),
    };
    AttemptBody {
        id: attempt.id,
        organization_id: caller.organization_id,
        webhook_subscription_id,
        phone_number_id,
        event_id,
        event_type: attempt.event_type,
        url: attempt.url,
        request_payload: attempt.request_payload.map(lossy).unwrap_or_default(),
        response_status: attempt.status,
        response_body: attempt.response_body.map(lossy),
        error_detail: attempt.error,
        duration_ms: attempt.duration_ms,
        attempt: attempt.attempt_no,
        is_replay: attempt.by_hand == Some(ByHand::Replay),
        is_test: attempt.by_hand == Some(ByHand::Test),
        created_at: attempt.created_at,
        replayable: reason.is_none(),
        replay_unavailable_reason: reason,
    }
}

fn replay_unavailable(attempt: &AttemptView, now: TimeMs) -> Option<&'static str> {
    let About::Delivery { subscription_active, type_selected, event_expires_at, .. } = attempt.about else {
        return Some("incoming_call");
    };
    if attempt.request_payload.is_none() {
        Some("payload_gone")
    } else if !subscription_active {
        Some("subscription_deleted")
    } else if !type_selected {
        Some("event_type_not_selected")
    } else if event_expires_at.is_some_and(|expires_at| expires_at <= now) {
        Some("event_expired")
    } else {
        None
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

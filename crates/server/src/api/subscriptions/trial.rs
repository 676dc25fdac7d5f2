//! `POST /api/v1/webhooks/subscriptions/{id}/test`: sends a sample, and says what came of it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use inkhook_wire::event::EventType;
use inkhook_wire::id::SubscriptionId;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::not_found;
use crate::api::auth::WebhookCaller;
use crate::api::body::Body;
use crate::api::deliveries::{AttemptBody, outcome};
use crate::api::error::{ApiError, ErrorBody, quote};
use crate::api::path::PathPart;
use crate::app::App;
use crate::ingest::sample;
use crate::store::trial::Trial;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(test))
}

/// What to send; the body may be left out.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TestBody)]
#[serde(deny_unknown_fields)]
struct TestBody {
    /// One of the types that the subscription selects; its first when left out.
    #[serde(default)]
    event_type: Option<String>,
}

/// Sends the catalogue's sample of an event to the subscription, once, and answers with the attempt.
///
/// The sample names the owner's own ids, address and number. It is an event of its own, which no other
/// subscription gets; its POST carries `inkhook-test: true`, and the log says `is_test`. A paused
/// subscription can be tested, and stays paused; one that is failing becomes healthy when the test succeeds.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}/test",
    tag = "subscriptions",
    params(("subscription_id" = uuid::Uuid, Path)),
    request_body = TestBody,
    responses(
        (status = 201, description = "The attempt that was made, however it ended", body = AttemptBody),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 409, body = ErrorBody, description = "The subscription was deleted or changed meanwhile."),
        (status = 413, body = ErrorBody, description = "The body is too large."),
        (status = 422, body = ErrorBody,
            description = "The type is not one of the catalogue, or the subscription does not select it."),
        (status = 429, body = ErrorBody, description = "More than 10 tests and replays in a second."),
        (status = 504, body = ErrorBody, description = "The attempt has not ended yet."),
    )
)]
async fn test(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<SubscriptionId>,
    Body(body): Body<TestBody>,
) -> Result<(StatusCode, Json<AttemptBody>), ApiError> {
    let asked_for = body.event_type.as_deref().map(known).transpose()?;
    let found = app.store.subscription(caller.scope(), id).await?.ok_or_else(not_found)?;
    let event_type = match asked_for {
        Some(event_type) if !found.event_types.iter().any(|selected| selected == event_type) => {
            return Err(not_selected(event_type));
        }
        Some(event_type) => event_type,
        None => found.event_types.iter().next().ok_or_else(not_found)?,
    };
    app.auth.admit_by_hand(&caller, "tests and replays")?;
    let parts = sample::Parts { store: &app.store, clock: &app.clock, entropy: &app.entropy };
    let event = sample::event(parts, caller.organization, found.owner, event_type).await?;
    let ended = app.bells.ended.listen();
    match app.store.try_subscription(caller.scope(), id, event.ok_or_else(not_found)?).await? {
        Trial::Queued(delivery, request_id) => {
            outcome(&app, &caller, "test", (delivery, request_id), ended).await
        }
        Trial::NotFound => Err(not_found()),
        Trial::TypeNotSelected => Err(not_selected(event_type)),
    }
}

fn known(name: &str) -> Result<EventType, ApiError> {
    EventType::parse(name).ok_or_else(|| refused(format!("{} is not an event of the catalogue", quote(name))))
}

fn not_selected(event_type: EventType) -> ApiError {
    refused(format!("the subscription does not select {event_type}"))
}

fn refused(msg: String) -> ApiError {
    ApiError::invalid_at(vec!["body".into(), "event_type".into()], msg, "invalid")
}

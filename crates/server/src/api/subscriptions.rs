//! `/api/v1/webhooks/subscriptions`: what is delivered where.
//!
//! Syntax is judged first, then whether the caller can see the owner or the subscription, then the rules,
//! then conflicts: what a refusal says about somebody else's rows is nothing.

mod delivery;
mod request;
mod response;
mod stats;
mod trial;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use inkhook_wire::id::SubscriptionId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::request::{CreateBody, ListQuery, PatchBody, ScopeQuery};
use self::response::{Created, Listed, Shown};
use super::auth::WebhookCaller;
use super::body::{Body, Query};
use super::error::{ApiError, ErrorBody};
use super::path::PathPart;
use crate::app::App;
use crate::domain::caller::Scope;
use crate::domain::owner::Owner;
use crate::domain::subscription::MAX_ACTIVE_PER_OWNER;
use crate::store::subscriptions::{CreateSubscription, PatchSubscription};

// Official plugins recognise these two sentences by their words: the first has "active subscription" and
// "URL" in it, the second "max <n>" and "subscription", and not "URL".
const DUPLICATE: &str =
    "an active subscription of the same identity already sends some of these event types to this URL";

fn limit_reached() -> ApiError {
    ApiError::conflict(format!("subscription limit reached (max {MAX_ACTIVE_PER_OWNER} active per owner)"))
}

fn not_found() -> ApiError {
    ApiError::not_found("subscription")
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, patch, delete))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .merge(stats::routes())
        .merge(trial::routes())
}

/// Attaches a URL to a mailbox, a phone number or an agent identity.
///
/// Exactly one owner is named: a mailbox takes `message.*`, a phone number `text.*`, an identity any mix of
/// the catalogue. The answer carries `signing_key` only when this request made the identity's first key;
/// it is never shown again.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/subscriptions",
    tag = "subscriptions",
    request_body = CreateBody,
    responses(
        (status = 201, body = Created),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "The owner is not there, or not visible to this key."),
        (status = 409, body = ErrorBody,
            description = "The owner has 20 active subscriptions, or an active subscription of the same \
                identity already sends some of these event types to this URL."),
        (status = 413, body = ErrorBody, description = "The body is too large."),
        (status = 422, body = ErrorBody, description = "A field is not valid; `errors` names it."),
    )
)]
async fn create(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    Body(body): Body<CreateBody>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let owner = body.owner()?;
    let new = match body.checked(owner, app.egress.policy()) {
        Ok(new) => new,
        Err(refusal) => return Err(unless_unseen(&app, caller.scope(), owner, refusal).await),
    };
    match app.store.create_subscription(caller.scope(), new).await? {
        CreateSubscription::Created { subscription, signing_key } => {
            if subscription.asks_for_context() {
                app.bells.tidy.ring();
            }
            let subscription = Shown::new(caller.organization_id, *subscription);
            Ok((StatusCode::CREATED, Json(Created::new(subscription, signing_key))))
        }
        CreateSubscription::OwnerNotFound => Err(owner_not_found(owner)),
        CreateSubscription::Duplicate => Err(ApiError::conflict(DUPLICATE)),
        CreateSubscription::LimitReached => Err(limit_reached()),
    }
}

/// A rule's refusal is for those who can see the owner.
async fn unless_unseen(app: &App, scope: Scope, owner: Owner, refusal: ApiError) -> ApiError {
    match app.store.owner_facts(scope, owner).await {
        Ok(Some(_)) => refusal,
        Ok(None) => owner_not_found(owner),
        Err(error) => error.into(),
    }
}

fn owner_not_found(owner: Owner) -> ApiError {
    ApiError::not_found(match owner {
        Owner::Mailbox(_) => "mailbox",
        Owner::PhoneNumber(_) => "phone number",
        Owner::Identity(_) => "agent identity",
    })
}

/// The active subscriptions that this key can see, newest first.
///
/// Filters add up. One of the three owners at most: alone it means exactly that owner and subscriptions of
/// one channel; with `scope=identity` everything of the identity behind it. `url` compares normalised.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/subscriptions",
    tag = "subscriptions",
    params(ListQuery),
    responses(
        (status = 200, body = Listed),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 422, body = ErrorBody, description = "A filter is not valid, or two owners are named."),
    )
)]
async fn list(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed>, ApiError> {
    let Some(filter) = query.filter()? else { return Ok(Json(Listed::default())) };
    let found = app.store.subscriptions(caller.scope(), filter).await?;
    let shown = found.into_iter().map(|subscription| Shown::new(caller.organization_id, subscription));
    Ok(Json(Listed { subscriptions: shown.collect() }))
}

/// One subscription.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}",
    tag = "subscriptions",
    params(("subscription_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = Shown),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 422, body = ErrorBody, description = "The id is not a UUID."),
    )
)]
async fn get(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<SubscriptionId>,
) -> Result<Json<Shown>, ApiError> {
    let found = app.store.subscription(caller.scope(), id).await?.ok_or_else(not_found)?;
    Ok(Json(Shown::new(caller.organization_id, found)))
}

/// Changes the settings that are given; the owner stays.
///
/// Takes effect at once: after the answer no attempt starts with the old settings. A type that is removed
/// cancels what is queued of it, and bringing it back revives nothing. Another URL also ends a pause.
#[utoipa::path(
    patch,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}",
    tag = "subscriptions",
    params(("subscription_id" = uuid::Uuid, Path), ScopeQuery),
    request_body = PatchBody,
    responses(
        (status = 200, body = Shown),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 409, body = ErrorBody,
            description = "An active subscription of the same identity already sends some of these event \
                types to this URL."),
        (status = 413, body = ErrorBody, description = "The body is too large."),
        (status = 422, body = ErrorBody, description = "A field is not valid; `errors` names it."),
    )
)]
async fn patch(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<SubscriptionId>,
    _scope: Query<ScopeQuery>,
    Body(body): Body<PatchBody>,
) -> Result<Json<Shown>, ApiError> {
    let change = match body.checked(app.egress.policy()) {
        Ok(change) => change,
        Err(refusal) => {
            let found = app.store.subscription(caller.scope(), id).await?;
            return Err(if found.is_some() { refusal } else { not_found() });
        }
    };
    match app.store.patch_subscription(caller.scope(), id, change).await? {
        PatchSubscription::Patched(subscription) => {
            app.bells.queued.ring();
            app.bells.tidy.ring();
            Ok(Json(Shown::new(caller.organization_id, *subscription)))
        }
        PatchSubscription::NotFound => Err(not_found()),
        PatchSubscription::Refused(refusal) => Err(request::refused_types(&refusal)),
        PatchSubscription::Duplicate => Err(ApiError::conflict(DUPLICATE)),
    }
}

/// Ends a subscription.
///
/// After the answer no request's first byte is written for it, and what was queued is cancelled.
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}",
    tag = "subscriptions",
    params(("subscription_id" = uuid::Uuid, Path), ScopeQuery),
    responses(
        (status = 204),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 422, body = ErrorBody, description = "The id is not a UUID."),
    )
)]
async fn delete(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<SubscriptionId>,
    _scope: Query<ScopeQuery>,
) -> Result<StatusCode, ApiError> {
    if !app.store.delete_subscription(caller.scope(), id).await? {
        return Err(not_found());
    }
    app.bells.tidy.ring();
    Ok(StatusCode::NO_CONTENT)
}

/// Holds deliveries until the subscription is resumed or gets another URL; events are kept for it.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}/pause",
    tag = "subscriptions",
    params(("subscription_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = Shown),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 422, body = ErrorBody, description = "The id is not a UUID."),
    )
)]
async fn pause(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<SubscriptionId>,
) -> Result<Json<Shown>, ApiError> {
    let found = app.store.pause_subscription(caller.scope(), id).await?.ok_or_else(not_found)?;
    Ok(Json(Shown::new(caller.organization_id, found)))
}

/// Delivers again, whatever held the subscription back.
///
/// What waits becomes due, its retries included, and goes out gently: at up to twice the rate of the last
/// minute in which the receiver did well, at least 10 a second. A subscription that is failing and not paused
/// is tried at once, with one delivery.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}/resume",
    tag = "subscriptions",
    params(("subscription_id" = uuid::Uuid, Path)),
    responses(
        (status = 200, body = Shown),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 422, body = ErrorBody, description = "The id is not a UUID."),
    )
)]
async fn resume(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<SubscriptionId>,
) -> Result<Json<Shown>, ApiError> {
    let found = app.store.resume_subscription(caller.scope(), id).await?.ok_or_else(not_found)?;
    app.bells.queued.ring();
    Ok(Json(Shown::new(caller.organization_id, found)))
}

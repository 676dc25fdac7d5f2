//! `/api/v1/webhooks/subscriptions/{id}/recover`: events of a window, delivered once more.
//!
//! Jobs are named below their subscription, so that one statement decides whether both are there and the
//! caller's. The list is where the next job is made; a job that has ended can still be read.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use inkhook_wire::id::SubscriptionId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::WebhookCaller;
use super::body::{Body, Query};
use super::error::{ApiError, ErrorBody, quote};
use super::path::{PathPart, PathParts};
use crate::app::App;
use crate::domain::recover::{Job, JobId, Recover, Which};
use crate::domain::time::TimeMs;
use crate::store::recover::{Count, StartRecover};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(start, list)).routes(routes!(get)).routes(routes!(cancel))
}

/// What to deliver once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RecoverBody {
    /// Events accepted from then on (RFC 3339).
    #[schema(format = DateTime)]
    since: String,
    /// Up to then; now when left out, and never later.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Which of them.
    which: WhichWord,
    /// Only count.
    dry_run: Option<bool>,
}

/// Which events of the window; all of them must match the subscription as it is now.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WhichWord {
    /// A delivery ended exhausted or was held too long, none succeeded, and none waits.
    Failed,
    /// Each, whatever became of it.
    All,
    /// There is no delivery, in any state.
    Missed,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct DryRunQuery {
    /// Only count; the body may say it as well.
    dry_run: Option<bool>,
}

impl RecoverBody {
    fn checked(&self, now: TimeMs) -> Result<Recover, ApiError> {
        let since = time("since", &self.since)?;
        let until = self.until.as_deref().map(|text| time("until", text)).transpose()?;
        let until = until.map_or(now, |until| until.min(now));
        if since > until {
            let msg = format!("{since} is after the end of the window, {until}");
            return Err(ApiError::invalid("since", msg));
        }
        let which = match self.which {
            WhichWord::Failed => Which::Failed,
            WhichWord::All => Which::All,
            WhichWord::Missed => Which::Missed,
        };
        Ok(Recover { which, since, until })
    }
}

fn time(field: &str, text: &str) -> Result<TimeMs, ApiError> {
    let time = TimeMs::parse_rfc3339(text);
    time.ok_or_else(|| ApiError::invalid(field, format!("{} is not an RFC 3339 date-time", quote(text))))
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecoverJob)]
struct Shown {
    id: Uuid,
    subscription_id: Uuid,
    /// `failed`, `all` or `missed`.
    which: &'static str,
    #[schema(value_type = String, format = DateTime)]
    since: TimeMs,
    #[schema(value_type = String, format = DateTime)]
    until: TimeMs,
    /// `running`, `completed`, `cancelled` or `failed`.
    state: &'static str,
    /// Events that it has looked at.
    examined: u64,
    /// Deliveries that it has made.
    queued: u64,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    /// When it last got on.
    #[schema(value_type = String, format = DateTime)]
    updated_at: TimeMs,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<TimeMs>,
}

impl Shown {
    fn new(job: &Job) -> Self {
        Self {
            id: job.id.0,
            subscription_id: job.subscription_id.as_uuid(),
            which: job.recover.which.as_str(),
            since: job.recover.since,
            until: job.recover.until,
            state: job.state.as_str(),
            examined: job.examined,
            queued: job.queued,
            created_at: job.created_at,
            updated_at: job.updated_at,
            ended_at: job.ended_at,
        }
    }
}

/// Jobs, newest first; the last 20 are kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecoverJobList)]
struct Listed {
    jobs: Vec<Shown>,
}

/// What a job would do now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecoverCount)]
struct Counted {
    /// Always true.
    dry_run: bool,
    which: &'static str,
    #[schema(value_type = String, format = DateTime)]
    since: TimeMs,
    #[schema(value_type = String, format = DateTime)]
    until: TimeMs,
    /// Events that were looked at.
    examined: usize,
    /// Deliveries that would be made.
    count: usize,
    /// False: there are more events than a dry run looks at, and `count` is of the earliest of them.
    complete: bool,
}

impl Counted {
    fn new(recover: Recover, count: Count) -> Self {
        Self {
            dry_run: true,
            which: recover.which.as_str(),
            since: recover.since,
            until: recover.until,
            examined: count.examined,
            count: count.count,
            complete: count.is_complete,
        }
    }
}

fn subscription_not_found() -> ApiError {
    ApiError::not_found("subscription")
}

fn job_not_found() -> ApiError {
    ApiError::not_found("recover job")
}

/// Delivers events of the past once more, in a job of its own.
///
/// The job goes on over restarts and pauses, keeps at most 1,000 of its deliveries waiting, and lets live
/// deliveries go first. Each delivery has a fresh request id; the event id is the one that it always had.
/// Events whose `expires_at` has passed are left out. With `dry_run` nothing is queued and the answer is a
/// count.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}/recover",
    tag = "subscriptions",
    params(("subscription_id" = Uuid, Path), DryRunQuery),
    request_body = RecoverBody,
    responses(
        (status = 202, body = Shown),
        (status = 200, body = Counted, description = "With `dry_run`."),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 409, body = ErrorBody, description = "Another job of this subscription is running."),
        (status = 413, body = ErrorBody, description = "The body is too large."),
        (status = 422, body = ErrorBody, description = "A field is not valid; `errors` names it."),
    )
)]
async fn start(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<SubscriptionId>,
    Query(query): Query<DryRunQuery>,
    Body(body): Body<RecoverBody>,
) -> Result<Response, ApiError> {
    let (now, scope) = (app.clock.wall(), caller.scope());
    let recover = body.checked(now)?;
    if query.dry_run == Some(true) || body.dry_run == Some(true) {
        let count = app.store.count_recover(scope, id, recover, now).await?;
        let count = count.ok_or_else(subscription_not_found)?;
        return Ok(Json(Counted::new(recover, count)).into_response());
    }
    match app.store.start_recover(scope, id, recover).await? {
        StartRecover::Started(job) => {
            app.bells.tidy.ring();
            Ok((StatusCode::ACCEPTED, Json(Shown::new(&job))).into_response())
        }
        StartRecover::NotFound => Err(subscription_not_found()),
        StartRecover::Running(job) => {
            Err(ApiError::conflict(format!("recover job {job} of this subscription is still running")))
        }
    }
}

/// The recover jobs of a subscription, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}/recover",
    tag = "subscriptions",
    params(("subscription_id" = Uuid, Path)),
    responses(
        (status = 200, body = Listed),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 422, body = ErrorBody, description = "The id is not a UUID."),
    )
)]
async fn list(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<SubscriptionId>,
) -> Result<Json<Listed>, ApiError> {
    let jobs = app.store.recover_jobs(caller.scope(), id).await?.ok_or_else(subscription_not_found)?;
    Ok(Json(Listed { jobs: jobs.iter().map(Shown::new).collect() }))
}

/// One recover job: how far it has come.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}/recover/{job_id}",
    tag = "subscriptions",
    params(("subscription_id" = Uuid, Path), ("job_id" = Uuid, Path)),
    responses(
        (status = 200, body = Shown),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 422, body = ErrorBody, description = "An id is not a UUID."),
    )
)]
async fn get(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathParts(subscription, job): PathParts<SubscriptionId, JobId>,
) -> Result<Json<Shown>, ApiError> {
    let job = app.store.recover_job(caller.scope(), subscription, job).await?.ok_or_else(job_not_found)?;
    Ok(Json(Shown::new(&job)))
}

/// Ends a recover job.
///
/// What it has queued is still delivered; nothing more is queued. A job that has ended is answered as it is.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/subscriptions/{subscription_id}/recover/{job_id}/cancel",
    tag = "subscriptions",
    params(("subscription_id" = Uuid, Path), ("job_id" = Uuid, Path)),
    responses(
        (status = 200, body = Shown),
        (status = 403, body = ErrorBody, description = "The key is not claimed."),
        (status = 404, body = ErrorBody, description = "Not there, deleted, or not visible to this key."),
        (status = 422, body = ErrorBody, description = "An id is not a UUID."),
    )
)]
async fn cancel(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathParts(subscription, job): PathParts<SubscriptionId, JobId>,
) -> Result<Json<Shown>, ApiError> {
    let job = app.store.cancel_recover(caller.scope(), subscription, job).await?.ok_or_else(job_not_found)?;
    Ok(Json(Shown::new(&job)))
}

//! Whether the process lives and whether it can take work. Open to everybody, and they say nothing else.
//!
//! *Ready* is what a load balancer must know: a commit goes through, and the engine's loop turns. It is never
//! about a receiver: one customer's dead URL takes no node out of rotation. That deliveries wait although
//! nothing of their own holds them back, or that the disk is almost full, is said as `degraded`, with status
//! 200: reading and delivering go on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::store::StoreError;

/// The engine's loop turns at least this often, or something is wrong with it.
const TURN_LIMIT: Duration = Duration::from_secs(10);
/// How long a commit may take before the store counts as stuck.
const COMMIT_LIMIT: Duration = Duration::from_secs(5);
/// When to ask again.
const RETRY_AFTER_SECONDS: u16 = 5;

/// How it is.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`, `degraded` or `unready`.
    status: &'static str,
    /// What is wrong, when something is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// The same in one sentence, when it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Health {
    fn ready(reasons: Vec<String>) -> Self {
        Self { status: if reasons.is_empty() { "ok" } else { "degraded" }, reasons, detail: None }
    }
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health::ready(Vec::new()))
}

/// Whether it can take work: a commit goes through, and the engine's loop turns.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "It can; `degraded` when deliveries wait too long", body = Health),
        (status = 503, description = "It cannot", body = Health)))]
async fn readyz(State(app): State<App>) -> Response {
    let mut reasons = Vec::new();
    reasons.extend(store_trouble(&app).await);
    if app.settings.delivers {
        reasons.extend(engine_trouble(&app));
    }
    reasons.extend(app.store.is_clock_off().then(|| "the clock is too far from the database's".into()));
    if !reasons.is_empty() {
        tracing::warn!(?reasons, "not ready");
        let detail = Some(format!("not ready: {}", reasons.join("; ")));
        let body = Json(Health { status: "unready", reasons, detail });
        let wait = [(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))];
        return (StatusCode::SERVICE_UNAVAILABLE, wait, body).into_response();
    }
    reasons.extend(app.store.is_disk_low().then(|| "the disk is almost full: publishing is refused".into()));
    reasons.extend(lag(&app).await);
    Json(Health::ready(reasons)).into_response()
}

async fn store_trouble(app: &App) -> Option<String> {
    match tokio::time::timeout(COMMIT_LIMIT, app.store.probe()).await {
        Ok(Ok(())) => None,
        Ok(Err(StoreError::Full)) => Some("the disk is full".into()),
        Ok(Err(StoreError::Away)) => Some("the database is not reachable".into()),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the store cannot commit");
            Some("the store cannot commit".into())
        }
        Err(_) => Some(format!("a commit took longer than {} s", COMMIT_LIMIT.as_secs())),
    }
}

fn engine_trouble(app: &App) -> Option<String> {
    let still = app.clock.schedule().since(app.store.metrics().turned());
    (still > TURN_LIMIT).then(|| format!("the engine's loop has not turned for {} s", still.as_secs()))
}

async fn lag(app: &App) -> Option<String> {
    match app.store.oldest_due(app.clock.schedule()).await {
        Ok(Some(age)) if age > app.settings.degraded_after => Some(format!(
            "a delivery that nothing of its own holds back has been due for {} s",
            age.as_secs()
        )),
        Ok(_) => None,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "the oldest delivery is not known");
            Some("how long deliveries wait is not known".into())
        }
    }
}

//! Signing keys. Each identity has its own; the organisation's is the fallback for identities without one
//! and what the oldest clients, which know no other, are given on the route without an identity.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::WebhookCaller;
use super::body::Body;
use super::error::ApiError;
use super::identities::{handle_in_path, not_found};
use super::known::at;
use super::path::PathPart;
use crate::app::App;
use crate::domain::signing::{MAX_ACTIVATE_AFTER, SigningKeyStatus};
use crate::domain::time::TimeMs;
use crate::store::signing_keys::NewSigningKey;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(rotate_own, own_status)).routes(routes!(rotate, status))
}

/// How to make the key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateBody {
    /// When the new key begins to sign: at once (null or 0), or after so many seconds, 604800 (7 days) at most. Until
    /// then `webhook-signature` carries a signature of either key, and another key made meanwhile takes its place.
    #[serde(default)]
    activate_after_seconds: Option<u64>,
}

impl RotateBody {
    pub(super) fn activate_after(&self) -> Result<Duration, ApiError> {
        let after = Duration::from_secs(self.activate_after_seconds.unwrap_or_default());
        if after > MAX_ACTIVATE_AFTER {
            let most = MAX_ACTIVATE_AFTER.as_secs();
            return Err(at(
                &["activate_after_seconds"],
                format!("must be at most {most} (7 days)"),
                "too_long",
            ));
        }
        Ok(after)
    }
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
struct Rotated {
    /// The key, told this once.
    signing_key: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    /// When it begins to sign; null: it does. It does, too, when there was no other to sign until then.
    #[schema(value_type = Option<String>, format = DateTime)]
    pending_from: Option<TimeMs>,
}

impl From<NewSigningKey> for Rotated {
    fn from(new: NewSigningKey) -> Self {
        let NewSigningKey { key, created_at, pending_from } = new;
        Self { signing_key: key.expose().to_owned(), created_at, pending_from }
    }
}

/// Whether there is a key.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    configured: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<TimeMs>,
    /// From when another key will sign, if one is to.
    #[schema(value_type = Option<String>, format = DateTime)]
    pending_from: Option<TimeMs>,
}

impl From<SigningKeyStatus> for Status {
    fn from(SigningKeyStatus { created_at, pending_from }: SigningKeyStatus) -> Self {
        Self { configured: created_at.is_some(), created_at, pending_from }
    }
}

/// Makes or replaces the key of an agent key's identity, or with an admin key the organisation's, which
/// signs for every identity without its own.
#[utoipa::path(post, path = "/api/v1/signing-keys", tag = "signing keys", request_body = RotateBody,
    responses((status = 201, body = Rotated)))]
async fn rotate_own(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    Body(body): Body<RotateBody>,
) -> Result<(StatusCode, Json<Rotated>), ApiError> {
    let new = app.store.rotate_own_key(caller.scope(), body.activate_after()?).await?;
    Ok((StatusCode::CREATED, Json(Rotated::from(new))))
}

/// Whether an agent key's identity has its own key, or with an admin key, whether the organisation or any
/// of its identities has one.
#[utoipa::path(get, path = "/api/v1/signing-keys", tag = "signing keys",
    responses((status = 200, body = Status)))]
async fn own_status(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
) -> Result<Json<Status>, ApiError> {
    Ok(Json(Status::from(app.store.own_key_status(caller.scope(), app.clock.wall()).await?)))
}

/// Makes or replaces an identity's key. It signs from this answer on, or from its time on, retries of earlier events
/// included.
#[utoipa::path(post, path = "/api/v1/identities/{agent_handle}/signing-key", tag = "signing keys",
    params(("agent_handle" = String, Path)), request_body = RotateBody,
    responses((status = 201, body = Rotated)))]
async fn rotate(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(handle): PathPart<String>,
    Body(body): Body<RotateBody>,
) -> Result<(StatusCode, Json<Rotated>), ApiError> {
    let activate_after = body.activate_after()?;
    let new = app.store.rotate_identity_key(caller.scope(), handle_in_path(&handle)?, activate_after).await?;
    Ok((StatusCode::CREATED, Json(Rotated::from(new.ok_or_else(not_found)?))))
}

/// Whether an identity has its own key.
#[utoipa::path(get, path = "/api/v1/identities/{agent_handle}/signing-key", tag = "signing keys",
    params(("agent_handle" = String, Path)), responses((status = 200, body = Status)))]
async fn status(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(handle): PathPart<String>,
) -> Result<Json<Status>, ApiError> {
    let dates = app.store.identity_key_dates(caller.scope(), handle_in_path(&handle)?).await?;
    Ok(Json(Status::from(dates.ok_or_else(not_found)?.at(app.clock.wall()))))
}

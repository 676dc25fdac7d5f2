//! Signing keys. Each identity has its own; the organisation's is the fallback for identities without one
//! and what the oldest clients, which know no other, are given on the route without an identity.

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
use super::known::{self, Given};
use super::path::PathPart;
use crate::app::App;
use crate::domain::time::TimeMs;
use crate::store::signing_keys::{NewSigningKey, SigningKeyStatus};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(rotate_own, own_status)).routes(routes!(rotate, status))
}

/// How to make the key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateBody {
    /// Signing with the new key from now on: null or 0.
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    activate_after_seconds: Given,
}

impl RotateBody {
    fn check(&self) -> Result<(), ApiError> {
        known::only_default(&["activate_after_seconds"], &self.activate_after_seconds, &[0.into()])
    }
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
struct Rotated {
    /// The key, told this once.
    signing_key: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
}

impl From<NewSigningKey> for Rotated {
    fn from(new: NewSigningKey) -> Self {
        Self { signing_key: new.key.expose().to_owned(), created_at: new.created_at }
    }
}

/// Whether there is a key.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    configured: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<TimeMs>,
}

impl From<SigningKeyStatus> for Status {
    fn from(status: SigningKeyStatus) -> Self {
        Self { configured: status.configured, created_at: status.created_at }
    }
}

/// Makes or replaces the key of an agent key's identity, or with an admin key the organisation's, which
/// signs for every identity without its own. It signs from this answer on.
#[utoipa::path(post, path = "/api/v1/signing-keys", tag = "signing keys", request_body = RotateBody,
    responses((status = 201, body = Rotated)))]
async fn rotate_own(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    Body(body): Body<RotateBody>,
) -> Result<(StatusCode, Json<Rotated>), ApiError> {
    body.check()?;
    let new = app.store.rotate_own_key(caller.scope()).await?;
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
    Ok(Json(Status::from(app.store.own_key_status(caller.scope()).await?)))
}

/// Makes or replaces an identity's key. It signs from this answer on, retries of earlier events included.
#[utoipa::path(post, path = "/api/v1/identities/{agent_handle}/signing-key", tag = "signing keys",
    params(("agent_handle" = String, Path)), request_body = RotateBody,
    responses((status = 201, body = Rotated)))]
async fn rotate(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(handle): PathPart<String>,
    Body(body): Body<RotateBody>,
) -> Result<(StatusCode, Json<Rotated>), ApiError> {
    body.check()?;
    let new = app.store.rotate_identity_key(caller.scope(), handle_in_path(&handle)?).await?;
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
    let status = app.store.identity_key_status(caller.scope(), handle_in_path(&handle)?).await?;
    Ok(Json(Status::from(status.ok_or_else(not_found)?)))
}

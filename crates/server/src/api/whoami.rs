//! `GET /api/whoami`: what a key is. The only route of an operator key that needs no organisation.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use inkhook_wire::id::{ApiKeyId, OrganizationId};

use super::auth::Key;
use super::error::ApiError;
use crate::app::App;
use crate::domain::api_key::KeyScope;
use crate::domain::time::TimeMs;

/// The key that asked.
#[derive(Debug, Serialize, ToSchema)]
struct Whoami {
    /// `api_key`.
    auth_type: &'static str,
    /// `api_key.admin_scoped`, `api_key.agent_scoped.claimed`, `api_key.agent_scoped.unclaimed` or
    /// `api_key.operator`.
    auth_subtype: &'static str,
    /// `admin`, `agent` or `operator`.
    scope: &'static str,
    /// Null for an operator key.
    #[schema(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
    created_by: String,
    creator_type: String,
    #[schema(value_type = String)]
    key_id: ApiKeyId,
    label: String,
    description: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<TimeMs>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<TimeMs>,
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(whoami)).routes(routes!(whoami_v1))
}

/// What the key of this request is.
#[utoipa::path(get, path = "/api/whoami", tag = "keys", responses((status = 200, body = Whoami)))]
async fn whoami(State(app): State<App>, key: Key) -> Result<Json<Whoami>, ApiError> {
    let key = app.store.key_by_id(key.record().id).await?.unwrap_or_else(|| key.record().clone());
    let auth_subtype = match (key.scope, key.claimed) {
        (KeyScope::Admin, _) => "api_key.admin_scoped",
        (KeyScope::Agent, true) => "api_key.agent_scoped.claimed",
        (KeyScope::Agent, false) => "api_key.agent_scoped.unclaimed",
        (KeyScope::Operator, _) => "api_key.operator",
    };
    Ok(Json(Whoami {
        auth_type: "api_key",
        auth_subtype,
        scope: key.scope.name(),
        organization_id: key.organization.map(|(_, id)| id),
        created_by: key.created_by,
        creator_type: key.creator_type,
        key_id: key.id,
        label: key.label,
        description: key.description,
        created_at: key.created_at,
        last_used_at: key.last_used_at,
        expires_at: key.expires_at,
    }))
}

/// The same under the versioned prefix.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "keys", responses((status = 200, body = Whoami)))]
async fn whoami_v1(state: State<App>, key: Key) -> Result<Json<Whoami>, ApiError> {
    whoami(state, key).await
}

//! `/api/v1/api-keys`: an admin key makes keys for the identities of its organisation, sees every key and
//! revokes any; an agent key sees the keys of its identity.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use inkhook_wire::id::{ApiKeyId, IdentityId, OrganizationId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{AdminCaller, Key};
use super::body::Body;
use super::error::{ApiError, ErrorBody};
use super::known;
use super::path::PathPart;
use crate::app::App;
use crate::domain::api_key::KeyScope;
use crate::domain::caller::Caller;
use crate::domain::time::TimeMs;
use crate::store::api_keys::{ApiKey, MintKey, NewApiKey};

/// Characters of a label at most.
const LABEL_CHARS: usize = 255;
/// Characters of a description at most.
const DESCRIPTION_CHARS: usize = 1_000;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(own)).routes(routes!(get, revoke))
}

/// A key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    /// 1 to 255 characters.
    label: String,
    /// At most 1,000 characters.
    description: Option<String>,
    /// The identity that the key is for.
    #[schema(value_type = Option<uuid::Uuid>)]
    scoped_identity_id: Option<IdentityId>,
}

/// A key that was made.
#[derive(Debug, Serialize, ToSchema)]
struct Created {
    /// The key, told this once.
    api_key: String,
    record: Record,
}

/// What is known about a key.
#[derive(Debug, Serialize, ToSchema)]
struct Record {
    #[schema(value_type = String)]
    id: ApiKeyId,
    /// Null for an operator key.
    #[schema(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
    created_by: String,
    creator_type: String,
    /// Null for a key of the whole organisation.
    #[schema(value_type = Option<uuid::Uuid>)]
    scoped_identity_id: Option<IdentityId>,
    label: String,
    description: Option<String>,
    /// `active` or `revoked`.
    status: &'static str,
    last4: String,
    display_prefix: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<TimeMs>,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<TimeMs>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<TimeMs>,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    #[schema(value_type = String, format = DateTime)]
    updated_at: TimeMs,
}

impl From<ApiKey> for Record {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            organization_id: key.organization.map(|(_, id)| id),
            created_by: key.created_by,
            creator_type: key.creator_type,
            scoped_identity_id: key.identity,
            label: key.label,
            description: key.description,
            status: if key.revoked_at.is_some() { "revoked" } else { "active" },
            last4: key.last4,
            display_prefix: key.display_prefix,
            last_used_at: key.last_used_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            created_at: key.created_at,
            updated_at: key.updated_at,
        }
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("API key")
}

/// Makes a key for an identity. The key is told in this answer and never again.
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "keys", request_body = CreateBody,
    responses((status = 201, body = Created),
        (status = 403, description = "Only an admin key makes keys, and only for an identity.", body = ErrorBody),
        (status = 409, description = "The agent signed up by itself, and nobody vouches for it yet.",
            body = ErrorBody)))]
async fn create(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    Body(body): Body<CreateBody>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let identity = body.scoped_identity_id.ok_or_else(|| {
        ApiError::forbidden("an admin key makes keys for an identity only: give scoped_identity_id")
    })?;
    if body.label.is_empty() {
        return Err(ApiError::invalid("label", "must not be empty"));
    }
    known::column_text(&["label"], &body.label, LABEL_CHARS)?;
    known::column_text(&["description"], body.description.as_deref().unwrap_or_default(), DESCRIPTION_CHARS)?;
    let new = NewApiKey {
        organization: Some(caller.organization),
        scope: KeyScope::Agent,
        identity: Some(identity),
        claimed: true,
        label: body.label,
        description: body.description,
        created_by: caller.key_id.to_string(),
        expires_at: None,
        text: None,
    };
    match app.store.mint_key(new).await? {
        MintKey::Minted(key, text) => {
            let created = Created { api_key: text.expose().to_owned(), record: Record::from(*key) };
            Ok((StatusCode::CREATED, Json(created)))
        }
        MintKey::IdentityNotFound => Err(ApiError::not_found("agent identity")),
        MintKey::Unclaimed => Err(ApiError::conflict(
            "nobody has vouched for this agent yet, and until somebody does it is deleted after a while: approve its \
             sign-up first",
        )),
        MintKey::Taken => Err(ApiError::conflict("another key has this text")),
    }
}

/// The keys that this key can see, newest first, revoked ones included.
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "keys", responses((status = 200, body = Vec<Record>)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<Record>>, ApiError> {
    let keys = app.store.api_keys(caller.scope()).await?;
    Ok(Json(keys.into_iter().map(Record::from).collect()))
}

/// The key that asks.
#[utoipa::path(get, path = "/api/v1/api-keys/self", tag = "keys", responses((status = 200, body = Record)))]
async fn own(State(app): State<App>, key: Key) -> Result<Json<Record>, ApiError> {
    let own = app.store.key_by_id(key.record().id).await?;
    own.map(|key| Json(Record::from(key))).ok_or_else(not_found)
}

/// One key.
#[utoipa::path(get, path = "/api/v1/api-keys/{key_id}", tag = "keys", params(("key_id" = String, Path)),
    responses((status = 200, body = Record)))]
async fn get(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart<ApiKeyId>,
) -> Result<Json<Record>, ApiError> {
    let key = app.store.api_key(caller.scope(), id).await?;
    key.map(|key| Json(Record::from(key))).ok_or_else(not_found)
}

/// Revokes a key: no request that begins after this answer is accepted with it.
#[utoipa::path(delete, path = "/api/v1/api-keys/{key_id}", tag = "keys", params(("key_id" = String, Path)),
    responses((status = 204)))]
async fn revoke(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathPart(id): PathPart<ApiKeyId>,
) -> Result<StatusCode, ApiError> {
    if app.store.revoke_key(caller.organization, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found())
    }
}

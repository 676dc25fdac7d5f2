//! `/api/v1/organization/invitation-token`: the token with which agents sign up into the organisation.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::agent_signup::SignupIsOn;
use super::auth::AdminCaller;
use super::error::ApiError;
use crate::app::App;
use crate::domain::time::TimeMs;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, delete))
}

/// An invitation that was just made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InvitationToken)]
struct Made {
    invitation_id: Uuid,
    /// The token, told this once.
    invitation_token: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
}

/// Makes the organisation's invitation. The token is told in this answer and never again; an earlier one is of no
/// use from then on. Needs an admin or operator key.
#[utoipa::path(post, path = "/api/v1/organization/invitation-token", tag = "sign-up",
    responses((status = 201, body = Made)))]
async fn create(
    _: SignupIsOn,
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
) -> Result<(StatusCode, Json<Made>), ApiError> {
    let made = app.store.invite(caller.organization).await?;
    let shown = Made {
        invitation_id: made.id,
        invitation_token: made.token.expose().to_owned(),
        created_at: made.created_at,
    };
    Ok((StatusCode::CREATED, Json(shown)))
}

/// Takes the invitation back; twice is once. Who has signed up with it stays. Needs an admin or operator key.
#[utoipa::path(delete, path = "/api/v1/organization/invitation-token", tag = "sign-up",
    responses((status = 204)))]
async fn delete(
    _: SignupIsOn,
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
) -> Result<StatusCode, ApiError> {
    app.store.take_invitation_back(caller.organization).await?;
    Ok(StatusCode::NO_CONTENT)
}

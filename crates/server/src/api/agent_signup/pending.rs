//! What waits for somebody to vouch, for those who manage an organisation: who came with its invitation, and who
//! names one of its members. Everything else is not there.

use axum::Json;
use axum::extract::State;
use inkhook_wire::id::{IdentityId, OrganizationId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::response::Vouched;
use super::{SignupIsOn, not_found};
use crate::api::auth::AdminCaller;
use crate::api::body::Body;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::path::PathPart;
use crate::app::App;
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;
use crate::store::signups::{Approve, Reject, Signup};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(approve)).routes(routes!(reject))
}

/// Those who wait, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PendingAgents)]
struct Pending {
    agents: Vec<PendingAgent>,
}

/// An agent for which nobody vouches yet.
#[derive(Debug, Serialize, ToSchema)]
struct PendingAgent {
    #[schema(value_type = uuid::Uuid)]
    identity_id: IdentityId,
    agent_handle: String,
    display_name: Option<String>,
    email_address: Option<String>,
    human_email: String,
    /// As the agent wrote it: not by anybody whom the server knows.
    note_to_human: String,
    harness: Option<String>,
    /// Whether it came with the organisation's invitation.
    is_invited: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    /// When it is deleted.
    #[schema(value_type = String, format = DateTime)]
    expires_at: TimeMs,
}

impl PendingAgent {
    fn seen_by(organization: OrganizationNo, signup: Signup) -> Self {
        Self {
            is_invited: signup.is_invited_by(organization),
            identity_id: signup.identity,
            agent_handle: signup.handle,
            display_name: signup.display_name,
            email_address: signup.address,
            human_email: signup.human_email,
            note_to_human: signup.note,
            harness: signup.harness,
            created_at: signup.created_at,
            expires_at: signup.standing.expires_at,
        }
    }
}

/// The sign-ups that wait and came with the organisation's invitation or name one of its members. Needs an admin key.
#[utoipa::path(get, path = "/api/v1/agent-signup/pending", tag = "sign-up",
    responses((status = 200, body = Pending)))]
async fn list(
    _: SignupIsOn,
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
) -> Result<Json<Pending>, ApiError> {
    let pending = app.store.pending_signups(caller.organization, app.clock.wall()).await?;
    let agents = pending.into_iter().map(|signup| PendingAgent::seen_by(caller.organization, signup));
    Ok(Json(Pending { agents: agents.collect() }))
}

/// An approval.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ApproveBody {
    /// The organisation that it is to belong to: the key's own.
    #[schema(value_type = Option<String>)]
    organization_id: Option<OrganizationId>,
}

fn invited_elsewhere() -> ApiError {
    ApiError::conflict(
        "this agent came with the invitation of another organisation: only that one may approve or reject it",
    )
}

/// Vouches for an agent that waits: it belongs to the key's organisation, and its key may do everything that an
/// agent's key may, at once. Needs an admin key.
#[utoipa::path(post, path = "/api/v1/agent-signup/{identity_id}/approve", tag = "sign-up",
    params(("identity_id" = uuid::Uuid, Path)), request_body = ApproveBody,
    responses((status = 200, body = Vouched),
        (status = 403, description = "Not an admin key, or another organisation is named.", body = ErrorBody),
        (status = 409, description = "Another organisation has invited it, and decides.", body = ErrorBody)))]
async fn approve(
    _: SignupIsOn,
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathPart(identity): PathPart<IdentityId>,
    Body(body): Body<ApproveBody>,
) -> Result<Json<Vouched>, ApiError> {
    if body.organization_id.is_some_and(|named| named != caller.organization_id) {
        return Err(ApiError::forbidden("an admin key approves for its own organisation only"));
    }
    match app.store.approve_signup(caller.organization, identity).await? {
        Approve::Claimed(signup) => {
            app.bells.tidy.ring();
            Ok(Json(Vouched::claimed(&signup)))
        }
        Approve::InvitedElsewhere => Err(invited_elsewhere()),
        Approve::NotFound => Err(not_found()),
    }
}

/// What was rejected.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RejectedAgent)]
struct Rejected {
    #[schema(value_type = uuid::Uuid)]
    identity_id: IdentityId,
    message: &'static str,
}

/// Deletes an agent that waits, with its mailbox, its key and its names. Needs an admin key.
#[utoipa::path(post, path = "/api/v1/agent-signup/{identity_id}/reject", tag = "sign-up",
    params(("identity_id" = uuid::Uuid, Path)),
    responses((status = 200, body = Rejected),
        (status = 409, description = "Another organisation has invited it, and decides.", body = ErrorBody)))]
async fn reject(
    _: SignupIsOn,
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathPart(identity): PathPart<IdentityId>,
) -> Result<Json<Rejected>, ApiError> {
    match app.store.reject_signup(caller.organization, identity).await? {
        Reject::Deleted => {
            app.bells.tidy.ring();
            Ok(Json(Rejected { identity_id: identity, message: "Rejected: the agent is deleted." }))
        }
        Reject::InvitedElsewhere => Err(invited_elsewhere()),
        Reject::NotFound => Err(not_found()),
    }
}

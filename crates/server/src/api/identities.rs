//! `/api/v1/identities`: the agents. Making one makes its mailbox; deleting one deletes all that is its
//! own. Making and deleting needs an admin key; an agent key sees and changes itself.

mod request;
mod response;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::request::{CreateBody, PatchBody};
use self::response::IdentityBody;
use super::auth::AdminCaller;
use super::body::Body;
use super::error::{ApiError, ErrorBody, quote};
use super::path::PathPart;
use super::phone_numbers;
use crate::app::App;
use crate::domain::caller::{Caller, Role};
use crate::domain::names;
use crate::store::identities::{ChangeIdentity, CreateIdentity};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(get, patch, delete))
        .routes(routes!(delete_phone_number))
}

pub(super) fn not_found() -> ApiError {
    ApiError::not_found("agent identity")
}

/// The handle in a path, with or without its `@`. What cannot be a handle is not there.
pub(super) fn handle_in_path(text: &str) -> Result<String, ApiError> {
    names::handle(text).map_err(|_| not_found())
}

fn handle_taken(handle: &str) -> ApiError {
    ApiError::handle_unavailable(format!("the agent handle {} is already taken", quote(handle)), "identities")
}

/// Makes an identity with its mailbox, and with a phone number when one is asked for.
#[utoipa::path(post, path = "/api/v1/identities", tag = "identities", request_body = CreateBody,
    responses((status = 201, body = IdentityBody),
        (status = 409, description = "The handle, the address or the number is taken.", body = ErrorBody)))]
async fn create(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    Body(body): Body<CreateBody>,
) -> Result<(StatusCode, Json<IdentityBody>), ApiError> {
    let names_its_address = body.names_its_address();
    let new = body.checked(caller.organization, &app.settings.mail_domain, app.egress.policy())?;
    let (handle, address) = (new.handle.clone(), new.address.clone());
    match app.store.create_identity(new).await? {
        CreateIdentity::Created(identity) => {
            Ok((StatusCode::CREATED, Json(IdentityBody::new(*identity, app.clock.wall()))))
        }
        CreateIdentity::HandleTaken => Err(handle_taken(&handle)),
        CreateIdentity::AddressTaken if names_its_address => {
            Err(ApiError::conflict(format!("the address {} is taken", quote(&address))))
        }
        CreateIdentity::AddressTaken => Err(ApiError::handle_unavailable(
            format!(
                "the address {} of this handle is already taken; choose another with mailbox.email_local_part",
                quote(&address)
            ),
            "mail",
        )),
        CreateIdentity::Number(refused) => Err(phone_numbers::refusal(&["phone_number"], &refused)),
    }
}

/// The identities that this key can see, oldest first.
#[utoipa::path(get, path = "/api/v1/identities", tag = "identities",
    responses((status = 200, body = Vec<IdentityBody>)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<IdentityBody>>, ApiError> {
    let identities = app.store.identities(caller.scope()).await?;
    let now = app.clock.wall();
    Ok(Json(identities.into_iter().map(|identity| IdentityBody::new(identity, now)).collect()))
}

/// One identity, by its handle.
#[utoipa::path(get, path = "/api/v1/identities/{agent_handle}", tag = "identities",
    params(("agent_handle" = String, Path, description = "With or without a leading @.")),
    responses((status = 200, body = IdentityBody)))]
async fn get(
    State(app): State<App>,
    caller: Caller,
    PathPart(handle): PathPart<String>,
) -> Result<Json<IdentityBody>, ApiError> {
    let identity = app.store.identity(caller.scope(), handle_in_path(&handle)?).await?;
    identity.map(|identity| Json(IdentityBody::new(identity, app.clock.wall()))).ok_or_else(not_found)
}

/// Changes an identity. A new handle leaves its address as it is.
#[utoipa::path(patch, path = "/api/v1/identities/{agent_handle}", tag = "identities",
    params(("agent_handle" = String, Path)), request_body = PatchBody,
    responses((status = 200, body = IdentityBody),
        (status = 409, description = "The new handle is taken.", body = ErrorBody)))]
async fn patch(
    State(app): State<App>,
    caller: Caller,
    PathPart(handle): PathPart<String>,
    Body(body): Body<PatchBody>,
) -> Result<Json<IdentityBody>, ApiError> {
    if let Some(field) = body.field_for_admins()
        && !caller.is_admin()
    {
        return Err(ApiError::forbidden(format!("only an admin key may change {field}")));
    }
    if body.names_a_handle() && matches!(caller.role, Role::Agent { claimed: false, .. }) {
        // Whether a handle is taken is for those to learn for whom somebody vouches.
        return Err(ApiError::forbidden("this key is not claimed yet: it may not change its agent_handle"));
    }
    let handle = handle_in_path(&handle)?;
    let change = match body.checked() {
        Ok(change) => change,
        // A rule's refusal is for those who can see the identity.
        Err(refusal) => {
            let seen = app.store.identity(caller.scope(), handle).await?;
            return Err(if seen.is_some() { refusal } else { not_found() });
        }
    };
    let new_handle = change.handle.clone().unwrap_or_default();
    match app.store.change_identity(caller.scope(), handle, change).await? {
        ChangeIdentity::Changed(identity) => Ok(Json(IdentityBody::new(*identity, app.clock.wall()))),
        ChangeIdentity::NotFound => Err(not_found()),
        ChangeIdentity::HandleTaken => Err(handle_taken(&new_handle)),
        ChangeIdentity::NoPhoneNumber => {
            Err(ApiError::invalid("phone_filter_mode", "the identity has no phone number"))
        }
    }
}

/// Deletes an identity with its mailbox, number, keys and subscriptions; what was queued is cancelled. Its
/// handle, address and number stay reserved for its organisation for 90 days.
#[utoipa::path(delete, path = "/api/v1/identities/{agent_handle}", tag = "identities",
    params(("agent_handle" = String, Path)), responses((status = 204)))]
async fn delete(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathPart(handle): PathPart<String>,
) -> Result<StatusCode, ApiError> {
    if !app.store.delete_identity(caller.scope(), handle_in_path(&handle)?).await? {
        return Err(not_found());
    }
    app.bells.tidy.ring();
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes an identity's number with the subscriptions attached to it.
#[utoipa::path(delete, path = "/api/v1/identities/{agent_handle}/phone_number", tag = "identities",
    params(("agent_handle" = String, Path)), responses((status = 204)))]
async fn delete_phone_number(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathPart(handle): PathPart<String>,
) -> Result<StatusCode, ApiError> {
    if !app.store.delete_phone_number_of(caller.scope(), handle_in_path(&handle)?).await? {
        return Err(phone_numbers::not_found());
    }
    app.bells.tidy.ring();
    Ok(StatusCode::NO_CONTENT)
}

//! `/api/v1/agent-signup`: an agent registers by itself, and a human vouches for it.
//!
//! Registering needs no key and gives one that can do little until somebody vouches: by the code that is mailed to
//! the human, or by an admin key of an organisation that may see the sign-up. Off unless the operator turns it on;
//! while it is off, every route here is 404 and says how.
//!
//! What registering answers does not depend on which humans or names are known, and it is answered before the mail
//! is looked at.

mod pending;
mod request;
mod response;

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use inkhook_wire::id::IdentityId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::request::{RegisterBody, VerifyBody};
use self::response::{Registered, Status, Vouched};
use super::body::Body;
use super::client_address::ClientAddress;
use super::error::{ApiError, ErrorBody};
use super::known;
use crate::app::App;
use crate::domain::caller::{Caller, Role};
use crate::domain::signup::{Closed, IN_ALL, PER_BLOCK, PER_HUMAN, RESENDS, Wait};
use crate::store::signups::{Bound, Register, Resend, Verify};

const OFF: &str = "agent sign-up is off on this server; its operator turns it on with signup.enabled in the \
    configuration, or INKHOOK_SIGNUP__ENABLED=true";

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(verify))
        .routes(routes!(resend))
        .routes(routes!(status))
        .merge(pending::routes())
}

/// That agents may sign up here. Looked at before anything else.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignupIsOn;

impl FromRequestParts<App> for SignupIsOn {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if app.settings.signup { Ok(Self) } else { Err(ApiError::not_found_because(OFF)) }
    }
}

/// The identity of an agent's own key; there is nothing to see for any other.
#[derive(Debug, Clone, Copy)]
struct SignedUp(IdentityId);

impl FromRequestParts<App> for SignedUp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        match caller.role {
            Role::Agent { identity, .. } => Ok(Self(identity)),
            // Nobody's, so that the body is judged first, as everywhere.
            Role::Admin => Ok(Self(uuid::Uuid::nil().into())),
        }
    }
}

fn not_found() -> ApiError {
    ApiError::not_found("sign-up")
}

/// Whole seconds; never 0.
fn seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

/// Registers an agent: an identity with its mailbox, and a key, told in this answer and never again. Takes no key.
///
/// The handle and the address begin with what was asked for and end with random characters, always. The human gets a
/// mail with a code.
#[utoipa::path(post, path = "/api/v1/agent-signup", tag = "sign-up", security(()), request_body = RegisterBody,
    responses((status = 201, body = Registered),
        (status = 429, body = ErrorBody,
            description = "Too many sign-ups in a day: of this human, from this network, or in all.")))]
async fn register(
    _: SignupIsOn,
    State(app): State<App>,
    ClientAddress(client): ClientAddress,
    Body(body): Body<RegisterBody>,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    let new = body.checked(client, &app.settings.mail_domain)?;
    let human_email = new.human_email.clone();
    match app.store.register(new, app.clock.wall()).await? {
        Register::Registered(registered) => {
            app.bells.mail.ring();
            Ok((StatusCode::CREATED, Json(Registered::new(*registered, human_email))))
        }
        Register::UnknownInvitation => {
            Err(known::at(&["invitation_token"], "is not an invitation of this server", "invalid"))
        }
        Register::Full(bound, wait) => {
            let what = match bound {
                Bound::Human => format!("at most {PER_HUMAN} agents may name one human in a day"),
                Bound::Block => format!("at most {PER_BLOCK} agents may sign up from one network in a day"),
                Bound::All => format!("at most {IN_ALL} agents may sign up in a day"),
            };
            Err(ApiError::too_many(what, seconds(wait)))
        }
    }
}

/// Looks at the code that the human got. The right one claims the agent: its key may do everything that an agent's
/// key may, at once. The organisation may be another one afterwards.
#[utoipa::path(post, path = "/api/v1/agent-signup/verify", tag = "sign-up", request_body = VerifyBody,
    responses((status = 200, body = Vouched),
        (status = 401, description = "No valid API key, or the wrong code.", body = ErrorBody),
        (status = 410, description = "The code is used up or too old.", body = ErrorBody),
        (status = 429, description = "Too many wrong codes; have another one sent.", body = ErrorBody)))]
async fn verify(
    _: SignupIsOn,
    State(app): State<App>,
    SignedUp(identity): SignedUp,
    Body(body): Body<VerifyBody>,
) -> Result<Json<Vouched>, ApiError> {
    let guess = body.checked()?;
    match app.store.verify_signup(identity, guess).await? {
        Verify::Claimed(signup) => {
            app.bells.tidy.ring();
            Ok(Json(Vouched::claimed(&signup)))
        }
        Verify::Wrong { left } => {
            Err(ApiError::unauthorized(format!("this is not the code that was mailed; guesses left: {left}")))
        }
        Verify::Closed(closed) => Err(refusal(closed)),
        Verify::NotFound => Err(not_found()),
    }
}

/// Has another code mailed, in place of the one before.
#[utoipa::path(post, path = "/api/v1/agent-signup/resend-verification", tag = "sign-up",
    responses((status = 200, body = Vouched),
        (status = 409, description = "Somebody vouches for it already.", body = ErrorBody),
        (status = 410, description = "There is no code any more.", body = ErrorBody),
        (status = 429, description = "Too soon, or too often.", body = ErrorBody)))]
async fn resend(
    _: SignupIsOn,
    State(app): State<App>,
    SignedUp(identity): SignedUp,
) -> Result<Json<Vouched>, ApiError> {
    match app.store.resend_signup(identity).await? {
        Resend::Made(signup) => {
            app.bells.mail.ring();
            Ok(Json(Vouched::code_made(&signup)))
        }
        Resend::Closed(closed) => Err(refusal(closed)),
        Resend::Claimed => Err(ApiError::conflict("this agent is claimed already: it needs no code")),
        Resend::NotFound => Err(not_found()),
    }
}

fn refusal(closed: Closed) -> ApiError {
    match closed {
        Closed::Expired => ApiError::gone("nobody has vouched for this agent in time; sign up again"),
        Closed::UsedUp => ApiError::gone(
            "there were too many wrong codes: only an approval by an organisation can claim this agent now",
        ),
        Closed::Wait(Wait::Guesses, wait) => {
            ApiError::too_many("too many wrong codes; have another one sent", seconds(wait))
        }
        Closed::Wait(Wait::Cooldown, wait) => {
            ApiError::too_many("a code was sent a moment ago; wait and try again", seconds(wait))
        }
        Closed::Wait(Wait::Resends, wait) => {
            ApiError::too_many(format!("a code is sent again {RESENDS} times at most"), seconds(wait))
        }
    }
}

/// How the sign-up of this key stands.
#[utoipa::path(get, path = "/api/v1/agent-signup/status", tag = "sign-up",
    responses((status = 200, body = Status)))]
async fn status(
    _: SignupIsOn,
    State(app): State<App>,
    SignedUp(identity): SignedUp,
) -> Result<Json<Status>, ApiError> {
    let signup = app.store.signup(identity).await?;
    signup.map(|signup| Json(Status::from(&signup))).ok_or_else(not_found)
}

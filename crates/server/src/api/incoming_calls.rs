//! `/api/v1/phone/numbers/{id}/incoming-calls`: whoever carries calls asks what becomes of one.

use axum::Json;
use axum::extract::State;
use inkhook_wire::id::PhoneNumberId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::AdminCaller;
use super::body::Body;
use super::error::{ApiError, ErrorBody, quote};
use super::path::PathPart;
use super::phone_numbers::not_found;
use crate::app::App;
use crate::calls::Put;
use crate::domain::call::{ANONYMOUS, Call, Decision, Reason, Verdict};
use crate::domain::phone_number::is_e164;

/// After so many seconds a place may be free.
const FULL_WAIT_SECONDS: u32 = 1;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(put_call))
}

/// A call that is coming in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CallBody {
    /// Who calls: E.164, or `anonymous`.
    remote_phone_number: String,
    /// The call's id, made here when left out. The same one within a minute gets the same decision, and nobody is
    /// asked again.
    call_id: Option<Uuid>,
}

/// What becomes of it.
#[derive(Debug, Serialize, ToSchema)]
struct DecisionBody {
    call_id: Uuid,
    /// `answer` or `reject`.
    action: &'static str,
    /// Where the media of an answered call goes.
    client_websocket_url: Option<String>,
    /// `webhook`, `fallback`, `default_action`, or the number's rule: `auto_accept`, `auto_reject`, `hosted_agent`,
    /// `forward`.
    decided_by: &'static str,
    /// Why whoever was asked before had no say: `timeout`, `unreachable`, `not_allowed`, `redirect`, `status`,
    /// `too_large`, `invalid_body`, `invalid_action`, `invalid_websocket_url`, `no_websocket_url`,
    /// `no_signing_key`, `stopping`; `not_supported_here` with `hosted_agent` and `forward`. Null when the first
    /// who was asked, or the number's rule, decided.
    reason: Option<&'static str>,
}

impl From<Decision> for DecisionBody {
    fn from(decision: Decision) -> Self {
        let (action, client_websocket_url) = match decision.ruling.verdict {
            Verdict::Answer(url) => ("answer", Some(url.to_string())),
            Verdict::Reject => ("reject", None),
        };
        Self {
            call_id: decision.call_id,
            action,
            client_websocket_url,
            decided_by: decision.ruling.decided_by.name(),
            reason: decision.ruling.reason.map(Reason::name),
        }
    }
}

/// Asks what becomes of a call that is coming in. Answered within the time that the number gives for it.
#[utoipa::path(post, path = "/api/v1/phone/numbers/{phone_number_id}/incoming-calls", tag = "incoming calls",
    params(("phone_number_id" = uuid::Uuid, Path)), request_body = CallBody,
    responses((status = 200, body = DecisionBody),
        (status = 409, description = "The id is that of a call to another number or from somebody else.",
            body = ErrorBody),
        (status = 429, description = "As many calls of this organisation as there may be are being asked about.",
            body = ErrorBody),
        (status = 503, description = "As many calls as there may be are being asked about.", body = ErrorBody)))]
async fn put_call(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathPart(number): PathPart<PhoneNumberId>,
    Body(body): Body<CallBody>,
) -> Result<Json<DecisionBody>, ApiError> {
    let remote = body.remote_phone_number;
    if !is_e164(&remote) && remote != ANONYMOUS {
        let msg =
            format!("{} is neither a number in E.164 form, like +14155550100, nor anonymous", quote(&remote));
        return Err(ApiError::invalid("remote_phone_number", msg));
    }
    let id = body.call_id.unwrap_or_else(|| app.entropy.uuid_at(app.clock.wall()));
    match app.calls.decide(caller.scope(), number, Call { id, remote }).await? {
        Put::Decided(decision) => Ok(Json(decision.into())),
        Put::NumberNotFound => Err(not_found()),
        Put::AnotherCall => {
            Err(ApiError::conflict("call_id is that of a call to another number or from another one"))
        }
        Put::Full => Err(ApiError::unavailable("too many calls are being decided", FULL_WAIT_SECONDS)),
        Put::OrganizationFull => {
            let detail = "too many calls of this organisation are being decided";
            Err(ApiError::too_many(detail, FULL_WAIT_SECONDS))
        }
        Put::Lost => Err(ApiError::internal()),
    }
}

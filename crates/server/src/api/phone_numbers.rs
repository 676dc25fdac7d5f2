//! `/api/v1/phone/numbers`: at most one number an identity.

mod call_fields;
mod request;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use inkhook_wire::id::{IdentityId, PhoneNumberId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use self::call_fields::CallFields;
use self::request::{CreateBody, PatchBody};
pub(super) use self::request::{NestedBody, refusal};
use super::auth::{AdminCaller, WebhookCaller};
use super::body::Body;
use super::error::{ApiError, ErrorBody};
use super::path::PathPart;
use crate::app::App;
use crate::domain::call;
use crate::domain::caller::Caller;
use crate::domain::identity::{CallAction, DefaultAction, FilterMode, IncomingCall, NumberKind, PhoneNumber};
use crate::domain::time::TimeMs;
use crate::store::phone_numbers::{AddNumber, ChangeNumber};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, patch, delete))
}

/// A phone number.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NumberBody {
    #[schema(value_type = uuid::Uuid)]
    id: PhoneNumberId,
    /// E.164.
    number: String,
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: NumberKind,
    /// `active`.
    status: &'static str,
    /// `ready`: texts of this number are published by whoever carries them.
    sms_status: &'static str,
    sms_error_code: Option<String>,
    sms_error_detail: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    sms_ready_at: TimeMs,
    #[schema(value_type = String)]
    incoming_call_action: CallAction,
    client_websocket_url: Option<String>,
    incoming_call_webhook_url: Option<String>,
    /// Asked when the webhook fails or is late.
    incoming_call_fallback_url: Option<String>,
    /// What becomes of a call when nobody gave a usable answer: `reject` or `answer`.
    #[schema(value_type = String)]
    incoming_call_default_action: DefaultAction,
    /// How long all the asking may take.
    incoming_call_timeout_ms: u64,
    forwarding_target_type: Value,
    forwarding_phone_number: Value,
    forwarding_sip_uri: Value,
    #[schema(value_type = String)]
    filter_mode: FilterMode,
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<&'static str>,
    #[schema(value_type = uuid::Uuid)]
    agent_identity_id: IdentityId,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    #[schema(value_type = String, format = DateTime)]
    updated_at: TimeMs,
}

impl From<PhoneNumber> for NumberBody {
    fn from(number: PhoneNumber) -> Self {
        let setting = |name: &str| number.settings.get(name).cloned().unwrap_or_default();
        Self {
            id: number.id,
            kind: number.kind,
            status: "active",
            sms_status: "ready",
            sms_error_code: None,
            sms_error_detail: None,
            sms_ready_at: number.created_at,
            incoming_call_action: number.incoming_call.action,
            incoming_call_default_action: number.incoming_call.default_action,
            incoming_call_timeout_ms: timeout_ms(&number.incoming_call),
            forwarding_target_type: setting("forwarding_target_type"),
            forwarding_phone_number: setting("forwarding_phone_number"),
            forwarding_sip_uri: setting("forwarding_sip_uri"),
            client_websocket_url: number.incoming_call.client_websocket_url,
            incoming_call_webhook_url: number.incoming_call.webhook_url,
            incoming_call_fallback_url: number.incoming_call.fallback_url,
            filter_mode: number.filter_mode,
            state: number.state,
            country: number.number.starts_with("+1").then_some("US"),
            agent_identity_id: number.identity_id,
            created_at: number.created_at,
            updated_at: number.updated_at,
            number: number.number,
        }
    }
}

/// How long the asking about a call may take.
pub(super) fn timeout_ms(rule: &IncomingCall) -> u64 {
    u64::try_from(call::time(rule).as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn not_found() -> ApiError {
    ApiError::not_found("phone number")
}

/// Makes a number for an identity: the one that is asked for, or a free one.
#[utoipa::path(post, path = "/api/v1/phone/numbers", tag = "phone numbers", request_body = CreateBody,
    responses((status = 201, body = NumberBody),
        (status = 409, description = "The identity has a number, the number is taken, or none is free.",
            body = ErrorBody)))]
async fn create(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    Body(body): Body<CreateBody>,
) -> Result<(StatusCode, Json<NumberBody>), ApiError> {
    let (handle, new) = body.checked()?;
    match app.store.create_phone_number(caller.scope(), handle, new).await? {
        AddNumber::Added(number) => Ok((StatusCode::CREATED, Json(NumberBody::from(*number)))),
        refused => Err(refusal(&[], &refused)),
    }
}

/// The numbers that this key can see, oldest first.
#[utoipa::path(get, path = "/api/v1/phone/numbers", tag = "phone numbers",
    responses((status = 200, body = Vec<NumberBody>)))]
async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<NumberBody>>, ApiError> {
    let numbers = app.store.phone_numbers(caller.scope()).await?;
    Ok(Json(numbers.into_iter().map(NumberBody::from).collect()))
}

/// One number.
#[utoipa::path(get, path = "/api/v1/phone/numbers/{phone_number_id}", tag = "phone numbers",
    params(("phone_number_id" = uuid::Uuid, Path)), responses((status = 200, body = NumberBody)))]
async fn get(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart<PhoneNumberId>,
) -> Result<Json<NumberBody>, ApiError> {
    let number = app.store.phone_number(caller.scope(), id).await?;
    number.map(|number| Json(NumberBody::from(number))).ok_or_else(not_found)
}

/// Changes what happens to a number's incoming calls.
#[utoipa::path(patch, path = "/api/v1/phone/numbers/{phone_number_id}", tag = "phone numbers",
    params(("phone_number_id" = uuid::Uuid, Path)), request_body = PatchBody,
    responses((status = 200, body = NumberBody)))]
async fn patch(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    PathPart(id): PathPart<PhoneNumberId>,
    Body(body): Body<PatchBody>,
) -> Result<Json<NumberBody>, ApiError> {
    if body.is_for_admins() && !caller.is_admin() {
        return Err(ApiError::forbidden("only an admin key may change filter_mode"));
    }
    let change = match body.checked(app.egress.policy()) {
        Ok(change) => change,
        // A rule's refusal is for those who can see the number.
        Err(refusal) => {
            let seen = app.store.phone_number(caller.scope(), id).await?;
            return Err(if seen.is_some() { refusal } else { not_found() });
        }
    };
    match app.store.change_phone_number(caller.scope(), id, change).await? {
        ChangeNumber::Changed(number) => Ok(Json(NumberBody::from(*number))),
        ChangeNumber::NotFound => Err(not_found()),
        ChangeNumber::Incomplete(lacks) => Err(ApiError::invalid(lacks.field(), lacks.to_string())),
    }
}

/// Deletes a number with the subscriptions attached to it. It stays reserved for its organisation.
#[utoipa::path(delete, path = "/api/v1/phone/numbers/{phone_number_id}", tag = "phone numbers",
    params(("phone_number_id" = uuid::Uuid, Path)), responses((status = 204)))]
async fn delete(
    State(app): State<App>,
    AdminCaller(caller): AdminCaller,
    PathPart(id): PathPart<PhoneNumberId>,
) -> Result<StatusCode, ApiError> {
    let deleted = app.store.delete_phone_number(caller.scope(), id).await?;
    if deleted {
        app.bells.tidy.ring();
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(not_found())
    }
}

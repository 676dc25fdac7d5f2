//! `/api/v1/phone/incoming-call-action`: what an identity says of its incoming calls.
//!
//! The same record as the fields of its number. A PUT replaces the two URLs that clients have always sent, so one that
//! leaves them out clears them; what was added later is kept when it is left out.

use axum::Json;
use axum::extract::State;
use inkhook_wire::id::IdentityId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::WebhookCaller;
use super::body::{Body, Patch, Query};
use super::error::{ApiError, ErrorBody};
use super::phone_numbers::{CallFields, timeout_ms};
use crate::app::App;
use crate::domain::caller::{Caller, Role};
use crate::domain::identity::{CallAction, DefaultAction};
use crate::store::call_rules::{CallRule, FindRule, SetRule};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, put))
}

/// Whose record.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Whose {
    /// An agent key may leave it out and mean its own identity; no other key may.
    #[param(value_type = Option<uuid::Uuid>)]
    agent_identity_id: Option<IdentityId>,
}

/// What is to happen to an identity's calls.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PutBody {
    /// An agent key may leave it out and mean its own identity; no other key may.
    #[schema(value_type = Option<uuid::Uuid>)]
    agent_identity_id: Option<IdentityId>,
    /// `auto_accept`, `auto_reject`, `webhook`; `hosted_agent` and `forward` are stored and decline.
    #[schema(value_type = String)]
    incoming_call_action: CallAction,
    /// Cleared when left out.
    client_websocket_url: Option<String>,
    /// Cleared when left out.
    incoming_call_webhook_url: Option<String>,
    /// Asked when the webhook fails or is late. Kept when left out, as all that follows.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    incoming_call_fallback_url: Patch<String>,
    /// What becomes of a call when nobody gave a usable answer: `reject`, or `answer`, which needs a
    /// `client_websocket_url`. Null: `reject`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    incoming_call_default_action: Patch<DefaultAction>,
    /// How long all the asking may take: 500 to 15,000. Null: 5,000.
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    incoming_call_timeout_ms: Patch<u32>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    forwarding_target_type: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    forwarding_phone_number: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    forwarding_sip_uri: Patch<String>,
}

/// What happens to an identity's calls.
#[derive(Debug, Serialize, ToSchema)]
struct RuleBody {
    #[schema(value_type = uuid::Uuid)]
    agent_identity_id: IdentityId,
    #[schema(value_type = String)]
    incoming_call_action: CallAction,
    client_websocket_url: Option<String>,
    incoming_call_webhook_url: Option<String>,
    incoming_call_fallback_url: Option<String>,
    /// `reject` or `answer`.
    #[schema(value_type = String)]
    incoming_call_default_action: DefaultAction,
    incoming_call_timeout_ms: u64,
    forwarding_target_type: Value,
    forwarding_phone_number: Value,
    forwarding_sip_uri: Value,
}

impl From<CallRule> for RuleBody {
    fn from(found: CallRule) -> Self {
        let setting = |name: &str| found.settings.get(name).cloned().unwrap_or_default();
        Self {
            agent_identity_id: found.identity_id,
            incoming_call_action: found.rule.action,
            incoming_call_default_action: found.rule.default_action,
            incoming_call_timeout_ms: timeout_ms(&found.rule),
            forwarding_target_type: setting("forwarding_target_type"),
            forwarding_phone_number: setting("forwarding_phone_number"),
            forwarding_sip_uri: setting("forwarding_sip_uri"),
            client_websocket_url: found.rule.client_websocket_url,
            incoming_call_webhook_url: found.rule.webhook_url,
            incoming_call_fallback_url: found.rule.fallback_url,
        }
    }
}

/// The identity that is meant. `place` is where it can be named.
fn whose(caller: &Caller, named: Option<IdentityId>, place: &str) -> Result<IdentityId, ApiError> {
    match (caller.role, named) {
        (Role::Agent { identity, .. }, Some(named)) if named != identity => {
            Err(ApiError::forbidden("this key may name its own identity only"))
        }
        (Role::Agent { identity, .. }, _) => Ok(identity),
        (Role::Admin, Some(named)) => Ok(named),
        (Role::Admin, None) => {
            let loc = vec![place.into(), "agent_identity_id".into()];
            Err(ApiError::invalid_at(loc, "is needed with a key that is not an agent's own", "missing"))
        }
    }
}

fn no_identity() -> ApiError {
    ApiError::not_found("agent identity")
}

/// What happens to an identity's incoming calls.
#[utoipa::path(get, path = "/api/v1/phone/incoming-call-action", tag = "incoming calls", params(Whose),
    responses((status = 200, body = RuleBody),
        (status = 404, description = "No such identity, or one that has no number and has said nothing.",
            body = ErrorBody)))]
async fn get(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    Query(query): Query<Whose>,
) -> Result<Json<RuleBody>, ApiError> {
    let identity = whose(&caller, query.agent_identity_id, "query")?;
    match app.store.call_rule(caller.scope(), identity).await? {
        FindRule::Found(rule) => Ok(Json(RuleBody::from(*rule))),
        FindRule::NotSet => Err(ApiError::not_found("incoming call action")),
        FindRule::IdentityNotFound => Err(no_identity()),
    }
}

/// Says what happens to an identity's incoming calls, with a number or before it has one.
#[utoipa::path(put, path = "/api/v1/phone/incoming-call-action", tag = "incoming calls", request_body = PutBody,
    responses((status = 200, body = RuleBody)))]
async fn put(
    State(app): State<App>,
    WebhookCaller(caller): WebhookCaller,
    Body(body): Body<PutBody>,
) -> Result<Json<RuleBody>, ApiError> {
    let identity = whose(&caller, body.agent_identity_id, "body")?;
    let replaced = |given: Option<String>| given.map_or(Patch::Clear, Patch::Set);
    let fields = CallFields {
        action: Some(body.incoming_call_action),
        client_websocket_url: replaced(body.client_websocket_url),
        webhook_url: replaced(body.incoming_call_webhook_url),
        fallback_url: body.incoming_call_fallback_url,
        default_action: body.incoming_call_default_action,
        timeout_ms: body.incoming_call_timeout_ms,
        forwarding_target_type: body.forwarding_target_type,
        forwarding_phone_number: body.forwarding_phone_number,
        forwarding_sip_uri: body.forwarding_sip_uri,
    };
    let (change, settings) = match fields.checked(&[], app.egress.policy()) {
        Ok(checked) => checked,
        // A rule's refusal is for those who can see the identity.
        Err(refusal) => {
            let seen = app.store.call_rule(caller.scope(), identity).await?;
            return Err(if seen == FindRule::IdentityNotFound { no_identity() } else { refusal });
        }
    };
    match app.store.set_call_rule(caller.scope(), identity, change, settings).await? {
        SetRule::Set(rule) => Ok(Json(RuleBody::from(*rule))),
        SetRule::IdentityNotFound => Err(no_identity()),
        SetRule::Incomplete(lacks) => Err(ApiError::invalid(lacks.field(), lacks.to_string())),
    }
}

//! What may be asked about a number, and how it is refused.

use inkhook_egress::Policy;
use serde::Deserialize;
use utoipa::ToSchema;

use super::call_fields::CallFields;
use crate::api::body::Patch;
use crate::api::error::{ApiError, quote};
use crate::api::known;
use crate::domain::identity::{CallAction, DefaultAction, FilterMode, IncomingCall, NumberKind, Settings};
use crate::domain::names;
use crate::domain::phone_number;
use crate::store::phone_numbers::{AddNumber, NewPhoneNumber, NumberChange};

/// A number for an identity that is there.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    /// Whose number it will be.
    agent_handle: String,
    /// `local` (the default) or `toll_free`.
    #[serde(default, rename = "type")]
    #[schema(value_type = Option<String>)]
    kind: Option<NumberKind>,
    /// A US state's two letters, for a local number.
    state: Option<String>,
    /// This number, E.164: area code + 555-01xx, or one that the operator gave to the organisation. Any
    /// free one when left out.
    number: Option<String>,
}

/// A number for an identity that is being made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct NestedBody {
    /// `local` (the default) or `toll_free`.
    #[serde(default, rename = "type")]
    #[schema(value_type = Option<String>)]
    kind: Option<NumberKind>,
    /// A US state's two letters, for a local number.
    state: Option<String>,
    /// This number, E.164; any free one when left out.
    number: Option<String>,
    /// `auto_reject` when left out.
    #[schema(value_type = Option<String>)]
    incoming_call_action: Option<CallAction>,
    client_websocket_url: Option<String>,
    incoming_call_webhook_url: Option<String>,
    /// Asked when the webhook fails or is late.
    incoming_call_fallback_url: Option<String>,
    /// What becomes of a call when nobody gave a usable answer: `reject` when left out, or `answer`.
    #[schema(value_type = Option<String>)]
    incoming_call_default_action: Option<DefaultAction>,
    /// How long all the asking may take: 500 to 15,000, 5,000 when left out.
    incoming_call_timeout_ms: Option<u32>,
    forwarding_target_type: Option<String>,
    forwarding_phone_number: Option<String>,
    forwarding_sip_uri: Option<String>,
}

/// A change of a number; what is left out stays, null clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    #[schema(value_type = Option<String>)]
    incoming_call_action: Option<CallAction>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    client_websocket_url: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    incoming_call_webhook_url: Patch<String>,
    /// Asked when the webhook fails or is late.
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
    /// Needs an admin key.
    #[schema(value_type = Option<String>)]
    filter_mode: Option<FilterMode>,
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

impl CreateBody {
    /// The handle, and the number to be made for it.
    pub(super) fn checked(self) -> Result<(String, NewPhoneNumber), ApiError> {
        let handle = names::handle(&self.agent_handle);
        let handle = handle.map_err(|_| ApiError::not_found("agent identity"))?;
        let call = IncomingCall::default();
        let new = new_number(&[], self.kind, self.state, self.number, call, Settings::new())?;
        Ok((handle, new))
    }
}

impl NestedBody {
    /// The number to be made; `place` is where the object stands in the body.
    pub(in crate::api) fn checked(self, place: &[&str], policy: &Policy) -> Result<NewPhoneNumber, ApiError> {
        fn patch<T>(given: Option<T>) -> Patch<T> {
            given.map_or(Patch::Keep, Patch::Set)
        }
        let fields = CallFields {
            action: self.incoming_call_action,
            client_websocket_url: patch(self.client_websocket_url),
            webhook_url: patch(self.incoming_call_webhook_url),
            fallback_url: patch(self.incoming_call_fallback_url),
            default_action: patch(self.incoming_call_default_action),
            timeout_ms: patch(self.incoming_call_timeout_ms),
            forwarding_target_type: patch(self.forwarding_target_type),
            forwarding_phone_number: patch(self.forwarding_phone_number),
            forwarding_sip_uri: patch(self.forwarding_sip_uri),
        };
        let (change, settings) = fields.checked(place, policy)?;
        let call = change.applied(IncomingCall::default());
        phone_number::check(&call)
            .map_err(|lacks| known::at(&[place, &[lacks.field()]].concat(), lacks.to_string(), "invalid"))?;
        new_number(place, self.kind, self.state, self.number, call, settings)
    }
}

impl PatchBody {
    /// Whether only an admin key may ask for this.
    pub(super) fn is_for_admins(&self) -> bool {
        self.filter_mode.is_some()
    }

    /// The change.
    pub(super) fn checked(self, policy: &Policy) -> Result<NumberChange, ApiError> {
        let fields = CallFields {
            action: self.incoming_call_action,
            client_websocket_url: self.client_websocket_url,
            webhook_url: self.incoming_call_webhook_url,
            fallback_url: self.incoming_call_fallback_url,
            default_action: self.incoming_call_default_action,
            timeout_ms: self.incoming_call_timeout_ms,
            forwarding_target_type: self.forwarding_target_type,
            forwarding_phone_number: self.forwarding_phone_number,
            forwarding_sip_uri: self.forwarding_sip_uri,
        };
        let (call, settings) = fields.checked(&[], policy)?;
        Ok(NumberChange { call, filter_mode: self.filter_mode, settings })
    }
}

fn new_number(
    place: &[&str],
    kind: Option<NumberKind>,
    state: Option<String>,
    number: Option<String>,
    incoming_call: IncomingCall,
    settings: Settings,
) -> Result<NewPhoneNumber, ApiError> {
    let field = |name| [place, &[name]].concat();
    let state = state.map(|state| state.to_ascii_uppercase());
    if let Some(state) = state.as_deref().filter(|state| !phone_number::is_state(state)) {
        return Err(known::at(&field("state"), format!("{} is not a US state", quote(state)), "invalid"));
    }
    if let Some(number) = number.as_deref().filter(|number| !phone_number::is_e164(number)) {
        let msg = format!("{} is not a number in E.164 form, like +14155550100", quote(number));
        return Err(known::at(&field("number"), msg, "invalid"));
    }
    Ok(NewPhoneNumber { number, kind: kind.unwrap_or(NumberKind::Local), state, incoming_call, settings })
}

/// Why a number was not made.
pub(in crate::api) fn refusal(place: &[&str], refused: &AddNumber) -> ApiError {
    match refused {
        AddNumber::IdentityNotFound => ApiError::not_found("agent identity"),
        AddNumber::HasOne => ApiError::conflict("the identity already has a phone number"),
        AddNumber::Taken => ApiError::conflict("this phone number is taken"),
        AddNumber::NoneFree => ApiError::conflict("no such phone number is free: try another state"),
        AddNumber::NotAllowed => known::at(
            &[place, &["number"]].concat(),
            "only +1, an area code and 5550100 to 5550199 is free to take; any other number the server's \
             operator has to allow",
            "invalid",
        ),
        AddNumber::Added(_) => ApiError::internal(),
    }
}

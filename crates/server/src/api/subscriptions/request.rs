//! What callers send about subscriptions, and how it is checked.

use inkhook_egress::Policy;
use inkhook_wire::event::EventType;
use inkhook_wire::id::{IdentityId, MailboxId, PhoneNumberId};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::delivery::DeliveryShown;
use crate::api::body::{Patch, SecretText};
use crate::api::error::{ApiError, QUOTED_CHARS};
use crate::api::owner::{at_most_one, exactly_one};
use crate::api::url;
use crate::domain::owner::Owner;
use crate::domain::secret::Secret;
use crate::domain::subscription::{
    ContextConfig, DeliveryChange, DeliverySettings, EventTypes, EventTypesRefusal, NewSubscription,
    SubscriptionChange, WebhookUrl, check_auth_token, comparable_url,
};
use crate::store::subscriptions::{OwnerFilter, SubscriptionFilter};

/// A new subscription. Exactly one of the three owners.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    /// Takes `message.*`.
    #[schema(value_type = Option<Uuid>)]
    mailbox_id: Option<MailboxId>,
    /// Takes `text.*`.
    #[schema(value_type = Option<Uuid>)]
    phone_number_id: Option<PhoneNumberId>,
    /// Takes any mix of the catalogue.
    #[schema(value_type = Option<Uuid>)]
    agent_identity_id: Option<IdentityId>,
    /// Where to POST: `https`, a public host, at most 2,048 characters, no user info, no fragment.
    url: String,
    /// Names of the catalogue, none twice; the order is kept.
    #[schema(min_items = 1)]
    event_types: Vec<String>,
    /// How much conversation goes with a received message.
    #[schema(value_type = Option<ContextConfig>)]
    context_config: Option<Value>,
    /// Sent as `Authorization: Bearer`: 1 to 4,096 visible ASCII characters.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 4096)]
    auth_token: Option<SecretText>,
    /// How it is delivered to; what is left out or null is the server's default.
    #[schema(value_type = Option<DeliveryShown>)]
    delivery: Option<Value>,
}

impl CreateBody {
    /// The one owner that is named.
    pub(super) fn owner(&self) -> Result<Owner, ApiError> {
        let owners = (self.mailbox_id, self.phone_number_id, self.agent_identity_id);
        exactly_one(owners)
    }

    /// The rest, if it keeps the rules.
    pub(super) fn checked(self, owner: Owner, policy: &Policy) -> Result<NewSubscription, ApiError> {
        let url = checked_url(self.url, policy)?;
        let event_types = checked_types(&self.event_types)?;
        event_types.check_owner(owner.kind()).map_err(|refusal| refused_types(&refusal))?;
        let context_config = self.context_config.as_ref().map(checked_context).transpose()?;
        let auth_token = self.auth_token.map(checked_token).transpose()?;
        let delivery = self.delivery.as_ref().map(checked_delivery).transpose()?.unwrap_or_default();
        let delivery = delivery.applied(DeliverySettings::default());
        Ok(NewSubscription { owner, url, event_types, context_config, auth_token, delivery })
    }
}

/// What changes; a field left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    /// Another URL; not null.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    url: Patch<String>,
    /// Another list, which replaces the whole; not null.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, min_items = 1)]
    event_types: Patch<Vec<String>>,
    /// Another setting; null for none.
    #[serde(default)]
    #[schema(value_type = Option<ContextConfig>)]
    context_config: Patch<Value>,
    /// Another token; null for none.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 4096)]
    auth_token: Patch<SecretText>,
    /// Other settings: one that is left out stays, one that is null goes back to the default. Null for the
    /// defaults of all.
    #[serde(default)]
    #[schema(value_type = Option<DeliveryShown>)]
    delivery: Patch<Value>,
}

impl PatchBody {
    /// The change, if it keeps the rules that do not depend on the subscription.
    pub(super) fn checked(self, policy: &Policy) -> Result<SubscriptionChange, ApiError> {
        let url = not_null("url", self.url)?.map(|url| checked_url(url, policy)).transpose()?;
        let types = not_null("event_types", self.event_types)?;
        Ok(SubscriptionChange {
            url,
            event_types: types.map(|names| checked_types(&names)).transpose()?,
            context_config: self.context_config.try_map(|value| checked_context(&value))?,
            auth_token: self.auth_token.try_map(checked_token)?,
            delivery: self.delivery.try_map(|value| checked_delivery(&value))?,
        })
    }
}

fn not_null<T>(field: &str, patch: Patch<T>) -> Result<Option<T>, ApiError> {
    match patch {
        Patch::Keep => Ok(None),
        Patch::Clear => Err(ApiError::invalid(field, "must not be null; leave it out to keep it")),
        Patch::Set(value) => Ok(Some(value)),
    }
}

fn checked_url(given: String, policy: &Policy) -> Result<WebhookUrl, ApiError> {
    url::checked("url", given, policy)
}

fn checked_types(names: &[String]) -> Result<EventTypes, ApiError> {
    EventTypes::parse(names).map_err(|refusal| refused_types(&refusal))
}

/// The refusal of a list of event types.
pub(super) fn refused_types(refusal: &EventTypesRefusal) -> ApiError {
    ApiError::invalid("event_types", refusal.to_string())
}

fn checked_context(value: &Value) -> Result<ContextConfig, ApiError> {
    ContextConfig::parse(value).map_err(|refusal| {
        let parts = refusal.path.iter().map(|part| part.chars().take(QUOTED_CHARS).collect());
        let loc = ["body".into(), "context_config".into()].into_iter().chain(parts).collect();
        ApiError::invalid_at(loc, refusal.reason, "invalid")
    })
}

fn checked_delivery(value: &Value) -> Result<DeliveryChange, ApiError> {
    DeliveryChange::parse(value).map_err(|refusal| {
        let kind = if refusal.is_unknown { "unknown_field" } else { "invalid" };
        let field = refusal.field.map(|field| field.chars().take(QUOTED_CHARS).collect());
        let loc = ["body".into(), "delivery".into()].into_iter().chain(field).collect();
        ApiError::invalid_at(loc, refusal.reason, kind)
    })
}

fn checked_token(SecretText(token): SecretText) -> Result<Secret, ApiError> {
    check_auth_token(&token).map_err(|refusal| ApiError::invalid("auth_token", refusal.to_string()))?;
    Ok(token)
}

/// What narrows a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// One of the three owners at most.
    #[param(value_type = Option<Uuid>)]
    mailbox_id: Option<MailboxId>,
    /// One of the three owners at most.
    #[param(value_type = Option<Uuid>)]
    phone_number_id: Option<PhoneNumberId>,
    /// One of the three owners at most.
    #[param(value_type = Option<Uuid>)]
    agent_identity_id: Option<IdentityId>,
    /// Compared normalised.
    url: Option<String>,
    /// Those that select this type.
    event_type: Option<String>,
    /// Everything of the identity behind the owner.
    #[param(value_type = Option<SubscriptionScope>)]
    scope: Option<SubscriptionScope>,
}

/// How far an owner reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SubscriptionScope {
    /// To everything of its identity.
    Identity,
}

/// Clients that know subscriptions of several channels say so; those of one channel are named the same.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(super) struct ScopeQuery {
    /// Accepted, and without effect: an id names its subscription whatever it selects.
    #[param(value_type = Option<SubscriptionScope>)]
    scope: Option<SubscriptionScope>,
}

impl ListQuery {
    /// The filter, or `None` when nothing can match it.
    pub(super) fn filter(self) -> Result<Option<SubscriptionFilter>, ApiError> {
        let owners = (self.mailbox_id, self.phone_number_id, self.agent_identity_id);
        let owner = at_most_one("query", owners)?.map(|owner| match self.scope {
            Some(SubscriptionScope::Identity) => OwnerFilter::IdentityOf(owner),
            None => OwnerFilter::Exactly(owner),
        });
        let url_normalized = self.url.as_deref().map(comparable_url);
        let event_type = self.event_type.as_deref().map(EventType::parse);
        if url_normalized == Some(None) || event_type == Some(None) {
            return Ok(None);
        }
        let (url_normalized, event_type) = (url_normalized.flatten(), event_type.flatten());
        Ok(Some(SubscriptionFilter { owner, url_normalized, event_type }))
    }
}

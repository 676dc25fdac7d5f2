//! What callers see of subscriptions.

use inkhook_wire::event::EventType;
use inkhook_wire::id::OrganizationId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::subscriptions::delivery::DeliveryShown;
use crate::domain::owner::Owner;
use crate::domain::secret::Secret;
use crate::domain::subscription::{ContextConfig, Subscription};
use crate::domain::time::TimeMs;

/// A subscription. All three owner keys are there: the one that was named when it was made is not null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(super) struct Shown {
    id: Uuid,
    organization_id: String,
    mailbox_id: Option<Uuid>,
    phone_number_id: Option<Uuid>,
    agent_identity_id: Option<Uuid>,
    /// The identity behind the owner.
    owner_identity_id: Uuid,
    /// As it was given.
    url: String,
    /// In the order given.
    #[schema(value_type = Vec<String>)]
    event_types: Vec<EventType>,
    /// Always `active`: a deleted subscription is not shown.
    status: &'static str,
    context_config: Option<ContextConfig>,
    has_auth_token: bool,
    /// In clear: whoever can see the subscription may read it.
    auth_token: Option<String>,
    delivery: DeliveryShown,
    /// `healthy`; `failing`: the last five attempts or more failed, and one delivery at a time is tried while
    /// the others wait; `paused`: nothing is sent.
    health: &'static str,
    /// Attempts that failed since the last one that succeeded; those made by hand are not counted.
    consecutive_failures: u32,
    /// As far as a second.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_success_at: Option<TimeMs>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_failure_at: Option<TimeMs>,
    /// Deliveries are held since then; null: they are not.
    #[schema(value_type = Option<String>, format = DateTime)]
    paused_at: Option<TimeMs>,
    /// `by_hand`; `gone`: the receiver answered 410; `failing`: nothing but failures for five days.
    pause_reason: Option<&'static str>,
    #[schema(value_type = String, format = DateTime)]
    created_at: TimeMs,
    #[schema(value_type = String, format = DateTime)]
    updated_at: TimeMs,
}

impl Shown {
    pub(super) fn new(organization: OrganizationId, subscription: Subscription) -> Self {
        let (owner, health) = (subscription.owner, subscription.health);
        let is = |named: bool| named.then(|| owner.uuid());
        Self {
            id: subscription.id.as_uuid(),
            organization_id: organization.to_string(),
            mailbox_id: is(matches!(owner, Owner::Mailbox(_))),
            phone_number_id: is(matches!(owner, Owner::PhoneNumber(_))),
            agent_identity_id: is(matches!(owner, Owner::Identity(_))),
            owner_identity_id: subscription.identity_id.as_uuid(),
            url: subscription.url.given,
            event_types: subscription.event_types.iter().collect(),
            status: "active",
            context_config: subscription.context_config,
            has_auth_token: subscription.auth_token.is_some(),
            auth_token: subscription.auth_token.map(|token| token.expose().to_owned()),
            delivery: subscription.delivery.into(),
            health: match subscription.paused {
                Some(_) => "paused",
                None if health.is_failing => "failing",
                None => "healthy",
            },
            consecutive_failures: health.consecutive_failures,
            last_success_at: health.last_success_at,
            last_failure_at: health.last_failure_at,
            paused_at: subscription.paused.map(|(since, _)| since),
            pause_reason: subscription.paused.map(|(_, reason)| reason.as_str()),
            created_at: subscription.created_at,
            updated_at: subscription.updated_at,
        }
    }
}

/// A subscription that was just made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedSubscription)]
pub(super) struct Created {
    #[serde(flatten)]
    #[schema(inline)]
    subscription: Shown,
    /// The identity's first signing key, when this request made it; otherwise null.
    signing_key: Option<String>,
}

impl Created {
    pub(super) fn new(subscription: Shown, signing_key: Option<Secret>) -> Self {
        Self { subscription, signing_key: signing_key.map(|key| key.expose().to_owned()) }
    }
}

/// Subscriptions, newest first.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = SubscriptionList)]
pub(super) struct Listed {
    pub(super) subscriptions: Vec<Shown>,
}

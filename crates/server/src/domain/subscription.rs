//! A subscription: one owner, one URL, some event types; and the rules that it has to keep.
//!
//! The rules are checked here from values alone. Whether the URL may be reached is the egress policy's
//! business; whether a subscription collides with another is found out in the store's transaction, with
//! the predicate [`EventTypes::overlaps`].

use inkhook_wire::event::{EventType, OwnerKind};
use inkhook_wire::id::{IdentityId, SubscriptionId};

use super::number::SubscriptionNo;
use super::owner::Owner;
use super::patch::Patch;
use super::secret::Secret;
use super::time::TimeMs;

mod context;
mod delivery_settings;
mod event_types;

pub use context::{ClassContext, ContextConfig, ContextRefusal, MAX_CONTEXT_COUNT, MAX_CONTEXT_HOURS};
pub use delivery_settings::{
    DeliveryChange, DeliveryRefusal, DeliverySettings, IN_FLIGHT, MAX_WAITS, Ordering, PER_SECOND,
    TIMEOUT_MS, WAIT_S,
};
pub use event_types::{EventTypes, EventTypesRefusal};

/// Active subscriptions that one owner may have.
pub const MAX_ACTIVE_PER_OWNER: usize = 20;
/// Characters of an auth token.
pub const MAX_AUTH_TOKEN_CHARS: usize = 4_096;

/// A subscription as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its row.
    pub no: SubscriptionNo,
    /// Its public id.
    pub id: SubscriptionId,
    /// The owner that was named when it was made.
    pub owner: Owner,
    /// The identity behind that owner.
    pub identity_id: IdentityId,
    /// Where to POST, in both forms.
    pub url: WebhookUrl,
    /// What it selects.
    pub event_types: EventTypes,
    /// How much conversation goes with a received message.
    pub context_config: Option<ContextConfig>,
    /// Sent as `Authorization: Bearer`.
    pub auth_token: Option<Secret>,
    /// How it is delivered to.
    pub delivery: DeliverySettings,
    /// Held since when, and why; none while it delivers.
    pub paused: Option<(TimeMs, PauseReason)>,
    /// How its receiver does.
    pub health: HealthView,
    /// When it was made.
    pub created_at: TimeMs,
    /// When it was last changed.
    pub updated_at: TimeMs,
}

impl Subscription {
    /// Whether anything is to go with a received message.
    #[must_use]
    pub fn asks_for_context(&self) -> bool {
        self.context_config.as_ref().is_some_and(|config| *config != ContextConfig::default())
    }
}

/// What is shown of a subscription's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HealthView {
    /// It is being probed: its last attempts failed.
    pub is_failing: bool,
    /// Attempts that failed since the last one that succeeded.
    pub consecutive_failures: u32,
    /// When an attempt succeeded last, as far as a second.
    pub last_success_at: Option<TimeMs>,
    /// When an attempt failed last.
    pub last_failure_at: Option<TimeMs>,
}

/// Why a subscription is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// The receiver answered 410 Gone.
    Gone,
    /// Somebody paused it.
    ByHand,
    /// Nothing but failures for days.
    Failing,
}

impl PauseReason {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::ByHand => "by_hand",
            Self::Failing => "failing",
        }
    }

    /// Reads [`PauseReason::as_str`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Gone, Self::ByHand, Self::Failing].into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A URL in the form in which it was given and the form in which two are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    /// What is stored and shown.
    pub given: String,
    /// What is compared.
    pub normalized: String,
}

/// What the form is in which `text` would be compared, if it is a URL at all. Makes no judgement: for
/// finding subscriptions, not for making them.
#[must_use]
pub fn comparable_url(text: &str) -> Option<String> {
    url::Url::parse(text).ok().map(String::from)
}

/// What is asked for by a create, already checked.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// What it is attached to.
    pub owner: Owner,
    /// Where to POST.
    pub url: WebhookUrl,
    /// What it selects; fits the owner.
    pub event_types: EventTypes,
    /// How much conversation goes with a received message.
    pub context_config: Option<ContextConfig>,
    /// Sent as `Authorization: Bearer`.
    pub auth_token: Option<Secret>,
    /// How it is delivered to.
    pub delivery: DeliverySettings,
}

/// What a change asks for, already checked but for what depends on the subscription itself.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionChange {
    /// Another URL.
    pub url: Option<WebhookUrl>,
    /// Another list of types, which replaces the whole.
    pub event_types: Option<EventTypes>,
    /// Another context setting, or none.
    pub context_config: Patch<ContextConfig>,
    /// Another auth token, or none.
    pub auth_token: Patch<Secret>,
    /// Other settings of the delivery, or the defaults for all.
    pub delivery: Patch<DeliveryChange>,
}

impl SubscriptionChange {
    /// The subscription with this change.
    #[must_use]
    pub fn applied(self, before: Subscription) -> Subscription {
        Subscription {
            url: self.url.unwrap_or(before.url),
            event_types: self.event_types.unwrap_or(before.event_types),
            context_config: self.context_config.applied(before.context_config),
            auth_token: self.auth_token.applied(before.auth_token),
            delivery: match self.delivery {
                Patch::Keep => before.delivery,
                Patch::Clear => DeliverySettings::default(),
                Patch::Set(change) => change.applied(before.delivery),
            },
            ..before
        }
    }
}

/// An auth token that cannot be sent in a header, or is too long to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthTokenRefusal {
    /// Nothing in it.
    #[error("must have at least 1 character")]
    Empty,
    /// More than [`MAX_AUTH_TOKEN_CHARS`].
    #[error("must have at most {MAX_AUTH_TOKEN_CHARS} characters")]
    TooLong,
    /// A space, a control character or something beyond ASCII.
    #[error("must consist of visible ASCII characters, without spaces")]
    NotVisibleAscii,
}

/// Whether `token` can be sent as `Authorization: Bearer`.
///
/// # Errors
/// It is empty, too long, or has a character that is not visible ASCII.
pub fn check_auth_token(token: &Secret) -> Result<(), AuthTokenRefusal> {
    let text = token.expose();
    if text.is_empty() {
        Err(AuthTokenRefusal::Empty)
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err(AuthTokenRefusal::NotVisibleAscii)
    } else if text.len() > MAX_AUTH_TOKEN_CHARS {
        Err(AuthTokenRefusal::TooLong)
    } else {
        Ok(())
    }
}

/// The kinds of owner on which a subscription may name this type.
pub fn owner_kinds(event_type: EventType) -> impl Iterator<Item = OwnerKind> {
    OwnerKind::ALL.into_iter().filter(move |kind| event_type.subscribable_on(*kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), AuthTokenRefusal> {
        check_auth_token(&Secret::new(text.to_owned()))
    }

    #[test]
    fn a_token_is_visible_ascii_within_its_bound() {
        assert_eq!(check("t"), Ok(()));
        assert_eq!(check("!~"), Ok(()));
        assert_eq!(check(&"t".repeat(MAX_AUTH_TOKEN_CHARS)), Ok(()));
        assert_eq!(check(&"t".repeat(MAX_AUTH_TOKEN_CHARS + 1)), Err(AuthTokenRefusal::TooLong));
        assert_eq!(check(""), Err(AuthTokenRefusal::Empty));
        for text in ["a b", " a", "a\r\nX-Evil: 1", "a\0", "a\u{7f}", "é", "a\tb"] {
            assert_eq!(check(text), Err(AuthTokenRefusal::NotVisibleAscii), "{text:?}");
        }
    }

    #[test]
    fn pause_reasons_read_back() {
        for reason in [PauseReason::Gone, PauseReason::ByHand, PauseReason::Failing] {
            assert_eq!(PauseReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(PauseReason::parse("other"), None);
    }

    #[test]
    fn urls_compare_by_host_case_port_and_empty_path_only() {
        let same = |left: &str, right: &str| comparable_url(left) == comparable_url(right);
        assert!(same("https://Hooks.Example.com", "https://hooks.example.com:443/"));
        assert!(!same("https://hooks.example.com/a", "https://hooks.example.com/A"));
        assert!(!same("https://hooks.example.com/a", "https://hooks.example.com/a/"));
        assert!(!same("https://hooks.example.com/?a=1", "https://hooks.example.com/"));
        assert_eq!(comparable_url("not a url"), None);
    }

    #[test]
    fn every_type_but_the_incoming_call_can_be_selected_on_an_identity() {
        for event_type in EventType::ALL {
            let identity = owner_kinds(*event_type).any(|kind| kind == OwnerKind::Identity);
            assert_eq!(identity, *event_type != EventType::PhoneIncomingCall, "{event_type}");
        }
    }
}

//! Operational events: what an organisation is told about its own subscriptions, in the shape of any other
//! event but to a URL of the organisation's own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::id::{EventId, OrganizationId, RequestId, SubscriptionId};
use serde::{Deserialize, Serialize};

use super::number::OrganizationNo;
use super::signing::Signer;
use super::time::TimeMs;

/// One of a kind is told about a subscription in this time; what happens meanwhile is told together.
pub const COALESCED: Duration = Duration::from_mins(10);
/// Characters of an error that are told.
pub const ERROR_CHARS: usize = 1_000;

/// What an operational event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertKind {
    /// A subscription's attempts fail; it is only probed now.
    SubscriptionFailing,
    /// It works again.
    SubscriptionRecovered,
    /// It is held: given up, 410, or by hand.
    SubscriptionPaused,
    /// A delivery ended without success and is not tried again.
    DeliveryExhausted,
    /// A delivery was held for so long that it ended.
    DeliveryHeldTooLong,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SubscriptionFailing,
        Self::SubscriptionRecovered,
        Self::SubscriptionPaused,
        Self::DeliveryExhausted,
        Self::DeliveryHeldTooLong,
    ];

    /// The public word: its `event_type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SubscriptionFailing => "subscription.failing",
            Self::SubscriptionRecovered => "subscription.recovered",
            Self::SubscriptionPaused => "subscription.paused",
            Self::DeliveryExhausted => "delivery.exhausted",
            Self::DeliveryHeldTooLong => "delivery.held_too_long",
        }
    }

    /// The integer in the store.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::SubscriptionFailing => 1,
            Self::SubscriptionRecovered => 2,
            Self::SubscriptionPaused => 3,
            Self::DeliveryExhausted => 4,
            Self::DeliveryHeldTooLong => 5,
        }
    }

    /// Reads [`AlertKind::code`] back.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// What is told besides the kind; whatever does not apply is null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertDetail {
    /// The event whose delivery it was.
    pub event_id: Option<EventId>,
    /// That event's type.
    pub event_type: Option<EventType>,
    /// The wire's name of the delivery.
    pub request_id: Option<RequestId>,
    /// Why: a word.
    pub reason: Option<String>,
    /// Attempts made for the delivery.
    pub attempts: Option<u32>,
    /// Failures of the subscription in a row.
    pub consecutive_failures: Option<u32>,
    /// What the receiver answered last.
    pub response_status: Option<u16>,
    /// What went wrong last, in a sentence; cut at [`ERROR_CHARS`].
    pub error_detail: Option<String>,
}

/// The body of an operational event.
#[derive(Debug, Serialize)]
pub struct AlertPayload<'a> {
    /// The same over all attempts.
    pub id: EventId,
    /// The kind's word.
    pub event_type: &'static str,
    /// When it happened; of several, the newest.
    pub timestamp: TimeMs,
    /// See there.
    pub data: AlertData<'a>,
}

/// The `data` of an operational event.
#[derive(Debug, Serialize)]
pub struct AlertData<'a> {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// What it is about.
    pub subscription_id: SubscriptionId,
    /// Where that subscription pointed.
    pub url: &'a str,
    /// How often it happened since the one before.
    pub count: u32,
    /// Of the newest time.
    #[serde(flatten)]
    pub detail: &'a AlertDetail,
}

/// A claim: the right to send one operational event once, until the lease ends.
#[derive(Debug, Clone)]
pub struct ClaimedAlert {
    /// Its row.
    pub no: i64,
    /// The fence.
    pub claim_no: u32,
    /// When, schedule time.
    pub claimed_at: TimeMs,
    /// After this schedule time another claim may take it.
    pub lease_until: TimeMs,
    /// Its id.
    pub id: EventId,
    /// The same, as the signature wants it.
    pub request_id: RequestId,
    /// 1 for the first attempt.
    pub attempt_no: u32,
    /// Failures so far.
    pub failures: u32,
    /// An earlier attempt may have been received.
    pub maybe_received: bool,
    /// Whose it is.
    pub organization: OrganizationNo,
    /// Raised with URL and key; the gate compares it.
    pub generation: u64,
    /// Where it goes.
    pub url: String,
    /// Signs the body.
    pub signer: Arc<Signer>,
    /// The body.
    pub payload: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back() {
        for kind in AlertKind::ALL {
            assert_eq!(AlertKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(AlertKind::from_code(0), None);
    }

    #[test]
    fn what_does_not_apply_is_null() {
        let text = serde_json::to_value(AlertDetail::default()).expect("JSON");
        assert!(text.as_object().expect("an object").values().all(serde_json::Value::is_null));
        assert_eq!(serde_json::from_str::<AlertDetail>("{}").expect("it reads"), AlertDetail::default());
    }
}

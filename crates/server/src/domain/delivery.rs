//! A delivery: one event on its way to one subscription.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::id::{EventId, RequestId, SubscriptionId};

use super::context::{self, ContextWish};
use super::number::{DeliveryNo, OrganizationNo, Seq, SubscriptionNo, UrlNo};
use super::retry::RetrySchedule;
use super::secret::Secret;
use super::signing::Signer;
use super::slots::Slot;
use super::subscription::{ContextConfig, Ordering};
use super::time::TimeMs;

/// Why a delivery is in the queue; decides which share of the slots it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A first attempt.
    Live,
    /// Failed before.
    Retry,
    /// Put back by a recover job.
    Recover,
    /// Asked for by hand: replay, test. One attempt, never retried.
    Manual,
}

impl Class {
    /// All of them, in the order in which they are claimed.
    pub const ALL: [Self; 4] = [Self::Manual, Self::Live, Self::Retry, Self::Recover];

    /// The integer in the store.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Live => 1,
            Self::Retry => 2,
            Self::Recover => 3,
            Self::Manual => 4,
        }
    }

    /// Reads [`Class::code`] back.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Waiting for its first or next attempt.
    Queued,
    /// An attempt is under way.
    Delivering,
    /// Ended: a receiver answered 2xx.
    Succeeded,
    /// Ended: no attempt is left.
    Exhausted,
    /// Ended: the subscription was deleted or stopped selecting the type.
    Cancelled,
    /// Ended: too late to be of use.
    Expired,
}

impl State {
    /// The public word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivering => "delivering",
            Self::Succeeded => "succeeded",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Reads the integer of an ended delivery.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        match code {
            1 => Some(Self::Succeeded),
            2 => Some(Self::Exhausted),
            3 => Some(Self::Cancelled),
            4 => Some(Self::Expired),
            _ => None,
        }
    }
}

/// How a delivery ended, and why when that needs a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// A receiver answered 2xx.
    Succeeded,
    /// The schedule is used up.
    OutOfAttempts,
    /// The receiver answered 410.
    Gone,
    /// Too many attempts whose outcome nobody knows.
    Lost,
    /// The subscription was deleted.
    SubscriptionDeleted,
    /// The subscription no longer selects the event's type.
    TypeNotSelected,
    /// The operator cancelled it.
    CancelledByOperator,
    /// The operator moved it to another subscription, where its event has a delivery of its own.
    Moved,
    /// The event's `expires_at` passed.
    EventExpired,
    /// Its subscription was paused for longer than deliveries are held.
    HeldTooLong,
}

impl End {
    /// The integer of the state.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Succeeded => 1,
            Self::OutOfAttempts | Self::Gone | Self::Lost => 2,
            Self::SubscriptionDeleted | Self::TypeNotSelected | Self::CancelledByOperator | Self::Moved => 3,
            Self::EventExpired | Self::HeldTooLong => 4,
        }
    }

    /// The reason's public word.
    #[must_use]
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Succeeded => None,
            Self::OutOfAttempts => Some("out_of_attempts"),
            Self::Gone => Some("gone"),
            Self::Lost => Some("lost"),
            Self::SubscriptionDeleted => Some("subscription_deleted"),
            Self::TypeNotSelected => Some("event_type_not_selected"),
            Self::CancelledByOperator => Some("cancelled_by_operator"),
            Self::Moved => Some("moved"),
            Self::EventExpired => Some("event_expired"),
            Self::HeldTooLong => Some("held_too_long"),
        }
    }
}

/// A claim: the right to make one attempt, until the lease ends.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which delivery.
    pub delivery: DeliveryNo,
    /// The fence: a settle with another number changes nothing.
    pub claim_no: u32,
    /// After this schedule time another claim may take it.
    pub lease_until: TimeMs,
    /// When the claim was made.
    pub claimed_at: TimeMs,
    /// 1 for the first attempt, unknown ones counted.
    pub attempt_no: u32,
    /// Failures that count in the schedule so far.
    pub failures: u32,
    /// Why it is queued.
    pub class: Class,
    /// Its subscription is failing, and this is the one attempt that finds out whether it still is.
    pub is_probe: bool,
    /// Its own due time, when it is tried before it: a failure then does not move its schedule.
    pub early_for: Option<TimeMs>,
    /// The wire's name of this delivery.
    pub request_id: RequestId,
    /// An earlier attempt may have been received.
    pub maybe_received: bool,
    /// No attempt starts after this.
    pub expires_at: Option<TimeMs>,
    /// An earlier event of its conversation that has not been delivered.
    pub gap: Option<EventId>,
    /// The event.
    pub event: ClaimedEvent,
    /// Where it goes.
    pub target: Arc<DeliveryTarget>,
}

/// A claim and the place that its attempt has.
#[derive(Debug)]
pub struct Leased {
    /// What to attempt.
    pub claimed: Claimed,
    /// Dropped when the attempt has been recorded.
    pub slot: Slot,
}

impl Claimed {
    /// Its event was made for this delivery alone, to see whether the receiver works. Of all deliveries made by
    /// hand only such a one has the acceptance number of its event: a replay has a later one.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.class == Class::Manual && self.delivery.seq() == self.event.seq
    }

    /// What is to be built for it, if nothing is kept for it. Not for a replay: it sends what was sent. Not for what
    /// was accepted before the setting: an attempt may have been made without.
    #[must_use]
    pub fn context_to_build(&self) -> Option<&ContextConfig> {
        let wish = self.target.context_with(self.event.event_type)?;
        let is_due = self.delivery.seq() > wish.since && (self.class != Class::Manual || self.is_test());
        wish.config.as_ref().filter(|_| is_due)
    }
}

/// The part of an event that an attempt needs.
#[derive(Debug, Clone)]
pub struct ClaimedEvent {
    /// Its acceptance number.
    pub seq: Seq,
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// The bytes that are signed and sent.
    pub payload: Bytes,
}

/// A subscription's settings as an attempt uses them.
#[derive(Debug, Clone)]
pub struct DeliveryTarget {
    /// Its row.
    pub subscription: SubscriptionNo,
    /// Its public id.
    pub subscription_id: SubscriptionId,
    /// Whose it is.
    pub organization: OrganizationNo,
    /// Raised by every change; the gate compares it.
    pub generation: u64,
    /// Where to POST.
    pub url: String,
    /// The same, interned.
    pub url_no: UrlNo,
    /// Sent as `Authorization: Bearer`.
    pub auth_token: Option<Secret>,
    /// Signs the body.
    pub signer: Arc<Signer>,
    /// The whole attempt's limit.
    pub timeout: Duration,
    /// The host, as [`super::slots::host_key`] numbers it.
    pub host: u64,
    /// The same for subscriptions without their own.
    pub server_timeout: Duration,
    /// Its own waits between attempts; the server's when there are none.
    pub retry_schedule: Option<RetrySchedule>,
    /// Attempts that it lets begin in a second.
    pub max_per_second: Option<u32>,
    /// Attempts that it lets be under way.
    pub max_in_flight: Option<usize>,
    /// Which of its deliveries wait for each other.
    pub ordering: Ordering,
    /// What is to go with a received message, if it ever asked for that.
    pub context: Option<ContextWish>,
}

impl DeliveryTarget {
    /// What it wants with an event of this type, if that may be more than the event.
    #[must_use]
    pub fn context_with(&self, event_type: EventType) -> Option<&ContextWish> {
        self.context.as_ref().filter(|_| context::goes_with(event_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back() {
        for class in Class::ALL {
            assert_eq!(Class::from_code(class.code()), Some(class));
        }
        assert_eq!(Class::from_code(0), None);
        assert_eq!(State::from_code(End::EventExpired.code()), Some(State::Expired));
        assert_eq!(State::from_code(End::HeldTooLong.code()), Some(State::Expired));
        assert_eq!(State::from_code(End::Gone.code()), Some(State::Exhausted));
        assert_eq!(State::from_code(End::TypeNotSelected.code()), Some(State::Cancelled));
        assert_eq!(State::from_code(0), None);
    }
}

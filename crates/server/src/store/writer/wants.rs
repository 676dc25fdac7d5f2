//! What operations will look at, said before they run.
//!
//! A file costs nothing to look at, so there nobody asks. On a server every look is a round trip: what the
//! operations of a group say here is locked and read for all of them at once ([`ahead`]), and found in the
//! writer's memory when they run. An operation that says nothing runs in a group of its own sort, statement by
//! statement.
//!
//! [`ahead`]: super::ahead

use std::collections::BTreeMap;

use inkhook_wire::event::EventType;

use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::domain::owner::Owner;
use crate::store::accept::DedupeKind;

/// How a subscription is held until the end of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Hold {
    /// Together with others: it stays as it is, and its queue's heads are not raised.
    Shared,
    /// Alone.
    Alone,
}

/// An event of a type that happened to an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::store) struct Publish {
    pub(in crate::store) organization: OrganizationNo,
    pub(in crate::store) owner: Owner,
    pub(in crate::store) event_type: EventType,
}

/// What makes a repeat recognisable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::store) struct Repeat {
    pub(in crate::store) organization: OrganizationNo,
    pub(in crate::store) kind: DedupeKind,
    pub(in crate::store) key: Vec<u8>,
}

/// See the module.
#[derive(Debug, Default, Clone)]
pub(in crate::store) struct Wants {
    pub(in crate::store) publishes: Vec<Publish>,
    pub(in crate::store) repeats: Vec<Repeat>,
    pub(in crate::store) subscriptions: BTreeMap<SubscriptionNo, Hold>,
}

impl Wants {
    /// It is to be held so at least.
    pub(in crate::store) fn hold(&mut self, subscription: SubscriptionNo, hold: Hold) {
        let held = self.subscriptions.entry(subscription).or_insert(hold);
        *held = hold.max(*held);
    }

    pub(in crate::store) fn add(&mut self, other: &Self) {
        self.publishes.extend_from_slice(&other.publishes);
        self.repeats.extend_from_slice(&other.repeats);
        for (subscription, hold) in &other.subscriptions {
            self.hold(*subscription, *hold);
        }
    }
}

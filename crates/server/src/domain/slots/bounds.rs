//! The numbers: how much there is of everything, and what each class is sure of.

use super::super::delivery::Class;

/// Deliveries made by hand that a subscription may have under way beyond its bound: somebody waits for them.
pub const MANUAL_EXTRA: usize = 2;

/// How much of everything there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Attempts in the fast share.
    pub fast: usize,
    /// Attempts in the slow share.
    pub slow: usize,
    /// What a subscription's bound begins with.
    pub first: usize,
    /// What it grows to at most.
    pub per_subscription: usize,
    /// Deliveries of one subscription that may be leased before it has a place for them.
    pub ahead: usize,
    /// Attempts of one subscription in the slow share, at which it may start no more.
    pub slow_per_subscription: usize,
    /// What an organisation may have of either share, in parts of a hundred.
    pub organization_percent: usize,
    /// Attempts of one organisation to one host.
    pub per_target: usize,
    /// Bytes of bodies under way.
    pub body_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            fast: 512,
            slow: 2_048,
            first: 4,
            per_subscription: 64,
            ahead: 128,
            slow_per_subscription: 8,
            organization_percent: 25,
            per_target: 128,
            body_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Bounds {
    /// What one of so many nodes may have under way. Memory is each node's own.
    pub(super) fn part(self, nodes: usize) -> Self {
        if nodes <= 1 {
            return self;
        }
        Self {
            fast: self.fast.div_ceil(nodes),
            slow: self.slow.div_ceil(nodes),
            per_subscription: self.per_subscription.div_ceil(nodes),
            slow_per_subscription: self.slow_per_subscription.div_ceil(nodes),
            ahead: self.ahead.div_ceil(nodes),
            per_target: self.per_target.div_ceil(nodes),
            ..self
        }
    }

    /// What one organisation may have of a share.
    pub(super) fn of_organization(&self, share: usize) -> usize {
        (share * self.organization_percent).div_ceil(100).max(1)
    }

    /// What a new subscription may have under way.
    pub(super) fn first(&self) -> usize {
        self.first.min(self.per_subscription)
    }

    /// Attempts that hang are moved out of the fast share until the slow one holds this many: starting is
    /// refused long before, so only receivers that begin to hang at the same moment get this far.
    pub(super) fn slow_overflow(&self) -> usize {
        self.slow * 2
    }
}

/// What a class is sure of, as the divisor of the share.
fn guarantee(class: Class, share: usize) -> usize {
    match class {
        Class::Live => share / 4,
        Class::Retry => share / 8,
        Class::Recover | Class::Manual => share / 32,
    }
}

/// What a class can have at most.
fn ceiling(class: Class, share: usize) -> usize {
    match class {
        Class::Live | Class::Manual => share,
        Class::Retry => share.div_ceil(2),
        Class::Recover => share.div_ceil(8),
    }
}

/// Attempts of each class in the fast share.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ClassUse([usize; 4]);

impl ClassUse {
    pub(super) fn add(&mut self, class: Class) {
        self.0[index(class)] += 1;
    }

    pub(super) fn remove(&mut self, class: Class) {
        self.0[index(class)] -= 1;
    }

    pub(super) fn of(&self, class: Class) -> usize {
        self.0[index(class)]
    }

    pub(super) fn total(&self) -> usize {
        self.0.iter().sum()
    }

    /// Whether one more of this class leaves the others what they are sure of.
    pub(super) fn has_room(&self, class: Class, share: usize) -> bool {
        if self.of(class) >= ceiling(class, share) {
            return false;
        }
        let kept_for_others: usize = Class::ALL
            .into_iter()
            .filter(|other| *other != class)
            .map(|other| guarantee(other, share).max(self.of(other)))
            .sum();
        self.of(class) + kept_for_others < share.max(1)
    }
}

fn index(class: Class) -> usize {
    match class {
        Class::Live => 0,
        Class::Retry => 1,
        Class::Recover => 2,
        Class::Manual => 3,
    }
}

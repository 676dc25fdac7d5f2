//! What is known of one subscription's receiver, and what it has under way.

use super::ahead::Ahead;
use super::bounds::{Bounds, ClassUse, MANUAL_EXTRA};
use super::turn::Turns;
use super::{Class, Want};
use crate::domain::rate::TokenBucket;
use crate::domain::time::TimeMs;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    /// What it may have under way.
    limit: usize,
    /// What it has, by class, in both shares.
    classes: ClassUse,
    /// How many of these are in the slow share.
    slow: usize,
    /// Its last answers were slow, or have not come.
    pub(super) is_slow: bool,
    /// It was refused a place since one of its own was freed.
    pub(super) starved: bool,
    /// In which order its fresh deliveries begin.
    pub(super) turns: Turns,
    /// What is leased and waits for a place.
    pub(super) ahead: Ahead,
    /// What is left of its own rate, if it has one.
    rate: Option<(u32, TokenBucket)>,
}

/// Parts of a second whose worth of a rate may begin at once.
const RATE_PARTS: u32 = 5;

impl Subscription {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            limit: bounds.first(),
            classes: ClassUse::default(),
            slow: 0,
            is_slow: false,
            starved: false,
            turns: Turns::default(),
            ahead: Ahead::default(),
            rate: None,
        }
    }

    /// Whether it may start this one, as far as it alone is concerned.
    pub(super) fn has_room(&self, bounds: &Bounds, want: &Want, slow: bool) -> bool {
        let limit = self.limit_for(bounds, want);
        let total = self.classes.total();
        if want.class == Class::Manual {
            return total < limit + MANUAL_EXTRA;
        }
        if total >= limit || (slow && self.slow >= bounds.slow_per_subscription) {
            return false;
        }
        // With two places or more, one is left for fresh events.
        let most = match want.class {
            Class::Live | Class::Manual => limit,
            Class::Retry => limit.div_ceil(2),
            Class::Recover => limit.div_ceil(4),
        };
        let delayed = self.classes.of(Class::Retry) + self.classes.of(Class::Recover);
        self.classes.of(want.class) < most && (want.class == Class::Live || limit < 2 || delayed < limit - 1)
    }

    /// How many more of this class it may start at most.
    pub(super) fn places(&self, bounds: &Bounds, want: &Want) -> usize {
        let total = self.classes.total();
        let limit = self.limit_for(bounds, want);
        let places = limit.saturating_sub(total);
        match want.class {
            Class::Manual => (limit + MANUAL_EXTRA).saturating_sub(total),
            _ if self.is_slow => places.min(bounds.slow_per_subscription.saturating_sub(self.slow)),
            Class::Live if limit < self.limit.min(bounds.per_subscription) => places,
            Class::Live if !self.ahead.is_idle() => self.room_ahead(bounds),
            Class::Live => places + self.room_ahead(bounds),
            Class::Retry | Class::Recover => places,
        }
    }

    /// Its bound, or its owner's own where that is lower.
    fn limit_for(&self, bounds: &Bounds, want: &Want) -> usize {
        self.limit.min(bounds.per_subscription).min(want.max_in_flight.unwrap_or(usize::MAX))
    }

    fn room_ahead(&self, bounds: &Bounds) -> usize {
        if self.has_grown(bounds) { self.ahead.room(bounds) } else { 0 }
    }

    pub(super) fn is_full(&self, bounds: &Bounds) -> bool {
        let limit = self.limit.min(bounds.per_subscription);
        if self.is_slow {
            return self.classes.total() >= limit || self.slow >= bounds.slow_per_subscription;
        }
        self.classes.total() >= limit && self.room_ahead(bounds) == 0
    }

    /// Whether it may have as much under way as any may.
    pub(super) fn has_grown(&self, bounds: &Bounds) -> bool {
        self.limit >= bounds.per_subscription
    }

    pub(super) fn begin(&mut self, class: Class, slow: bool) {
        self.classes.add(class);
        self.slow += usize::from(slow);
    }

    pub(super) fn end(&mut self, class: Class, slow: bool) {
        self.classes.remove(class);
        self.slow -= usize::from(slow);
    }

    /// One of its attempts moved to the slow share.
    pub(super) fn slow_down(&mut self) {
        self.slow += 1;
    }

    pub(super) fn learn(&mut self, bounds: &Bounds, good: bool, fast: bool) {
        match (good, fast) {
            (true, true) => self.limit = (self.limit + 1).min(bounds.per_subscription),
            (true, false) => {}
            (false, _) => self.limit = (self.limit / 2).max(1),
        }
        self.is_slow = !fast;
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.classes.total() == 0 && self.ahead.is_idle()
    }

    /// Takes one of so many a second; until when there is none, if so.
    pub(super) fn take_of_rate(&mut self, per_second: u32, now: TimeMs) -> Option<TimeMs> {
        let burst = per_second.div_ceil(RATE_PARTS);
        let (rate, bucket) =
            self.rate.get_or_insert_with(|| (per_second, TokenBucket::new(per_second, burst, now)));
        if *rate != per_second {
            *rate = per_second;
            bucket.change(per_second, burst, now);
        }
        (bucket.take(1, now) == 0).then(|| bucket.ready_at(1, now))
    }

    /// Whether it is as if nothing were known of it.
    pub(super) fn is_as_new(&self, bounds: &Bounds) -> bool {
        self.rate.is_none() && self.is_idle() && self.limit == bounds.first() && !self.is_slow
    }
}

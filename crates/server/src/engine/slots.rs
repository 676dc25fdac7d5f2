//! How many attempts are under way, and for whom.
//!
//! Each subscription has a bound of its own that follows its receiver: it begins at 4, grows
//! by one with every answer that is good and fast, and is halved by every other. A receiver that hangs
//! therefore holds a few places, whatever it has waiting, and one that keeps up gets what it can use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::domain::attempt::{Attempt, Outcome, Verdict};
use crate::domain::number::SubscriptionNo;

/// Attempts that a subscription about which nothing is known may have under way.
const FIRST_BOUND: usize = 4;
/// An answer that took longer does not make the bound grow.
const FAST: Duration = Duration::from_secs(1);

/// Counts attempts under way. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    max: usize,
    max_per_subscription: usize,
    state: Arc<Mutex<State>>,
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    total: usize,
    subscriptions: HashMap<SubscriptionNo, Bound>,
}

#[derive(Debug, Clone, Copy)]
struct Bound {
    limit: usize,
    busy: usize,
    /// What the subscription itself lets be under way.
    most: usize,
}

/// One attempt's place; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    subscription: SubscriptionNo,
}

impl Slots {
    pub(super) fn new(max: usize, max_per_subscription: usize) -> Self {
        Self { max, max_per_subscription, state: Arc::default(), freed: Arc::default() }
    }

    /// Places that are free now.
    pub(super) fn free(&self) -> usize {
        self.max.saturating_sub(self.lock().total)
    }

    /// Whether nothing is under way.
    pub(super) fn idle(&self) -> bool {
        self.lock().total == 0
    }

    /// What a subscription may have under way when it is not in [`Slots::free_by_subscription`].
    pub(super) fn first_bound(&self) -> usize {
        FIRST_BOUND.min(self.max_per_subscription)
    }

    /// How many more each subscription may have under way, for those about which something is known.
    pub(super) fn free_by_subscription(&self) -> HashMap<SubscriptionNo, usize> {
        let state = self.lock();
        let free = |(subscription, bound): (&SubscriptionNo, &Bound)| {
            (*subscription, bound.limit.min(bound.most).saturating_sub(bound.busy))
        };
        state.subscriptions.iter().map(free).collect()
    }

    /// Takes a place for an attempt that has been claimed; `most` is what its subscription lets be under way.
    pub(super) fn take(&self, subscription: SubscriptionNo, most: Option<usize>) -> Slot {
        let most = most.unwrap_or(usize::MAX);
        let first = Bound { limit: self.first_bound(), busy: 0, most };
        let mut state = self.lock();
        state.total += 1;
        let bound = state.subscriptions.entry(subscription).or_insert(first);
        bound.busy += 1;
        bound.most = most;
        Slot { slots: self.clone(), subscription }
    }

    /// Resolves once a place has been freed since the last call.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Lets the subscription's bound follow what came of the attempt.
    pub(super) fn learn(&self, outcome: &Outcome) {
        let Outcome::Made(Attempt { verdict, duration, .. }) = outcome else { return };
        let mut state = self.slots.lock();
        if let Some(bound) = state.subscriptions.get_mut(&self.subscription) {
            bound.limit = match (verdict, *duration <= FAST) {
                (Verdict::Success, true) => (bound.limit + 1).min(self.slots.max_per_subscription),
                (Verdict::Success, false) => bound.limit,
                (Verdict::Failure | Verdict::Gone, _) => (bound.limit / 2).max(1),
            };
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let first = self.slots.first_bound();
        let mut state = self.slots.lock();
        state.total -= 1;
        if let Some(bound) = state.subscriptions.get_mut(&self.subscription) {
            bound.busy -= 1;
            // What is as if nothing were known need not be remembered.
            if bound.busy == 0 && bound.limit == first {
                state.subscriptions.remove(&self.subscription);
            }
        }
        drop(state);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::TimeMs;

    const SUBSCRIPTION: SubscriptionNo = SubscriptionNo(1);

    fn made(verdict: Verdict, duration: Duration) -> Outcome {
        Outcome::Made(Attempt {
            verdict,
            status: None,
            error: None,
            response_body: None,
            response_bytes: 0,
            maybe_received: false,
            retry_after: None,
            started_at: TimeMs(0),
            duration,
        })
    }

    /// What the subscription may have under way when nothing is.
    fn bound_after(slots: &Slots, outcomes: &[Outcome]) -> usize {
        for outcome in outcomes {
            slots.take(SUBSCRIPTION, None).learn(outcome);
        }
        slots.free_by_subscription().get(&SUBSCRIPTION).copied().unwrap_or_else(|| slots.first_bound())
    }

    #[test]
    fn a_dropped_slot_is_free_again_and_leaves_no_trace() {
        let slots = Slots::new(2, 64);
        let first = slots.take(SUBSCRIPTION, None);
        let second = slots.take(SUBSCRIPTION, None);
        assert_eq!((slots.free(), slots.free_by_subscription()[&SUBSCRIPTION]), (0, FIRST_BOUND - 2));
        drop(first);
        assert_eq!((slots.free(), slots.free_by_subscription()[&SUBSCRIPTION]), (1, FIRST_BOUND - 1));
        drop(second);
        assert!(slots.idle() && slots.free_by_subscription().is_empty());
    }

    #[test]
    fn the_bound_grows_with_good_answers_up_to_its_limit() {
        let slots = Slots::new(512, 64);
        let good = made(Verdict::Success, Duration::from_millis(3));
        assert_eq!(bound_after(&slots, std::slice::from_ref(&good)), FIRST_BOUND + 1);
        assert_eq!(bound_after(&slots, &vec![good; 100]), 64);
    }

    #[test]
    fn a_subscription_may_want_fewer_than_its_bound() {
        let slots = Slots::new(512, 64);
        let slot = slots.take(SUBSCRIPTION, Some(1));
        assert_eq!(slots.free_by_subscription()[&SUBSCRIPTION], 0);
        slot.learn(&made(Verdict::Success, Duration::from_millis(3)));
        drop(slot);
        assert_eq!(slots.free_by_subscription()[&SUBSCRIPTION], 1, "however good it is");
        drop(slots.take(SUBSCRIPTION, None));
        assert_eq!(slots.free_by_subscription()[&SUBSCRIPTION], FIRST_BOUND + 1, "it may change its mind");
    }

    #[test]
    fn failures_halve_the_bound_and_slow_answers_leave_it() {
        let slots = Slots::new(512, 64);
        let failure = made(Verdict::Failure, Duration::from_millis(3));
        assert_eq!(bound_after(&slots, &[made(Verdict::Success, Duration::from_secs(2))]), FIRST_BOUND);
        assert_eq!(bound_after(&slots, std::slice::from_ref(&failure)), FIRST_BOUND / 2);
        assert_eq!(bound_after(&slots, &vec![failure; 10]), 1, "one can always be tried");
        assert_eq!(bound_after(&slots, &[Outcome::Changed]), 1, "no answer says nothing");
    }
}

//! How many attempts are under way, and for whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::number::SubscriptionNo;

/// Counts attempts under way. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    max: usize,
    busy: Arc<Mutex<Busy>>,
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Busy {
    total: usize,
    by_subscription: HashMap<SubscriptionNo, usize>,
}

/// One attempt's place; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    subscription: SubscriptionNo,
}

impl Slots {
    pub(super) fn new(max: usize) -> Self {
        Self { max, busy: Arc::default(), freed: Arc::default() }
    }

    /// Places that are free now.
    pub(super) fn free(&self) -> usize {
        self.max.saturating_sub(self.lock().total)
    }

    /// Whether nothing is under way.
    pub(super) fn idle(&self) -> bool {
        self.lock().total == 0
    }

    /// What each subscription has under way.
    pub(super) fn by_subscription(&self) -> HashMap<SubscriptionNo, usize> {
        self.lock().by_subscription.clone()
    }

    /// Takes a place for an attempt that has been claimed.
    pub(super) fn take(&self, subscription: SubscriptionNo) -> Slot {
        let mut busy = self.lock();
        busy.total += 1;
        *busy.by_subscription.entry(subscription).or_default() += 1;
        Slot { slots: self.clone(), subscription }
    }

    /// Resolves once a place has been freed since the last call.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut busy = self.slots.lock();
        busy.total -= 1;
        if let Some(count) = busy.by_subscription.get_mut(&self.subscription) {
            *count -= 1;
            if *count == 0 {
                busy.by_subscription.remove(&self.subscription);
            }
        }
        drop(busy);
        self.slots.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_slot_is_free_again_and_leaves_no_trace() {
        let slots = Slots::new(2);
        let first = slots.take(SubscriptionNo(1));
        let second = slots.take(SubscriptionNo(1));
        assert_eq!((slots.free(), slots.by_subscription()[&SubscriptionNo(1)]), (0, 2));
        drop(first);
        assert_eq!((slots.free(), slots.by_subscription()[&SubscriptionNo(1)]), (1, 1));
        drop(second);
        assert!(slots.idle() && slots.by_subscription().is_empty());
    }
}

//! Taking turns: fresh deliveries of one subscription begin in the order in which they were claimed.
//!
//! Attempts run side by side, and connections take as long as they take. So each fresh delivery has a
//! number, given with its place, and waits before its first byte until all earlier ones have begun, or have
//! ended without. Nobody waits longer than an attempt may go without an answer before it counts as slow:
//! then it lets the others pass.

use std::collections::{BTreeMap, HashSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use super::{Slots, SubscriptionNo};

/// Whose turn it is among the fresh deliveries of one subscription.
#[derive(Debug, Default, Clone)]
pub(super) struct Turns {
    /// The next number to be given.
    next: u64,
    /// All before this one have begun or ended.
    front: u64,
    /// Those after it that have, too.
    passed: HashSet<u64>,
    waiting: BTreeMap<u64, Waker>,
}

impl Turns {
    pub(super) fn give(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn is_turn(&self, number: u64) -> bool {
        number <= self.front
    }

    /// Counts a number as begun; whom to wake. More than one may wait at the front: who was slow to begin has
    /// let the others pass, and waits on.
    fn pass(&mut self, number: u64) -> Vec<Waker> {
        if number < self.front {
            return Vec::new();
        }
        self.passed.insert(number);
        while self.passed.remove(&self.front) {
            self.front += 1;
        }
        self.waiting.extract_if(..=self.front, |_, _| true).map(|(_, waker)| waker).collect()
    }
}

/// One fresh delivery's turn. Dropped, or passed, it is the next one's.
#[derive(Debug)]
pub struct Turn {
    slots: Slots,
    subscription: SubscriptionNo,
    number: u64,
    passed: AtomicBool,
}

impl Turn {
    pub(super) fn new(slots: Slots, subscription: SubscriptionNo, number: u64) -> Self {
        Self { slots, subscription, number, passed: AtomicBool::new(false) }
    }

    /// Whether nobody has to be waited for.
    #[must_use]
    pub fn has_come(&self) -> bool {
        if self.passed.load(Ordering::Relaxed) {
            return true;
        }
        let state = self.slots.lock();
        let known = state.subscriptions.get(&self.subscription);
        known.is_none_or(|known| known.turns.is_turn(self.number))
    }

    /// It has begun, or need not be waited for any more.
    pub fn pass(&self) {
        if self.passed.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut state = self.slots.lock();
        let known = state.subscriptions.get_mut(&self.subscription);
        let woken = known.map(|known| known.turns.pass(self.number));
        drop(state);
        woken.into_iter().flatten().for_each(Waker::wake);
    }

    /// Resolves when it has come.
    pub fn come(&self) -> impl Future<Output = ()> + Send + '_ {
        Coming(self)
    }
}

struct Coming<'a>(&'a Turn);

impl Future for Coming<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let turn = self.0;
        let mut state = turn.slots.lock();
        match state.subscriptions.get_mut(&turn.subscription) {
            Some(known) if !known.turns.is_turn(turn.number) => {
                known.turns.waiting.insert(turn.number, context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_turn_when_all_before_have_begun() {
        let mut turns = Turns::default();
        let [first, second, third] = [turns.give(), turns.give(), turns.give()];
        assert!(turns.is_turn(first) && !turns.is_turn(second));
        turns.pass(second);
        assert!(!turns.is_turn(second), "the first has not begun");
        turns.pass(first);
        assert!(turns.is_turn(third) && turns.passed.is_empty());
        turns.pass(first);
        assert_eq!(turns.front, 2, "twice is once");
    }
}

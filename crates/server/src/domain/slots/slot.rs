//! One attempt's place.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::task::Waker;

use super::turn::Turn;
use super::{MAX_REMEMBERED, SLOW_AFTER, Share, Slots, Starved, State, Want};
use crate::domain::attempt::{Attempt, Outcome, Verdict};
use crate::domain::number::SubscriptionNo;

/// One attempt's place; dropping it frees the place.
#[derive(Debug)]
pub struct Slot {
    pub(super) slots: Slots,
    pub(super) want: Want,
    pub(super) place: Place,
    turn: Option<Arc<Turn>>,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It has a place.
    In(Share),
    /// It waits for one that its subscription frees.
    Ahead(u64),
    /// It was to wait, and will not get one.
    GivenBack,
}

impl Slot {
    pub(super) fn new(slots: Slots, want: Want, place: Place, turn: Option<Arc<Turn>>) -> Self {
        Self { slots, want, place, turn }
    }

    /// Its turn among the fresh deliveries of its subscription, if it is one.
    #[must_use]
    pub fn turn(&self) -> Option<Arc<Turn>> {
        self.turn.clone()
    }

    /// There is no answer yet: from now on it counts in the slow share, as far as that has room for it. Nobody
    /// waits for its turn any more, and what its subscription has leased ahead is given back.
    pub fn slow_down(&mut self) {
        self.pass_turn();
        if self.place != Place::In(Share::Fast) {
            return;
        }
        let mut state = self.slots.lock();
        if let Some(known) = state.subscriptions.get_mut(&self.want.subscription) {
            known.is_slow = true;
        }
        let wakers = state.give_back(self.want.subscription);
        if state.slow < self.slots.bounds().slow_overflow() {
            state.fast -= 1;
            state.slow += 1;
            state.classes.remove(self.want.class);
            if let Some(organization) = state.organizations.get_mut(&self.want.organization) {
                organization.fast -= 1;
                organization.slow += 1;
            }
            if let Some(known) = state.subscriptions.get_mut(&self.want.subscription) {
                known.slow_down();
            }
            self.place = Place::In(Share::Slow);
            if state.starved.take(Share::Fast) {
                self.slots.freed.notify_one();
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whose place it is.
    #[must_use]
    pub fn subscription(&self) -> SubscriptionNo {
        self.want.subscription
    }

    /// What it sends takes so many bytes and no more: the rest is for others.
    pub fn shrink_to(&mut self, bytes: usize) {
        let Some(spare) = self.want.bytes.checked_sub(bytes).filter(|spare| *spare > 0) else { return };
        self.want.bytes = bytes;
        let mut state = self.slots.lock();
        state.bytes -= spare;
        // Only where somebody lacks bytes are both shares starved.
        if state.starved.fast && state.starved.slow {
            state.starved = Starved::default();
            self.slots.freed.notify_one();
        }
    }

    /// Frees the place. True when the subscription was refused one: whoever calls sees to it that what waits
    /// for it is claimed now.
    #[must_use]
    pub fn free(self) -> bool {
        let mut state = self.slots.lock();
        let known = state.subscriptions.get_mut(&self.want.subscription);
        known.is_some_and(|known| std::mem::take(&mut known.starved))
    }

    /// Lets the subscription's bound follow what came of the attempt. After one that failed or was slow, what
    /// is leased ahead is given back.
    pub fn learn(&self, outcome: &Outcome) {
        let Outcome::Made(Attempt { verdict, duration, .. }) = outcome else { return };
        let (good, fast) = (*verdict == Verdict::Success, *duration <= SLOW_AFTER);
        let mut state = self.slots.lock();
        let Some(known) = state.subscriptions.get_mut(&self.want.subscription) else { return };
        known.learn(&self.slots.bounds(), good, fast);
        let wakers = if good && fast { Vec::new() } else { state.give_back(self.want.subscription) };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Nobody waits for its turn any more.
    pub(super) fn pass_turn(&self) {
        if let Some(turn) = &self.turn {
            turn.pass();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            turn.pass();
        }
        let mut state = self.slots.lock();
        state.bytes -= self.want.bytes;
        let share = match self.place {
            Place::In(share) => Some(share),
            Place::Ahead(number) => state.leave_ahead(self.want.subscription, number),
            Place::GivenBack => {
                state.given_back(self.want.subscription);
                None
            }
        };
        if let Some(share) = share {
            state.uncount(&self.want, share);
        }
        let waker = state.begin_ahead(&self.slots.bounds(), self.want.subscription);
        let mut ring = share.is_some_and(|share| state.starved.take(share));
        let remembered = state.subscriptions.len();
        if let Entry::Occupied(mut entry) = state.subscriptions.entry(self.want.subscription) {
            let known = entry.get_mut();
            ring |= std::mem::take(&mut known.starved);
            // What is as if nothing were known need not be remembered.
            if known.is_as_new(&self.slots.bounds()) || (known.is_idle() && remembered > MAX_REMEMBERED) {
                entry.remove();
            }
        }
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        if ring {
            self.slots.freed.notify_one();
        }
    }
}

impl State {
    /// An attempt has left its place.
    fn uncount(&mut self, want: &Want, share: Share) {
        let slow = share == Share::Slow;
        if slow {
            self.slow -= 1;
        } else {
            self.fast -= 1;
            self.classes.remove(want.class);
        }
        if let Entry::Occupied(mut entry) = self.organizations.entry(want.organization) {
            let shares = entry.get_mut();
            if slow {
                shares.slow -= 1;
            } else {
                shares.fast -= 1;
            }
            if shares.fast + shares.slow == 0 {
                entry.remove();
            }
        }
        if let Entry::Occupied(mut entry) = self.hosts.entry((want.organization, want.host)) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        if let Some(known) = self.subscriptions.get_mut(&want.subscription) {
            known.end(want.class, slow);
        }
    }
}

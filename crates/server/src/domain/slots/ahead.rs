//! What is leased ahead: fresh deliveries that begin when their subscription frees a place.
//!
//! Lent only to a subscription that has all under way that it may and has grown to its most: its receiver is
//! well and quick. They have no place in any share, so they take none from anybody, and they wait in order.
//! As soon as an answer fails or is slow, or nothing begins any more, all of them are given back, and until
//! the store has them nothing fresh of the subscription begins: the order is kept.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::slot::{Place, Slot};
use super::subscription::Subscription;
use super::{Bounds, Class, Share, State, SubscriptionNo, Want};

/// What one subscription has leased ahead.
#[derive(Debug, Default, Clone)]
pub(super) struct Ahead {
    next: u64,
    waiting: VecDeque<(u64, Want)>,
    wakers: HashMap<u64, Waker>,
    /// Those that have got a place and have not noticed.
    begun: HashSet<u64>,
    /// Those that have been given back and are not in the store yet.
    given_back: usize,
}

impl Ahead {
    /// Whether nothing waits for a place.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a fresh delivery that begins now overtakes nobody.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.given_back == 0
    }

    /// How many more may be lent.
    pub(super) fn room(&self, bounds: &Bounds) -> usize {
        if self.given_back > 0 { 0 } else { bounds.ahead.saturating_sub(self.waiting.len()) }
    }
}

impl State {
    /// Lends one more, if that may be.
    pub(super) fn take_ahead(&mut self, bounds: &Bounds, want: Want) -> Option<Place> {
        // Nobody else may be short of anything.
        let is_scarce =
            self.starved.fast || self.ahead >= bounds.fast || self.bytes + want.bytes > bounds.body_bytes / 2;
        let known = self.subscriptions.get_mut(&want.subscription)?;
        let has_room = known.is_at_its_best(bounds, &want) && known.ahead.room(bounds) > 0;
        if is_scarce || !has_room || want.class != Class::Live {
            return None;
        }
        let number = known.ahead.next;
        known.ahead.next += 1;
        known.ahead.waiting.push_back((number, want));
        self.ahead += 1;
        self.bytes += want.bytes;
        Some(Place::Ahead(number))
    }

    /// A place of the subscription may be free: the first that waits for one has it. Whom to wake.
    pub(super) fn begin_ahead(&mut self, bounds: &Bounds, subscription: SubscriptionNo) -> Option<Waker> {
        let known = self.subscriptions.get(&subscription)?;
        let (_, want) = *known.ahead.waiting.front()?;
        if self.closed || known.is_slow || !known.has_room(bounds, &want, false) {
            return None;
        }
        if self.is_full_for(bounds, &want, Share::Fast).is_some() {
            return None;
        }
        self.ahead -= 1;
        self.count(bounds, &want, Share::Fast);
        let known = self.subscriptions.get_mut(&subscription)?;
        let (number, _) = known.ahead.waiting.pop_front()?;
        known.ahead.begun.insert(number);
        known.ahead.wakers.remove(&number)
    }

    /// All that the subscription has leased ahead is to be given back. Whom to wake.
    pub(super) fn give_back(&mut self, subscription: SubscriptionNo) -> Vec<Waker> {
        let Some(known) = self.subscriptions.get_mut(&subscription) else { return Vec::new() };
        let ahead = &mut known.ahead;
        self.ahead -= ahead.waiting.len();
        ahead.given_back += ahead.waiting.len();
        ahead.waiting.clear();
        ahead.wakers.drain().map(|(_, waker)| waker).collect()
    }

    /// One that was given back is in the store.
    pub(super) fn given_back(&mut self, subscription: SubscriptionNo) {
        if let Some(known) = self.subscriptions.get_mut(&subscription) {
            known.ahead.given_back -= 1;
        }
    }

    /// One does not wait any more; the share in which it has got a place meanwhile, if so.
    pub(super) fn leave_ahead(&mut self, subscription: SubscriptionNo, number: u64) -> Option<Share> {
        let ahead = &mut self.subscriptions.get_mut(&subscription)?.ahead;
        if ahead.begun.remove(&number) {
            return Some(Share::Fast);
        }
        ahead.wakers.remove(&number);
        match ahead.waiting.iter().position(|(it, _)| *it == number) {
            Some(place) => {
                ahead.waiting.remove(place);
                self.ahead -= 1;
            }
            None => ahead.given_back -= 1,
        }
        None
    }
}

impl Subscription {
    /// Whether it has grown to its most, is quick, and asks for no less itself.
    fn is_at_its_best(&self, bounds: &Bounds, want: &Want) -> bool {
        self.has_grown(bounds)
            && !self.is_slow
            && !want.failing
            && want.max_per_second.is_none()
            && want.max_in_flight.is_none_or(|most| most >= bounds.per_subscription)
    }
}

impl Slot {
    /// Whether it waits for a place.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        matches!(self.place, Place::Ahead(_))
    }

    /// Resolves when it has its place; false when it is to be given back: then the slot is kept until the store
    /// has the delivery again.
    pub fn begin(&mut self) -> impl Future<Output = bool> + Send + '_ {
        Beginning(self)
    }

    /// It has waited for long enough: true when it has got a place all the same. Else it is given back, and so is
    /// all that waits behind it.
    pub fn give_up(&mut self) -> bool {
        let Place::Ahead(number) = self.place else { return self.place != Place::GivenBack };
        let mut state = self.slots.lock();
        let wakers = if state.has_begun(self.want.subscription, number) {
            Vec::new()
        } else {
            state.give_back(self.want.subscription)
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.look(None).unwrap_or(false)
    }

    /// Whether it has its place or is to be given back; `None`: neither yet.
    fn look(&mut self, waker: Option<&Waker>) -> Option<bool> {
        let Place::Ahead(number) = self.place else { return Some(self.place != Place::GivenBack) };
        let mut state = self.slots.lock();
        let ahead = &mut state.subscriptions.get_mut(&self.want.subscription)?.ahead;
        if ahead.begun.remove(&number) {
            self.place = Place::In(Share::Fast);
            return Some(true);
        }
        if ahead.waiting.iter().any(|(it, _)| *it == number) {
            if let Some(waker) = waker {
                ahead.wakers.insert(number, waker.clone());
            }
            return None;
        }
        drop(state);
        self.place = Place::GivenBack;
        self.pass_turn();
        Some(false)
    }
}

impl State {
    fn has_begun(&self, subscription: SubscriptionNo, number: u64) -> bool {
        self.subscriptions.get(&subscription).is_some_and(|known| known.ahead.begun.contains(&number))
    }
}

struct Beginning<'a>(&'a mut Slot);

impl Future for Beginning<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        self.0.look(Some(context.waker())).map_or(Poll::Pending, Poll::Ready)
    }
}

#[cfg(test)]
mod tests;

//! How many attempts are under way, and for whom: who may start another one now.
//!
//! Two shares. Attempts begin in the *fast* one; an attempt that has had no answer for a second moves to
//! the *slow* one, and a subscription whose last answers were slow begins there. So any number of receivers
//! that hang leaves the fast share to the others. Within them every subscription, organisation, target host
//! and class has a bound of its own:
//!
//! - a subscription's bound follows its receiver: it begins at 4, grows by one with every answer that is
//!   good and fast, and is halved by every failure; in the slow share it is 8 at most;
//! - an organisation has a quarter of either share, and 128 attempts to one target host;
//! - each class is guaranteed a part of the fast share, and retries and recovered deliveries cannot take
//!   all of it, nor all of one subscription's places, so a storm of them never delays a fresh event;
//! - the bodies under way have 64 MiB.
//!
//! A receiver that takes all that it may be given could wait for a commit before each next delivery: a place
//! is free when it has answered, but the next lease comes with a transaction. So a subscription that has all
//! under way that it ever may is lent some more *ahead*: they are leased, hold no place, and begin one after
//! the other as its places are freed ([`ahead`]).
//!
//! It is asked by whoever claims, on the writer's thread, inside the claiming transaction; a [`Slot`] that
//! is dropped frees its place. Nothing here waits, and nothing here knows a delivery.

mod ahead;
mod bounds;
mod slot;
mod subscription;
mod turn;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;

use self::bounds::ClassUse;
pub use self::bounds::{Bounds, MANUAL_EXTRA};
use self::slot::Place;
pub use self::slot::Slot;
use self::subscription::Subscription;
pub use self::turn::Turn;
use super::delivery::Class;
use super::number::{OrganizationNo, SubscriptionNo};
use super::time::TimeMs;

/// An attempt without an answer for so long is slow; an answer that took longer does not make a bound grow.
pub const SLOW_AFTER: Duration = Duration::from_secs(1);

/// What was leased ahead begins within this time, or is given back; its lease is so much longer.
pub const AHEAD_FOR: Duration = Duration::from_secs(1);

/// Subscriptions whose bounds are remembered while nothing of theirs is under way.
const MAX_REMEMBERED: usize = 50_000;

/// What an attempt would use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Whose it is.
    pub organization: OrganizationNo,
    /// Where it goes.
    pub subscription: SubscriptionNo,
    /// Why it is made.
    pub class: Class,
    /// The target host, as [`host_key`] numbers it.
    pub host: u64,
    /// The body's length.
    pub bytes: usize,
    /// The subscription's own bound, if its owner set one.
    pub max_in_flight: Option<usize>,
    /// Attempts that the subscription lets begin in a second, if its owner said so.
    pub max_per_second: Option<u32>,
    /// Schedule time.
    pub now: TimeMs,
    /// The subscription is failing: begin in the slow share.
    pub failing: bool,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Full {
    /// Nothing is started any more.
    Closed,
    /// The subscription has as many under way as it may, and as many ahead.
    Subscription,
    /// Its organisation has.
    Organization,
    /// Its organisation has, to this host.
    Host,
    /// The class has.
    Class,
    /// The share is full.
    Share,
    /// Too many bytes are under way.
    Bytes,
    /// The subscription's rate is used up until then.
    Rate(TimeMs),
}

/// A target host's number; two hosts of one organisation that share a number share a bound.
#[must_use]
pub fn host_key(host: &str, port: u16) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    host.hash(&mut hasher);
    port.hash(&mut hasher);
    hasher.finish()
}

/// Counts attempts under way. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Slots {
    /// Of all nodes together.
    whole: Bounds,
    nodes: Arc<AtomicUsize>,
    state: Arc<Mutex<State>>,
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    fast: usize,
    slow: usize,
    classes: ClassUse,
    bytes: usize,
    organizations: HashMap<OrganizationNo, Shares>,
    hosts: HashMap<(OrganizationNo, u64), usize>,
    subscriptions: HashMap<SubscriptionNo, Subscription>,
    /// Deliveries that are leased ahead, of all subscriptions.
    ahead: usize,
    /// In which shares somebody was refused for want of a place that is not their own.
    starved: Starved,
}

/// A place that is freed in one share is of no use to who needs one in the other.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Starved {
    fast: bool,
    slow: bool,
}

impl Starved {
    /// Whether somebody was, who is told now.
    fn take(&mut self, share: Share) -> bool {
        std::mem::take(match share {
            Share::Fast => &mut self.fast,
            Share::Slow => &mut self.slow,
        })
    }

    fn set(&mut self, share: Share) {
        match share {
            Share::Fast => self.fast = true,
            Share::Slow => self.slow = true,
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Shares {
    fast: usize,
    slow: usize,
}

/// How full everything is, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InUse {
    /// Attempts in the fast share.
    pub fast: usize,
    /// Attempts in the slow share.
    pub slow: usize,
    /// Bytes of bodies under way.
    pub bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Fast,
    Slow,
}

impl Slots {
    /// Nothing is under way.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            whole: bounds,
            nodes: Arc::new(AtomicUsize::new(1)),
            state: Arc::default(),
            freed: Arc::default(),
        }
    }

    /// So many nodes share the bounds now, this one included. What is under way beyond a bound that has become
    /// smaller goes on.
    pub fn share_among(&self, nodes: usize) {
        let nodes = nodes.max(1);
        if self.nodes.swap(nodes, Ordering::Relaxed) > nodes {
            self.freed.notify_one();
        }
    }

    /// How many nodes share the bounds.
    #[must_use]
    pub fn shared_among(&self) -> usize {
        self.nodes.load(Ordering::Relaxed)
    }

    fn bounds(&self) -> Bounds {
        self.whole.part(self.shared_among())
    }

    /// Its owner's own bounds, as far as they are this node's.
    fn part_of(&self, want: Want) -> Want {
        let nodes = self.shared_among();
        let per_second = u32::try_from(nodes).unwrap_or(u32::MAX);
        Want {
            max_in_flight: want.max_in_flight.map(|most| most.div_ceil(nodes)),
            max_per_second: want.max_per_second.map(|most| most.div_ceil(per_second)),
            ..want
        }
    }

    /// A place for one more attempt, or one ahead of its place, or why there is neither.
    ///
    /// # Errors
    /// See [`Full`]. Whoever frees what was missing rings [`Slots::freed`].
    pub fn try_take(&self, want: Want) -> Result<Slot, Full> {
        let want = self.part_of(want);
        let mut state = self.lock();
        match state.take(&self.bounds(), want) {
            Ok(place) => {
                let known =
                    state.subscriptions.get_mut(&want.subscription).filter(|_| want.class == Class::Live);
                let number = known.map(|known| known.turns.give());
                let turn = number.map(|number| Arc::new(Turn::new(self.clone(), want.subscription, number)));
                Ok(Slot::new(self.clone(), want, place, turn))
            }
            Err(full) => {
                state.starve(&want, full);
                Err(full)
            }
        }
    }

    /// Nothing is started any more; what is under way goes on, and what is leased ahead is given back.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let known = state.subscriptions.iter();
        let waiting: Vec<_> = known.filter(|(_, it)| !it.ahead.is_empty()).map(|(no, _)| *no).collect();
        let wakers: Vec<_> = waiting.into_iter().flat_map(|it| state.give_back(it)).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether no place is left that anybody could have; if so, [`Slots::freed`] is rung when that changes.
    #[must_use]
    pub fn exhausted(&self) -> bool {
        let mut state = self.lock();
        let full = state.fast >= self.bounds().fast && state.slow >= self.bounds().slow;
        if full {
            state.starved = Starved { fast: true, slow: true };
        }
        state.closed || full
    }

    /// How full everything is.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        let state = self.lock();
        InUse { fast: state.fast, slow: state.slow, bytes: state.bytes }
    }

    /// Places that are left in the fast share.
    #[must_use]
    pub fn free_fast(&self) -> usize {
        self.bounds().fast.saturating_sub(self.lock().fast)
    }

    /// Deliveries that are leased ahead and wait for a place.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.lock().ahead
    }

    /// How many more this subscription may start of a class, as far as it, its share and its organisation are
    /// concerned.
    ///
    /// # Errors
    /// None, and why; [`Slots::freed`] is rung when that changes.
    pub fn places(&self, want: &Want) -> Result<usize, Full> {
        let want = &self.part_of(*want);
        let mut state = self.lock();
        if let Some(full) = state.lacks_room(&self.bounds(), want) {
            return Err(full);
        }
        let Some(known) = state.subscriptions.get_mut(&want.subscription) else {
            return Ok(self.bounds().first());
        };
        let places = known.places(&self.bounds(), want);
        known.starved |= places == 0;
        if places > 0 { Ok(places) } else { Err(Full::Subscription) }
    }

    /// Subscriptions that have all under way that they may.
    #[must_use]
    pub fn full_subscriptions(&self) -> usize {
        let state = self.lock();
        state.subscriptions.values().filter(|known| known.is_full(&self.bounds())).count()
    }

    /// Resolves once a place has been freed that somebody was refused.
    pub async fn freed(&self) {
        self.freed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, bounds: &Bounds, want: Want) -> Result<Place, Full> {
        if self.closed {
            return Err(Full::Closed);
        }
        let new = Subscription::new(bounds);
        let known = self.subscriptions.get(&want.subscription).unwrap_or(&new);
        let share = self.share_of(&want);
        // Fresh deliveries begin in order: not past one that is given back, or waits for its place.
        let is_overtaking = want.class == Class::Live && !known.ahead.is_idle();
        if is_overtaking || !known.has_room(bounds, &want, share == Share::Slow) {
            return self.take_ahead(bounds, want).ok_or(Full::Subscription);
        }
        if let Some(full) = self.is_full_for(bounds, &want, share) {
            return Err(full);
        }
        // One body always fits, whatever its length.
        if self.bytes > 0 && self.bytes + want.bytes > bounds.body_bytes {
            return Err(Full::Bytes);
        }
        if let Some(until) = self.rate_used_up(bounds, want) {
            return Err(Full::Rate(until));
        }
        self.bytes += want.bytes;
        self.count(bounds, &want, share);
        Ok(Place::In(share))
    }

    /// The share in which it would begin.
    fn share_of(&self, want: &Want) -> Share {
        let is_slow = self.subscriptions.get(&want.subscription).is_some_and(|known| known.is_slow);
        if want.failing || is_slow { Share::Slow } else { Share::Fast }
    }

    /// Whether its share, or its organisation's part of it, is full; it is told when that changes.
    fn lacks_room(&mut self, bounds: &Bounds, want: &Want) -> Option<Full> {
        let full = self.is_full_for(bounds, want, self.share_of(want));
        let full = full.filter(|full| matches!(full, Full::Share | Full::Organization))?;
        self.starve(want, full);
        Some(full)
    }

    /// What leaves no room in this share, whatever the subscription's own bound.
    fn is_full_for(&self, bounds: &Bounds, want: &Want, share: Share) -> Option<Full> {
        let organization = self.organizations.get(&want.organization).copied().unwrap_or_default();
        let (used, of_organization, bound) = match share {
            Share::Fast => (self.fast, organization.fast, bounds.fast),
            Share::Slow => (self.slow, organization.slow, bounds.slow),
        };
        if used >= bound {
            return Some(Full::Share);
        }
        if of_organization >= bounds.of_organization(bound) {
            return Some(Full::Organization);
        }
        if self.hosts.get(&(want.organization, want.host)).is_some_and(|used| *used >= bounds.per_target) {
            return Some(Full::Host);
        }
        (share == Share::Fast && !self.classes.has_room(want.class, bounds.fast)).then_some(Full::Class)
    }

    /// Takes from the subscription's rate; until when there is nothing to take, if so.
    fn rate_used_up(&mut self, bounds: &Bounds, want: Want) -> Option<TimeMs> {
        let per_second = want.max_per_second.filter(|_| want.class != Class::Manual)?;
        let known = self.subscriptions.entry(want.subscription).or_insert_with(|| Subscription::new(bounds));
        known.take_of_rate(per_second, want.now)
    }

    fn count(&mut self, bounds: &Bounds, want: &Want, share: Share) {
        let organization = self.organizations.entry(want.organization).or_default();
        match share {
            Share::Fast => {
                self.fast += 1;
                organization.fast += 1;
                self.classes.add(want.class);
            }
            Share::Slow => {
                self.slow += 1;
                organization.slow += 1;
            }
        }
        *self.hosts.entry((want.organization, want.host)).or_default() += 1;
        let known = self.subscriptions.entry(want.subscription).or_insert_with(|| Subscription::new(bounds));
        known.begin(want.class, share == Share::Slow);
    }

    fn starve(&mut self, want: &Want, full: Full) {
        match full {
            Full::Closed | Full::Rate(_) => {}
            Full::Subscription => {
                // It is known: what nobody knows is not full.
                if let Some(known) = self.subscriptions.get_mut(&want.subscription) {
                    known.starved = true;
                }
            }
            Full::Share | Full::Organization | Full::Class => self.starved.set(self.share_of(want)),
            // Whatever is freed may be what is missing.
            Full::Host | Full::Bytes => self.starved = Starved { fast: true, slow: true },
        }
    }
}

#[cfg(test)]
mod tests;

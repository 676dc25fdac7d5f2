//! What the writer's thread remembers of what it read and wrote last, so that it need not read it again.
//!
//! SQL is the truth. One thread writes, so what it has read stays so until it writes otherwise, and every
//! writer of such a row says so here in the same transaction. A transaction that is rolled back takes all
//! of it away. Each map has a bound; beyond it, it begins anew.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;

use super::claim::PlaceInHeads;
use super::facts::Behind;
use super::health::{ProbeAhead, Standing};
use super::queue::QueueRow;
use super::target::Target;
use super::writer::{Hold, Publish, Repeat};
use crate::domain::delivery::Class;
use crate::domain::number::{DeliveryNo, OrganizationNo, Seq, SubscriptionNo};
use crate::domain::owner::Owner;
use crate::domain::time::TimeMs;

/// Entries of each map.
const MAX_REMEMBERED: usize = 20_000;
/// What events that were read ahead may take, give or take one.
const MAX_EVENTS_BYTES: usize = 16 * 1024 * 1024;

/// The earliest due time of each class; none: nothing is queued.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heads([Option<TimeMs>; Class::ALL.len()]);

impl Heads {
    pub(super) fn get(self, class: Class) -> Option<TimeMs> {
        Class::ALL.iter().position(|it| *it == class).and_then(|place| self.0[place])
    }

    pub(super) fn set(&mut self, class: Class, due: Option<TimeMs>) {
        if let Some(place) = Class::ALL.iter().position(|it| *it == class) {
            self.0[place] = due;
        }
    }

    /// The classes that have something due, in the order in which they are claimed.
    pub(super) fn due(self, now: TimeMs) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.get(*class).is_some_and(|due| due <= now))
    }
}

/// A subscription that an event concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) subscription: SubscriptionNo,
    /// Since when it is in order, if it is.
    pub(super) since: Option<Seq>,
}

/// What an earlier request left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) request_hash: [u8; 32],
    /// The ids of its events, one after the other.
    pub(super) events: Vec<u8>,
}

/// What is known of an earlier request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Earlier {
    /// Nobody has looked.
    Unread,
    /// There was none.
    Nothing,
    /// It left this.
    Found(Remembered),
}

/// Who stands behind an owner, if there is somebody, and the subscriptions that an event concerns.
pub(super) type Matches = (Option<Behind>, Vec<Match>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memory {
    timeout: Duration,
    targets: HashMap<SubscriptionNo, Target>,
    identities: HashMap<(OrganizationNo, Owner), Behind>,
    /// All heads of these subscriptions, as they are in the table.
    heads: HashMap<SubscriptionNo, Heads>,
    /// Whether anything live waits for these that is not under way.
    live_waits: HashMap<SubscriptionNo, bool>,
    /// Rows that this process holds, as they are in the table.
    leased: HashMap<DeliveryNo, QueueRow>,
    place_in_heads: PlaceInHeads,
    /// A claim found everything that is due held by others.
    claim_starved: bool,
    /// On a server: the transaction holds subscriptions, these of them alone.
    holds: bool,
    held_alone: HashSet<SubscriptionNo>,
    /// Read ahead: what an event of this kind concerns.
    matches: HashMap<Publish, Matches>,
    /// Read ahead for a claim: what its rows are to send.
    events: HashMap<Seq, (EventId, Bytes)>,
    events_bytes: usize,
    /// Read ahead for a claim: what it may probe with.
    probes: HashMap<SubscriptionNo, ProbeAhead>,
    /// Read ahead: what was accepted before under these keys.
    repeats: HashMap<Repeat, Option<Remembered>>,
}

impl Memory {
    /// Nothing is known any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A subscription as it was read with this limit for attempts that have none of their own.
    pub(super) fn target(&self, no: SubscriptionNo, timeout: Duration) -> Option<Target> {
        if self.timeout == timeout { self.targets.get(&no).cloned() } else { None }
    }

    /// Whether a subscription that was read is there and selects an event of this type, accepted under this number.
    pub(super) fn selects(&self, no: SubscriptionNo, event_type: EventType, accepted: Seq) -> Option<bool> {
        match self.targets.get(&no)? {
            Target::Open { selected, .. } => Some(selected.has(event_type, accepted)),
            Target::Deleted => Some(false),
            Target::Unreadable => None,
        }
    }

    pub(super) fn remember_target(&mut self, no: SubscriptionNo, timeout: Duration, target: &Target) {
        if self.timeout != timeout {
            self.targets.clear();
            self.timeout = timeout;
        }
        bounded(&mut self.targets).insert(no, target.clone());
    }

    /// How the subscription stands has changed, and nothing else about it.
    pub(super) fn stands(&mut self, no: SubscriptionNo, now: Standing) {
        if let Some(Target::Open { standing, .. }) = self.targets.get_mut(&no) {
            *standing = now;
        }
    }

    /// The subscription's row changed.
    pub(super) fn forget_target(&mut self, no: SubscriptionNo) {
        self.targets.remove(&no);
    }

    pub(super) fn identity(&self, organization: OrganizationNo, owner: Owner) -> Option<Behind> {
        self.identities.get(&(organization, owner)).copied()
    }

    pub(super) fn remember_identity(&mut self, organization: OrganizationNo, owner: Owner, behind: Behind) {
        bounded(&mut self.identities).insert((organization, owner), behind);
    }

    /// Who owns what changed, or whose events are to be found for contexts.
    pub(super) fn forget_identities(&mut self) {
        self.identities.clear();
    }

    /// A subscription's heads, if they are known.
    pub(super) fn heads(&mut self, subscription: SubscriptionNo) -> Option<&mut Heads> {
        self.heads.get_mut(&subscription)
    }

    /// All heads of a subscription as they were read.
    pub(super) fn remember_heads(&mut self, subscription: SubscriptionNo, heads: Heads) {
        bounded(&mut self.heads).insert(subscription, heads);
    }

    /// Whether anything live waits for it, if that is known.
    pub(super) fn live_waits(&self, subscription: SubscriptionNo) -> Option<bool> {
        self.live_waits.get(&subscription).copied()
    }

    /// Whether anything live waits for it.
    pub(super) fn set_live_waits(&mut self, subscription: SubscriptionNo, waits: bool) {
        bounded(&mut self.live_waits).insert(subscription, waits);
    }

    /// Another transaction begins, and others may have written since the last: what a lock kept as it was is no
    /// longer known. What this process holds is, as far as its settles find out whether it still does.
    pub(super) fn begin_anew(&mut self) {
        let leased = std::mem::take(&mut self.leased);
        let (place_in_heads, claim_starved) = (self.place_in_heads, self.claim_starved);
        *self = Self { leased, place_in_heads, claim_starved, ..Self::default() };
    }

    /// A subscription is held until the end of the transaction.
    pub(super) fn held(&mut self, subscription: SubscriptionNo, hold: Hold) {
        self.holds = true;
        if hold == Hold::Alone {
            self.held_alone.insert(subscription);
        }
    }

    pub(super) fn is_held_alone(&self, subscription: SubscriptionNo) -> bool {
        self.held_alone.contains(&subscription)
    }

    /// Whether the transaction holds any subscription.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// Whether the last claim found everything that is due held by others: then the next one has to wait for its
    /// turn, which only a transaction may that holds nothing else.
    pub(super) fn is_claim_starved(&self) -> bool {
        self.claim_starved
    }

    pub(super) fn set_claim_starved(&mut self, starved: bool) {
        self.claim_starved = starved;
    }

    /// Whom an event of this kind concerns, if that was read ahead: who stands behind its owner, if there is somebody,
    /// and the subscriptions.
    pub(super) fn matches(&self, publish: &Publish) -> Option<Matches> {
        self.matches.get(publish).cloned()
    }

    pub(super) fn remember_matches(&mut self, publish: Publish, behind: Option<Behind>, matches: Vec<Match>) {
        self.matches.insert(publish, (behind, matches));
    }

    /// What was accepted under this key, as far as that was read ahead.
    pub(super) fn repeat(&self, repeat: &Repeat) -> Earlier {
        match self.repeats.get(repeat) {
            None => Earlier::Unread,
            Some(None) => Earlier::Nothing,
            Some(Some(found)) => Earlier::Found(found.clone()),
        }
    }

    pub(super) fn remember_repeat(&mut self, repeat: Repeat, found: Option<Remembered>) {
        self.repeats.insert(repeat, found);
    }

    /// Something was accepted under this key, which others of this transaction must find.
    pub(super) fn note_repeat(&mut self, repeat: &Repeat, accepted: Remembered) {
        if let Some(known) = self.repeats.get_mut(repeat) {
            *known = Some(accepted);
        }
    }

    /// An event that was read ahead for a claim; afterwards it is not there any more.
    pub(super) fn take_event(&mut self, seq: Seq) -> Option<(EventId, Bytes)> {
        let (id, payload) = self.events.remove(&seq)?;
        self.events_bytes = self.events_bytes.saturating_sub(payload.len());
        Some((id, payload))
    }

    pub(super) fn has_event(&self, seq: Seq) -> bool {
        self.events.contains_key(&seq)
    }

    pub(super) fn remember_event(&mut self, seq: Seq, id: EventId, payload: Bytes) {
        if self.events_bytes >= MAX_EVENTS_BYTES {
            self.events.clear();
            self.events_bytes = 0;
        }
        self.events_bytes += payload.len();
        self.events.insert(seq, (id, payload));
    }

    /// What a claim may probe a failing subscription with, as far as that was read ahead; afterwards it is not there
    /// any more.
    pub(super) fn take_probe(&mut self, subscription: SubscriptionNo) -> Option<ProbeAhead> {
        self.probes.remove(&subscription)
    }

    pub(super) fn remember_probe(&mut self, subscription: SubscriptionNo, probe: ProbeAhead) {
        self.probes.insert(subscription, probe);
    }

    /// Where the next claim's round begins.
    pub(super) fn place_in_heads(&self) -> PlaceInHeads {
        self.place_in_heads
    }

    pub(super) fn set_place_in_heads(&mut self, place: PlaceInHeads) {
        self.place_in_heads = place;
    }

    /// This process holds the row.
    pub(super) fn leased(&mut self, row: QueueRow) {
        bounded(&mut self.leased).insert(row.no, row);
    }

    /// The row that this process holds under this claim, if it is known; afterwards it is not.
    pub(super) fn take_leased(&mut self, no: DeliveryNo, claim_no: u32) -> Option<QueueRow> {
        self.leased.remove(&no).filter(|row| row.claim_no == claim_no)
    }
}

/// The map, emptied when it is full.
fn bounded<K: Eq + Hash, V>(map: &mut HashMap<K, V>) -> &mut HashMap<K, V> {
    if map.len() >= MAX_REMEMBERED {
        map.clear();
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_beyond_the_bound_begins_anew() {
        let mut memory = Memory::default();
        for n in 0..=MAX_REMEMBERED {
            let subscription = SubscriptionNo(i64::try_from(n).unwrap());
            memory.remember_heads(subscription, Heads::default());
            memory.set_live_waits(subscription, true);
        }
        assert_eq!((memory.heads.len(), memory.live_waits.len()), (1, 1));
    }

    #[test]
    fn classes_are_due_when_their_head_is() {
        let mut heads = Heads::default();
        heads.set(Class::Retry, Some(TimeMs(5)));
        heads.set(Class::Manual, Some(TimeMs(6)));
        assert_eq!(heads.due(TimeMs(4)).count(), 0);
        assert_eq!(heads.due(TimeMs(5)).collect::<Vec<_>>(), [Class::Retry]);
        assert_eq!(heads.due(TimeMs(6)).collect::<Vec<_>>(), [Class::Manual, Class::Retry]);
        heads.set(Class::Retry, None);
        assert_eq!((heads.get(Class::Retry), heads.get(Class::Manual)), (None, Some(TimeMs(6))));
    }
}

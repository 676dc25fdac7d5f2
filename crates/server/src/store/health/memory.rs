//! What the writer remembers of subscriptions' health between two transactions.
//!
//! Never the truth: the rows are, and what is remembered is what they say, with the successes since that
//! have not been written. It is forgotten whole when a transaction did not end in a known commit, and for
//! one subscription when somebody changes it.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use super::{Entry, WRITE_EVERY};
use crate::domain::health::Moment;
use crate::domain::number::{SubscriptionNo, UrlNo};
use crate::domain::rate::TokenBucket;
use crate::domain::time::TimeMs;

/// Subscriptions that are remembered at most; about 250 bytes each.
const MAX_REMEMBERED: usize = 4_096;

/// See the module. Used by the writer's thread alone.
#[derive(Debug, Default, Clone)]
pub(in crate::store) struct Memory {
    entries: RefCell<HashMap<SubscriptionNo, Entry>>,
    drains: RefCell<HashMap<SubscriptionNo, TokenBucket>>,
    /// The number of the transaction that runs now, on a server that gives it one.
    transaction: Cell<Option<i64>>,
    /// On a server: whose entries are known to be what the rows say, in this transaction.
    checked: RefCell<Option<HashSet<SubscriptionNo>>>,
    /// A transaction is open, or ended in another way than a commit.
    in_doubt: Cell<bool>,
}

impl Memory {
    /// A transaction begins.
    pub(in crate::store) fn begin(&self) {
        self.transaction.set(None);
        if self.in_doubt.replace(true) {
            self.entries.borrow_mut().clear();
            self.drains.borrow_mut().clear();
        }
    }

    /// It was committed.
    pub(in crate::store) fn committed(&self) {
        self.in_doubt.set(false);
    }

    /// The transaction has this number: rows that it writes have it as their version.
    pub(in crate::store) fn runs_as(&self, transaction: i64) {
        self.transaction.set(Some(version(transaction)));
    }

    /// The version of rows that are written now, if it is known.
    pub(super) fn version(&self) -> Option<i64> {
        self.transaction.get()
    }

    /// Whether what is remembered of a subscription is what its row says, which has this version.
    pub(super) fn is_still(&self, subscription: SubscriptionNo, version: i64) -> bool {
        let is_still =
            self.entries.borrow().get(&subscription).is_some_and(|entry| entry.version == Some(version));
        if is_still {
            self.check(subscription);
        }
        is_still
    }

    /// Another process has written the row. The successes that this one has counted since it wrote last stay
    /// counted, and are written when it is time.
    pub(super) fn replace(&self, subscription: SubscriptionNo, mut entry: Entry) {
        if let Some(known) = self.entries.borrow().get(&subscription).filter(|known| known.url == entry.url) {
            (entry.written_at, entry.counted) = (known.written_at, known.counted);
            entry.health.pace.good = entry.health.pace.good.saturating_add(known.counted);
            if known.counted > 0 {
                entry.health.last_success_at = entry.health.last_success_at.max(known.health.last_success_at);
            }
        }
        self.remember(subscription, entry);
    }

    /// Whether a success like the last one would have to be written.
    pub(in crate::store) fn is_to_be_written(&self, subscription: SubscriptionNo, now: TimeMs) -> bool {
        self.entries.borrow().get(&subscription).is_none_or(|entry| {
            let is_news = entry.health.is_failing || entry.health.consecutive_failures > 0;
            is_news || now.since(entry.written_at) >= WRITE_EVERY
        })
    }

    /// Others may write the rows, too: in the transaction that begins nothing is known before it was read.
    pub(in crate::store) fn share(&self) {
        *self.checked.borrow_mut() = Some(HashSet::new());
    }

    fn is_known(&self, subscription: SubscriptionNo) -> bool {
        self.checked.borrow().as_ref().is_none_or(|checked| checked.contains(&subscription))
    }

    fn check(&self, subscription: SubscriptionNo) {
        if let Some(checked) = &mut *self.checked.borrow_mut() {
            checked.insert(subscription);
        }
    }

    pub(super) fn find(&self, subscription: SubscriptionNo) -> Option<Entry> {
        if !self.is_known(subscription) {
            return None;
        }
        self.entries.borrow().get(&subscription).cloned()
    }

    pub(super) fn remember(&self, subscription: SubscriptionNo, entry: Entry) {
        self.check(subscription);
        let mut entries = self.entries.borrow_mut();
        make_room(&mut entries, subscription);
        entries.insert(subscription, entry);
    }

    pub(super) fn forget(&self, subscription: SubscriptionNo) {
        self.entries.borrow_mut().remove(&subscription);
        self.drains.borrow_mut().remove(&subscription);
    }

    /// Counts a success that need not be written now; false when there is more to it.
    pub(super) fn count_success(
        &self,
        subscription: SubscriptionNo,
        url: Option<UrlNo>,
        now: Moment,
    ) -> bool {
        if !self.is_known(subscription) {
            return false;
        }
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(&subscription) else { return false };
        let is_news = entry.health.is_failing || entry.health.consecutive_failures > 0;
        if is_news || url != Some(entry.url) || now.schedule.since(entry.written_at) >= WRITE_EVERY {
            return false;
        }
        entry.health = std::mem::take(&mut entry.health).succeeded(now).0;
        entry.counted = entry.counted.saturating_add(1);
        true
    }

    /// The bucket from which a draining subscription's claims are taken; `make` for a new one.
    pub(super) fn bucket<T>(
        &self,
        subscription: SubscriptionNo,
        make: impl FnOnce() -> TokenBucket,
        with: impl FnOnce(&mut TokenBucket) -> T,
    ) -> T {
        let mut drains = self.drains.borrow_mut();
        make_room(&mut drains, subscription);
        with(drains.entry(subscription).or_insert_with(make))
    }

    pub(super) fn forget_bucket(&self, subscription: SubscriptionNo) {
        self.drains.borrow_mut().remove(&subscription);
    }
}

/// A row names the transaction that wrote it by the lower half of its number.
fn version(transaction: i64) -> i64 {
    transaction & 0xffff_ffff
}

/// All or nothing: who was used last is not worth knowing when reading again costs one statement each.
fn make_room<T>(map: &mut HashMap<SubscriptionNo, T>, subscription: SubscriptionNo) {
    if map.len() >= MAX_REMEMBERED && !map.contains_key(&subscription) {
        map.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::health::Health;
    use crate::domain::number::{OrganizationNo, Seq};

    const URL: UrlNo = UrlNo(3);

    fn entry() -> Entry {
        Entry {
            organization: OrganizationNo(1),
            url: URL,
            health: Health::default(),
            probe: None,
            seen: Seq(0),
            written_at: TimeMs(10_000),
            counted: 0,
            version: None,
        }
    }

    fn at(ms: i64) -> Moment {
        Moment { schedule: TimeMs(ms), wall: TimeMs(ms), last_seq: Seq(0) }
    }

    #[test]
    fn one_past_the_bound_forgets_the_others() {
        let memory = Memory::default();
        let all = i64::try_from(MAX_REMEMBERED).unwrap();
        for no in 0..all {
            memory.remember(SubscriptionNo(no), entry());
            memory.bucket(SubscriptionNo(no), || TokenBucket::new(1, 1, TimeMs(0)), |_| ());
        }
        memory.remember(SubscriptionNo(0), entry());
        assert_eq!(memory.entries.borrow().len(), MAX_REMEMBERED, "known already");
        memory.remember(SubscriptionNo(all), entry());
        memory.bucket(SubscriptionNo(all), || TokenBucket::new(1, 1, TimeMs(0)), |_| ());
        assert_eq!((memory.entries.borrow().len(), memory.drains.borrow().len()), (1, 1));
    }

    #[test]
    fn what_did_not_end_in_a_commit_is_forgotten() {
        let memory = Memory::default();
        memory.begin();
        memory.remember(SubscriptionNo(1), entry());
        memory.committed();
        memory.begin();
        assert!(memory.find(SubscriptionNo(1)).is_some());
        memory.begin();
        assert!(memory.find(SubscriptionNo(1)).is_none(), "the one before was rolled back");
    }

    #[test]
    fn a_success_is_counted_for_a_second_where_there_is_nothing_else_to_say() {
        let memory = Memory::default();
        let count = |url, ms| memory.count_success(SubscriptionNo(1), url, at(ms));
        assert!(!count(Some(URL), 10_000), "not known");
        memory.remember(SubscriptionNo(1), entry());
        assert!(count(Some(URL), 10_000) && count(Some(URL), 10_999));
        assert!(!count(Some(UrlNo(4)), 10_999), "sent elsewhere");
        assert!(!count(Some(URL), 11_000), "time to write it");
        let known = memory.find(SubscriptionNo(1)).unwrap();
        assert_eq!((known.health.pace.good, known.health.last_success_at), (2, Some(TimeMs(10_999))));
        for health in [
            Health { consecutive_failures: 1, ..Health::default() },
            Health { is_failing: true, ..Health::default() },
        ] {
            memory.remember(SubscriptionNo(1), Entry { health, ..entry() });
            assert!(!count(Some(URL), 10_000), "it is news");
        }
    }
}

//! The generations of the subscriptions that changed since this process began: what makes delete, pause
//! and patch take effect between two bytes.
//!
//! A claim carries the generation that it read. The store raises a subscription's generation here after
//! the commit of a change and before that change is answered. An attempt asks with
//! [`Generations::write_if_unchanged`], which writes the request's first bytes *while holding* the
//! subscription's lock: once [`Generations::raise`] has returned, no first byte of an older generation can
//! be written any more. The write is one non-blocking system call, so nobody waits long.
//!
//! Only changed subscriptions have an entry, so the map grows with changes, not with subscriptions.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use super::number::{OrganizationNo, SubscriptionNo};

/// Subscriptions are spread over this many locks.
const SHARDS: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Generations {
    shards: [RwLock<HashMap<SubscriptionNo, u64>>; SHARDS],
    /// Of each organisation's operational events: raised with its `alerts_url` and its signing key.
    alerts: RwLock<HashMap<OrganizationNo, u64>>,
    never_refuse: bool,
}

impl Default for Generations {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            alerts: RwLock::default(),
            never_refuse: false,
        }
    }
}

impl Generations {
    /// A gate that is none, for the tests that must notice that.
    #[must_use]
    pub fn that_never_refuse() -> Self {
        Self { never_refuse: true, ..Self::default() }
    }

    /// From now on only claims of `generation` or later may write. Waits for writes under way.
    pub fn raise(&self, subscription: SubscriptionNo, generation: u64) {
        raise(self.shard(subscription), subscription, generation);
    }

    /// Runs `write` unless the subscription has changed since `generation`; tells whether it ran.
    pub fn write_if_unchanged(
        &self,
        subscription: SubscriptionNo,
        generation: u64,
        write: &mut dyn FnMut(),
    ) -> bool {
        if self.never_refuse {
            write();
            return true;
        }
        write_if_unchanged(self.shard(subscription), &subscription, generation, write)
    }

    /// [`Generations::raise`] for the operational events of an organisation.
    pub fn raise_alerts(&self, organization: OrganizationNo, generation: u64) {
        raise(&self.alerts, organization, generation);
    }

    /// [`Generations::write_if_unchanged`] for an operational event of an organisation.
    pub fn write_alert_if_unchanged(
        &self,
        organization: OrganizationNo,
        generation: u64,
        write: &mut dyn FnMut(),
    ) -> bool {
        write_if_unchanged(&self.alerts, &organization, generation, write)
    }

    fn shard(&self, subscription: SubscriptionNo) -> &RwLock<HashMap<SubscriptionNo, u64>> {
        let index = usize::try_from(subscription.0.unsigned_abs()).unwrap_or(0) % SHARDS;
        &self.shards[index]
    }
}

fn raise<K: Hash + Eq>(generations: &RwLock<HashMap<K, u64>>, of: K, generation: u64) {
    let mut generations = generations.write().unwrap_or_else(PoisonError::into_inner);
    let entry = generations.entry(of).or_insert(generation);
    *entry = generation.max(*entry);
}

fn write_if_unchanged<K: Hash + Eq>(
    generations: &RwLock<HashMap<K, u64>>,
    of: &K,
    generation: u64,
    write: &mut dyn FnMut(),
) -> bool {
    let generations = generations.read().unwrap_or_else(PoisonError::into_inner);
    let unchanged = generations.get(of).is_none_or(|current| *current <= generation);
    if unchanged {
        write();
    }
    unchanged
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: SubscriptionNo = SubscriptionNo(65);

    fn writes(generations: &Generations, generation: u64) -> bool {
        let mut wrote = false;
        let passed = generations.write_if_unchanged(SUBSCRIPTION, generation, &mut || wrote = true);
        assert_eq!(passed, wrote);
        wrote
    }

    #[test]
    fn an_older_generation_does_not_write() {
        let generations = Generations::default();
        assert!(writes(&generations, 1), "nothing changed since the claim");
        generations.raise(SUBSCRIPTION, 3);
        assert!(!writes(&generations, 2));
        assert!(writes(&generations, 3));
        generations.raise(SUBSCRIPTION, 2);
        assert!(!writes(&generations, 2), "a generation never sinks");
    }

    #[test]
    fn operational_events_have_generations_of_their_own() {
        let generations = Generations::default();
        generations.raise(SUBSCRIPTION, 9);
        let writes =
            |generation| generations.write_alert_if_unchanged(OrganizationNo(65), generation, &mut || {});
        assert!(writes(1));
        generations.raise_alerts(OrganizationNo(65), 2);
        assert!(!writes(1) && writes(2));
    }

    #[test]
    fn raise_waits_for_a_write_under_way() {
        let generations = Generations::default();
        let (entered, wait_entered) = std::sync::mpsc::channel();
        let (leave, wait_leave) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let generations = &generations;
            let writer = scope.spawn(move || {
                generations.write_if_unchanged(SUBSCRIPTION, 1, &mut || {
                    entered.send(()).expect("the test listens");
                    wait_leave.recv().expect("the test lets go");
                })
            });
            wait_entered.recv().expect("the write began");
            assert!(
                generations.shard(SUBSCRIPTION).try_write().is_err(),
                "the lock is held during the write"
            );
            leave.send(()).expect("the writer waits");
            assert!(writer.join().expect("no panic"));
        });
        generations.raise(SUBSCRIPTION, 2);
        assert!(!writes(&generations, 1));
    }
}

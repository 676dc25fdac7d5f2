//! The keys that were used lately, so that a request does not have to ask the store for its key.
//!
//! Promises: a key that was revoked is refused by every request that begins after the revocation was
//! answered (the store raises its epoch after the commit and before the answer, and whatever was remembered
//! under an older epoch is dropped). Only keys that exist are remembered, and never more than
//! [`REMEMBERED`] of them; a flood of wrong ones costs reads, not memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use inkhook_wire::id::OrganizationId;

use crate::domain::number::OrganizationNo;
use crate::domain::time::{Clock, TimeMs};
use crate::store::api_keys::ApiKey;
use crate::store::{Store, StoreError};

/// Keys, and organisations that operator keys named, that are remembered at most.
const REMEMBERED: usize = 10_000;
/// How exact the time of a key's last use is.
const USE_PRECISION: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Keys(RwLock<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    epoch: u64,
    keys: HashMap<[u8; 32], Arc<Known>>,
    organizations: HashMap<OrganizationId, (OrganizationNo, Option<u32>)>,
}

/// A key, and when its last use was written down.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: ApiKey,
    /// Events that its organisation may publish in a second.
    pub(super) publish_per_second: Option<u32>,
    noted_ms: AtomicI64,
}

impl Keys {
    /// The key with this text, if it is in force.
    pub(super) async fn find(
        &self,
        store: &Store,
        clock: &Clock,
        text: &str,
    ) -> Result<Option<Arc<Known>>, StoreError> {
        let mac = store.key_mac(text);
        let epoch = store.keys_epoch();
        let known = match self.remembered(epoch, |remembered| remembered.keys.get(&mac).cloned()) {
            Some(known) => known,
            None => match store.find_key(mac).await? {
                Some(key) => {
                    let noted_ms = AtomicI64::new(key.last_used_at.map_or(i64::MIN, |at| at.0));
                    let publish_per_second = match key.organization {
                        Some((organization, _)) => store.publish_per_second(organization).await?,
                        None => None,
                    };
                    let known = Arc::new(Known { key, publish_per_second, noted_ms });
                    self.remember(store, epoch, |remembered| {
                        insert(&mut remembered.keys, mac, known.clone());
                    });
                    known
                }
                None => return Ok(None),
            },
        };
        let now = clock.wall();
        if known.key.expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        note_use(store, &known, now);
        Ok(Some(known))
    }

    /// The number of an organisation that an operator key named, and what it may publish in a second.
    pub(super) async fn organization(
        &self,
        store: &Store,
        id: OrganizationId,
    ) -> Result<Option<(OrganizationNo, Option<u32>)>, StoreError> {
        let epoch = store.keys_epoch();
        if let Some(known) = self.remembered(epoch, |remembered| remembered.organizations.get(&id).copied()) {
            return Ok(Some(known));
        }
        let Some(organization) = store.organization(id).await? else { return Ok(None) };
        let known = (organization.no, store.publish_per_second(organization.no).await?);
        self.remember(store, epoch, |remembered| {
            insert(&mut remembered.organizations, id, known);
        });
        Ok(Some(known))
    }

    fn remembered<T>(&self, epoch: u64, find: impl FnOnce(&Remembered) -> Option<T>) -> Option<T> {
        let remembered = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if remembered.epoch == epoch { find(&remembered) } else { None }
    }

    /// Remembers what was read after `epoch` was, unless something was committed since.
    fn remember(&self, store: &Store, epoch: u64, add: impl FnOnce(&mut Remembered)) {
        let mut remembered = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if store.keys_epoch() != epoch {
            return;
        }
        if remembered.epoch != epoch {
            *remembered = Remembered { epoch, ..Remembered::default() };
        }
        add(&mut remembered);
    }
}

fn insert<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: V) {
    if map.len() >= REMEMBERED {
        map.clear();
    }
    map.insert(key, value);
}

fn note_use(store: &Store, known: &Known, now: TimeMs) {
    let noted = known.noted_ms.load(Ordering::Relaxed);
    if now < TimeMs(noted).after(USE_PRECISION) {
        return;
    }
    if known.noted_ms.compare_exchange(noted, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        store.note_key_use(known.key.id, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_bounded() {
        let mut map = HashMap::new();
        for n in 0..=REMEMBERED {
            insert(&mut map, n, n);
            assert!(map.len() <= REMEMBERED);
        }
        assert_eq!(map.len(), 1, "one past the bound starts anew");
    }
}

//! Idle connections, for a moment.
//!
//! A connection is found again only by the same tenant, for the same scheme,
//! host and port, and only when its address is among those just vetted. It
//! waits at most [`Limits::idle`](crate::Limits), or a second less than the
//! server's `Keep-Alive: timeout` promises, so that it is rarely the server
//! that closes first. One task drops what has waited too long; it starts with
//! the first idle connection and ends with the last, or with the pool.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::clock::now;
use crate::connect::Conn;
use crate::resolve::Vetted;
use crate::target::Target;

/// Independent locks, so that threads rarely meet.
const SHARDS: usize = 16;
/// How often expired connections are dropped.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// What an idle connection is found by.
#[derive(Clone, Debug)]
struct Key {
    tenant: u64,
    address: std::net::SocketAddr,
    target: Target,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.tenant == other.tenant && self.address == other.address && self.target.same_origin(&other.target)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tenant.hash(state);
        self.address.hash(state);
        self.target.hash_origin(state);
    }
}

#[derive(Debug)]
struct Idle {
    conn: Conn,
    until: Instant,
}

#[derive(Debug, Default)]
struct Shard {
    idle: HashMap<Key, Vec<Idle>>,
    count: usize,
}

/// The idle connections of one client.
#[derive(Debug)]
pub(crate) struct Pool {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    max_per_key: usize,
    max_per_shard: usize,
    sweeping: AtomicBool,
}

impl Pool {
    /// `max` is spread evenly over the shards, so that no shard has to ask the
    /// others; a shard may be full before the pool is.
    pub(crate) fn new(max_per_key: usize, max: usize) -> Arc<Self> {
        Arc::new(Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            max_per_key,
            max_per_shard: max / SHARDS,
            sweeping: AtomicBool::new(false),
        })
    }

    /// The connection to one of `addresses` that was used last.
    pub(crate) fn take(&self, tenant: u64, target: &Target, addresses: &[Vetted]) -> Option<Conn> {
        let at = now();
        addresses.iter().find_map(|vetted| {
            let key = Key { tenant, address: vetted.address, target: target.clone() };
            self.shard(&key).take(&key, at)
        })
    }

    /// Keeps `conn` for `wait`, or closes it when there is no room.
    pub(crate) fn put(self: &Arc<Self>, tenant: u64, target: Target, conn: Conn, wait: Duration) {
        let key = Key { tenant, address: conn.to.address, target };
        let at = now();
        let idle = Idle { conn, until: at + wait };
        let refused = self.shard(&key).put(key, idle, at, self.max_per_key, self.max_per_shard);
        if let Some(idle) = refused {
            idle.conn.retire();
        } else if !self.sweeping.swap(true, Ordering::AcqRel) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        lock(&self.shards[index])
    }

    /// Drops what expired before `at`; says whether anything is left.
    fn drop_expired(&self, at: Instant) -> bool {
        let mut left = 0;
        for shard in &self.shards {
            let expired = {
                let mut shard = lock(shard);
                let expired = shard.expire(at);
                left += shard.count;
                expired
            };
            for idle in expired {
                idle.conn.retire();
            }
        }
        left > 0
    }
}

impl Shard {
    fn take(&mut self, key: &Key, at: Instant) -> Option<Conn> {
        let waiting = self.idle.get_mut(key)?;
        let newest = waiting.pop()?;
        self.count -= 1;
        (newest.until > at).then_some(newest.conn)
    }

    /// Gives the connection back when there is no room for it.
    fn put(&mut self, key: Key, idle: Idle, at: Instant, max_per_key: usize, max: usize) -> Option<Idle> {
        if self.count >= max {
            self.expire(at);
        }
        if self.count >= max {
            return Some(idle);
        }
        let waiting = self.idle.entry(key).or_default();
        if waiting.len() >= max_per_key {
            return Some(idle);
        }
        waiting.push(idle);
        self.count += 1;
        None
    }

    fn expire(&mut self, at: Instant) -> Vec<Idle> {
        let mut expired = Vec::new();
        self.idle.retain(|_, waiting| {
            expired.extend(waiting.extract_if(.., |idle| idle.until <= at || idle.conn.sender.is_closed()));
            !waiting.is_empty()
        });
        self.count -= expired.len();
        expired
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sweep(pool: Weak<Pool>) {
    let mut ticks = interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        if pool.drop_expired(now()) {
            continue;
        }
        pool.sweeping.store(false, Ordering::Release);
        // A connection may have come in between the look and the flag.
        if !pool.drop_expired(now()) || pool.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
    }
}

//! How often one key, or one organisation, may ask.
//!
//! Publishing does not count: it is bounded by what waits to be stored, and by a rate of its own where an
//! organisation sets one. State is kept for those that ask
//! only: it is made after a key was found to be good, and dropped again once it has been idle for long
//! enough to have its whole burst back.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::domain::time::Clock;

/// How many seconds' worth of requests may come at once.
const BURST_SECONDS: u32 = 2;
/// Idle keys are dropped each time this many requests were counted.
const SWEEP_EVERY: u32 = 4_096;

/// See the module.
pub struct Limiter<K: Clone + Eq + Hash> {
    limiter: RateLimiter<K, DashMapStateStore<K>, MonotonicClock, NoOpMiddleware<Duration>>,
    counted: AtomicU32,
}

impl<K: Clone + Eq + Hash> fmt::Debug for Limiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter")
    }
}

/// Time as the limiter wants it: what steps would refuse everybody for as long as it stepped back.
#[derive(Debug, Clone)]
struct MonotonicClock(Clock);

impl governor::clock::Clock for MonotonicClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// So many a second, and twice that at once.
    #[must_use]
    pub fn new(clock: Clock, requests_per_second: u32) -> Self {
        let rate = NonZeroU32::new(requests_per_second).unwrap_or(NonZeroU32::MIN);
        let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
        let quota = Quota::per_second(rate).allow_burst(burst);
        let limiter = RateLimiter::new(quota, DashMapStateStore::default(), MonotonicClock(clock));
        Self { limiter, counted: AtomicU32::new(0) }
    }

    /// Counts a request of `key`.
    ///
    /// # Errors
    /// It is one too many: the whole seconds to wait.
    pub fn check(&self, key: &K) -> Result<(), u32> {
        if self.counted.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter
            .check_key(key)
            .map_err(|refused| whole_seconds(refused.wait_time_from(self.limiter.clock().now())))
    }
}

/// Organisations whose rate is remembered at most; beyond, all of them begin with a whole burst again.
const REMEMBERED: usize = 10_000;

type Direct = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Duration>>;

/// Rates that differ from key to key; one second's worth may come at once.
pub struct Rates<K> {
    clock: MonotonicClock,
    limiters: Mutex<HashMap<K, (u32, Arc<Direct>)>>,
}

impl<K> fmt::Debug for Rates<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rates")
    }
}

/// Why something is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// For so many whole seconds.
    Now(u32),
    /// It is more than one second's worth.
    Ever,
}

impl<K: Eq + Hash> Rates<K> {
    /// Nobody has been counted yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock: MonotonicClock(clock), limiters: Mutex::default() }
    }

    /// Counts `amount` of `key`, which may have `per_second`. Another rate than before begins with a whole
    /// burst.
    ///
    /// # Errors
    /// It is too much, and nothing was counted.
    pub fn check(&self, key: K, per_second: u32, amount: u32) -> Result<(), TooMany> {
        let Some(amount) = NonZeroU32::new(amount) else { return Ok(()) };
        let limiter = self.limiter(key, per_second);
        match limiter.check_n(amount) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(TooMany::Now(whole_seconds(refused.wait_time_from(self.clock.now())))),
            Err(_) => Err(TooMany::Ever),
        }
    }

    fn limiter(&self, key: K, per_second: u32) -> Arc<Direct> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((rate, limiter)) = limiters.get(&key)
            && *rate == per_second
        {
            return limiter.clone();
        }
        if limiters.len() >= REMEMBERED {
            limiters.clear();
        }
        let quota = Quota::per_second(NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN));
        let limiter = Arc::new(RateLimiter::direct_with_clock(quota, self.clock.clone()));
        limiters.insert(key, (per_second, limiter.clone()));
        limiter
    }
}

fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use inkhook_wire::id::ApiKeyId;
    use uuid::Uuid;

    use super::*;
    use crate::domain::time::TimeMs;

    fn key(n: u32) -> ApiKeyId {
        Uuid::from_u128(n.into()).into()
    }

    #[test]
    fn one_past_the_burst_waits_and_then_goes_on() {
        let clock = Clock::manual(TimeMs(1_780_000_000_000));
        let limiter = Limiter::new(clock.clone(), 100);
        for _ in 0..200 {
            assert_eq!(limiter.check(&key(1)), Ok(()));
        }
        assert_eq!(limiter.check(&key(1)), Err(1));
        assert_eq!(limiter.check(&key(2)), Ok(()), "another key is not held back");
        clock.advance(Duration::from_millis(10));
        assert_eq!(limiter.check(&key(1)), Ok(()), "100 a second is one in 10 ms");
        assert_eq!(limiter.check(&key(1)), Err(1));
    }

    #[test]
    fn idle_keys_are_forgotten() {
        let clock = Clock::manual(TimeMs(1_780_000_000_000));
        let limiter = Limiter::new(clock.clone(), 100);
        for n in 0..SWEEP_EVERY - 1 {
            assert_eq!(limiter.check(&key(n)), Ok(()));
        }
        clock.advance(Duration::from_secs(10));
        assert_eq!(limiter.check(&key(0)), Ok(()));
        assert!(limiter.limiter.len() <= 1, "{}", limiter.limiter.len());
    }

    #[test]
    fn one_past_a_second_s_worth_waits_and_more_than_that_never_passes() {
        let clock = Clock::manual(TimeMs(1_780_000_000_000));
        let rates = Rates::new(clock.clone());
        assert_eq!(rates.check(1, 10, 11), Err(TooMany::Ever));
        assert_eq!(rates.check(1, 10, 9), Ok(()), "what was refused is not counted");
        assert_eq!(rates.check(1, 10, 2), Err(TooMany::Now(1)));
        assert_eq!(rates.check(1, 10, 1), Ok(()));
        assert_eq!(rates.check(1, 10, 1), Err(TooMany::Now(1)));
        assert_eq!(rates.check(2, 10, 10), Ok(()), "another key is not held back");
        clock.advance(Duration::from_millis(100));
        assert_eq!(rates.check(1, 10, 1), Ok(()), "10 a second is one in 100 ms");
        assert_eq!(rates.check(1, 20, 20), Ok(()), "another rate begins anew");
        assert_eq!(rates.check(1, 20, 0), Ok(()), "nothing is never too much");
    }

    #[test]
    fn what_is_remembered_of_rates_is_bounded() {
        let rates = Rates::new(Clock::manual(TimeMs(1_780_000_000_000)));
        for key in 0..=REMEMBERED {
            assert_eq!(rates.check(key, 1, 1), Ok(()));
        }
        assert_eq!(rates.limiters.lock().expect("no panic").len(), 1, "one past the bound starts anew");
    }
}

//! How often one key, or one organisation, may ask.
//!
//! Publishing does not count: it is bounded by what waits to be stored. State is kept for those that ask
//! only: it is made after a key was found to be good, and dropped again once it has been idle for long
//! enough to have its whole burst back.

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::domain::time::Clock;

/// How many seconds' worth of requests may come at once.
const BURST_SECONDS: u32 = 2;
/// Idle keys are dropped each time this many requests were counted.
const SWEEP_EVERY: u32 = 4_096;

/// See the module.
pub struct Limiter<K: Clone + Eq + Hash> {
    limiter: RateLimiter<K, DashMapStateStore<K>, ScheduleClock, NoOpMiddleware<Duration>>,
    counted: AtomicU32,
}

impl<K: Clone + Eq + Hash> fmt::Debug for Limiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter")
    }
}

/// Schedule time as the limiter wants it.
#[derive(Debug, Clone)]
struct ScheduleClock(Clock);

impl governor::clock::Clock for ScheduleClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.schedule().0).unwrap_or(0))
    }
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// So many a second, and twice that at once.
    #[must_use]
    pub fn new(clock: Clock, requests_per_second: u32) -> Self {
        let rate = NonZeroU32::new(requests_per_second).unwrap_or(NonZeroU32::MIN);
        let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
        let quota = Quota::per_second(rate).allow_burst(burst);
        let limiter = RateLimiter::new(quota, DashMapStateStore::default(), ScheduleClock(clock));
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
        self.limiter.check_key(key).map_err(|refused| {
            let wait = refused.wait_time_from(self.limiter.clock().now());
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
        })
    }
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
}

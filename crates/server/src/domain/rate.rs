//! A rate that may be used up in small bursts: a token bucket, as a value.
//!
//! Integers only, so that the same calls at the same times give the same answers everywhere. One token is
//! [`UNITS`] units, and a rate of `n` a second earns `n` units a millisecond: nothing is lost to rounding.

use super::time::TimeMs;

/// Units of one token: a rate counts by the second, the clock by the millisecond.
const UNITS: u64 = 1_000;

/// Holds at most its burst, and earns its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    per_second: u32,
    burst: u32,
    units: u64,
    at: TimeMs,
}

impl TokenBucket {
    /// A full bucket. A rate or burst of 0 counts as 1: a bucket never stands still for ever.
    #[must_use]
    pub fn new(per_second: u32, burst: u32, now: TimeMs) -> Self {
        let (per_second, burst) = (per_second.max(1), burst.max(1));
        Self { per_second, burst, units: u64::from(burst) * UNITS, at: now }
    }

    /// Another rate from now on; what was earned until now stays, up to the new burst.
    pub fn change(&mut self, per_second: u32, burst: u32, now: TimeMs) {
        self.earn(now);
        (self.per_second, self.burst) = (per_second.max(1), burst.max(1));
        self.units = self.units.min(self.full());
    }

    /// Whole tokens that are there.
    pub fn available(&mut self, now: TimeMs) -> usize {
        self.earn(now);
        usize::try_from(self.units / UNITS).unwrap_or(usize::MAX)
    }

    /// Takes `count` tokens, or as many as are there; the number taken.
    pub fn take(&mut self, count: usize, now: TimeMs) -> usize {
        let taken = count.min(self.available(now));
        self.units -= taken as u64 * UNITS;
        taken
    }

    /// When `count` tokens will be there, the burst at most: `now` when they are.
    #[must_use]
    pub fn ready_at(&self, count: usize, now: TimeMs) -> TimeMs {
        let mut then = *self;
        then.earn(now);
        let wanted = u64::try_from(count).unwrap_or(u64::MAX).min(u64::from(self.burst)) * UNITS;
        let missing = wanted.saturating_sub(then.units);
        now.after(std::time::Duration::from_millis(missing.div_ceil(u64::from(self.per_second))))
    }

    fn full(&self) -> u64 {
        u64::from(self.burst) * UNITS
    }

    /// A clock that stands still or steps back earns nothing.
    fn earn(&mut self, now: TimeMs) {
        let elapsed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.units =
            self.units.saturating_add(elapsed.saturating_mul(self.per_second.into())).min(self.full());
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: TimeMs = TimeMs(1_000_000);

    fn at(ms: i64) -> TimeMs {
        TimeMs(T.0 + ms)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::new(10, 2, T);
        assert_eq!((bucket.take(5, T), bucket.take(1, T)), (2, 0));
        assert_eq!(bucket.ready_at(1, T), at(100));
        assert_eq!((bucket.available(at(99)), bucket.available(at(100))), (0, 1));
        assert_eq!(bucket.ready_at(1, at(100)), at(100), "it is there");
        assert_eq!(bucket.take(9, at(60_000)), 2, "one past the burst is not kept");
    }

    #[test]
    fn another_rate_keeps_what_was_earned_up_to_its_burst() {
        let mut bucket = TokenBucket::new(10, 10, T);
        bucket.take(10, T);
        bucket.change(1, 3, at(500));
        assert_eq!(bucket.available(at(500)), 3);
        bucket.take(3, at(500));
        assert_eq!(bucket.ready_at(9, at(500)), at(3_500), "more than the burst is never there");
    }

    #[test]
    fn nothing_is_no_rate_and_a_clock_that_steps_back_earns_nothing() {
        let mut bucket = TokenBucket::new(0, 0, T);
        assert_eq!((bucket.take(2, T), bucket.take(1, at(-5_000)), bucket.take(1, at(1_000))), (1, 0, 1));
    }

    proptest! {
        #[test]
        fn in_any_stretch_of_time_no_more_than_the_burst_and_what_the_rate_earns(
            per_second in 1_u32..5_000,
            burst in 1_u32..1_000,
            steps in prop::collection::vec((0_i64..2_000, 0_usize..3_000), 1..60),
        ) {
            let mut bucket = TokenBucket::new(per_second, burst, T);
            let (mut now, mut taken) = (0, 0);
            for (wait, want) in steps {
                now += wait;
                taken += bucket.take(want, at(now)) as u64;
                let earned = u64::from(per_second) * u64::try_from(now).unwrap() / 1_000;
                prop_assert!(taken <= u64::from(burst) + earned);
            }
        }

        #[test]
        fn what_is_promised_for_a_time_is_there_then_and_not_before(
            per_second in 1_u32..5_000, burst in 1_u32..1_000, want in 1_usize..2_000,
        ) {
            let mut bucket = TokenBucket::new(per_second, burst, T);
            bucket.take(usize::MAX, T);
            let ready = bucket.ready_at(want, T);
            let wanted = want.min(burst as usize);
            prop_assert!(bucket.available(TimeMs(ready.0 - 1)) < wanted);
            prop_assert!(bucket.available(ready) >= wanted);
        }
    }
}

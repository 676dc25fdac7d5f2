//! What the attempts of a subscription came to over a time.

use super::attempt::Recorded;

/// Attempts, added up one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptStats {
    /// Answered 2xx in time.
    pub succeeded: u32,
    /// Anything else that is known.
    pub failed: u32,
    /// The node was lost or stopped before the answer was read.
    pub unknown: u32,
    durations_ms: Vec<u64>,
}

/// How long attempts took, failed ones included: nearest rank, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latencies {
    /// Half of them took no longer.
    pub p50: u64,
    /// 95 of 100.
    pub p95: u64,
    /// 99 of 100.
    pub p99: u64,
}

impl AttemptStats {
    /// Counts one more.
    pub fn add(&mut self, recorded: Recorded, duration_ms: Option<u64>) {
        match recorded {
            Recorded::Succeeded => self.succeeded += 1,
            Recorded::Failed => self.failed += 1,
            Recorded::Unknown => self.unknown += 1,
        }
        self.durations_ms.extend(duration_ms);
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.succeeded + self.failed + self.unknown
    }

    /// The share of those that are known which succeeded, 0 to 1; `None` when there are none.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let known = self.succeeded + self.failed;
        (known > 0).then(|| f64::from(self.succeeded) / f64::from(known))
    }

    /// How long they took; `None` when nobody knows of any.
    #[must_use]
    pub fn latencies(&mut self) -> Option<Latencies> {
        self.durations_ms.sort_unstable();
        let rank = |percent: usize| {
            let rank = (self.durations_ms.len() * percent).div_ceil(100);
            self.durations_ms.get(rank.checked_sub(1)?).copied()
        };
        Some(Latencies { p50: rank(50)?, p95: rank(95)?, p99: rank(99)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_rate_and_no_latencies() {
        let mut stats = AttemptStats::default();
        assert_eq!((stats.total(), stats.success_rate(), stats.latencies()), (0, None, None));
        stats.add(Recorded::Unknown, None);
        assert_eq!((stats.total(), stats.success_rate(), stats.latencies()), (1, None, None));
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut stats = AttemptStats::default();
        stats.add(Recorded::Failed, Some(7));
        assert_eq!(stats.latencies(), Some(Latencies { p50: 7, p95: 7, p99: 7 }));
        let mut stats = AttemptStats::default();
        for ms in (1..=200).rev() {
            stats.add(Recorded::Succeeded, Some(ms));
        }
        assert_eq!(stats.latencies(), Some(Latencies { p50: 100, p95: 190, p99: 198 }));
    }

    #[test]
    fn what_is_unknown_does_not_count_in_the_rate() {
        let mut stats = AttemptStats::default();
        for recorded in [Recorded::Succeeded, Recorded::Succeeded, Recorded::Succeeded, Recorded::Failed] {
            stats.add(recorded, Some(1));
        }
        stats.add(Recorded::Unknown, None);
        assert_eq!((stats.total(), stats.success_rate()), (5, Some(0.75)));
    }
}

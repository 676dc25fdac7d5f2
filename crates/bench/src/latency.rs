//! How long things took: a histogram with three significant digits from one microsecond to ten minutes.

use std::fmt;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The longest that is told apart: what took longer counts as this.
const LONGEST_US: u64 = 600_000_000;

/// See the module. Times are microseconds.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds that make sense"))
    }
}

impl Latency {
    /// Counts one.
    pub fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros);
    }

    /// Counts what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the same bounds");
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What `share` (0 to 1) of them did not exceed.
    pub fn at(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The longest.
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// Count and percentiles.
    pub fn to_json(&self) -> Value {
        json!({"count": self.count(), "p50": self.at(0.5), "p90": self.at(0.9), "p99": self.at(0.99),
            "p999": self.at(0.999), "max": self.max()})
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99, max) = (millis(self.at(0.5)), millis(self.at(0.99)), millis(self.max()));
        write!(f, "p50 {p50:>8} ms   p99 {p99:>8} ms   max {max:>8} ms")
    }
}

/// Milliseconds with two decimals.
pub fn millis(micros: u64) -> String {
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}

/// So many in so many microseconds, in a second.
pub fn per_second(count: u64, micros: u64) -> f64 {
    if micros == 0 { 0.0 } else { float(count) * 1e6 / float(micros) }
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no measurement counts to 2^52")]
pub fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_three_digits() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|micros| latency.record(micros * 100));
        for (share, expected) in [(0.5, 50_000_u64), (0.99, 99_000), (1.0, 100_000)] {
            assert!(latency.at(share).abs_diff(expected) <= expected / 500, "{share}: {}", latency.at(share));
        }
    }

    #[test]
    fn what_takes_longer_than_the_longest_counts_as_the_longest() {
        let mut latency = Latency::default();
        latency.record(LONGEST_US * 2);
        assert_eq!(latency.count(), 1);
        assert!(latency.max() >= LONGEST_US && latency.max() < LONGEST_US * 2);
    }
}

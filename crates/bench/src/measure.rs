//! What is counted and timed: one slot an event, written once by its publisher and once by its arrival.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// See the module. Times are microseconds since the start, plus one; zero is "not yet".
pub(crate) struct Measurement {
    began: std::sync::OnceLock<Instant>,
    published: Vec<AtomicU64>,
    answered: Vec<AtomicU64>,
    arrived: Vec<AtomicU64>,
    deliveries: AtomicUsize,
    duplicates: AtomicUsize,
    fan_out: usize,
    all: Notify,
}

impl Measurement {
    pub(crate) fn new(events: usize, fan_out: usize) -> Self {
        let slots = || (0..events).map(|_| AtomicU64::new(0)).collect();
        Self {
            began: std::sync::OnceLock::new(),
            published: slots(),
            answered: slots(),
            arrived: (0..events * fan_out).map(|_| AtomicU64::new(0)).collect(),
            deliveries: AtomicUsize::new(0),
            duplicates: AtomicUsize::new(0),
            fan_out,
            all: Notify::new(),
        }
    }

    /// From now on it counts.
    pub(crate) fn start(&self) {
        self.began.get_or_init(now);
    }

    pub(crate) fn events(&self) -> usize {
        self.published.len()
    }

    /// When the measurement began.
    pub(crate) fn began(&self) -> Instant {
        *self.began.get_or_init(now)
    }

    fn elapsed(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began()).as_micros()).unwrap_or(u64::MAX - 1) + 1
    }

    /// The publish of this event began, or should have.
    pub(crate) fn published(&self, event: usize, at: Instant) {
        self.published[event].store(self.elapsed(at), Ordering::Relaxed);
    }

    /// The publish of this event was answered with 202.
    pub(crate) fn answered(&self, event: usize) {
        self.answered[event].store(self.elapsed(now()), Ordering::Relaxed);
    }

    /// The POST of this event to this subscription arrived.
    pub(crate) fn arrived(&self, event: usize, subscription: usize) {
        let slot = &self.arrived[event * self.fan_out + subscription];
        let at = self.elapsed(now());
        if slot.compare_exchange(0, at, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            self.duplicates.fetch_add(1, Ordering::Relaxed);
        } else if self.deliveries.fetch_add(1, Ordering::Relaxed) + 1 == self.arrived.len() {
            self.all.notify_one();
        }
    }

    /// Waits until every delivery has arrived, at most so long.
    pub(crate) async fn drained(&self, at_most: Duration) {
        if self.deliveries.load(Ordering::Relaxed) < self.arrived.len() {
            // What is missing then is reported.
            drop(tokio::time::timeout(at_most, self.all.notified()).await);
        }
    }

    pub(crate) fn report(&self) -> Report {
        let read = |slots: &[AtomicU64]| -> Vec<u64> {
            slots.iter().map(|slot| slot.load(Ordering::Relaxed)).collect()
        };
        let (published, answered, arrived) =
            (read(&self.published), read(&self.answered), read(&self.arrived));
        let between = |later: &[u64], each: usize| {
            let pairs = later.iter().enumerate().filter(|(_, at)| **at > 0);
            let mut waits: Vec<u64> =
                pairs.map(|(index, at)| at.saturating_sub(published[index / each])).collect();
            waits.sort_unstable();
            waits
        };
        let last = |times: &[u64]| times.iter().copied().max().unwrap_or(0);
        Report {
            events: published.len(),
            deliveries: self.deliveries.load(Ordering::Relaxed),
            expected: arrived.len(),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            accept_us: last(&answered),
            deliver_us: last(&arrived),
            answer: between(&answered, 1),
            arrival: between(&arrived, self.fan_out),
        }
    }
}

/// What came of it.
pub(crate) struct Report {
    events: usize,
    deliveries: usize,
    expected: usize,
    duplicates: usize,
    accept_us: u64,
    deliver_us: u64,
    answer: Vec<u64>,
    arrival: Vec<u64>,
}

impl Report {
    /// Deliveries that did not arrive in time.
    pub(crate) fn missing(&self) -> usize {
        self.expected - self.deliveries
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "events": self.events,
            "deliveries": self.deliveries,
            "missing": self.missing(),
            "duplicates": self.duplicates,
            "accepted_per_second": per_second(self.events, self.accept_us),
            "delivered_per_second": per_second(self.deliveries, self.deliver_us),
            "answer_us": percentiles(&self.answer),
            "arrival_us": percentiles(&self.arrival),
        })
    }
}

fn percentiles(sorted: &[u64]) -> serde_json::Value {
    serde_json::json!({"p50": percentile(sorted, 500), "p99": percentile(sorted, 990),
        "p999": percentile(sorted, 999), "max": percentile(sorted, 1000)})
}

/// The value below which `per_mille` of them lie.
fn percentile(sorted: &[u64], per_mille: usize) -> u64 {
    let index = (sorted.len() * per_mille).div_ceil(1000).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(0)
}

fn per_second(count: usize, micros: u64) -> u64 {
    (count as u64).saturating_mul(1_000_000).checked_div(micros).unwrap_or(0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = per_second(self.events, self.accept_us);
        let delivered = per_second(self.deliveries, self.deliver_us);
        writeln!(f, "accepted   {:>9} events      {accepted:>8} /s", self.events)?;
        writeln!(f, "delivered  {:>9} deliveries  {delivered:>8} /s", self.deliveries)?;
        writeln!(f, "missing    {:>9}   duplicates {:>6}", self.missing(), self.duplicates)?;
        for (what, times) in [("answer", &self.answer), ("arrival", &self.arrival)] {
            let at = |per_mille| millis(percentile(times, per_mille));
            let (p50, p99, max) = (at(500), at(990), at(1000));
            writeln!(f, "{what:<10} p50 {p50:>8} ms   p99 {p99:>8} ms   max {max:>8} ms")?;
        }
        Ok(())
    }
}

fn millis(micros: u64) -> String {
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock; this is the one place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occur() {
        let sorted: Vec<u64> = (1..=1000).collect();
        assert_eq!([500, 990, 1000].map(|at| percentile(&sorted, at)), [500, 990, 1000]);
        assert_eq!(percentile(&[7], 500), 7);
        assert_eq!(percentile(&[], 500), 0);
    }

    #[test]
    fn what_arrives_twice_counts_once_and_is_said() {
        let measurement = Measurement::new(2, 1);
        measurement.arrived(0, 0);
        measurement.arrived(0, 0);
        let report = measurement.report();
        assert_eq!((report.deliveries, report.duplicates, report.missing()), (1, 1, 1));
    }
}

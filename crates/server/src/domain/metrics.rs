//! What a running server counts about itself: atomics, so that counting costs next to nothing where the work
//! is done, and one struct a store, so that two servers in one process never mix.
//!
//! Nothing here is durable or exact to the last event after a crash: a counter begins at 0 with the process.
//! No series is named after a tenant, a subscription or a URL, so their number does not grow with use, and
//! none can hold a secret.

mod text;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::call::DecidedBy;
use super::time::TimeMs;

pub use text::render;

/// Counts up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `by`.
    pub fn add(&self, by: u64) {
        if by > 0 {
            self.0.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// What it has come to.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// It is this now.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Buckets that every histogram has, the last one for everything larger.
const BUCKETS: usize = 12;

/// How often values of which size were seen. A bucket's upper bound doubles or more from one to the next.
#[derive(Debug)]
pub struct Histogram {
    bounds: [u64; BUCKETS - 1],
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Histogram {
    const fn new(bounds: [u64; BUCKETS - 1]) -> Self {
        Self { bounds, counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }

    /// One more of this size.
    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The same for a time, in microseconds.
    pub fn observe_time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }
}

/// 100 µs to 5 s.
const TIMES_US: [u64; BUCKETS - 1] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 5_000_000];
/// 1 to the most that one group takes.
const SIZES: [u64; BUCKETS - 1] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024];

/// Why something new was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too much of the organisation waits to be stored: 429.
    Inbox,
    /// Too much waits to be stored: 503.
    Overload,
    /// The organisation has too much queued: 429.
    Backlog,
    /// Little of the disk is free: 503, 452 for mail.
    LowDisk,
    /// None of the disk is free: 503, 452 for mail.
    FullDisk,
    /// The database server is away.
    Database,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Inbox, Self::Overload, Self::Backlog, Self::LowDisk, Self::FullDisk, Self::Database];

    /// The value of the label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Overload => "overload",
            Self::Backlog => "backlog",
            Self::LowDisk => "low_disk",
            Self::FullDisk => "full_disk",
            Self::Database => "database_away",
        }
    }
}

/// What the janitor removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swept {
    /// Events.
    Events,
    /// Ended deliveries.
    Deliveries,
    /// Lines of the attempt log.
    Attempts,
    /// Everything smaller: idempotency keys, conversations, reserved names.
    Other,
}

impl Swept {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Events, Self::Deliveries, Self::Attempts, Self::Other];

    /// The value of the label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Deliveries => "deliveries",
            Self::Attempts => "attempts",
            Self::Other => "other",
        }
    }
}

/// What became of handing a sign-up's code to the mail relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailOutcome {
    /// The relay has it.
    Sent,
    /// It is tried again.
    PutOff,
    /// It is not.
    GivenUp,
}

impl MailOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sent, Self::PutOff, Self::GivenUp];

    /// The value of the label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::PutOff => "put_off",
            Self::GivenUp => "given_up",
        }
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    /// Events accepted, repeats not counted.
    pub accepted: Counter,
    /// Attempts logged, by `Recorded`: succeeded, failed, unknown.
    pub attempts: [Counter; 3],
    /// Deliveries ended, by state: succeeded, exhausted, cancelled, expired.
    pub ended: [Counter; 4],
    /// Deliveries put back to be tried again after a failure.
    pub retries: Counter,
    refused: [Counter; Refusal::ALL.len()],
    calls: [Counter; DecidedBy::ALL.len()],
    swept: [Counter; Swept::ALL.len()],
    mails: [Counter; MailOutcome::ALL.len()],
    /// Queue heads that a sweep found too late. Not 0: a bug.
    pub head_repairs: Counter,
    /// Readers that were cut off because they took too long.
    pub readers_cut_off: Counter,
    /// Contexts that could not be read in time.
    pub contexts_unread: Counter,
    /// Reads of what may be a little old that a replica answered.
    pub read_from_replica: Counter,
    /// Those that the primary answered although there is a replica.
    pub read_from_primary: Counter,
    /// Operations of one commit.
    pub group_size: Histogram,
    /// A commit and its sync.
    pub commit_us: Histogram,
    /// A claim's statements, without its commit.
    pub claim_us: Histogram,
    /// What a delivery's context took, from the claim until it was stored.
    pub context_us: Histogram,
    /// Publishes that wait for the writer, in bytes.
    pub inbox_bytes: Gauge,
    /// Nodes at work on this database.
    pub nodes: Gauge,
    /// How far this node's clock is ahead of the database's.
    pub clock_offset_ms: Gauge,
    /// How far the replica is behind at most, as far as that is known.
    pub replica_lag_ms: Gauge,
    /// 1 while the replica is read.
    pub replica_used: Gauge,
    /// Deliveries that have not ended, as far as they have been counted.
    pub queued: Gauge,
    /// Attempts under way.
    pub in_flight: Gauge,
    /// The part of the write-ahead log that is in use.
    pub wal_bytes: Gauge,
    /// The database file.
    pub db_bytes: Gauge,
    /// What the data directory's disk has free for this process.
    pub disk_free_bytes: Gauge,
    turned_ms: AtomicI64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            accepted: Counter::default(),
            attempts: Default::default(),
            ended: Default::default(),
            retries: Counter::default(),
            refused: Default::default(),
            calls: Default::default(),
            swept: Default::default(),
            mails: Default::default(),
            head_repairs: Counter::default(),
            readers_cut_off: Counter::default(),
            contexts_unread: Counter::default(),
            read_from_replica: Counter::default(),
            read_from_primary: Counter::default(),
            group_size: Histogram::new(SIZES),
            commit_us: Histogram::new(TIMES_US),
            claim_us: Histogram::new(TIMES_US),
            context_us: Histogram::new(TIMES_US),
            inbox_bytes: Gauge::default(),
            nodes: Gauge::default(),
            clock_offset_ms: Gauge::default(),
            replica_lag_ms: Gauge::default(),
            replica_used: Gauge::default(),
            queued: Gauge::default(),
            in_flight: Gauge::default(),
            wal_bytes: Gauge::default(),
            db_bytes: Gauge::default(),
            disk_free_bytes: Gauge::default(),
            turned_ms: AtomicI64::new(0),
        }
    }
}

impl Metrics {
    /// An incoming call was decided.
    pub fn decide_call(&self, by: DecidedBy) {
        self.calls[by as usize].add(1);
    }

    /// How many calls it decided.
    #[must_use]
    pub fn calls(&self, by: DecidedBy) -> u64 {
        self.calls[by as usize].get()
    }

    /// Something was not taken.
    pub fn refuse(&self, why: Refusal) {
        self.refused[why as usize].add(1);
    }

    /// How often that was so.
    #[must_use]
    pub fn refusals(&self, why: Refusal) -> u64 {
        self.refused[why as usize].get()
    }

    /// The janitor removed rows.
    pub fn sweep(&self, what: Swept, rows: usize) {
        self.swept[what as usize].add(u64::try_from(rows).unwrap_or(u64::MAX));
    }

    /// How many it has removed.
    #[must_use]
    pub fn swept(&self, what: Swept) -> u64 {
        self.swept[what as usize].get()
    }

    /// A sign-up's code was handed to the relay, or was not.
    pub fn mail(&self, outcome: MailOutcome) {
        self.mails[outcome as usize].add(1);
    }

    /// How often that was so.
    #[must_use]
    pub fn mails(&self, outcome: MailOutcome) -> u64 {
        self.mails[outcome as usize].get()
    }

    /// The engine's loop turns at this schedule time. The store says so once at its opening, so that an
    /// engine has as long to begin as it has for a turn.
    pub fn turn(&self, now: TimeMs) {
        self.turned_ms.store(now.0, Ordering::Relaxed);
    }

    /// When the engine's loop turned last, schedule time.
    #[must_use]
    pub fn turned(&self) -> TimeMs {
        TimeMs(self.turned_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(SIZES);
        for value in [0, 1, 2, 3, 1_024, 1_025] {
            histogram.observe(value);
        }
        let counts: Vec<u64> = histogram.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(counts, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(histogram.sum.load(Ordering::Relaxed), 2_055);
    }

    #[test]
    fn every_refusal_and_sweep_has_a_place_of_its_own() {
        let metrics = Metrics::default();
        for why in Refusal::ALL {
            metrics.refuse(why);
        }
        assert!(Refusal::ALL.into_iter().all(|why| metrics.refusals(why) == 1));
        for what in Swept::ALL {
            metrics.sweep(what, 3);
        }
        assert!(Swept::ALL.into_iter().all(|what| metrics.swept(what) == 3));
        for outcome in MailOutcome::ALL {
            metrics.mail(outcome);
        }
        assert!(MailOutcome::ALL.into_iter().all(|outcome| metrics.mails(outcome) == 1));
    }
}

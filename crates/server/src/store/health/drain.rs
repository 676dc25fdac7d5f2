//! Draining: after a subscription came back, what waited is due, but not all at once.
//!
//! Nothing is written to the rows that wait. The subscription says until when they were tried last, or
//! accepted ([`Drain`]), and while it does, claims take them whatever their own due times, as many as a token
//! bucket has. A delivery that fails after the recovery was tried later, and waits as its schedule says.
//!
//! Those are passed over among the [`WINDOW`] first of a class only: where more than that have failed again
//! and wait in front, what is behind them waits, too, at most for its own due time. A claim thus reads the
//! same few rows however much waits.

use super::{load, write};
use crate::domain::delivery::Class;
use crate::domain::health::Drain;
use crate::domain::number::{DeliveryNo, Seq, SubscriptionNo};
use crate::domain::rate::TokenBucket;
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::queue::{self, QueueRow};
use crate::store::sql::params;
use crate::store::writer::Tx;
use crate::store::{heads, rows};

/// Deliveries beyond those wanted among which a claim looks for what was tried before the recovery.
const WINDOW: usize = 256;
/// Parts of a second whose worth may go out at once.
const BURST_PARTS: u32 = 5;

const UNTRIED: &str = "SELECT 1 FROM queue WHERE subscription = $1 AND class = 1 AND due_ms = 0 AND no < $2
    LIMIT 1";
const TRIED: &str = "SELECT 1 FROM (SELECT boot, created_ms, claimed_ms FROM queue
        WHERE subscription = $1 AND class = $2 ORDER BY due_ms, no LIMIT $4) first
    WHERE boot IS NULL AND created_ms <= $3 AND coalesce(claimed_ms, 0) <= $3 LIMIT 1";
const DUE: &str = "SELECT * FROM (SELECT * FROM queue
        WHERE subscription = $1 AND class = $2 ORDER BY due_ms, no LIMIT $5) first
    WHERE due_ms <= $3 OR (boot IS NULL AND coalesce(claimed_ms, 0) <= $4) ORDER BY due_ms, no LIMIT $6";

/// What a claim may take of a subscription that drains.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Allowance {
    subscription: SubscriptionNo,
    drain: Drain,
    /// Deliveries at most.
    pub(in crate::store) free: usize,
}

impl Allowance {
    /// `None` when nothing that waited is left: then everything goes on as ever.
    pub(in crate::store) fn of(
        tx: &mut Tx<'_>,
        subscription: SubscriptionNo,
        now: TimeMs,
    ) -> Result<Option<Self>, StoreError> {
        let Some(mut entry) = load(tx, subscription)? else { return Ok(None) };
        let Some(drain) = entry.health.drain else { return Ok(None) };
        if !waits(tx, subscription, drain)? {
            entry.health = entry.health.drained();
            write(tx, subscription, &mut entry)?;
            tx.context.health.remember(subscription, entry);
            tx.context.health.forget_bucket(subscription);
            // Some heads say when the rate has room again, which is nothing to wait for any more.
            heads::open_all(tx, subscription)?;
            return Ok(None);
        }
        let rate = entry.health.drain_per_second();
        let burst = rate.div_ceil(BURST_PARTS);
        tx.context.health.remember(subscription, entry);
        let make = || TokenBucket::new(rate, burst, now);
        let free = tx.context.health.bucket(subscription, make, |bucket| {
            bucket.change(rate, burst, now);
            bucket.available(now)
        });
        Ok(Some(Self { subscription, drain, free }))
    }

    /// What may go out now of a class, in order, at most `limit`.
    pub(in crate::store) fn due(
        &self,
        tx: &mut Tx<'_>,
        class: Class,
        now: TimeMs,
        limit: usize,
    ) -> Result<Vec<QueueRow>, StoreError> {
        let (no, class) = (self.subscription.0, class.code());
        let params = params![no, class, now.0, self.drain.since.0, limit + WINDOW, limit];
        rows::all(tx, DUE, params, queue::read)
    }

    /// Counts what was taken, and says when to look at the class again when the rate, not the slots, was
    /// what held the rest back.
    pub(in crate::store) fn took(
        &self,
        tx: &mut Tx<'_>,
        class: Class,
        taken: usize,
        ran_out: bool,
        now: TimeMs,
    ) -> Result<(), StoreError> {
        let make = || TokenBucket::new(1, 1, now);
        let ready_at = tx.context.health.bucket(self.subscription, make, |bucket| {
            bucket.take(taken, now);
            // Not for each token: a claim that takes one of a thousand a second costs as much as one of ten.
            bucket.ready_at(1, now).max(bucket.ready_at(usize::MAX, now).min(now.after(HALF_BURST)))
        });
        if ran_out && taken >= self.free {
            heads::set(tx, self.subscription, class, ready_at)?;
        }
        Ok(())
    }
}

/// In this time half of a burst is earned, whatever the rate.
const HALF_BURST: std::time::Duration = std::time::Duration::from_millis(100);

fn waits(tx: &mut Tx<'_>, subscription: SubscriptionNo, drain: Drain) -> Result<bool, StoreError> {
    let after = DeliveryNo::new(Seq(drain.until.0 + 1), 0);
    if rows::scalar::<i64>(tx, UNTRIED, params![subscription.0, after.0])?.is_some() {
        return Ok(true);
    }
    for class in [Class::Retry, Class::Recover] {
        let params = params![subscription.0, class.code(), drain.since.0, WINDOW];
        if rows::scalar::<i64>(tx, TRIED, params)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn a_drain_reads_no_backlog() {
        let seven: [i64; 6] = [7; 6];
        for (sql, params) in [(UNTRIED, 2), (TRIED, 4), (DUE, 6)] {
            let plan = plan::of(sql, rusqlite::params_from_iter(&seven[..params]));
            assert!(plan.iter().any(|step| step.contains("queue_by_due")), "{plan:#?}");
            let scans_queue = plan.iter().any(|step| step.contains("SCAN queue"));
            assert!(!scans_queue, "{plan:#?}");
        }
    }
}

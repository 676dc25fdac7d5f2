//! The sweep: looks whether every queue head tells the truth.
//!
//! A head that is missing or too late would hide deliveries for ever, so nothing relies on there being
//! none: every half minute the sweep walks over all that have something queued, one index step each, and
//! puts right what it finds. It must never find anything; what it does find is counted and logged as an
//! error.

use super::error::StoreError;
use super::health::Standing;
use super::target::{self, Target};
use super::writer::{Hold, Tx};
use super::{Store, heads, rows};
use crate::domain::delivery::Class;
use crate::domain::number::SubscriptionNo;
use crate::domain::time::TimeMs;
use crate::store::locks::Task;
use crate::store::sql::params;

/// Subscriptions and classes that one chunk looks at: a few milliseconds at most.
const CHUNK: usize = 200;

/// How far a sweep has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepPlace(SubscriptionNo, i64);

impl Default for SweepPlace {
    fn default() -> Self {
        Self(SubscriptionNo(0), 0)
    }
}

const NEXT: &str = "SELECT subscription, class, due_ms FROM queue
    WHERE (subscription, class) > ($1, $2) ORDER BY subscription, class, due_ms LIMIT 1";

impl Store {
    /// Looks at the next few heads; where to go on, or none when all have been seen.
    pub async fn sweep_heads(&self, place: SweepPlace) -> Result<Option<SweepPlace>, StoreError> {
        self.writer.tidy(move |tx| sweep(tx, place)).await
    }

    /// Heads that sweeps had to put right since the start: 0, or there is a bug.
    #[must_use]
    pub fn head_repairs(&self) -> u64 {
        self.writer.head_repairs()
    }
}

fn sweep(tx: &mut Tx<'_>, place: SweepPlace) -> Result<Option<SweepPlace>, StoreError> {
    if !tx.takes(Task::Sweep)? {
        return Ok(None);
    }
    let next = sweep_chunk(tx, place);
    if tx.is_shared() {
        // What it read was not held: whoever comes after it in this transaction must not take it for true.
        tx.memory.begin_anew();
    }
    next
}

fn sweep_chunk(tx: &mut Tx<'_>, mut place: SweepPlace) -> Result<Option<SweepPlace>, StoreError> {
    for _ in 0..CHUNK {
        let next = rows::optional(tx, NEXT, params![place.0.0, place.1], |row| {
            Ok((SubscriptionNo(row.get(0)?), row.get::<_, i64>(1)?, TimeMs(row.get(2)?)))
        })?;
        let Some((subscription, code, due)) = next else { return Ok(None) };
        place = SweepPlace(subscription, code);
        let class = Class::from_code(code).ok_or(StoreError::Corrupt("a delivery's class"))?;
        look(tx, subscription, class, due)?;
    }
    Ok(Some(place))
}

fn look(tx: &mut Tx<'_>, subscription: SubscriptionNo, class: Class, due: TimeMs) -> Result<(), StoreError> {
    let timeout = tx.seat.as_ref().map_or(std::time::Duration::ZERO, |seat| seat.timeout);
    let Target::Open { target, held_until, standing, .. } = target::load(tx, subscription, timeout)? else {
        // Cancelled, or looked at again in a minute.
        return Ok(());
    };
    let by_due_time =
        class == Class::Manual || (standing == Standing::Open && target.max_per_second.is_none());
    let latest = match class {
        Class::Manual => due,
        _ if by_due_time => due.max(held_until),
        // Probes and rates have their own times; that they are looked at is what counts.
        _ => TimeMs::NEVER,
    };
    // What is in memory is what is under test: ask the table.
    let head = heads::stored(tx, subscription, class)?;
    if head.is_some_and(|head| head <= latest) {
        return Ok(());
    }
    if tx.is_shared() {
        // Others may have been at it between the two looks: look again while nobody can.
        tx.hold(subscription, Hold::Alone)?;
        let (head, earliest) =
            (heads::stored(tx, subscription, class)?, heads::earliest(tx, subscription, class)?);
        let Some(earliest) = earliest else { return Ok(()) };
        let latest = if by_due_time { earliest.max(held_until) } else { TimeMs::NEVER };
        if head.is_some_and(|head| head <= latest) {
            return Ok(());
        }
    }
    tracing::error!(
        subscription = subscription.0,
        ?class,
        head = head.map(|head| head.0),
        due = due.0,
        "a queue head was too late and has been put right"
    );
    tx.count_repair();
    heads::put_right(tx, subscription, class, due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn a_step_reads_one_entry_of_an_index() {
        let plan = plan::of(NEXT, params![1, 1]);
        plan::assert_bounded(&plan);
        assert!(plan.iter().any(|step| step.contains("queue_by_due")), "{plan:#?}");
    }
}

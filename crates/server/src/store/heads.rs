//! Queue heads: one row per subscription and class says the earliest due time.
//!
//! A head may be too early, never too late. Accepting and settling lower it; only a claim raises it, after
//! it has looked. On one writer there is no race to lose; the order of the statements is what counts.

use super::error::StoreError;
use super::faults::Bug;
use super::memory::Heads;
use super::rows;
use super::sql::many::{Holds, Many};
use super::writer::Tx;
use crate::domain::delivery::Class;
use crate::domain::number::SubscriptionNo;
use crate::domain::time::TimeMs;
use crate::store::sql::params;

static LOWER: Many = Many {
    one: "INSERT INTO queue_heads (subscription, class, due_ms) VALUES ($1, $2, $3)
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = excluded.due_ms
    WHERE excluded.due_ms < queue_heads.due_ms",
    all: "INSERT INTO queue_heads (subscription, class, due_ms) SELECT a, b, min(c)
    FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS SMALLINT[]), CAST($3 AS BIGINT[])) AS x (a, b, c)
    GROUP BY a, b ORDER BY a, b
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = excluded.due_ms
    WHERE excluded.due_ms < queue_heads.due_ms",
    columns: &[Holds::Int8, Holds::Int2, Holds::Int8],
    exact: false,
};
const SET: &str = "UPDATE queue_heads SET due_ms = $3 WHERE subscription = $1 AND class = $2";
const REMOVE: &str = "DELETE FROM queue_heads WHERE subscription = $1 AND class = $2";
const REMOVE_ALL: &str = "DELETE FROM queue_heads WHERE subscription = $1";
const SET_AUTOMATIC: &str = "UPDATE queue_heads SET due_ms = $2 WHERE subscription = $1 AND class <> 4";
const EARLIEST: &str = "SELECT min(due_ms) FROM queue WHERE subscription = $1 AND class = $2";
const OF_SUBSCRIPTION: &str = "SELECT class, due_ms FROM queue_heads WHERE subscription = $1";
const STORED: &str = "SELECT due_ms FROM queue_heads WHERE subscription = $1 AND class = $2";
const OPEN_ALL: &str = "UPDATE queue_heads SET due_ms = 0 WHERE subscription = $1";

/// A subscription's heads; from memory once they were read.
pub(super) fn of(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<Heads, StoreError> {
    if let Some(known) = tx.memory.heads(subscription) {
        return Ok(*known);
    }
    let mut heads = Heads::default();
    let found = rows::all(tx, OF_SUBSCRIPTION, params![subscription.0], |row| {
        let class = Class::from_code(row.get(0)?).ok_or(StoreError::Corrupt("a queue head's class"))?;
        Ok((class, TimeMs(row.get(1)?)))
    })?;
    for (class, due) in found {
        heads.set(class, Some(due));
    }
    tx.memory.remember_heads(subscription, heads);
    Ok(heads)
}

/// When the first of a class is due, as the queue has it.
pub(super) fn earliest(
    tx: &Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
) -> Result<Option<TimeMs>, StoreError> {
    let earliest: Option<Option<i64>> = rows::scalar(tx, EARLIEST, params![subscription.0, class.code()])?;
    Ok(earliest.flatten().map(TimeMs))
}

/// A head as the table has it.
pub(super) fn stored(
    tx: &Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
) -> Result<Option<TimeMs>, StoreError> {
    Ok(rows::scalar(tx, STORED, params![subscription.0, class.code()])?.map(TimeMs))
}

/// Writes a head that was missing or too late, whatever is remembered of it.
pub(super) fn put_right(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    due: TimeMs,
) -> Result<(), StoreError> {
    tx.write(&LOWER, params![subscription.0, class.code(), due.0])?;
    remember(tx, subscription, class, Some(due));
    Ok(())
}

/// Something is due at `due` at the latest.
pub(super) fn lower(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    due: TimeMs,
) -> Result<(), StoreError> {
    if of(tx, subscription)?.get(class).is_none_or(|head| head > due) {
        tx.write(&LOWER, params![subscription.0, class.code(), due.0])?;
        remember(tx, subscription, class, Some(due));
    }
    Ok(())
}

/// Looks at the queue and says what it found; not earlier than `not_before`.
pub(super) fn raise(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    not_before: TimeMs,
) -> Result<(), StoreError> {
    let earliest: Option<Option<i64>> = rows::scalar(tx, EARLIEST, params![subscription.0, class.code()])?;
    let late = too_late(tx);
    let head = earliest.flatten().map(|due| TimeMs(due.max(not_before.0).saturating_add(late)));
    match head {
        Some(due) => tx.run(SET, params![subscription.0, class.code(), due.0])?,
        None => tx.run(REMOVE, params![subscription.0, class.code()])?,
    };
    remember(tx, subscription, class, head);
    Ok(())
}

/// Look at this class then, whatever its rows say: something else than their due times decides.
pub(super) fn set(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    look: TimeMs,
) -> Result<(), StoreError> {
    tx.run(SET, params![subscription.0, class.code(), look.0])?;
    if let Some(heads) = tx.memory.heads(subscription)
        && heads.get(class).is_some()
    {
        heads.set(class, Some(look));
    }
    Ok(())
}

/// The same for all that nobody asked for by hand.
pub(super) fn set_automatic(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    look: TimeMs,
) -> Result<(), StoreError> {
    tx.run(SET_AUTOMATIC, params![subscription.0, look.0])?;
    if let Some(heads) = tx.memory.heads(subscription) {
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Manual) {
            if heads.get(class).is_some() {
                heads.set(class, Some(look));
            }
        }
    }
    Ok(())
}

/// What a bug adds, for the tests that must find it.
fn too_late(tx: &Tx<'_>) -> i64 {
    if tx.context.faults.has(Bug::HeadTooLate) { 60_000 } else { 0 }
}

/// Nothing of this subscription will ever be due again.
pub(super) fn remove_all(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    tx.run(REMOVE_ALL, params![subscription.0])?;
    tx.memory.remember_heads(subscription, Heads::default());
    Ok(())
}

/// Whatever held this subscription back no longer does: look at once.
pub(super) fn open_all(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    tx.run(OPEN_ALL, params![subscription.0])?;
    if let Some(heads) = tx.memory.heads(subscription) {
        for class in Class::ALL {
            if heads.get(class).is_some() {
                heads.set(class, Some(TimeMs::ZERO));
            }
        }
    }
    Ok(())
}

fn remember(tx: &mut Tx<'_>, subscription: SubscriptionNo, class: Class, head: Option<TimeMs>) {
    if let Some(heads) = tx.memory.heads(subscription) {
        heads.set(class, head);
    }
}

//! Queue heads: one row per subscription and class says the earliest due time.
//!
//! A head may be too early, never too late. Accepting and settling lower it; only a claim raises it, after
//! it has looked. On one writer there is no race to lose; the order of the statements is what counts.

use rusqlite::params;

use super::error::StoreError;
use super::faults::Bug;
use super::writer::Tx;
use crate::domain::delivery::Class;
use crate::domain::number::SubscriptionNo;
use crate::domain::time::TimeMs;

const LOWER: &str = "INSERT INTO queue_heads (subscription, class, due_ms) VALUES ($1, $2, $3)
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = excluded.due_ms
    WHERE excluded.due_ms < queue_heads.due_ms";
const SET: &str = "UPDATE queue_heads SET due_ms = $3 WHERE subscription = $1 AND class = $2";
const REMOVE: &str = "DELETE FROM queue_heads WHERE subscription = $1 AND class = $2";
const REMOVE_ALL: &str = "DELETE FROM queue_heads WHERE subscription = $1";
const EARLIEST: &str = "SELECT min(due_ms) FROM queue WHERE subscription = $1 AND class = $2";
const OPEN_ALL: &str = "UPDATE queue_heads SET due_ms = 0 WHERE subscription = $1";

/// Something is due at `due` at the latest.
pub(super) fn lower(
    tx: &Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    due: TimeMs,
) -> Result<(), StoreError> {
    tx.run(LOWER, params![subscription.0, class.code(), due.0])?;
    Ok(())
}

/// Looks at the queue and says what it found; not earlier than `not_before`.
pub(super) fn raise(
    tx: &Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    not_before: TimeMs,
) -> Result<(), StoreError> {
    let earliest: Option<Option<i64>> =
        super::rows::scalar(tx, EARLIEST, params![subscription.0, class.code()])?;
    match earliest.flatten() {
        Some(due) => {
            let due = due.max(not_before.0).saturating_add(too_late(tx));
            tx.run(SET, params![subscription.0, class.code(), due])?
        }
        None => tx.run(REMOVE, params![subscription.0, class.code()])?,
    };
    Ok(())
}

/// What a bug adds, for the tests that must find it.
fn too_late(tx: &Tx<'_>) -> i64 {
    if tx.context.faults.has(Bug::HeadTooLate) { 60_000 } else { 0 }
}

/// Nothing of this subscription will ever be due again.
pub(super) fn remove_all(tx: &Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    tx.run(REMOVE_ALL, params![subscription.0])?;
    Ok(())
}

/// Whatever held this subscription back no longer does: look at once.
pub(super) fn open_all(tx: &Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    tx.run(OPEN_ALL, params![subscription.0])?;
    Ok(())
}

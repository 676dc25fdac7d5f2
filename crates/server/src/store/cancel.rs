//! Tidying up after a delete or a narrowed list of event types.
//!
//! Deleting and narrowing cost the same however much is queued: they leave a row in `cancellations`, and
//! from then on every read says "cancelled" and no claim takes what is left. Here the rest is written, a
//! chunk a transaction, behind everything that waits for the writer.

use super::error::StoreError;
use super::queue::{self, QueueRow};
use super::writer::{Hold, Tx};
use super::{Store, claim, heads, ordering, rows};
use crate::domain::delivery::End;
use crate::domain::number::SubscriptionNo;
use crate::store::locks::Task;
use crate::store::sql::params;

/// Queue rows that one chunk looks at: a few milliseconds at most.
pub const CHUNK_ROWS: usize = 100;

/// What a chunk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tidied {
    /// Nothing is left to do.
    Nothing,
    /// There may be more.
    More,
}

const ADD: &str = "INSERT INTO cancellations (subscription) VALUES ($1)";
const FIRST: &str =
    "SELECT no, subscription, after_class, after_due_ms, after_no, after_parked FROM cancellations
    ORDER BY no LIMIT 1";
const CHUNK: &str = "SELECT q.*, q.due_ms AS at_due_ms FROM queue q WHERE q.subscription = $1
    AND (q.class, q.due_ms, q.no) > ($2, $3, $4) ORDER BY q.class, q.due_ms, q.no LIMIT $5";
const PARKED: &str = "SELECT *, 1 AS class, 0 AS attempts FROM parked WHERE subscription = $1 AND no > $2
    ORDER BY no LIMIT $3";
const MOVE_PARKED: &str = "UPDATE cancellations SET after_parked = $2 WHERE no = $1";
const MOVE: &str =
    "UPDATE cancellations SET after_class = $2, after_due_ms = $3, after_no = $4 WHERE no = $1";
const REMOVE: &str = "DELETE FROM cancellations WHERE no = $1";
const START_OVER: &str = "UPDATE cancellations SET after_class = 0, after_due_ms = 0, after_no = 0";

/// Leaves a note that some of what this subscription has queued is cancelled.
pub(super) fn note(tx: &Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    tx.run(ADD, params![subscription.0])?;
    Ok(())
}

/// Looks at everything again: leases that were freed are due at once, which may be before the place that an
/// earlier process had come to.
pub(super) fn start_over(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.run(START_OVER, &[])?;
    Ok(())
}

impl Store {
    /// Ends one chunk of cancelled deliveries.
    pub async fn cancel_chunk(&self) -> Result<Tidied, StoreError> {
        self.writer.tidy(cancel_chunk).await
    }
}

struct Place {
    no: i64,
    subscription: i64,
    class: i64,
    due_ms: i64,
    delivery: i64,
    parked: i64,
}

fn cancel_chunk(tx: &mut Tx<'_>) -> Result<Tidied, StoreError> {
    if !tx.takes(Task::Cancel)? {
        return Ok(Tidied::Nothing);
    }
    let place = rows::optional(tx, FIRST, &[], |row| {
        Ok(Place {
            no: row.get(0)?,
            subscription: row.get(1)?,
            class: row.get(2)?,
            due_ms: row.get(3)?,
            delivery: row.get(4)?,
            parked: row.get(5)?,
        })
    })?;
    let Some(place) = place else { return Ok(Tidied::Nothing) };
    tx.hold(SubscriptionNo(place.subscription), Hold::Alone)?;
    if cancel_parked(tx, &place)? {
        return Ok(Tidied::More);
    }
    let params = params![place.subscription, place.class, place.due_ms, place.delivery, CHUNK_ROWS];
    let mut chunk =
        rows::all(tx, CHUNK, params, |row| Ok((queue::read(row)?, row.get::<_, i64>("at_due_ms")?)))?;
    for (row, _) in &mut chunk {
        cancel(tx, row)?;
    }
    tx.count_rows(chunk.len());
    match chunk.last() {
        Some((row, due_ms)) if chunk.len() == CHUNK_ROWS => {
            tx.run(MOVE, params![place.no, row.class.code(), due_ms, row.no.0])?;
        }
        _ => {
            tx.run(REMOVE, params![place.no])?;
        }
    }
    Ok(Tidied::More)
}

/// Before the queue's rows, so that the end of one of those never puts a cancelled one behind the place
/// that was come to. False: there are none left.
fn cancel_parked(tx: &mut Tx<'_>, place: &Place) -> Result<bool, StoreError> {
    let params = params![place.subscription, place.parked, CHUNK_ROWS];
    let chunk = rows::all(tx, PARKED, params, ordering::read_parked)?;
    for row in &chunk {
        if let Some(end) = queue::cancelled(tx, row)? {
            ordering::end_parked(tx, row, end)?;
        }
    }
    tx.count_rows(chunk.len());
    if let Some(row) = chunk.last() {
        tx.run(MOVE_PARKED, params![place.no, row.no.0])?;
    }
    Ok(!chunk.is_empty())
}

fn cancel(tx: &mut Tx<'_>, row: &mut QueueRow) -> Result<(), StoreError> {
    match queue::cancelled(tx, row)? {
        Some(why) => end(tx, row, why),
        None => Ok(()),
    }
}

/// Ends a delivery that waits or has an attempt under way.
pub(super) fn end(tx: &mut Tx<'_>, row: &mut QueueRow, end: End) -> Result<(), StoreError> {
    match row.boot {
        None => queue::end(tx, row, end),
        Some(_) if queue::is_under_way(tx, row) => {
            queue::end_under_way(tx, row, end)?;
            // It may have been the probe for which everything else waited.
            heads::open_all(tx, row.subscription)
        }
        Some(_) => {
            // No claim will ever take it, so nobody else writes what an earlier process left.
            claim::write_lost_attempt(tx, row)?;
            queue::end(tx, row, end)
        }
    }
}

//! What is held for too long: deliveries of a paused subscription end when both they and the pause are older
//! than deliveries are held.
//!
//! A chunk a transaction, behind everything that waits for the writer. Within a class the oldest come first:
//! what was tried before the pause is older than the pause, whatever its due time, and what came since is due
//! at once and sorted by its acceptance.

use super::error::StoreError;
use super::health::{News, noted};
use super::queue::{self, QueueRow};
use super::writer::{Hold, Tx};
use super::{Store, claim, rows};
use crate::domain::delivery::{Class, End};
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::domain::time::TimeMs;
use crate::store::locks::Task;
use crate::store::sql::{Connection, params};

/// Deliveries that one chunk ends: a few milliseconds at most.
pub const CHUNK_ROWS: usize = 100;

// The oldest of each class tells whether there is anything to end.
const NEXT: &str = "SELECT s.no, s.organization_id FROM subscriptions s
    WHERE s.paused_ms <= $1 AND s.status = 'active' AND (
        (SELECT q.created_ms FROM queue q WHERE q.subscription = s.no AND q.class = 1
            ORDER BY q.due_ms, q.no LIMIT 1) <= $1
        OR (SELECT q.created_ms FROM queue q WHERE q.subscription = s.no AND q.class = 2
            ORDER BY q.due_ms, q.no LIMIT 1) <= $1
        OR (SELECT q.created_ms FROM queue q WHERE q.subscription = s.no AND q.class = 3
            ORDER BY q.due_ms, q.no LIMIT 1) <= $1) ORDER BY s.no LIMIT 1";
const OLDEST: &str =
    "SELECT * FROM queue WHERE subscription = $1 AND class = $2 ORDER BY due_ms, no LIMIT $3";

impl Store {
    /// Ends one chunk of what has been held since `cutoff` (wall clock) or longer; how many that were. 0: there
    /// is nothing. Looks without the writer first, so that it costs no commit while there is nothing.
    pub async fn end_held_chunk(&self, cutoff: TimeMs) -> Result<usize, StoreError> {
        if self.read(move |connection| next(connection, cutoff)).await?.is_none() {
            return Ok(0);
        }
        self.writer.tidy(move |tx| end_chunk(tx, cutoff)).await
    }
}

fn next(
    connection: &Connection,
    cutoff: TimeMs,
) -> Result<Option<(SubscriptionNo, OrganizationNo)>, StoreError> {
    rows::optional(connection, NEXT, params![cutoff.0], |row| {
        Ok((SubscriptionNo(row.get(0)?), OrganizationNo(row.get(1)?)))
    })
}

fn end_chunk(tx: &mut Tx<'_>, cutoff: TimeMs) -> Result<usize, StoreError> {
    if !tx.takes(Task::Held)? {
        return Ok(0);
    }
    let Some((subscription, organization)) = next(tx, cutoff)? else { return Ok(0) };
    tx.hold(subscription, Hold::Alone)?;
    let (mut ended, mut held) = (0, 0);
    for class in [Class::Live, Class::Retry, Class::Recover] {
        let params = params![subscription.0, class.code(), CHUNK_ROWS - ended];
        for mut row in rows::all(tx, OLDEST, params, queue::read)? {
            if row.created_at > cutoff {
                break;
            }
            held += usize::from(end(tx, &mut row)? == End::HeldTooLong);
            ended += 1;
        }
    }
    tx.count_rows(ended);
    if held > 0 {
        noted(tx, organization, subscription, News::HeldTooLong(held))?;
    }
    Ok(ended)
}

fn end(tx: &mut Tx<'_>, row: &mut QueueRow) -> Result<End, StoreError> {
    // Narrowing and deleting may have cancelled it before it was held too long: reads have said so since.
    let end = queue::cancelled(tx, row)?.unwrap_or(End::HeldTooLong);
    match row.boot {
        None => queue::end(tx, row, end)?,
        Some(_) if queue::is_under_way(tx, row) => queue::end_under_way(tx, row, end)?,
        Some(_) => {
            claim::write_lost_attempt(tx, row)?;
            queue::end(tx, row, end)?;
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn looking_for_what_is_held_reads_no_backlog() {
        let plan = plan::of(NEXT, [1]);
        assert!(plan.iter().any(|step| step.contains("subscriptions_paused")), "{plan:#?}");
        let queue = plan.iter().filter(|step| step.contains("queue_by_due (subscription=? AND class=?)"));
        assert_eq!(queue.count(), 3, "{plan:#?}");
        plan::assert_bounded(&plan::of(OLDEST, [1, 1, 1]));
    }
}

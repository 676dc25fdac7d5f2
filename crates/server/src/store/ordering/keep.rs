//! What keeps the order going when no delivery ends: holds that are over, parked deliveries that have
//! expired, and subscriptions whose order was turned off. A chunk a transaction, behind everything that waits
//! for the writer, found by index and never by looking through what is parked.

use super::{ConversationKey, HOLD, end_parked, event_of, first_after, let_next_go, read_parked, unpark};
use crate::domain::delivery::End;
use crate::domain::number::{DeliveryNo, Seq, SubscriptionNo};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::locks::Task;
use crate::store::sql::{Row, params};
use crate::store::writer::{Hold, Tx};
use crate::store::{Store, rows};

/// Rows that one chunk works on: a few milliseconds at most.
pub const CHUNK_ROWS: usize = 100;

/// What a chunk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Something went into the queue.
    pub queued: bool,
    /// There may be more to do.
    pub more: bool,
}

const OVER: &str = "SELECT c.subscription, c.key, c.head,
    (SELECT s.paused_ms IS NOT NULL FROM subscriptions s WHERE s.no = c.subscription) AS is_paused
    FROM conversations c WHERE c.held_ms <= $1 ORDER BY c.held_ms LIMIT $2";
const HOLD_AGAIN: &str = "UPDATE conversations SET held_ms = $3 WHERE subscription = $1 AND key = $2";
const IS_OVER: &str = "UPDATE conversations SET held_ms = NULL, is_over = 1
    WHERE subscription = $1 AND key = $2";
const EXPIRED: &str = "SELECT *, 1 AS class, 0 AS attempts FROM parked WHERE expires_ms <= $1
    ORDER BY expires_ms LIMIT $2";
const FIRST_UNPARKING: &str = "SELECT u.subscription,
    CASE s.ordering WHEN 'conversation' THEN s.ordering_since_seq END FROM unparkings u
    JOIN subscriptions s ON s.no = u.subscription ORDER BY u.subscription LIMIT 1";
const TO_UNPARK: &str = "SELECT no FROM parked WHERE subscription = $1 AND no < $2 ORDER BY no LIMIT $3";
const UNPARKED: &str = "DELETE FROM unparkings WHERE subscription = $1";

impl Store {
    /// One chunk of everything that keeps conversations going.
    pub async fn keep_order_chunk(&self) -> Result<Kept, StoreError> {
        self.writer.tidy(keep_chunk).await
    }
}

fn keep_chunk(tx: &mut Tx<'_>) -> Result<Kept, StoreError> {
    if !tx.takes(Task::Order)? {
        return Ok(Kept { queued: false, more: false });
    }
    let now = tx.context.clock.schedule();
    // One kind a chunk, so that a chunk is as long as it says.
    let (over, queued) = let_go_of_the_overdue(tx, now)?;
    if over > 0 {
        return Ok(Kept { queued, more: true });
    }
    if expire(tx, now)? > 0 {
        return Ok(Kept { queued: false, more: true });
    }
    let (more, queued) = unpark_some(tx)?;
    Ok(Kept { queued, more })
}

/// Heads that were waited for long enough; how many there were, and whether any was followed.
fn let_go_of_the_overdue(tx: &mut Tx<'_>, now: TimeMs) -> Result<(usize, bool), StoreError> {
    let over = rows::all(tx, OVER, params![now.0, CHUNK_ROWS], read_over)?;
    let over = held(tx, over, |tx| rows::all(tx, OVER, params![now.0, CHUNK_ROWS], read_over))?;
    let mut queued = false;
    for (subscription, key, head, is_paused) in &over {
        if *is_paused {
            let again = now.after(HOLD);
            tx.run(HOLD_AGAIN, params![subscription.0, key.0, again.0])?;
            continue;
        }
        let passed = event_of(tx, *head)?;
        if let_next_go(tx, *subscription, *key, passed)? {
            queued = true;
        } else {
            // Whoever comes next goes past it.
            tx.run(IS_OVER, params![subscription.0, key.0])?;
        }
    }
    tx.count_rows(over.len());
    Ok((over.len(), queued))
}

/// A conversation that was held for long enough: whose it is, its key, its head, and whether it is paused.
type Over = (SubscriptionNo, ConversationKey, DeliveryNo, bool);

fn read_over(row: &Row<'_>) -> Result<Over, StoreError> {
    let paused: Option<bool> = row.get(3)?;
    let key = ConversationKey(row.get(1)?);
    Ok((SubscriptionNo(row.get(0)?), key, DeliveryNo(row.get(2)?), paused.unwrap_or(false)))
}

/// These, as they are when their subscriptions are held; those that came meanwhile are for the next chunk.
fn held(
    tx: &mut Tx<'_>,
    found: Vec<Over>,
    again: impl Fn(&Tx<'_>) -> Result<Vec<Over>, StoreError>,
) -> Result<Vec<Over>, StoreError> {
    if !tx.is_shared() || found.is_empty() {
        return Ok(found);
    }
    let mut subscriptions: Vec<_> = found.iter().map(|(subscription, ..)| *subscription).collect();
    subscriptions.sort_unstable();
    subscriptions.dedup();
    for subscription in &subscriptions {
        tx.hold(*subscription, Hold::Alone)?;
    }
    Ok(again(tx)?.into_iter().filter(|(subscription, ..)| subscriptions.contains(subscription)).collect())
}

fn expire(tx: &mut Tx<'_>, now: TimeMs) -> Result<usize, StoreError> {
    let mut expired = rows::all(tx, EXPIRED, params![now.0, CHUNK_ROWS], read_parked)?;
    if tx.is_shared() && !expired.is_empty() {
        let mut subscriptions: Vec<_> = expired.iter().map(|row| row.subscription).collect();
        subscriptions.sort_unstable();
        subscriptions.dedup();
        subscriptions.iter().try_for_each(|subscription| tx.hold(*subscription, Hold::Alone))?;
        expired = rows::all(tx, EXPIRED, params![now.0, CHUNK_ROWS], read_parked)?;
        expired.retain(|row| subscriptions.contains(&row.subscription));
    }
    for row in &expired {
        end_parked(tx, row, End::EventExpired)?;
    }
    tx.count_rows(expired.len());
    Ok(expired.len())
}

/// What is parked of a subscription that has no order now, or had none for a while; whether there may be
/// more, and whether something was queued.
fn unpark_some(tx: &mut Tx<'_>) -> Result<(bool, bool), StoreError> {
    let first = rows::optional(tx, FIRST_UNPARKING, &[], |row| {
        Ok((SubscriptionNo(row.get(0)?), row.get::<_, Option<i64>>(1)?))
    })?;
    let Some((subscription, since)) = first else { return Ok((false, false)) };
    tx.hold(subscription, Hold::Alone)?;
    let before = since.map_or(DeliveryNo(i64::MAX), |since| first_after(Seq(since)));
    let params = params![subscription.0, before.0, CHUNK_ROWS];
    let parked = rows::all(tx, TO_UNPARK, params, |row| Ok(DeliveryNo(row.get(0)?)))?;
    for delivery in &parked {
        unpark(tx, subscription, *delivery)?;
    }
    tx.count_rows(parked.len());
    if parked.len() < CHUNK_ROWS {
        tx.run(UNPARKED, params![subscription.0])?;
    }
    Ok((true, !parked.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn what_is_due_is_found_by_index() {
        for (sql, index, params) in [
            (OVER, "conversations_by_hold", 2),
            (EXPIRED, "parked_by_expiry", 2),
            (TO_UNPARK, "parked_by_subscription", 3),
        ] {
            let plan = plan::of(sql, rusqlite::params_from_iter(vec![0; params]));
            assert!(plan[0].contains(index), "{sql}: {plan:#?}");
            plan::assert_bounded(&plan);
        }
    }
}

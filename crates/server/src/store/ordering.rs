//! Deliveries in the order of their conversation.
//!
//! Of each conversation of an ordered subscription one delivery, the *head*, is in the queue; those that
//! were accepted after it are *parked* in a table of their own, where no claim and no index of the queue
//! sees them. The transaction that ends the head puts the next into the queue, whatever the end was. So at
//! any moment, and after any crash, a conversation with something parked has a head that has not ended.
//!
//! A head that fails is waited for [`HOLD`] at most, counted from its first failure. Then it goes on by its
//! schedule outside the order, and the next one is let go past it, with a note of the event that it passed.
//! Time in which the subscription is paused does not count: nothing can be sent in it.
//!
//! Replays and what recover jobs queue are outside the order. A subscription without ordering costs nothing
//! here: accepting reads one more column of a row that it reads anyway, and [`Ordered`] tells in memory that
//! there is nothing to look up.

mod keep;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use inkhook_wire::id::{EventId, RequestId, SubscriptionId};

pub use keep::{CHUNK_ROWS, Kept};

use super::accept::{NewDelivery, enqueue};
use super::error::StoreError;
use super::queue::{self, QueueRow};
use super::writer::Tx;
use super::{Store, heads, rows};
use crate::domain::caller::Scope;
use crate::domain::conversation::ConversationKey;
use crate::domain::delivery::{Class, End};
use crate::domain::number::{DELIVERIES_PER_SEQ, DeliveryNo, Seq, SubscriptionNo};
use crate::domain::subscription::Ordering;
use crate::domain::time::TimeMs;
use crate::store::sql::{Connection, Row, params};

/// How long a conversation waits for a delivery that fails.
pub const HOLD: Duration = Duration::from_mins(15);

/// The subscriptions of which something may be in order: those that have ordering or ever had it. One too many costs a look-up, one missing would leave deliveries parked; so nothing is
/// ever taken out, and a transaction that is rolled back may leave its own in.
#[derive(Debug, Clone, Default)]
pub(super) struct Ordered(Arc<Mutex<HashSet<SubscriptionNo>>>);

const ALL_ORDERED: &str = "SELECT no FROM subscriptions WHERE ordering_since_seq IS NOT NULL";

impl Ordered {
    /// As the store says.
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let found = rows::all(connection, ALL_ORDERED, &[], |row| Ok(SubscriptionNo(row.get(0)?)))?;
        Ok(Self(Arc::new(Mutex::new(found.into_iter().collect()))))
    }

    pub(super) fn has(&self, subscription: SubscriptionNo) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&subscription)
    }

    pub(super) fn add(&self, subscription: SubscriptionNo) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(subscription);
    }
}

const SET: &str =
    "UPDATE subscriptions SET ordering = $2, ordering_since_seq = coalesce($3, ordering_since_seq)
    WHERE no = $1 AND ordering <> $2";
const NOTE_UNPARKING: &str = "INSERT INTO unparkings (subscription) VALUES ($1) ON CONFLICT DO NOTHING";
const FIND_SUBSCRIPTION: &str = "SELECT no FROM subscriptions WHERE id = $1 AND organization_id = $2
    AND (identity_id = $3 OR $3 IS NULL) AND status = 'active'";
const FIND: &str = "SELECT head, is_over FROM conversations WHERE subscription = $1 AND key = $2";
const FIND_HEAD: &str = "SELECT key FROM conversations WHERE head = $1";
const ADD: &str = "INSERT INTO conversations (subscription, key, head) VALUES ($1, $2, $3)
    ON CONFLICT (subscription, key) DO UPDATE SET head = excluded.head, held_ms = NULL, is_over = 0";
const REMOVE: &str = "DELETE FROM conversations WHERE subscription = $1 AND key = $2";
const HOLD_UNTIL: &str = "UPDATE conversations SET held_ms = $2
    WHERE head = $1 AND held_ms IS NULL AND is_over = 0";
const PARK: &str = "INSERT INTO parked (no, organization_id, subscription, key, event_seq, event_type,
    request_id, expires_ms, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const NEXT: &str = "SELECT no FROM parked WHERE subscription = $1 AND key = $2 ORDER BY no LIMIT 1";
const QUEUE: &str = "INSERT INTO queue (no, organization_id, subscription, event_seq, event_type, class,
    request_id, due_ms, expires_ms, created_ms)
    SELECT no, organization_id, subscription, event_seq, event_type, 1, request_id, 0, expires_ms, created_ms
    FROM parked WHERE no = $1";
const UNPARK: &str = "DELETE FROM parked WHERE no = $1";
const ADD_GAP: &str = "INSERT INTO gaps (delivery, event) VALUES ($1, $2)";
const GAP: &str = "SELECT event FROM gaps WHERE delivery = $1";
const REMOVE_GAP: &str = "DELETE FROM gaps WHERE delivery = $1";
const EVENT_ID: &str = "SELECT id FROM events WHERE seq = $1";

impl Store {
    /// Sets the order of a subscription's deliveries, from the next event on. False: it is not there.
    pub async fn set_ordering(
        &self,
        scope: Scope,
        id: SubscriptionId,
        ordering: Ordering,
    ) -> Result<bool, StoreError> {
        self.change(move |tx| {
            let identity = scope.identity.map(|id| id.as_uuid().into_bytes());
            let params = params![id.as_uuid().into_bytes(), scope.organization.0, identity];
            let Some(no) = rows::scalar(tx, FIND_SUBSCRIPTION, params)? else { return Ok(false) };
            set_ordering(tx, SubscriptionNo(no), ordering)?;
            Ok(true)
        })
        .await
    }
}

/// The same inside a transaction. Costs the same however much is parked; the janitor's bell may be rung
/// after the commit. A setting that stays as it is changes nothing.
pub(super) fn set_ordering(
    tx: &Tx<'_>,
    subscription: SubscriptionNo,
    ordering: Ordering,
) -> Result<(), StoreError> {
    let since = (ordering == Ordering::Conversation).then(|| tx.last_seq()).transpose()?.map(|seq| seq.0);
    if tx.run(SET, params![subscription.0, ordering.as_str(), since])? == 0 {
        return Ok(());
    }
    match ordering {
        Ordering::Conversation => tx.context.ordered.add(subscription),
        Ordering::None => {
            tx.run(NOTE_UNPARKING, params![subscription.0])?;
        }
    }
    Ok(())
}

/// Queues a delivery of an ordered subscription under the request id that it returns, or parks it behind what
/// its conversation waits for and returns nothing. `since` is the subscription's `ordering_since_seq`.
pub(super) fn enqueue_in_order(
    tx: &mut Tx<'_>,
    delivery: &NewDelivery,
    since: Seq,
    key: Option<ConversationKey>,
    now: TimeMs,
) -> Result<Option<RequestId>, StoreError> {
    let Some(key) = key else { return enqueue(tx, delivery, now).map(Some) };
    let params = params![delivery.subscription.0, key.0];
    let known = rows::optional(tx, FIND, params, |row| Ok((DeliveryNo(row.get(0)?), row.get(1)?)))?;
    match known {
        // One from before the order was turned on is nothing to wait for.
        Some((head, false)) if head.seq() > since => {
            park(tx, delivery, key, now)?;
            return Ok(None);
        }
        Some((head, true)) if head.seq() > since => add_gap(tx, delivery.no, event_of(tx, head)?)?,
        _ => {}
    }
    let request_id = enqueue(tx, delivery, now)?;
    tx.run(ADD, params![delivery.subscription.0, key.0, delivery.no.0])?;
    Ok(Some(request_id))
}

fn park(tx: &Tx<'_>, delivery: &NewDelivery, key: ConversationKey, now: TimeMs) -> Result<(), StoreError> {
    let request_id = tx.context.entropy.uuid();
    tx.run(
        PARK,
        params![
            delivery.no.0,
            delivery.organization.0,
            delivery.subscription.0,
            key.0,
            delivery.event.0,
            delivery.event_type.code(),
            request_id.as_bytes(),
            delivery.expires_at.map(|time| time.0),
            now.0
        ],
    )?;
    tx.tally.queued(delivery.organization);
    Ok(())
}

/// A delivery failed and will be tried again: from now on its conversation waits for it so long and no
/// longer.
pub(super) fn failed(tx: &mut Tx<'_>, row: &QueueRow) -> Result<(), StoreError> {
    if may_be_head(tx, row) {
        let until = tx.context.clock.schedule().after(HOLD);
        tx.run(HOLD_UNTIL, params![row.no.0, until.0])?;
    }
    Ok(())
}

/// A delivery has ended: what waited for it goes into the queue. Part of every end, and of nothing else.
pub(super) fn ended(tx: &mut Tx<'_>, row: &QueueRow) -> Result<(), StoreError> {
    if !may_be_head(tx, row) {
        return Ok(());
    }
    let gap = gap(tx, row.no)?;
    if gap.is_some() {
        tx.run(REMOVE_GAP, params![row.no.0])?;
    }
    let key = rows::optional(tx, FIND_HEAD, params![row.no.0], |row| Ok(ConversationKey(row.get(0)?)))?;
    let Some(key) = key else { return Ok(()) };
    // Nobody was told of the gap: the next one is to tell.
    let untold = gap.filter(|_| row.attempts == 0 && row.boot.is_none());
    if !let_next_go(tx, row.subscription, key, untold)? {
        tx.run(REMOVE, params![row.subscription.0, key.0])?;
    }
    Ok(())
}

/// The event that this delivery was let go past, if any: said with each of its attempts.
pub(super) fn gap_of(tx: &Tx<'_>, row: &QueueRow) -> Result<Option<EventId>, StoreError> {
    if may_be_head(tx, row) { gap(tx, row.no) } else { Ok(None) }
}

fn gap(tx: &Tx<'_>, delivery: DeliveryNo) -> Result<Option<EventId>, StoreError> {
    rows::optional(tx, GAP, params![delivery.0], |row| rows::id(row, "event"))
}

fn add_gap(tx: &Tx<'_>, delivery: DeliveryNo, passed: Option<EventId>) -> Result<(), StoreError> {
    if let Some(passed) = passed {
        tx.run(ADD_GAP, params![delivery.0, passed.as_uuid().as_bytes()])?;
    }
    Ok(())
}

fn may_be_head(tx: &Tx<'_>, row: &QueueRow) -> bool {
    matches!(row.class, Class::Live | Class::Retry) && tx.context.ordered.has(row.subscription)
}

/// The event of a delivery that was made when its event was accepted.
fn event_of(tx: &Tx<'_>, delivery: DeliveryNo) -> Result<Option<EventId>, StoreError> {
    rows::optional(tx, EVENT_ID, params![delivery.seq().0], |row| rows::id(row, "id"))
}

/// Makes the earliest parked delivery of a conversation its head; false: there is none.
fn let_next_go(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    key: ConversationKey,
    passed: Option<EventId>,
) -> Result<bool, StoreError> {
    let Some(next) = rows::scalar(tx, NEXT, params![subscription.0, key.0])? else { return Ok(false) };
    let next = DeliveryNo(next);
    unpark(tx, subscription, next)?;
    add_gap(tx, next, passed)?;
    tx.run(ADD, params![subscription.0, key.0, next.0])?;
    Ok(true)
}

/// Into the queue, due at once.
fn unpark(tx: &mut Tx<'_>, subscription: SubscriptionNo, delivery: DeliveryNo) -> Result<(), StoreError> {
    tx.run(QUEUE, params![delivery.0])?;
    tx.run(UNPARK, params![delivery.0])?;
    tx.memory.set_live_waits(subscription, true);
    heads::lower(tx, subscription, Class::Live, TimeMs::ZERO)
}

/// Ends a delivery where it is parked. Nothing waits for it: its conversation's head is in the queue.
pub(super) fn end_parked(tx: &mut Tx<'_>, row: &QueueRow, end: End) -> Result<(), StoreError> {
    tx.run(UNPARK, params![row.no.0])?;
    queue::add_ended(tx, row, end, false)
}

/// Reads a parked delivery as the queue's row that it would be.
pub(super) fn read_parked(row: &Row<'_>) -> Result<QueueRow, StoreError> {
    queue::read_unclaimed(row)
}

/// The lowest number that a delivery accepted after `seq` can have.
fn first_after(seq: Seq) -> DeliveryNo {
    DeliveryNo((seq.0 + 1).saturating_mul(DELIVERIES_PER_SEQ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn every_statement_goes_by_an_index() {
        for (sql, params) in [
            (FIND_SUBSCRIPTION, 3),
            (FIND, 2),
            (FIND_HEAD, 1),
            (NEXT, 2),
            (HOLD_UNTIL, 2),
            (REMOVE, 2),
            (QUEUE, 1),
            (UNPARK, 1),
            (GAP, 1),
            (REMOVE_GAP, 1),
            (EVENT_ID, 1),
        ] {
            plan::assert_bounded(&plan::of(sql, rusqlite::params_from_iter(vec![0; params])));
        }
        let all = plan::of(ALL_ORDERED, []);
        assert!(all[0].contains("USING INDEX subscriptions_ordered"), "{all:?}");
    }

    #[test]
    fn the_first_number_after_an_event_is_after_all_of_its_deliveries() {
        let first = first_after(Seq(7));
        assert_eq!(first.seq(), Seq(8));
        assert!(first > DeliveryNo::new(Seq(7), 63));
        assert!(first_after(Seq(i64::MAX - 1)) > DeliveryNo(0), "and never before the beginning");
    }
}

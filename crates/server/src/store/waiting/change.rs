//! What an operator does with a queue: have it tried now, cancel it, move it to another subscription.
//!
//! A chunk a transaction, behind everything that waits for the writer, however long the queue is: a crash in
//! between leaves the rest as it was. What is queued after the first chunk is left alone, so it ends.
//!
//! *Moving* ends a delivery as `cancelled`, reason `moved`, and queues its event anew for the other
//! subscription: a delivery of its own in the class *recover*, with a fresh request id and no attempts behind
//! it, because nobody at the new place has seen any. Left where they are: deliveries with an attempt under
//! way, those made by hand, and those whose type the other subscription does not select.

use crate::domain::delivery::{Class, End};
use crate::domain::number::{DELIVERIES_PER_SEQ, DeliveryNo, OrganizationNo, SubscriptionNo};
use crate::domain::time::TimeMs;
use crate::store::accept::{NewDelivery, enqueue};
use crate::store::cancel::{self, CHUNK_ROWS};
use crate::store::error::StoreError;
use crate::store::queue::{self, QueueRow};
use crate::store::sql::params;
use crate::store::writer::{Hold, Tx};
use crate::store::{Store, heads, rows};

/// How far a change of a whole queue has come. It begins at the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    class: i64,
    due_ms: i64,
    no: i64,
    /// The newest delivery that was there when it began.
    until: Option<DeliveryNo>,
}

/// What one chunk did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step {
    /// Deliveries that were changed.
    pub changed: u64,
    /// Deliveries that were left as they are.
    pub left: u64,
    /// Where to go on.
    pub next: Option<Place>,
}

const CHUNK: &str = "SELECT q.*, q.due_ms AS at_due_ms FROM queue q WHERE q.subscription = $1
    AND (q.class, q.due_ms, q.no) > ($2, $3, $4) ORDER BY q.class, q.due_ms, q.no LIMIT $5";
const DUE_NOW: &str = "UPDATE queue SET due_ms = 0 WHERE no = $1 AND boot IS NULL AND due_ms > 0";
const LET_GO: &str = "UPDATE subscriptions SET not_before_ms = 0 WHERE no = $1 AND not_before_ms > 0";
const RAISE: &str = "UPDATE subscriptions SET generation = generation + 1 WHERE no = $1 RETURNING generation";
const SELECTS: &str = "SELECT 1 FROM subscription_types t JOIN subscriptions s ON s.no = t.subscription
    WHERE t.subscription = $1 AND t.event_type = $2 AND s.status = 'active' AND s.organization_id = $3";

impl Store {
    /// Makes one chunk of what a subscription has waiting due now, and lifts its `Retry-After`. A paused
    /// subscription stays paused.
    pub async fn retry_waiting(
        &self,
        subscription: SubscriptionNo,
        place: Place,
    ) -> Result<Step, StoreError> {
        self.writer
            .tidy(move |tx| {
                tx.hold(subscription, Hold::Alone)?;
                if place == Place::default() && tx.run(LET_GO, params![subscription.0])? > 0 {
                    raise_generation(tx, subscription)?;
                    heads::open_all(tx, subscription)?;
                }
                chunk(tx, subscription, place, retry)
            })
            .await
    }

    /// Cancels one chunk of what a subscription has waiting.
    pub async fn cancel_waiting(
        &self,
        subscription: SubscriptionNo,
        place: Place,
    ) -> Result<Step, StoreError> {
        self.writer.tidy(move |tx| chunk(tx, subscription, place, cancel)).await
    }

    /// Moves one chunk of what a subscription has waiting to another one of the organisation.
    pub async fn move_waiting(
        &self,
        organization: OrganizationNo,
        from: SubscriptionNo,
        to: SubscriptionNo,
        place: Place,
    ) -> Result<Step, StoreError> {
        self.writer.tidy(move |tx| chunk(tx, from, place, |tx, row| move_to(tx, row, organization, to))).await
    }

    /// Makes one delivery due now; false when it has ended or an attempt is under way.
    pub async fn retry_delivery(&self, delivery: DeliveryNo) -> Result<bool, StoreError> {
        self.one(delivery, retry).await
    }

    /// Cancels one delivery; false when it has ended.
    pub async fn cancel_delivery(&self, delivery: DeliveryNo) -> Result<bool, StoreError> {
        self.one(delivery, cancel).await
    }

    async fn one(
        &self,
        delivery: DeliveryNo,
        change: impl Fn(&mut Tx<'_>, &mut QueueRow) -> Result<bool, StoreError> + Send + 'static,
    ) -> Result<bool, StoreError> {
        self.change(move |tx| {
            match tx.held(Hold::Alone, |tx| queue::find(tx, delivery), |row| row.subscription)? {
                Some(mut row) => change(tx, &mut row),
                None => Ok(false),
            }
        })
        .await
    }
}

fn chunk(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    place: Place,
    change: impl Fn(&mut Tx<'_>, &mut QueueRow) -> Result<bool, StoreError>,
) -> Result<Step, StoreError> {
    tx.hold(subscription, Hold::Alone)?;
    let until = place.until.unwrap_or(DeliveryNo((tx.last_seq()?.0 + 1) * DELIVERIES_PER_SEQ - 1));
    let params = params![subscription.0, place.class, place.due_ms, place.no, CHUNK_ROWS];
    let found = rows::all(tx, CHUNK, params, |row| Ok((queue::read(row)?, row.get::<_, i64>("at_due_ms")?)))?;
    let full = found.len() == CHUNK_ROWS;
    let next = found.last().filter(|_| full).map(|(row, due_ms)| Place {
        class: row.class.code(),
        due_ms: *due_ms,
        no: row.no.0,
        until: Some(until),
    });
    tx.count_rows(found.len());
    let mut step = Step { next, ..Step::default() };
    for (mut row, _) in found {
        if row.no <= until && change(tx, &mut row)? {
            step.changed += 1;
        } else {
            step.left += 1;
        }
    }
    Ok(step)
}

fn retry(tx: &mut Tx<'_>, row: &mut QueueRow) -> Result<bool, StoreError> {
    if tx.run(DUE_NOW, params![row.no.0])? == 0 {
        return Ok(false);
    }
    heads::lower(tx, row.subscription, row.class, TimeMs::ZERO)?;
    Ok(true)
}

fn cancel(tx: &mut Tx<'_>, row: &mut QueueRow) -> Result<bool, StoreError> {
    if row.boot.is_some_and(|boot| boot == tx.context.boot || tx.is_shared()) {
        // What is prepared but not sent asks once more, and finds its delivery ended.
        raise_generation(tx, row.subscription)?;
    }
    cancel::end(tx, row, End::CancelledByOperator)?;
    Ok(true)
}

fn move_to(
    tx: &mut Tx<'_>,
    row: &QueueRow,
    organization: OrganizationNo,
    to: SubscriptionNo,
) -> Result<bool, StoreError> {
    tx.hold(to, Hold::Alone)?;
    let selects = rows::scalar::<i64>(tx, SELECTS, params![to.0, row.event_type.code(), organization.0])?;
    let stays = row.boot.is_some() || row.class == Class::Manual || row.organization != organization;
    if stays || selects.is_none() || queue::cancelled(tx, row)?.is_some() {
        return Ok(false);
    }
    queue::end(tx, row, End::Moved)?;
    let now = tx.context.clock.wall();
    let delivery = NewDelivery {
        no: DeliveryNo::new(tx.next_seq()?, 0),
        organization,
        subscription: to,
        event: row.event,
        event_type: row.event_type,
        class: Class::Recover,
        expires_at: row.expires_at,
    };
    enqueue(tx, &delivery, now)?;
    Ok(true)
}

fn raise_generation(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    if let Some(generation) = rows::scalar(tx, RAISE, params![subscription.0])? {
        tx.raise_generation(subscription, generation);
    }
    Ok(())
}

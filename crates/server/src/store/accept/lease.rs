//! A claim that comes with the commit: a new delivery leased in the transaction that makes it.

use super::{NewDelivery, NewEvent, enqueue_held};
use crate::domain::delivery::{ClaimedEvent, DeliveryTarget, Leased};
use crate::domain::slots::Full;
use crate::domain::time::TimeMs;
use crate::store::claim::{self, Recipient};
use crate::store::error::StoreError;
use crate::store::faults::Bug;
use crate::store::heads;
use crate::store::health::Standing;
use crate::store::queue::{self, QueueRow};
use crate::store::sql::params;
use crate::store::target::{self, Target};
use crate::store::writer::Tx;

/// Leases the delivery to the engine if its subscription has nothing waiting and a place is free, and queues
/// it otherwise. True when nobody needs to be told: it is handed over, or claimed when a place is freed, or
/// nothing may be taken of its subscription now.
pub(super) fn with_commit(
    tx: &mut Tx<'_>,
    delivery: &NewDelivery,
    event: &NewEvent,
    now: TimeMs,
) -> Result<bool, StoreError> {
    let Some(seat) = tx.seat.clone() else {
        enqueue_held(tx, delivery, now, TimeMs::ZERO)?;
        return Ok(false);
    };
    let schedule = tx.context.clock.schedule();
    let Target::Open { target, held_until, selected, standing } =
        target::load(tx, delivery.subscription, seat.timeout)?
    else {
        enqueue_held(tx, delivery, now, TimeMs::ZERO)?;
        return Ok(false);
    };
    if held_until > schedule {
        enqueue_held(tx, delivery, now, held_until)?;
        return Ok(held_until == TimeMs::NEVER);
    }
    if standing != Standing::Open {
        // A new event is worth a probe, or waits its turn at a rate.
        enqueue_held(tx, delivery, now, TimeMs::ZERO)?;
        return Ok(false);
    }
    let recipient = Recipient { target: &target, selected: &selected, standing };
    let bytes = claim::body_bytes(&target, delivery.event_type, &event.payload);
    let want = claim::want(recipient, delivery.class, bytes, schedule);
    let is_ahead = tx.context.faults.has(Bug::HandedOverAhead);
    if queue::live_waits(tx, delivery.subscription)? && !is_ahead {
        enqueue_held(tx, delivery, now, TimeMs::ZERO)?;
        return Ok(seat.slots.places(&want).is_err());
    }
    let slot = match seat.slots.try_take(want) {
        Ok(slot) => slot,
        Err(full) => {
            enqueue_held(tx, delivery, now, TimeMs::ZERO)?;
            return Ok(!matches!(full, Full::Closed | Full::Rate(_)));
        }
    };
    let due_at = claim::lease_end(&target, delivery.event_type, slot.is_ahead(), schedule);
    let row = leased_row(tx, delivery, &target, due_at, now);
    insert(tx, &row)?;
    let event = ClaimedEvent {
        seq: row.event,
        id: event.id,
        event_type: row.event_type,
        payload: event.payload.clone(),
    };
    let claimed = claim::claimed(&row, row.due_at, schedule, event, None, &target);
    tx.memory.leased(row);
    tx.hand_over([Leased { claimed, slot }]);
    Ok(true)
}

/// The delivery as a row of the queue that is leased for its first attempt.
fn leased_row(
    tx: &Tx<'_>,
    delivery: &NewDelivery,
    target: &DeliveryTarget,
    due_at: TimeMs,
    now: TimeMs,
) -> QueueRow {
    QueueRow {
        no: delivery.no,
        organization: delivery.organization,
        subscription: delivery.subscription,
        event: delivery.event,
        event_type: delivery.event_type,
        class: delivery.class,
        request_id: tx.context.entropy.uuid().into(),
        due_at,
        expires_at: delivery.expires_at,
        created_at: now,
        failures: 0,
        attempts: 0,
        unknown: 0,
        maybe_received: false,
        claim_no: 1,
        boot: Some(tx.context.boot),
        claimed_at: Some(now),
        claimed_url: Some(target.url_no),
    }
}

fn insert(tx: &mut Tx<'_>, row: &QueueRow) -> Result<(), StoreError> {
    let request_id = row.request_id.as_uuid();
    tx.write(
        &queue::ADD,
        params![
            row.no.0,
            row.organization.0,
            row.subscription.0,
            row.event.0,
            row.event_type.code(),
            row.class.code(),
            request_id.as_bytes(),
            row.due_at.0,
            row.expires_at.map(|time| time.0),
            row.created_at.0,
            row.claim_no,
            row.boot,
            row.claimed_at.map(|time| time.0),
            row.claimed_url.map(|url| url.0)
        ],
    )?;
    tx.tally.queued(row.organization);
    heads::lower(tx, row.subscription, row.class, row.due_at)
}

//! Claiming one row: leasing it, or ending what must not be sent.

use std::sync::Arc;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;

use super::{ClaimRequest, Claims, LEASE_SKEW};
use crate::domain::context::{LEASE_MORE, MAX_CONTEXT_BYTES};
use crate::domain::delivery::{Claimed, ClaimedEvent, Class, DeliveryTarget, End, Leased};
use crate::domain::number::Seq;
use crate::domain::slots::{AHEAD_FOR, Full, Slot, Want};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::health::Standing;
use crate::store::queue::{self, QueueRow};
use crate::store::settle::{self, AttemptRow};
use crate::store::sql::many::{Holds, Many, exact};
use crate::store::sql::params;
use crate::store::target::Selected;
use crate::store::writer::Tx;
use crate::store::{alerts, ordering, rows};

/// Attempts whose outcome nobody knows that a delivery may have before it is given up.
pub const MAX_UNKNOWN: u32 = 20;

static LEASE: Many = Many {
    one: "UPDATE queue SET claim_no = $2, boot = $3, claimed_ms = $4, due_ms = $5, claimed_url = $6 WHERE no = $1",
    all: exact!("UPDATE queue q SET claim_no = l.claim_no, boot = l.boot, claimed_ms = l.claimed_ms, due_ms = l.due_ms,
    claimed_url = l.claimed_url FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[]),
    CAST($4 AS BIGINT[]), CAST($5 AS BIGINT[]), CAST($6 AS BIGINT[]))
    AS l (no, claim_no, boot, claimed_ms, due_ms, claimed_url) WHERE q.no = l.no"),
    columns: &[Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8],
};
/// The events of many rows at once, on a server.
const EVENTS: &str =
    "SELECT e.seq, e.id, e.payload FROM json_array_elements_text(CAST($1 AS JSON)) AS l (seq),
    LATERAL (SELECT seq, id, payload FROM events WHERE seq = CAST(l.seq AS BIGINT) LIMIT 1) e";
/// Events that are read ahead at a time.
const EVENTS_AHEAD: usize = 64;
const EVENT: &str = "SELECT id, payload FROM events WHERE seq = $1";

/// Whose queue it is, and what may be taken of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Recipient<'a> {
    /// Where attempts go, and how.
    pub(in crate::store) target: &'a Arc<DeliveryTarget>,
    /// The event types that are selected.
    pub(in crate::store) selected: &'a Selected,
    /// Failing, its attempts begin in the slow share.
    pub(in crate::store) standing: Standing,
}

/// What became of a row that was due.
pub(in crate::store) enum Row {
    /// It is leased, and the last of the claims.
    Taken,
    /// It must not be sent, and has ended.
    Ended,
    /// There is no place for it.
    Refused(Full),
}

/// Leases a row or ends it.
pub(in crate::store) fn claim_row(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    mut row: QueueRow,
    recipient: Recipient<'_>,
    claims: &mut Claims,
) -> Result<Row, StoreError> {
    let Recipient { selected, .. } = recipient;
    let mut place = None;
    if row.boot.is_some() {
        // Only who takes the delivery over says that its attempt was lost.
        match take_place(tx, request, &row, recipient)? {
            Ok(taken) => place = Some(taken),
            Err(full) => return Ok(Row::Refused(full)),
        }
        write_lost_attempt(tx, &mut row)?;
    }
    if let Some(end) = end_of(&row, selected, request.now) {
        queue::end(tx, &row, end)?;
        alerts::note_end(tx, &row, end, None)?;
        claims.ended_manual |= row.class == Class::Manual;
        return Ok(Row::Ended);
    }
    let (event, slot) = match place {
        Some(place) => place,
        None => match take_place(tx, request, &row, recipient)? {
            Ok(place) => place,
            Err(full) => return Ok(Row::Refused(full)),
        },
    };
    let claimed = take(tx, request, &row, event, (recipient, slot.is_ahead()))?;
    claims.claimed.push(Leased { claimed, slot });
    Ok(Row::Taken)
}

/// Why a due delivery of a subscription that is there is not to be sent, if so.
pub(super) fn end_of(row: &QueueRow, selected: &Selected, now: TimeMs) -> Option<End> {
    if !selected.has(row.event_type, row.no.seq()) {
        return Some(End::TypeNotSelected);
    }
    if row.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Some(End::EventExpired);
    }
    // A delivery made by hand has one attempt; whoever asked is told that its outcome is unknown.
    let lost = row.unknown >= MAX_UNKNOWN || (row.unknown > 0 && row.class == Class::Manual);
    lost.then_some(End::Lost)
}

/// What an attempt of this class would use.
pub(in crate::store) fn want(recipient: Recipient<'_>, class: Class, bytes: usize, now: TimeMs) -> Want {
    let target = recipient.target;
    Want {
        organization: target.organization,
        subscription: target.subscription,
        class,
        host: target.host,
        bytes,
        max_in_flight: target.max_in_flight,
        max_per_second: target.max_per_second,
        now,
        failing: recipient.standing == Standing::Failing,
    }
}

/// When a claim of now for this target ends, whose attempt begins at once or `ahead` of its place.
pub(in crate::store) fn lease_end(
    target: &DeliveryTarget,
    event_type: EventType,
    ahead: bool,
    now: TimeMs,
) -> TimeMs {
    let begins = if ahead { now.after(AHEAD_FOR) } else { now };
    let begins = if target.context_with(event_type).is_some() { begins.after(LEASE_MORE) } else { begins };
    begins.after(target.timeout).after(LEASE_SKEW)
}

/// What an attempt may send, in bytes: until a context is built it counts as long as it can be.
pub(in crate::store) fn body_bytes(target: &DeliveryTarget, event_type: EventType, payload: &[u8]) -> usize {
    let more = if target.context_with(event_type).is_some() { MAX_CONTEXT_BYTES } else { 0 };
    payload.len() + more
}

/// A place for an attempt of this row, and what it is to send.
fn take_place(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    row: &QueueRow,
    recipient: Recipient<'_>,
) -> Result<Result<(ClaimedEvent, Slot), Full>, StoreError> {
    let event = load_event(tx, row.event, row.event_type)?;
    let bytes = body_bytes(recipient.target, row.event_type, &event.payload);
    let want = want(recipient, row.class, bytes, request.now);
    Ok(request.slots.try_take(want).map(|slot| (event, slot)))
}

/// Leases one row.
fn take(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    row: &QueueRow,
    event: ClaimedEvent,
    (recipient, ahead): (Recipient<'_>, bool),
) -> Result<Claimed, StoreError> {
    let Recipient { target, standing, .. } = recipient;
    let lease_until = lease_end(target, row.event_type, ahead, request.now);
    let row = QueueRow {
        claim_no: row.claim_no + 1,
        boot: Some(tx.context.boot),
        claimed_at: Some(standing.claimed_at(tx.context.clock.wall())),
        claimed_url: Some(target.url_no),
        due_at: lease_until,
        ..row.clone()
    };
    let claimed_ms = row.claimed_at.map(|time| time.0);
    tx.write(&LEASE, params![row.no.0, row.claim_no, row.boot, claimed_ms, lease_until.0, target.url_no.0])?;
    let gap = ordering::gap_of(tx, &row)?;
    let claimed = claimed(&row, lease_until, request.now, event, gap, target);
    tx.memory.leased(row);
    Ok(claimed)
}

/// The right to make one attempt, from the row that says so.
pub(in crate::store) fn claimed(
    row: &QueueRow,
    lease_until: TimeMs,
    now: TimeMs,
    event: ClaimedEvent,
    gap: Option<EventId>,
    target: &Arc<DeliveryTarget>,
) -> Claimed {
    Claimed {
        delivery: row.no,
        claim_no: row.claim_no,
        lease_until,
        claimed_at: now,
        attempt_no: row.attempts + 1,
        failures: row.failures,
        class: row.class,
        is_probe: false,
        early_for: None,
        request_id: row.request_id,
        maybe_received: row.maybe_received,
        expires_at: row.expires_at,
        gap,
        event,
        target: target.clone(),
    }
}

/// The lease of an attempt expired, or its process is gone: what came of it is unknown.
pub(in crate::store) fn write_lost_attempt(tx: &mut Tx<'_>, row: &mut QueueRow) -> Result<(), StoreError> {
    settle::write_attempt(tx, row, &AttemptRow::lost(tx, row))?;
    row.attempts += 1;
    row.unknown += 1;
    row.maybe_received = true;
    row.boot = None;
    ordering::failed(tx, row)?;
    queue::write_counts(tx, row)
}

/// Reads these events in one go, where each by itself would be a round trip.
pub(in crate::store) fn read_ahead(
    tx: &mut Tx<'_>,
    events: impl Iterator<Item = Seq>,
) -> Result<(), StoreError> {
    if !tx.is_shared() {
        return Ok(());
    }
    let wanted = events.filter(|event| !tx.memory.has_event(*event)).map(|event| event.0);
    let wanted: Vec<i64> = wanted.take(EVENTS_AHEAD).collect();
    if wanted.len() < 2 {
        return Ok(());
    }
    let list = serde_json::json!(wanted).to_string();
    let found = rows::all(tx, EVENTS, params![list], |row| {
        let payload: Vec<u8> = row.get("payload")?;
        Ok((Seq(row.get("seq")?), rows::id(row, "id")?, Bytes::from(payload)))
    })?;
    for (seq, id, payload) in found {
        tx.memory.remember_event(seq, id, payload);
    }
    Ok(())
}

fn load_event(tx: &mut Tx<'_>, seq: Seq, event_type: EventType) -> Result<ClaimedEvent, StoreError> {
    if let Some((id, payload)) = tx.memory.take_event(seq) {
        return Ok(ClaimedEvent { seq, id, event_type, payload });
    }
    let event = rows::optional(tx, EVENT, params![seq.0], |row| {
        let id: EventId = rows::id(row, "id")?;
        let payload: Vec<u8> = row.get("payload")?;
        Ok(ClaimedEvent { seq, id, event_type, payload: Bytes::from(payload) })
    })?;
    event.ok_or(StoreError::Corrupt("a queued delivery without its event"))
}

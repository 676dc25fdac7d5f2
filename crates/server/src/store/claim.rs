//! Claiming: leasing what is due to this process.
//!
//! One transaction looks at the queue heads that are due, takes what may be taken, and raises the heads.
//! What it meets that must not be sent, it ends on the spot: deliveries of deleted subscriptions and
//! removed types are cancelled, expired ones expire. An expired lease is nothing special: its row is due
//! again, and the claim that takes it first writes the attempt that was lost.
//!
//! Claims go round: organisation after organisation, and within one, subscription after subscription, a few
//! deliveries each, beginning after the one that was served last. The work is bounded by the slots that are
//! free, never by how much waits.

mod round;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;
use rusqlite::params;

use self::round::Round;
use super::error::StoreError;
use super::health::{self, Allowance, Standing};
use super::queue::{self, QueueRow};
use super::settle::{self, AttemptRow};
use super::target::{self, Selected, Target};
use super::writer::Tx;
use super::{Store, alerts, heads, ordering, rows};
use crate::domain::delivery::{Claimed, ClaimedEvent, Class, DeliveryTarget, End, Leased};
use crate::domain::number::{Seq, SubscriptionNo};
use crate::domain::slots::{Full, Slot, Slots, Want};
use crate::domain::time::TimeMs;

/// Added to an attempt's timeout to get its lease: what clocks, scheduling and the settle may take.
pub const LEASE_SKEW: Duration = Duration::from_secs(5);
/// Attempts whose outcome nobody knows that a delivery may have before it is given up.
pub const MAX_UNKNOWN: u32 = 20;
/// Deliveries that one subscription and class is given at each turn of the round.
const QUANTUM: usize = 8;
/// Deliveries that a turn ends at most, give or take a quantum.
const ROWS_TO_END: usize = 64;
/// A subscription that cannot be read is looked at again after this.
const UNREADABLE_WAIT: Duration = Duration::from_mins(1);

/// What a claim may take.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Schedule time.
    pub now: TimeMs,
    /// Who may start an attempt.
    pub slots: Slots,
    /// The limit of a whole attempt whose subscription sets none.
    pub timeout: Duration,
}

/// What a claim took, and when to look again if no bell rings.
#[derive(Debug, Default)]
pub struct Claims {
    /// The deliveries leased to this process.
    pub claimed: Vec<Leased>,
    /// Deliveries made by hand that ended in this claim.
    pub ended_manual: bool,
    /// Something is due that found no place.
    pub refused: bool,
    /// The earliest time at which something else becomes due. Not after `now` when this claim had all that
    /// one claim looks at, and slots are left: claim again at once.
    pub next_due: Option<TimeMs>,
}

const NEXT_HEAD: &str = "SELECT min(due_ms) FROM queue_heads WHERE due_ms > $1";
const LEASE: &str =
    "UPDATE queue SET claim_no = $2, boot = $3, claimed_ms = $4, due_ms = $5, claimed_url = $6
    WHERE no = $1";
const GOES_TO: &str = "UPDATE queue SET claimed_url = $2, due_ms = $3 WHERE no = $1";
const EVENT: &str = "SELECT id, payload FROM events WHERE seq = $1";

impl Store {
    /// Leases what is due, within the free slots.
    pub async fn claim_due(&self, request: ClaimRequest) -> Result<Claims, StoreError> {
        self.change(move |tx| {
            let began = tx.context.clock.monotonic();
            let claims = claim(tx, &request);
            let took = tx.context.clock.monotonic().saturating_sub(began);
            tx.context.metrics.claim_us.observe_time(took);
            claims
        })
        .await
    }

    /// Reads a claim's target again after its subscription changed, and notes where it goes now; `None` when
    /// it must not be sent now: cancelled, held, expired, or somebody else's. The lease covers the timeout
    /// that is in force now.
    pub async fn retarget(&self, claimed: Claimed) -> Result<Option<Claimed>, StoreError> {
        self.change(move |tx| {
            let row = match queue::find(tx, claimed.delivery)? {
                Some(row) if row.claim_no == claimed.claim_no => row,
                _ => return Ok(None),
            };
            let Target::Open { target, held_until, selected, .. } =
                target::load(tx, row.subscription, claimed.target.server_timeout)?
            else {
                return Ok(None);
            };
            let now = tx.context.clock.schedule();
            let is_held = row.class != Class::Manual && held_until > now;
            if is_held || end_of(&row, &selected, now).is_some() {
                return Ok(None);
            }
            // Never sooner than before: the queue's head may already say so.
            let lease_until = lease_end(&target, now).max(claimed.lease_until);
            tx.run(GOES_TO, params![row.no.0, target.url_no.0, lease_until.0])?;
            tx.memory.leased(QueueRow { claimed_url: Some(target.url_no), ..row });
            Ok(Some(Claimed { lease_until, target, ..claimed.clone() }))
        })
        .await
    }
}

fn claim(tx: &mut Tx<'_>, request: &ClaimRequest) -> Result<Claims, StoreError> {
    let mut claims = Claims::default();
    let mut round = Round::of_due_heads(tx, request)?;
    let mut more = round.is_partial();
    while let Some((subscription, class)) = round.next() {
        match claim_head(tx, request, subscription, class, &mut claims)? {
            Turn::More => round.again(subscription, class),
            Turn::Refused(full) => {
                claims.refused = true;
                if matches!(full, Full::Share | Full::Closed) && request.slots.exhausted() {
                    more = false;
                    break;
                }
            }
            Turn::Drained => {}
            Turn::ToEnd => more = true,
        }
    }
    tx.memory.served_last(round.last_served());
    tx.count_rows(claims.claimed.len());
    claims.next_due = if more {
        Some(request.now)
    } else {
        rows::scalar::<Option<i64>>(tx, NEXT_HEAD, params![request.now.0])?.flatten().map(TimeMs)
    };
    Ok(claims)
}

/// Leases what waits for one subscription, after an attempt of its own has freed a place that it was
/// refused.
pub(super) fn claim_next_of(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    let Some(seat) = tx.seat.clone() else { return Ok(()) };
    let now = tx.context.clock.schedule();
    let request = ClaimRequest { now, slots: seat.slots, timeout: seat.timeout };
    let mut claims = Claims::default();
    for class in heads::of(tx, subscription)?.due(now) {
        // Until it is refused a place, which is when the next one that is freed leads here again.
        while let Turn::More = claim_head(tx, &request, subscription, class, &mut claims)? {}
    }
    tx.count_rows(claims.claimed.len());
    tx.hand_over(claims.claimed);
    Ok(())
}

/// What a turn of one subscription and class came to.
pub(super) enum Turn {
    /// It has no more that is due.
    Drained,
    /// It had its quantum, and has more.
    More,
    /// It was refused a place.
    Refused(Full),
    /// It had as much to end as one turn looks at.
    ToEnd,
}

/// Takes what one subscription and class has due, a quantum at most.
fn claim_head(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    subscription: SubscriptionNo,
    class: Class,
    claims: &mut Claims,
) -> Result<Turn, StoreError> {
    let (target, held_until, selected, standing) = match target::load(tx, subscription, request.timeout)? {
        Target::Deleted => {
            heads::remove_all(tx, subscription)?;
            return Ok(Turn::Drained);
        }
        Target::Unreadable => {
            heads::raise(tx, subscription, class, request.now.after(UNREADABLE_WAIT))?;
            return Ok(Turn::Drained);
        }
        Target::Open { target, held_until, selected, standing } => (target, held_until, selected, standing),
    };
    if class != Class::Manual && held_until > request.now {
        if standing == Standing::Open || held_until == TimeMs::NEVER {
            heads::raise(tx, subscription, class, held_until)?;
        } else {
            // What probes and drains take does not wait for its own due time.
            heads::set(tx, subscription, class, held_until)?;
        }
        return Ok(Turn::Drained);
    }
    match standing {
        Standing::Failing if class != Class::Manual => {
            return health::claim_probe(tx, request, subscription, (&target, &selected), claims);
        }
        Standing::Draining if class != Class::Manual => {
            if let Some(allowance) = Allowance::of(tx, subscription, request.now)? {
                return claim_draining(tx, request, class, (&target, &selected), allowance, claims);
            }
        }
        Standing::Open | Standing::Failing | Standing::Draining => {}
    }
    let Some(places) = request.slots.places(subscription, class) else {
        return Ok(Turn::Refused(Full::Subscription));
    };
    let places = places.min(QUANTUM);
    let (mut taken, mut ended, mut let_go) = (0, 0, false);
    while ended < ROWS_TO_END {
        // What was taken or ended is not due any more; one more than there are places tells whether to stay.
        let limit = places - taken + 1;
        let due = queue::due(tx, subscription, class, request.now, limit)?;
        let saw_all = due.len() < limit;
        for row in due {
            if taken == places {
                return Ok(Turn::More);
            }
            match claim_row(tx, request, row, (&target, &selected), claims)? {
                Row::Taken => taken += 1,
                Row::Ended => {
                    ended += 1;
                    // What was parked behind it is due now.
                    let_go |= tx.context.ordered.has(subscription);
                }
                // Slots ran out, not the queue: the head stays where it is.
                Row::Refused(full) => return refused(tx, subscription, class, full),
            }
        }
        if saw_all && !std::mem::take(&mut let_go) {
            heads::raise(tx, subscription, class, TimeMs::ZERO)?;
            if class == Class::Live {
                tx.memory.set_live_waits(subscription, false);
            }
            return Ok(Turn::Drained);
        }
    }
    Ok(Turn::ToEnd)
}

/// Takes what the rate lets through of what waited for a subscription to come back.
fn claim_draining(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    class: Class,
    target: (&Arc<DeliveryTarget>, &Selected),
    allowance: Allowance,
    claims: &mut Claims,
) -> Result<Turn, StoreError> {
    let subscription = target.0.subscription;
    let Some(places) = request.slots.places(subscription, class) else {
        return Ok(Turn::Refused(Full::Subscription));
    };
    let places = places.min(QUANTUM).min(allowance.free);
    let limit = places + ROWS_TO_END;
    let due = allowance.due(tx, class, request.now, limit)?;
    let saw_all = due.len() < limit;
    let (mut taken, mut ran_out) = (0, false);
    for row in due {
        if taken == places {
            ran_out = true;
            break;
        }
        match claim_row(tx, request, row, target, claims)? {
            Row::Taken => taken += 1,
            Row::Ended => {}
            Row::Refused(full) => {
                allowance.took(tx, class, taken, false, request.now)?;
                return refused(tx, subscription, class, full);
            }
        }
    }
    if !ran_out && saw_all {
        heads::raise(tx, subscription, class, TimeMs::ZERO)?;
    } else if !ran_out {
        heads::set(tx, subscription, class, request.now)?;
    }
    let by_rate = taken >= allowance.free;
    allowance.took(tx, class, taken, ran_out, request.now)?;
    Ok(match (ran_out, saw_all) {
        (true, _) if !by_rate => Turn::More,
        (true, _) | (false, true) => Turn::Drained,
        (false, false) => Turn::ToEnd,
    })
}

/// What became of a row that was due.
pub(super) enum Row {
    /// It is leased, and the last of the claims.
    Taken,
    /// It must not be sent, and has ended.
    Ended,
    /// There is no place for it.
    Refused(Full),
}

/// Leases a row or ends it.
pub(super) fn claim_row(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    mut row: QueueRow,
    (target, selected): (&Arc<DeliveryTarget>, &Selected),
    claims: &mut Claims,
) -> Result<Row, StoreError> {
    let mut place = None;
    if row.boot.is_some() {
        // Only who takes the delivery over says that its attempt was lost.
        match take_place(tx, request, &row, target)? {
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
        None => match take_place(tx, request, &row, target)? {
            Ok(place) => place,
            Err(full) => return Ok(Row::Refused(full)),
        },
    };
    let claimed = take(tx, request, &row, event, target)?;
    claims.claimed.push(Leased { claimed, slot });
    Ok(Row::Taken)
}

/// A rate says itself when it has room again; for anything else a place that is freed does.
pub(super) fn refused(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    full: Full,
) -> Result<Turn, StoreError> {
    if let Full::Rate(until) = full {
        heads::set(tx, subscription, class, until)?;
        return Ok(Turn::Drained);
    }
    Ok(Turn::Refused(full))
}

/// Why a due delivery of a subscription that is there is not to be sent, if so.
fn end_of(row: &QueueRow, selected: &Selected, now: TimeMs) -> Option<End> {
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

/// What an attempt of this class to this target would use.
pub(super) fn want(target: &DeliveryTarget, class: Class, bytes: usize, now: TimeMs) -> Want {
    Want {
        organization: target.organization,
        subscription: target.subscription,
        class,
        host: target.host,
        bytes,
        max_in_flight: target.max_in_flight,
        max_per_second: target.max_per_second,
        now,
        failing: false,
    }
}

/// When a claim of now for this target ends.
pub(super) fn lease_end(target: &DeliveryTarget, now: TimeMs) -> TimeMs {
    now.after(target.timeout).after(LEASE_SKEW)
}

/// A place for an attempt of this row, and what it is to send.
fn take_place(
    tx: &Tx<'_>,
    request: &ClaimRequest,
    row: &QueueRow,
    target: &DeliveryTarget,
) -> Result<Result<(ClaimedEvent, Slot), Full>, StoreError> {
    let event = load_event(tx, row.event, row.event_type)?;
    let want = want(target, row.class, event.payload.len(), request.now);
    Ok(request.slots.try_take(want).map(|slot| (event, slot)))
}

/// Leases one row.
fn take(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    row: &QueueRow,
    event: ClaimedEvent,
    target: &Arc<DeliveryTarget>,
) -> Result<Claimed, StoreError> {
    let lease_until = lease_end(target, request.now);
    let row = QueueRow {
        claim_no: row.claim_no + 1,
        boot: Some(tx.context.boot),
        claimed_at: Some(tx.context.clock.wall()),
        claimed_url: Some(target.url_no),
        due_at: lease_until,
        ..row.clone()
    };
    let claimed_ms = row.claimed_at.map(|time| time.0);
    tx.run(LEASE, params![row.no.0, row.claim_no, row.boot, claimed_ms, lease_until.0, target.url_no.0])?;
    let gap = ordering::gap_of(tx, &row)?;
    let claimed = claimed(&row, lease_until, request.now, event, gap, target);
    tx.memory.leased(row);
    Ok(claimed)
}

/// The right to make one attempt, from the row that says so.
pub(super) fn claimed(
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
pub(super) fn write_lost_attempt(tx: &mut Tx<'_>, row: &mut QueueRow) -> Result<(), StoreError> {
    settle::write_attempt(tx, row, &AttemptRow::lost(tx, row))?;
    row.attempts += 1;
    row.unknown += 1;
    row.maybe_received = true;
    row.boot = None;
    ordering::failed(tx, row)?;
    queue::write_counts(tx, row)
}

fn load_event(tx: &Tx<'_>, seq: Seq, event_type: EventType) -> Result<ClaimedEvent, StoreError> {
    let event = rows::optional(tx, EVENT, params![seq.0], |row| {
        let id: EventId = rows::id(row, "id")?;
        let payload: Vec<u8> = row.get("payload")?;
        Ok(ClaimedEvent { seq, id, event_type, payload: Bytes::from(payload) })
    })?;
    event.ok_or(StoreError::Corrupt("a queued delivery without its event"))
}

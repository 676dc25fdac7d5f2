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
mod row;

use std::time::Duration;

pub(super) use self::round::PlaceInHeads;
use self::round::Round;
pub use self::row::MAX_UNKNOWN;
use self::row::end_of;
pub(super) use self::row::{
    Recipient, Row, body_bytes, claim_row, claimed, lease_end, read_ahead, want, write_lost_attempt,
};
use super::error::StoreError;
use super::health::{self, Allowance, Standing};
use super::queue::{self, QueueRow};
use super::target::{self, Target};
use super::writer::{Hold, Tx};
use super::{Store, heads};
use crate::domain::delivery::{Claimed, Class, Leased};
use crate::domain::number::SubscriptionNo;
use crate::domain::slots::{Full, Slots};
use crate::domain::time::TimeMs;
use crate::store::sql::params;

/// Added to an attempt's timeout to get its lease: what clocks, scheduling and the settle may take.
pub const LEASE_SKEW: Duration = Duration::from_secs(5);
/// Deliveries that one subscription and class is given at each turn of the round at most: fewer when there are
/// not so many places for each. Of many that begin to hang at the same moment, as many as possible are found out
/// at once then, and the others get their places back.
const QUANTUM: usize = 8;
/// Deliveries that a turn ends at most, give or take a quantum.
const ROWS_TO_END: usize = 64;
/// When more heads are due than one claim looks at and none of these found a place, the next are looked at
/// after this: looking at a thousand costs some milliseconds of the writer's time.
const NEXT_PART_WAIT: Duration = Duration::from_millis(100);
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
    /// The earliest time at which something else becomes due. Not after `now` when this claim had all that
    /// one claim looks at, and slots are left: claim again at once.
    pub next_due: Option<TimeMs>,
}

const GOES_TO: &str = "UPDATE queue SET claimed_url = $2, due_ms = $3, claimed_ms = $4 WHERE no = $1";

impl Store {
    /// Leases what is due, within the free slots.
    pub async fn claim_due(&self, request: ClaimRequest) -> Result<Claims, StoreError> {
        let claim = self.writer.claim(move |tx| {
            let began = tx.context.clock.monotonic();
            let claims = claim(tx, &request);
            let took = tx.context.clock.monotonic().saturating_sub(began);
            tx.context.metrics.claim_us.observe_time(took);
            claims
        });
        claim.await
    }

    /// Reads a claim's target again after its subscription changed, and notes where it goes now; `None` when
    /// it must not be sent now: cancelled, held, expired, or somebody else's. The lease covers the timeout
    /// that is in force now. It counts as claimed now: what made everything due that waited came before.
    pub async fn retarget(&self, claimed: Claimed) -> Result<Option<Claimed>, StoreError> {
        self.change(move |tx| {
            let find = |tx: &mut Tx<'_>| queue::find(tx, claimed.delivery);
            let row = match tx.held(Hold::Shared, find, |row| row.subscription)? {
                Some(row) if row.claim_no == claimed.claim_no && row.boot == Some(tx.context.boot) => row,
                _ => return Ok(None),
            };
            let Target::Open { target, held_until, selected, standing } =
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
            let lease_until = lease_end(&target, row.event_type, false, now).max(claimed.lease_until);
            let claimed_at = standing.claimed_at(tx.context.clock.wall());
            tx.run(GOES_TO, params![row.no.0, target.url_no.0, lease_until.0, claimed_at.0])?;
            tx.memory.leased(QueueRow {
                claimed_url: Some(target.url_no),
                claimed_at: Some(claimed_at),
                due_at: lease_until,
                ..row
            });
            // Where all that waited was made due, a probe is an attempt like any other.
            let is_failing = standing == Standing::Failing;
            let (is_probe, early_for) =
                (claimed.is_probe && is_failing, claimed.early_for.filter(|_| is_failing));
            let again =
                Claimed { lease_until, target, claimed_at: now, is_probe, early_for, ..claimed.clone() };
            Ok(Some(again))
        })
        .await
    }
}

fn claim(tx: &mut Tx<'_>, request: &ClaimRequest) -> Result<Claims, StoreError> {
    let mut claims = Claims::default();
    let mut round = Round::of_due_heads(tx, request)?;
    let (mut more, mut refused) = (false, false);
    let quantum = (request.slots.free_fast() / round.heads().max(1)).clamp(1, QUANTUM);
    while let Some((subscription, class)) = round.next() {
        match claim_head(tx, request, (subscription, class), quantum, &mut claims)? {
            Turn::More => round.again(subscription, class),
            Turn::Refused(full) => {
                refused = true;
                if matches!(full, Full::Share | Full::Closed) && request.slots.exhausted() {
                    break;
                }
            }
            Turn::Drained => {}
            Turn::ToEnd => more = true,
        }
    }
    tx.memory.set_place_in_heads(round.place());
    tx.count_rows(claims.claimed.len());
    let is_exhausted = request.slots.exhausted();
    if !is_exhausted && (more || (round.is_partial() && (!refused || !claims.claimed.is_empty()))) {
        claims.next_due = Some(request.now);
        return Ok(claims);
    }
    // None of them found a place, but those that this claim did not look at may.
    let next_part = (round.is_partial() && !is_exhausted).then(|| request.now.after(NEXT_PART_WAIT));
    let next_due = round.next_due(tx, request.now)?;
    claims.next_due = next_due.into_iter().chain(next_part).min();
    Ok(claims)
}

/// What a settle's claim for its own subscription left to do.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Deliveries made by hand ended in it.
    pub ended_manual: bool,
    /// There is more to end than one claim does: somebody must claim again.
    pub more: bool,
}

/// Leases what waits for one subscription, after an attempt of its own has freed a place that it was
/// refused.
pub(super) fn claim_next_of(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<Followed, StoreError> {
    let Some(seat) = tx.seat.clone() else { return Ok(Followed::default()) };
    let now = tx.context.clock.schedule();
    let request = ClaimRequest { now, slots: seat.slots, timeout: seat.timeout };
    let (mut claims, mut more) = (Claims::default(), false);
    for class in heads::of(tx, subscription)?.due(now) {
        // Until it is refused a place, which is when the next one that is freed leads here again.
        let last = loop {
            match claim_head(tx, &request, (subscription, class), QUANTUM, &mut claims)? {
                Turn::More => {}
                last => break last,
            }
        };
        more |= matches!(last, Turn::ToEnd);
    }
    tx.count_rows(claims.claimed.len());
    tx.hand_over(claims.claimed);
    Ok(Followed { ended_manual: claims.ended_manual, more })
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
    (subscription, class): (SubscriptionNo, Class),
    quantum: usize,
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
    let recipient = Recipient { target: &target, selected: &selected, standing };
    match standing {
        Standing::Failing if class != Class::Manual => {
            return health::claim_probe(tx, request, recipient, claims);
        }
        Standing::Draining(_) if class != Class::Manual => {
            if let Some(allowance) = Allowance::of(tx, subscription, request.now)? {
                return claim_draining(tx, request, class, recipient, (allowance, quantum), claims);
            }
        }
        Standing::Open | Standing::Failing | Standing::Draining(_) => {}
    }
    let places = match request.slots.places(&want(recipient, class, 0, request.now)) {
        Ok(places) => places.min(quantum),
        Err(full) => return Ok(Turn::Refused(full)),
    };
    let (mut taken, mut ended, mut let_go) = (0, 0, false);
    while ended < ROWS_TO_END {
        // What was taken or ended is not due any more; one more than there are places tells whether to stay.
        let limit = places - taken + 1;
        let due = queue::due(tx, subscription, class, request.now, limit)?;
        read_ahead(tx, due.iter().take(places - taken).map(|row| row.event))?;
        let saw_all = due.len() < limit;
        for row in due {
            if taken == places {
                return Ok(Turn::More);
            }
            match claim_row(tx, request, row, recipient, claims)? {
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
    recipient: Recipient<'_>,
    (allowance, quantum): (Allowance, usize),
    claims: &mut Claims,
) -> Result<Turn, StoreError> {
    let subscription = recipient.target.subscription;
    let places = match request.slots.places(&want(recipient, class, 0, request.now)) {
        Ok(places) => places.min(quantum).min(allowance.free),
        Err(full) => return Ok(Turn::Refused(full)),
    };
    let limit = places + ROWS_TO_END;
    let due = allowance.due(tx, class, request.now, limit)?;
    read_ahead(tx, due.iter().take(places).map(|row| row.event))?;
    let saw_all = due.len() < limit;
    let (mut taken, mut ran_out) = (0, false);
    for row in due {
        if taken == places {
            ran_out = true;
            break;
        }
        match claim_row(tx, request, row, recipient, claims)? {
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

//! Settling: the attempt, the delivery's state and its next due time, in one transaction.
//!
//! Fenced by the claim's number: a settle whose claim was taken over only completes the log row that the
//! taker wrote; a settle whose delivery was cancelled meanwhile writes its attempt and leaves the state,
//! except that an answered 2xx makes it `succeeded`. Settling twice is settling once.

use std::time::Duration;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::claim::Followed;
use super::error::StoreError;
use super::faults::Bug;
use super::queue::{self, QueueRow};
use super::sql::many::{Holds, Many, exact};
use super::writer::{Context, Hold, Kind, Op, Tx, Wants};
use super::{Store, alerts, claim, heads, health, ordering, rows};
use crate::domain::attempt::{Attempt, Recorded};
use crate::domain::delivery::{Class, End};
use crate::domain::number::{DeliveryNo, SubscriptionNo, UrlNo};
use crate::domain::time::TimeMs;
use crate::store::sql::params;

/// How an attempt is to be recorded and what happens next.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Which delivery.
    pub delivery: DeliveryNo,
    /// Whose.
    pub subscription: SubscriptionNo,
    /// Which claim.
    pub claim_no: u32,
    /// The attempt; `None` when none was made.
    pub attempt: Option<AttemptRow>,
    /// What becomes of the delivery.
    pub next: Next,
    /// Nothing automatic is sent to the subscription before this.
    pub hold_until: Option<TimeMs>,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It has ended.
    End(End),
    /// It failed and is tried again.
    Retry {
        /// Not before this.
        due: TimeMs,
        /// The receiver may have got it.
        maybe_received: bool,
    },
    /// It failed ahead of its time, as a probe: it waits as before, and the schedule has not moved.
    Keep {
        /// Not before this.
        due: TimeMs,
        /// The receiver may have got it.
        maybe_received: bool,
    },
    /// No verdict: it is due again at once, and the schedule has not moved.
    Release {
        /// The receiver may have got it.
        maybe_received: bool,
    },
}

/// One line of the attempt log.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// Its public id.
    pub id: Uuid,
    /// What came of it.
    pub recorded: Recorded,
    /// The answer's status.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// What was kept of the answer.
    pub response_body: Option<Bytes>,
    /// How much of the answer was read.
    pub response_bytes: Option<u64>,
    /// From beginning to end.
    pub duration_ms: Option<u64>,
    /// Wall clock.
    pub started_at: TimeMs,
}

impl AttemptRow {
    /// The line for an attempt that ran to its end.
    #[must_use]
    pub fn made(id: Uuid, attempt: Attempt) -> Self {
        Self {
            id,
            recorded: attempt.verdict.into(),
            status: attempt.status,
            // Whatever a receiver made of it, a database can hold it as a text.
            error: attempt.error.map(|error| error.replace('\0', "\u{fffd}")),
            response_body: attempt.response_body,
            response_bytes: Some(attempt.response_bytes),
            duration_ms: Some(u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX)),
            started_at: attempt.started_at,
        }
    }

    /// The line for one that was cut off by us.
    #[must_use]
    pub fn cut_off(id: Uuid, started_at: TimeMs) -> Self {
        Self {
            id,
            recorded: Recorded::Unknown,
            status: None,
            error: Some("outcome unknown: the server was stopped before it had read an answer".into()),
            response_body: None,
            response_bytes: None,
            duration_ms: None,
            started_at,
        }
    }

    /// The line for an attempt whose process is gone or whose lease is over.
    pub(super) fn lost(tx: &Tx<'_>, row: &QueueRow) -> Self {
        Self {
            id: tx.context.entropy.uuid_at(tx.context.clock.wall()),
            recorded: Recorded::Unknown,
            status: None,
            error: Some("outcome unknown: the server stopped before it had read an answer".into()),
            response_body: None,
            response_bytes: None,
            duration_ms: None,
            started_at: row.claimed_at.unwrap_or(TimeMs::ZERO),
        }
    }
}

/// What a settle did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Attempt and state are written.
    Done,
    /// The delivery had been cancelled; the attempt is written, if one was made.
    AfterEnd,
    /// The lease had been taken over; the lost attempt's row is completed.
    Late,
    /// There was nothing left to write: settled before.
    Nothing,
}

static ADD_ATTEMPT: Many = Many {
    one: "INSERT INTO attempts (id, organization_id, delivery, subscription, event_seq, event_type, attempt_no,
    claim_no, url, is_replay, outcome, status, error, response_body, response_bytes, duration_ms, started_ms,
    created_ms, no)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
    all: "INSERT INTO attempts (id, organization_id, delivery, subscription, event_seq, event_type, attempt_no,
    claim_no, url, is_replay, outcome, status, error, response_body, response_bytes, duration_ms, started_ms,
    created_ms, no)
    SELECT * FROM unnest(CAST($1 AS BYTEA[]), CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[]), CAST($4 AS BIGINT[]), CAST($5 AS BIGINT[]), CAST($6 AS SMALLINT[]), CAST($7 AS BIGINT[]), CAST($8 AS BIGINT[]), CAST($9 AS BIGINT[]), CAST($10 AS SMALLINT[]), CAST($11 AS SMALLINT[]), CAST($12 AS SMALLINT[]), CAST($13 AS TEXT[]), CAST($14 AS BYTEA[]), CAST($15 AS BIGINT[]), CAST($16 AS BIGINT[]), CAST($17 AS BIGINT[]), CAST($18 AS BIGINT[]), CAST($19 AS BIGINT[]))",
    columns: &[Holds::Bytes, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int2, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int2, Holds::Int2, Holds::Int2, Holds::Text, Holds::Bytes, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8],
};
/// Whoever says what it will look at runs so much later at most, as a rule. When the second is over meanwhile for which
/// a success is only counted, the group is rolled back and run again.
const RUNS_WITHIN: Duration = Duration::from_millis(20);

const COMPLETE_LOST: &str = "UPDATE attempts SET outcome = $3, status = $4, error = $5, response_body = $6,
    response_bytes = $7, duration_ms = $8 WHERE delivery = $1 AND claim_no = $2 AND outcome = 3";
/// Back into the queue, if the claim stands.
static RETRY: Many = Many {
    one: "UPDATE queue SET class = $4, due_ms = $5, failures = $6, attempts = $7, maybe_received = $8, boot = NULL
    WHERE no = $1 AND claim_no = $2 AND coalesce(boot, 0) = $3",
    all: exact!("UPDATE queue q SET class = r.class, due_ms = r.due_ms, failures = r.failures, attempts = r.attempts,
    maybe_received = r.maybe_received, boot = NULL
    FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[]), CAST($4 AS SMALLINT[]), CAST($5 AS BIGINT[]), CAST($6 AS BIGINT[]), CAST($7 AS BIGINT[]), CAST($8 AS SMALLINT[]))
    AS r (no, claim_no, boot, class, due_ms, failures, attempts, maybe_received)
    WHERE q.no = r.no AND q.claim_no = r.claim_no AND coalesce(q.boot, 0) = r.boot"),
    columns: &[Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int2, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int2],
};
// What is answered at a URL that was replaced meanwhile is not said of the one that is there now.
const HOLD: &str = "UPDATE subscriptions SET not_before_ms = $2 WHERE no = $1 AND not_before_ms < $2
    AND (url = $3 OR $4)";
const ENDED_OPEN: &str = "SELECT * FROM deliveries WHERE no = $1 AND open_claim = $2";
const CLOSE_ENDED: &str =
    "UPDATE deliveries SET open_claim = NULL, open_url = NULL, open_started_ms = NULL, open_boot = NULL,
    attempts = attempts + 1, state = $2,
    reason = $3 WHERE no = $1";
const CLOSE_UNSTARTED: &str = "UPDATE deliveries SET open_claim = NULL, open_url = NULL, open_started_ms = NULL, open_boot = NULL WHERE no = $1";

impl Store {
    /// Records an attempt. Kept and written again when the store cannot write just now.
    pub async fn settle(&self, settlement: Settlement) -> Result<Settled, StoreError> {
        self.settle_and_claim(settlement, None).await.map(|(settled, _)| settled)
    }

    /// The same, and claims what waits for a subscription whose attempt has freed a place that it was refused:
    /// it is handed over with the commit.
    pub async fn settle_and_claim(
        &self,
        settlement: Settlement,
        next: Option<SubscriptionNo>,
    ) -> Result<(Settled, Followed), StoreError> {
        let (reply, answer) = oneshot::channel();
        let did = (Settled::Nothing, Followed::default());
        self.writer.settle(Box::new(SettleOp { settlement, next, did, reply }));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }
}

struct SettleOp {
    settlement: Settlement,
    next: Option<SubscriptionNo>,
    did: (Settled, Followed),
    reply: oneshot::Sender<Result<(Settled, Followed), StoreError>>,
}

impl Op for SettleOp {
    fn kind(&self) -> Kind {
        Kind::Settle
    }

    fn wants(&self, context: &Context) -> Option<Wants> {
        let subscription = self.settlement.subscription;
        let is_plain = self.next.is_none()
            && self.settlement.next == Next::End(End::Succeeded)
            && self.settlement.hold_until.is_none()
            && !context.ordered.has(subscription)
            && !context.health.is_to_be_written(subscription, context.clock.schedule().after(RUNS_WITHIN));
        let mut wants = Wants::default();
        wants.hold(subscription, if is_plain { Hold::Shared } else { Hold::Alone });
        if let Some(next) = self.next {
            wants.hold(next, Hold::Alone);
        }
        Some(wants)
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let settled = settle(tx, &self.settlement)?;
        let followed = self.next.map(|next| claim::claim_next_of(tx, next)).transpose()?;
        self.did = (settled, followed.unwrap_or_default());
        Ok(())
    }

    /// Leaves out what a receiver or the network had to say.
    fn degrade(&mut self) -> bool {
        let Some(attempt) = &mut self.settlement.attempt else { return false };
        attempt.response_body.take().is_some() | attempt.error.take().is_some()
    }

    fn finish(self: Box<Self>, result: Result<(), StoreError>) {
        // Nobody waits when the process is stopping; the row stands all the same.
        drop(self.reply.send(result.map(|()| self.did)));
    }
}

fn settle(tx: &mut Tx<'_>, settlement: &Settlement) -> Result<Settled, StoreError> {
    let known = tx.memory.take_leased(settlement.delivery, settlement.claim_no);
    if let Some(row) = &known
        && settlement.next == Next::End(End::Succeeded)
        && settlement.hold_until.is_none()
        && let Some(attempt) = &settlement.attempt
        && queue::end_claimed(tx, row, attempt)?
    {
        health::settled(tx, row, settlement)?;
        return Ok(Settled::Done);
    }
    if let Some(row) = known
        && settlement.hold_until.is_none()
        && let Some(attempt) = &settlement.attempt
        && waits_again(tx, &row, attempt, settlement.next)?
    {
        health::settled(tx, &row, settlement)?;
        return Ok(Settled::Done);
    }
    let Some(mut row) = queue::find(tx, settlement.delivery)? else {
        return settle_ended(tx, settlement);
    };
    let is_fenced = !tx.context.faults.has(Bug::NoFence);
    if is_fenced && (row.claim_no != settlement.claim_no || row.boot.is_none()) {
        return complete_lost(tx, settlement);
    }
    if let Some(attempt) = &settlement.attempt {
        if !tx.context.faults.has(Bug::AttemptForgotten) {
            write_attempt(tx, &row, attempt)?;
        }
        row.attempts += 1;
    }
    let cancelled = match tx.memory.selects(row.subscription, row.event_type, row.no.seq()) {
        Some(true) => None,
        _ => queue::cancelled(tx, &row)?,
    };
    if let Some(until) = settlement.hold_until {
        let url = row.claimed_url.map(|url| url.0);
        let is_anywhere = tx.context.faults.has(Bug::HoldMisplaced);
        tx.run(HOLD, params![row.subscription.0, until.0, url, is_anywhere])?;
        tx.memory.forget_target(row.subscription);
    }
    match (settlement.next, cancelled) {
        (Next::End(End::Succeeded), _) => queue::end(tx, &row, End::Succeeded)?,
        // It was cancelled when the subscription changed, and reads have said so since.
        (_, Some(cancelled)) => queue::end(tx, &row, cancelled)?,
        (Next::End(end), None) => {
            queue::end(tx, &row, end)?;
            alerts::note_end(tx, &row, end, settlement.attempt.as_ref())?;
        }
        (Next::Retry { due, maybe_received }, None) => {
            row.failures += 1;
            retry(tx, &mut row, due, maybe_received)?;
        }
        (Next::Keep { due, maybe_received }, None) => retry(tx, &mut row, due, maybe_received)?,
        (Next::Release { maybe_received }, None) => {
            row.maybe_received |= maybe_received;
            requeue(tx, &row, row.class, TimeMs::ZERO).map(drop)?;
        }
    }
    health::settled(tx, &row, settlement)?;
    Ok(Settled::Done)
}

/// Puts a delivery that this process holds back into the queue, after an attempt that was not its last; false when
/// it does not hold it any more, or there is more to it, and then nothing was written.
fn waits_again(
    tx: &mut Tx<'_>,
    row: &QueueRow,
    attempt: &AttemptRow,
    next: Next,
) -> Result<bool, StoreError> {
    let (due, maybe_received, counts) = match next {
        Next::Retry { due, maybe_received } => (due, maybe_received, 1),
        Next::Keep { due, maybe_received } => (due, maybe_received, 0),
        Next::End(_) | Next::Release { .. } => return Ok(false),
    };
    let is_too_late = row.expires_at.is_some_and(|expires_at| expires_at <= due);
    let is_selected = tx.memory.selects(row.subscription, row.event_type, row.no.seq()) == Some(true);
    let is_plain = !is_too_late && is_selected && !tx.context.ordered.has(row.subscription);
    if !is_plain || tx.context.faults.has(Bug::AttemptForgotten) {
        return Ok(false);
    }
    let after = QueueRow {
        failures: row.failures + counts,
        attempts: row.attempts + 1,
        maybe_received: row.maybe_received | maybe_received,
        ..row.clone()
    };
    let class = class_after(row);
    if !requeue(tx, &after, class, due)? {
        return Ok(false);
    }
    write_attempt(tx, row, attempt)?;
    tx.tally.retried();
    Ok(true)
}

/// Where a delivery waits that was attempted.
fn class_after(row: &QueueRow) -> Class {
    if row.class == Class::Live { Class::Retry } else { row.class }
}

/// Back into the queue, or to an end when it would come too late.
fn retry(tx: &mut Tx<'_>, row: &mut QueueRow, due: TimeMs, maybe_received: bool) -> Result<(), StoreError> {
    row.maybe_received |= maybe_received;
    if row.expires_at.is_some_and(|expires_at| expires_at <= due) {
        return queue::end(tx, row, End::EventExpired);
    }
    ordering::failed(tx, row)?;
    tx.tally.retried();
    requeue(tx, row, class_after(row), due).map(drop)
}

/// False: this process does not hold it any more.
fn requeue(tx: &mut Tx<'_>, row: &QueueRow, class: Class, due: TimeMs) -> Result<bool, StoreError> {
    let params = params![
        row.no.0,
        row.claim_no,
        row.boot,
        class.code(),
        due.0,
        row.failures,
        row.attempts,
        row.maybe_received
    ];
    if !tx.write_exact(&RETRY, params)? {
        return Ok(false);
    }
    if class == Class::Live {
        tx.memory.set_live_waits(row.subscription, true);
    }
    heads::lower(tx, row.subscription, class, due)?;
    Ok(true)
}

/// The delivery was cancelled while the attempt was under way.
fn settle_ended(tx: &mut Tx<'_>, settlement: &Settlement) -> Result<Settled, StoreError> {
    let params = params![settlement.delivery.0, settlement.claim_no];
    let ended = rows::optional(tx, ENDED_OPEN, params, |row| {
        Ok((queue::read_ended(row)?, row.get::<_, i64>("state")?, row.get::<_, Option<String>>("reason")?))
    })?;
    let Some((row, state, reason)) = ended else { return complete_lost(tx, settlement) };
    let Some(attempt) = &settlement.attempt else {
        // Left open, it would be logged as lost at the next start.
        tx.run(CLOSE_UNSTARTED, params![row.no.0])?;
        return Ok(Settled::AfterEnd);
    };
    write_attempt(tx, &row, attempt)?;
    let (state, reason) = match attempt.recorded {
        Recorded::Succeeded => (End::Succeeded.code(), None),
        Recorded::Failed | Recorded::Unknown => (state, reason),
    };
    tx.run(CLOSE_ENDED, params![row.no.0, state, reason])?;
    health::settled(tx, &row, settlement)?;
    Ok(Settled::AfterEnd)
}

/// Another claim took the delivery over and wrote this attempt as unknown: now it is known.
fn complete_lost(tx: &Tx<'_>, settlement: &Settlement) -> Result<Settled, StoreError> {
    let Some(attempt) = &settlement.attempt else { return Ok(Settled::Nothing) };
    if attempt.recorded == Recorded::Unknown {
        return Ok(Settled::Nothing);
    }
    let changed = tx.run(
        COMPLETE_LOST,
        params![
            settlement.delivery.0,
            settlement.claim_no,
            attempt.recorded.code(),
            attempt.status,
            attempt.error,
            attempt.response_body.as_deref(),
            attempt.response_bytes,
            attempt.duration_ms
        ],
    )?;
    Ok(if changed > 0 { Settled::Late } else { Settled::Nothing })
}

/// Writes one line of the log for the claim that the row holds.
pub(super) fn write_attempt(tx: &Tx<'_>, row: &QueueRow, attempt: &AttemptRow) -> Result<(), StoreError> {
    let url = row.claimed_url.ok_or(StoreError::Corrupt("a claim without its URL"))?;
    tx.tally.attempt(attempt.recorded);
    let about = About {
        organization: row.organization.0,
        delivery: row.no.0,
        subscription: row.subscription.0,
        event: row.event.0,
        event_type: row.event_type,
        attempt_no: row.attempts + 1,
        claim_no: row.claim_no,
        url,
        is_by_hand: row.class == Class::Manual,
    };
    write_line(tx, &about, attempt)
}

/// What a line of the log is about.
pub(super) struct About {
    pub(super) organization: i64,
    /// Below 0: a call.
    pub(super) delivery: i64,
    /// Below 0: the number that was called.
    pub(super) subscription: i64,
    pub(super) event: i64,
    pub(super) event_type: EventType,
    pub(super) attempt_no: u32,
    pub(super) claim_no: u32,
    pub(super) url: UrlNo,
    pub(super) is_by_hand: bool,
}

/// Writes one line of the log.
pub(super) fn write_line(tx: &Tx<'_>, about: &About, attempt: &AttemptRow) -> Result<(), StoreError> {
    tx.write(
        &ADD_ATTEMPT,
        params![
            attempt.id.as_bytes(),
            about.organization,
            about.delivery,
            about.subscription,
            about.event,
            about.event_type.code(),
            about.attempt_no,
            about.claim_no,
            about.url.0,
            about.is_by_hand,
            attempt.recorded.code(),
            attempt.status,
            attempt.error,
            attempt.response_body.as_deref(),
            attempt.response_bytes,
            attempt.duration_ms,
            attempt.started_at.0,
            tx.context.clock.wall().0,
            tx.attempt_no()?
        ],
    )?;
    Ok(())
}

const LEFT_OPEN: &str = "SELECT * FROM deliveries WHERE open_claim IS NOT NULL AND open_started_ms <= $1 /*pg FOR UPDATE SKIP LOCKED */";
const LEFT_OPEN_OF: &str =
    "SELECT * FROM deliveries WHERE open_claim IS NOT NULL AND open_boot = $1 /*pg FOR UPDATE SKIP LOCKED */";

/// Attempts that began at `until` or before and were under way when their delivery ended are lost: their process is
/// gone.
pub(super) fn close_left_open(tx: &Tx<'_>, until: TimeMs) -> Result<usize, StoreError> {
    close(tx, LEFT_OPEN, until.0)
}

/// The same for those of one process.
pub(super) fn close_left_open_of(tx: &Tx<'_>, boot: i64) -> Result<usize, StoreError> {
    close(tx, LEFT_OPEN_OF, boot)
}

fn close(tx: &Tx<'_>, sql: &'static str, of: i64) -> Result<usize, StoreError> {
    let left = rows::all(tx, sql, params![of], |row| {
        Ok((queue::read_ended(row)?, row.get::<_, i64>("state")?, row.get::<_, Option<String>>("reason")?))
    })?;
    let count = left.len();
    for (row, state, reason) in left {
        write_attempt(tx, &row, &AttemptRow::lost(tx, &row))?;
        tx.run(CLOSE_ENDED, params![row.no.0, state, reason])?;
    }
    Ok(count)
}

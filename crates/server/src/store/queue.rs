//! The queue's rows: deliveries that have not ended.

use inkhook_wire::event::EventType;
use inkhook_wire::id::RequestId;

use super::error::StoreError;
use super::faults::Bug;
use super::settle::AttemptRow;
use super::sql::many::{Holds, Many, exact};
use super::writer::Tx;
use super::{Store, ordering, rows, settle};
use crate::domain::delivery::{Class, End};
use crate::domain::number::{DeliveryNo, OrganizationNo, Seq, SubscriptionNo, UrlNo};
use crate::domain::time::TimeMs;
use crate::store::sql::{Connection, Row, params};

/// A delivery that has not ended, as stored.
#[derive(Debug, Clone)]
pub(super) struct QueueRow {
    pub(super) no: DeliveryNo,
    pub(super) organization: OrganizationNo,
    pub(super) subscription: SubscriptionNo,
    pub(super) event: Seq,
    pub(super) event_type: EventType,
    pub(super) class: Class,
    pub(super) request_id: RequestId,
    /// The lease's end while it is claimed.
    pub(super) due_at: TimeMs,
    pub(super) expires_at: Option<TimeMs>,
    pub(super) created_at: TimeMs,
    pub(super) failures: u32,
    pub(super) attempts: u32,
    pub(super) unknown: u32,
    pub(super) maybe_received: bool,
    pub(super) claim_no: u32,
    pub(super) boot: Option<i64>,
    pub(super) claimed_at: Option<TimeMs>,
    pub(super) claimed_url: Option<UrlNo>,
}

// In the order in which `read_in_order` takes them: a name is looked up for every row.
macro_rules! columns {
    () => {
        "no, organization_id, subscription, event_seq, event_type, class, request_id, expires_ms, created_ms,
        failures, attempts, unknown, maybe_received, claim_no, boot, claimed_ms, claimed_url, due_ms"
    };
}
const FIND: &str = concat!("SELECT ", columns!(), " FROM queue WHERE no = $1");
const DUE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM queue WHERE subscription = $1 AND class = $2 AND due_ms <= $3 ORDER BY due_ms, no LIMIT $4
    /*pg FOR UPDATE SKIP LOCKED */"
);
pub(super) static ADD: Many = Many {
    one: "INSERT INTO queue (no, organization_id, subscription, event_seq, event_type, class, request_id,
    due_ms, expires_ms, created_ms, claim_no, boot, claimed_ms, claimed_url)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    all: "INSERT INTO queue (no, organization_id, subscription, event_seq, event_type, class, request_id,
    due_ms, expires_ms, created_ms, claim_no, boot, claimed_ms, claimed_url)
    SELECT * FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[]), CAST($4 AS BIGINT[]), CAST($5 AS SMALLINT[]), CAST($6 AS SMALLINT[]), CAST($7 AS BYTEA[]), CAST($8 AS BIGINT[]), CAST($9 AS BIGINT[]), CAST($10 AS BIGINT[]), CAST($11 AS BIGINT[]), CAST($12 AS BIGINT[]), CAST($13 AS BIGINT[]), CAST($14 AS BIGINT[]))",
    columns: &[Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int2, Holds::Int2, Holds::Bytes, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8],
};
const STANDING: &str = "SELECT s.status, t.since_seq FROM subscriptions s
    LEFT JOIN subscription_types t ON t.subscription = s.no AND t.event_type = $2 WHERE s.no = $1";
const REMOVE: &str = "DELETE FROM queue WHERE no = $1";
static REMOVE_CLAIMED: Many = Many {
    one: "DELETE FROM queue WHERE no = $1 AND claim_no = $2 AND coalesce(boot, 0) = $3",
    all: exact!(
        "DELETE FROM queue q USING unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[]))
    AS d (no, claim_no, boot) WHERE q.no = d.no AND q.claim_no = d.claim_no AND coalesce(q.boot, 0) = d.boot"
    ),
    columns: &[Holds::Int8, Holds::Int8, Holds::Int8],
};
static ADD_ENDED: Many = Many {
    one: "INSERT INTO deliveries (no, organization_id, subscription, event_seq, event_type, class, request_id,
    state, reason, attempts, created_ms, ended_ms, open_claim, open_url, open_started_ms, open_boot)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    all: "INSERT INTO deliveries (no, organization_id, subscription, event_seq, event_type, class, request_id,
    state, reason, attempts, created_ms, ended_ms, open_claim, open_url, open_started_ms, open_boot)
    SELECT * FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[]), CAST($4 AS BIGINT[]), CAST($5 AS SMALLINT[]), CAST($6 AS SMALLINT[]), CAST($7 AS BYTEA[]), CAST($8 AS SMALLINT[]), CAST($9 AS TEXT[]), CAST($10 AS BIGINT[]), CAST($11 AS BIGINT[]), CAST($12 AS BIGINT[]), CAST($13 AS BIGINT[]), CAST($14 AS BIGINT[]), CAST($15 AS BIGINT[]), CAST($16 AS BIGINT[]))",
    columns: &[Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int2, Holds::Int2, Holds::Bytes, Holds::Int2, Holds::Text, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Int8],
};
const WRITE_COUNTS: &str =
    "UPDATE queue SET attempts = $2, unknown = $3, failures = $4, maybe_received = $5, boot = NULL
    WHERE no = $1";
const LIVE_WAITS: &str = "SELECT 1 FROM queue WHERE subscription = $1 AND class = 1 AND due_ms = 0 LIMIT 1";
const TOTAL: &str = "SELECT (SELECT count(*) FROM queue) + (SELECT count(*) FROM parked)";

impl Store {
    /// How many deliveries have not ended, in all organisations.
    pub async fn queued_total(&self) -> Result<u64, StoreError> {
        self.read(|connection| Ok(rows::scalar(connection, TOTAL, &[])?.unwrap_or(0))).await
    }
}

/// One row.
pub(super) fn find(connection: &Connection, no: DeliveryNo) -> Result<Option<QueueRow>, StoreError> {
    rows::optional(connection, FIND, params![no.0], read_in_order)
}

/// What is due, in the order in which it is to be sent.
pub(super) fn due(
    connection: &Connection,
    subscription: SubscriptionNo,
    class: Class,
    now: TimeMs,
    limit: usize,
) -> Result<Vec<QueueRow>, StoreError> {
    rows::all(connection, DUE, params![subscription.0, class.code(), now.0, limit], read_in_order)
}

/// Whether a delivery that was not attempted yet waits for this subscription.
pub(super) fn live_waits(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<bool, StoreError> {
    if let Some(known) = tx.memory.live_waits(subscription) {
        return Ok(known);
    }
    let waits = rows::scalar::<i64>(tx, LIVE_WAITS, params![subscription.0])?.is_some();
    tx.memory.set_live_waits(subscription, waits);
    Ok(waits)
}

/// Why this delivery counts as cancelled although its row still waits, if so.
pub(super) fn cancelled(connection: &Connection, row: &QueueRow) -> Result<Option<End>, StoreError> {
    let params = params![row.subscription.0, row.event_type.code()];
    let end = rows::optional(connection, STANDING, params, |standing| {
        let status: String = standing.get(0)?;
        let since: Option<i64> = standing.get(1)?;
        if status != "active" {
            return Ok(Some(End::SubscriptionDeleted));
        }
        let selected = since.is_some_and(|since| row.no.seq() > Seq(since));
        Ok((!selected).then_some(End::TypeNotSelected))
    })?;
    Ok(end.unwrap_or(Some(End::SubscriptionDeleted)))
}

/// Whether an attempt of a claimed row may be under way: of this process, or of another node that lives.
pub(super) fn is_under_way(tx: &Tx<'_>, row: &QueueRow) -> bool {
    let is_leased = || tx.is_shared() && row.due_at > tx.context.clock.schedule();
    row.boot.is_some_and(|boot| boot == tx.context.boot || is_leased())
}

/// Ends a delivery that this process holds with the success of its attempt; false when it does not hold it
/// any more, and then nothing was written.
pub(super) fn end_claimed(tx: &mut Tx<'_>, row: &QueueRow, attempt: &AttemptRow) -> Result<bool, StoreError> {
    if !tx.write_exact(&REMOVE_CLAIMED, params![row.no.0, row.claim_no, row.boot])? {
        return Ok(false);
    }
    if !tx.context.faults.has(Bug::AttemptForgotten) {
        settle::write_attempt(tx, row, attempt)?;
    }
    let ended = QueueRow { attempts: row.attempts + 1, ..row.clone() };
    add_ended(tx, &ended, End::Succeeded, false)?;
    ordering::ended(tx, row)?;
    Ok(true)
}

/// Moves a delivery to the ended ones.
pub(super) fn end(tx: &mut Tx<'_>, row: &QueueRow, end: End) -> Result<(), StoreError> {
    move_to_ended(tx, row, end, false)
}

/// The same while an attempt of this process is under way; its settle will find the open claim.
pub(super) fn end_under_way(tx: &mut Tx<'_>, row: &QueueRow, end: End) -> Result<(), StoreError> {
    move_to_ended(tx, row, end, true)
}

fn move_to_ended(tx: &mut Tx<'_>, row: &QueueRow, end: End, under_way: bool) -> Result<(), StoreError> {
    tx.run(REMOVE, params![row.no.0])?;
    add_ended(tx, row, end, under_way)?;
    ordering::ended(tx, row)
}

/// Writes the ended delivery that a row becomes.
pub(super) fn add_ended(tx: &Tx<'_>, row: &QueueRow, end: End, under_way: bool) -> Result<(), StoreError> {
    let request_id = row.request_id.as_uuid();
    tx.write(
        &ADD_ENDED,
        params![
            row.no.0,
            row.organization.0,
            row.subscription.0,
            row.event.0,
            row.event_type.code(),
            row.class.code(),
            request_id.as_bytes(),
            end.code(),
            end.reason(),
            row.attempts,
            row.created_at.0,
            tx.context.clock.wall().0,
            under_way.then_some(row.claim_no),
            row.claimed_url.filter(|_| under_way).map(|url| url.0),
            row.claimed_at.filter(|_| under_way).map(|time| time.0),
            row.boot.filter(|_| under_way)
        ],
    )?;
    tx.tally.ended(row.organization, row.no, end);
    Ok(())
}

/// Writes what the attempts came to; nobody holds the row any more.
pub(super) fn write_counts(tx: &Tx<'_>, row: &QueueRow) -> Result<(), StoreError> {
    tx.run(WRITE_COUNTS, params![row.no.0, row.attempts, row.unknown, row.failures, row.maybe_received])?;
    Ok(())
}

/// Reads a whole row.
pub(super) fn read(row: &Row<'_>) -> Result<QueueRow, StoreError> {
    Ok(QueueRow {
        due_at: rows::time(row, "due_ms")?,
        expires_at: rows::optional_time(row, "expires_ms")?,
        failures: row.get("failures")?,
        unknown: row.get("unknown")?,
        maybe_received: row.get("maybe_received")?,
        claim_no: row.get("claim_no")?,
        boot: row.get("boot")?,
        claimed_at: rows::optional_time(row, "claimed_ms")?,
        claimed_url: row.get::<_, Option<i64>>("claimed_url")?.map(UrlNo),
        ..read_shared(row)?
    })
}

/// Reads a whole row from `columns!()`.
fn read_in_order(row: &Row<'_>) -> Result<QueueRow, StoreError> {
    let time = |column| Ok::<_, StoreError>(row.get::<_, Option<i64>>(column)?.map(TimeMs));
    Ok(QueueRow {
        no: DeliveryNo(row.get(0)?),
        organization: OrganizationNo(row.get(1)?),
        subscription: SubscriptionNo(row.get(2)?),
        event: Seq(row.get(3)?),
        event_type: EventType::from_code(row.get(4)?).ok_or(StoreError::Corrupt("an event type's code"))?,
        class: Class::from_code(row.get(5)?).ok_or(StoreError::Corrupt("a delivery's class"))?,
        request_id: uuid::Uuid::from_bytes(row.get(6)?).into(),
        expires_at: time(7)?,
        created_at: TimeMs(row.get(8)?),
        failures: row.get(9)?,
        attempts: row.get(10)?,
        unknown: row.get(11)?,
        maybe_received: row.get(12)?,
        claim_no: row.get(13)?,
        boot: row.get(14)?,
        claimed_at: time(15)?,
        claimed_url: row.get::<_, Option<i64>>(16)?.map(UrlNo),
        due_at: TimeMs(row.get(17)?),
    })
}

/// Reads an ended delivery whose last attempt was under way when it ended, as the row it was.
pub(super) fn read_ended(row: &Row<'_>) -> Result<QueueRow, StoreError> {
    Ok(QueueRow {
        claim_no: row.get::<_, Option<u32>>("open_claim")?.unwrap_or(0),
        claimed_at: rows::optional_time(row, "open_started_ms")?,
        claimed_url: row.get::<_, Option<i64>>("open_url")?.map(UrlNo),
        ..read_shared(row)?
    })
}

/// Reads a row that nobody has claimed yet, from whichever table it is in.
pub(super) fn read_unclaimed(row: &Row<'_>) -> Result<QueueRow, StoreError> {
    Ok(QueueRow { expires_at: rows::optional_time(row, "expires_ms")?, ..read_shared(row)? })
}

/// What a delivery has before and after its end; the rest as if nobody had claimed it.
fn read_shared(row: &Row<'_>) -> Result<QueueRow, StoreError> {
    Ok(QueueRow {
        no: DeliveryNo(row.get("no")?),
        organization: OrganizationNo(row.get("organization_id")?),
        subscription: SubscriptionNo(row.get("subscription")?),
        event: Seq(row.get("event_seq")?),
        event_type: rows::event_type(row, "event_type")?,
        class: Class::from_code(row.get("class")?).ok_or(StoreError::Corrupt("a delivery's class"))?,
        request_id: rows::id(row, "request_id")?,
        created_at: rows::time(row, "created_ms")?,
        attempts: row.get("attempts")?,
        due_at: TimeMs::ZERO,
        expires_at: None,
        failures: 0,
        unknown: 0,
        maybe_received: false,
        claim_no: 0,
        boot: None,
        claimed_at: None,
        claimed_url: None,
    })
}

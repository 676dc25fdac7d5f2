//! Operational events: written with their cause, sent later.
//!
//! Promises: an operational event exists if and only if the transaction of its cause was committed, and
//! none is written for an organisation without an `alerts_url`. Of one kind about one subscription at most
//! one is sent in [`COALESCED`]: what happens while the last one is that young opens the next one, which is
//! not due before, and everything until then adds to its count. Its body is made by its first claim and
//! never changes after. They are about deliveries, never about themselves.
//!
//! Bounded: an organisation has [`MAX_WAITING`] of them on their way at most, what is beyond is not written;
//! of those that have ended, [`KEPT`] can be read.

mod claim;
mod list;
mod settle;

use uuid::Uuid;

pub use claim::{AlertClaims, DueAlerts, ORGANIZATIONS_LOOKED_AT};
pub use list::AlertView;
pub use settle::{AlertNext, AlertSettlement};

use super::error::StoreError;
use super::queue::QueueRow;
use super::rows;
use super::settle::AttemptRow;
use super::writer::Tx;
use crate::domain::alert::{AlertDetail, AlertKind, COALESCED, ERROR_CHARS};
use crate::domain::delivery::{Class, End};
use crate::domain::number::{OrganizationNo, Seq, SubscriptionNo};
use crate::store::sql::{Connection, params};

/// Operational events of one organisation that wait at most.
pub const MAX_WAITING: usize = 1_000;
/// Operational events of one organisation that are kept after their end; younger than [`COALESCED`], all.
pub const KEPT: usize = 200;

/// Something that an organisation may want to know.
#[derive(Debug, Clone)]
pub(super) struct NewAlert {
    /// Whose.
    pub(super) organization: OrganizationNo,
    /// What it is about.
    pub(super) subscription: SubscriptionNo,
    /// What happened.
    pub(super) kind: AlertKind,
    /// How often.
    pub(super) count: usize,
    /// With which event.
    pub(super) event: Option<Seq>,
    /// The rest; the event's id is filled in.
    pub(super) detail: AlertDetail,
}

const WANTED: &str = "SELECT alerts_url IS NOT NULL FROM organizations WHERE no = $1";
const NEWEST: &str = "SELECT no, opens_ms, state = 1 AND payload IS NULL AS is_open FROM alerts
    WHERE subscription = $1 AND kind = $2 ORDER BY no DESC LIMIT 1";
const ADD_UP: &str =
    "UPDATE alerts SET count = count + $5, detail = $2, happened_ms = $3, url = $4 WHERE no = $1";
const WAITING: &str =
    "SELECT count(*) FROM (SELECT 1 FROM alerts WHERE organization_id = $1 AND state = 1 LIMIT $2) few";
const ADD: &str = "INSERT INTO alerts (id, organization_id, subscription, subscription_id, url, kind, count,
    detail, happened_ms, opens_ms, due_ms) VALUES ($1, $2, $3, $4, $5, $6, $10, $7, $8, $9, $9)";
const SUBSCRIPTION: &str =
    "SELECT s.id, u.url FROM subscriptions s JOIN urls u ON u.no = s.url WHERE s.no = $1";
const EVENT_ID: &str = "SELECT id FROM events WHERE seq = $1";

/// Writes what happened, if its organisation wants to know. In the transaction of the cause.
pub(super) fn note(tx: &Tx<'_>, mut alert: NewAlert) -> Result<(), StoreError> {
    if rows::scalar::<bool>(tx, WANTED, params![alert.organization.0])? != Some(true) {
        return Ok(());
    }
    let about = rows::optional(tx, SUBSCRIPTION, params![alert.subscription.0], |row| {
        Ok((rows::id::<Uuid>(row, "id")?, row.get::<_, String>("url")?))
    })?;
    let Some((subscription_id, url)) = about else { return Ok(()) };
    if let Some(seq) = alert.event {
        alert.detail.event_id = event_id(tx, seq)?.map(Into::into);
    }
    if let Some(error) = &mut alert.detail.error_detail
        && let Some((end, _)) = error.char_indices().nth(ERROR_CHARS)
    {
        error.truncate(end);
    }
    let detail =
        serde_json::to_string(&alert.detail).map_err(|_| StoreError::Corrupt("an alert's detail"))?;
    let (now, happened) = (tx.context.clock.schedule(), tx.context.clock.wall());
    let newest = rows::optional(tx, NEWEST, params![alert.subscription.0, alert.kind.code()], |row| {
        Ok((row.get::<_, i64>("no")?, rows::time(row, "opens_ms")?, row.get::<_, bool>("is_open")?))
    })?;
    let opens = match newest {
        Some((no, _, true)) => {
            tx.run(ADD_UP, params![no, detail, happened.0, url, alert.count])?;
            return Ok(());
        }
        Some((_, opened, false)) => opened.after(COALESCED).max(now),
        None => now,
    };
    if waiting(tx, alert.organization)? == MAX_WAITING {
        tracing::warn!(
            organization = alert.organization.0,
            "too many operational events wait: one is left out"
        );
        return Ok(());
    }
    let id = tx.context.entropy.uuid_at(happened);
    let kind = alert.kind.code();
    tx.run(
        ADD,
        params![
            id.as_bytes(),
            alert.organization.0,
            alert.subscription.0,
            subscription_id.as_bytes(),
            url,
            kind,
            detail,
            happened.0,
            opens.0,
            alert.count
        ],
    )?;
    Ok(())
}

/// A delivery ended; noted when that was not what its subscriber wanted. One made by hand is not: whoever
/// asked for it is told.
pub(super) fn note_end(
    tx: &Tx<'_>,
    row: &QueueRow,
    end: End,
    attempt: Option<&AttemptRow>,
) -> Result<(), StoreError> {
    if row.class == Class::Manual || !matches!(end, End::OutOfAttempts | End::Gone | End::Lost) {
        return Ok(());
    }
    let alert = NewAlert {
        organization: row.organization,
        subscription: row.subscription,
        kind: AlertKind::DeliveryExhausted,
        count: 1,
        event: Some(row.event),
        detail: AlertDetail {
            event_type: Some(row.event_type),
            request_id: Some(row.request_id),
            reason: end.reason().map(Into::into),
            attempts: Some(row.attempts),
            response_status: attempt.and_then(|attempt| attempt.status),
            error_detail: attempt.and_then(|attempt| attempt.error.clone()),
            ..AlertDetail::default()
        },
    };
    note(tx, alert)
}

fn event_id(tx: &Connection, seq: Seq) -> Result<Option<Uuid>, StoreError> {
    rows::optional(tx, EVENT_ID, params![seq.0], |row| rows::id(row, "id"))
}

fn waiting(tx: &Connection, organization: OrganizationNo) -> Result<usize, StoreError> {
    Ok(rows::scalar(tx, WAITING, params![organization.0, MAX_WAITING])?.unwrap_or(0))
}

//! What was said before: where it is found, and the bodies of deliveries that say it.
//!
//! *Where it is found.* An event that says something is put under a few numbers ([`keys`]) by the transaction that
//! accepts it, if its identity has a subscription that asks for contexts; nobody else pays for them. What was accepted
//! before there was one is put there afterwards ([`history`]).
//!
//! *Reading* ([`read`]) goes by these numbers, on connections of its own, so that it is bounded and holds up neither
//! lists nor calls, and never the writer. An event that is gone is not found.
//!
//! *A body of its own.* A delivery with a context keeps the whole body that it sends, from before its first byte is
//! written: every later attempt, a replay and the log have those very bytes. It is stored under the fence of its claim,
//! once; a process that dies before that leaves nothing, and one that dies after it leaves what the next claim finds.
//! Bodies go with their event, and are stored compressed ([`packed`]).
//!
//! [`keys`]: crate::domain::context::keys

mod contact;
mod history;
mod packed;
mod read;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::id::IdentityId;

use super::accept::NewEvent;
use super::error::StoreError;
use super::sql::many::{Holds, Many};
use super::writer::{Hold, Tx, Wants};
use super::{Store, rows};
use crate::domain::context::{ContextWish, Said, keys};
use crate::domain::delivery::Claimed;
use crate::domain::number::{DeliveryNo, Seq};
use crate::domain::subscription::ContextConfig;
use crate::store::sql::{Connection, Row, params};

pub(super) use self::history::setting_changed;
pub(super) use self::packed::unpack;
pub use self::read::{MAX_LOOKED_AT, MAX_READ_BYTES};

static ADD: Many = Many {
    one: "INSERT INTO context_items (event_seq, key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    all: "INSERT INTO context_items (event_seq, key)
    SELECT * FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[])) ON CONFLICT DO NOTHING",
    columns: &[Holds::Int8, Holds::Int8],
};
const KEEP: &str = "INSERT INTO delivery_bodies (delivery, event_seq, body)
    SELECT no, event_seq, /*lite*/ $4 /*end*/ /*pg CAST($4 AS BYTEA) */ FROM queue
    WHERE no = $1 AND claim_no = $2 AND coalesce(boot, 0) = $3 ON CONFLICT (delivery) DO NOTHING";
const HELD: &str = "SELECT b.body FROM queue q LEFT JOIN delivery_bodies b ON b.delivery = q.no
    WHERE q.no = $1 AND q.claim_no = $2 AND coalesce(q.boot, 0) = $3";
const COPY: &str = "INSERT INTO delivery_bodies (delivery, event_seq, body)
    SELECT /*lite*/ $1 /*end*/ /*pg CAST($1 AS BIGINT) */, event_seq, body FROM delivery_bodies WHERE delivery = $2";
const ANY_OF: &str = "SELECT EXISTS (SELECT 1 FROM context_items WHERE event_seq BETWEEN $1 AND $2)
    OR EXISTS (SELECT 1 FROM delivery_bodies WHERE event_seq BETWEEN $1 AND $2)";
const FORGET_ITEMS: &str = "DELETE FROM context_items WHERE event_seq = $1";
const FORGET_BODIES: &str = "DELETE FROM delivery_bodies WHERE event_seq = $1";

/// A delivery whose body may be one of its own.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which.
    pub delivery: DeliveryNo,
    /// Its event.
    pub event: Seq,
    /// The event's type.
    pub event_type: EventType,
    /// The event's own body.
    pub payload: Bytes,
    /// What is to go with it when nothing is kept for it.
    pub config: Option<ContextConfig>,
}

/// What a delivery is to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// What was kept for it.
    Kept(Bytes),
    /// A body with a context, which is to be kept before it is sent.
    New(Bytes),
    /// What its event says, and no more.
    Plain,
}

/// What is kept for a delivery, when somebody wants to keep a body for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// This, now or from before.
    Body(Bytes),
    /// Nothing.
    Nothing,
    /// The claim does not stand any more.
    Lost,
}

impl Store {
    /// What a delivery is to send, read or built; see [`Body`]. Nothing long is built while the disk is almost full: what
    /// is queued would fill it.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn context_body(&self, asked: Asked) -> Result<Body, StoreError> {
        let is_disk_low = self.is_disk_low();
        self.context_readers.read(move |connection| read::body(connection, &asked, is_disk_low)).await
    }

    /// A body for a delivery whose context could not be read, which says so. `None`: no context is to go with it.
    #[must_use]
    pub fn unavailable_context(asked: &Asked) -> Option<Bytes> {
        read::unavailable(asked)
    }

    /// Keeps a body for a delivery that this process has claimed, if there is none yet. Without one, tells what there
    /// is.
    ///
    /// # Errors
    /// The store could not be written.
    pub async fn keep_body(&self, claimed: &Claimed, body: Option<Bytes>) -> Result<Keep, StoreError> {
        let mut wants = Wants::default();
        wants.hold(claimed.target.subscription, Hold::Shared);
        let (delivery, claim_no) = (claimed.delivery, claimed.claim_no);
        // Here, so that the writer does not wait for it.
        let packed = body.as_ref().map(|body| packed::pack(body).into_owned());
        let keep = move |tx: &mut Tx<'_>| keep(tx, delivery, claim_no, packed.as_deref());
        let kept = self.writer.change_wanting(wants, keep).await?;
        Ok(match (kept, body) {
            (Kept::This, Some(body)) => Keep::Body(body),
            (Kept::Other(stored), _) => Keep::Body(unpack(stored)?.into()),
            (Kept::This | Kept::Nothing, _) => Keep::Nothing,
            (Kept::Lost, _) => Keep::Lost,
        })
    }
}

/// What the writer found.
enum Kept {
    /// What it was given, now.
    This,
    /// This, from before.
    Other(Vec<u8>),
    Nothing,
    Lost,
}

fn keep(
    tx: &mut Tx<'_>,
    delivery: DeliveryNo,
    claim_no: u32,
    packed: Option<&[u8]>,
) -> Result<Kept, StoreError> {
    if let Some(packed) = packed
        && tx.run(KEEP, params![delivery.0, claim_no, tx.context.boot, packed])? > 0
    {
        return Ok(Kept::This);
    }
    let held = rows::optional(tx, HELD, params![delivery.0, claim_no, tx.context.boot], |row| {
        Ok(row.get::<_, Option<Vec<u8>>>(0)?)
    })?;
    Ok(match held {
        None => Kept::Lost,
        Some(None) => Kept::Nothing,
        Some(Some(stored)) => Kept::Other(stored),
    })
}

/// Puts an event where it is found, if it says something.
pub(super) fn add(tx: &Tx<'_>, event: &NewEvent, identity: IdentityId, seq: Seq) -> Result<(), StoreError> {
    let Some(said) = Said::read(event.event_type, &event.payload) else { return Ok(()) };
    for key in keys::all(identity, &said) {
        tx.write(&ADD, params![seq.0, key])?;
    }
    Ok(())
}

/// A delivery made by hand sends what this one sent.
pub(super) fn keep_as(tx: &Tx<'_>, delivery: DeliveryNo, earlier: DeliveryNo) -> Result<(), StoreError> {
    tx.run(COPY, params![delivery.0, earlier.0])?;
    Ok(())
}

/// Whether any of these events has something here.
pub(super) fn has_any(connection: &Connection, first: Seq, last: Seq) -> Result<bool, StoreError> {
    Ok(rows::scalar(connection, ANY_OF, params![first.0, last.0])?.unwrap_or(false))
}

/// An event goes, and with it all that is here of it.
pub(super) fn forget(tx: &Tx<'_>, event: Seq) -> Result<(), StoreError> {
    tx.run(FORGET_ITEMS, params![event.0])?;
    tx.run(FORGET_BODIES, params![event.0])?;
    Ok(())
}

/// What a subscription's row says that it wants.
pub(super) fn read_wish(row: &Row<'_>) -> Result<Option<ContextWish>, StoreError> {
    let config: Option<String> = row.get("context_config")?;
    let since: Option<i64> = row.get("context_since_seq")?;
    if config.is_none() && since.is_none() {
        return Ok(None);
    }
    let config = config.map(|text| serde_json::from_str::<ContextConfig>(&text)).transpose();
    let config = config.map_err(|_| StoreError::Corrupt("a context setting"))?;
    let config = config.filter(|config| *config != ContextConfig::default());
    Ok(Some(ContextWish { config, since: Seq(since.unwrap_or(0)) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn every_statement_goes_by_an_index() {
        let body = [0_u8; 1];
        for plan in [
            plan::of(KEEP, params![1, 1, 1, &body[..]]),
            plan::of(HELD, params![1, 1, 1]),
            plan::of(COPY, params![1, 1]),
            plan::of(FORGET_ITEMS, params![1]),
            plan::of(FORGET_BODIES, params![1]),
        ] {
            plan::assert_bounded(&plan);
        }
        let any = plan::of(ANY_OF, params![1, 1]);
        assert!(any.iter().all(|step| !step.contains("SCAN context_items")), "{any:#?}");
        assert!(any.iter().all(|step| !step.contains("SCAN delivery_bodies")), "{any:#?}");
    }
}

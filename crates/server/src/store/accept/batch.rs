//! Accepting several events at once: all of them or none, in one transaction.
//!
//! Everything that may refuse the batch is found out before the first row is written, since the transaction
//! is shared with others and cannot be taken back for one. An `Idempotency-Key` covers the batch: its row
//! keeps the ids of all events, one after the other.

use std::collections::HashMap;

use inkhook_wire::id::EventId;
use uuid::Uuid;

use super::{
    Accepted, DedupeKind, IDEMPOTENCY_KEY_KEPT_MS, NewEvent, behind, fan_out_of, find, remember, remember_as,
    remembered, repeat, store_event,
};
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::facts::Behind;
use crate::store::memory::Remembered;
use crate::store::writer::{Tx, Wants};

/// Events of one organisation that are to be accepted together.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// Whose they are.
    pub organization: OrganizationNo,
    /// `Idempotency-Key` of the batch.
    pub idempotency_key: Option<String>,
    /// What two requests must have in common to be the same.
    pub request_hash: [u8; 32],
    /// In order; none has a key of its own.
    pub events: Vec<NewEvent>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptBatch {
    /// Every event is stored, now or earlier; in the order given.
    Accepted(Vec<Accepted>),
    /// The `Idempotency-Key` was used for something else.
    KeyReused,
    /// One event cannot be accepted, so none was.
    Refused {
        /// Which, counted from 0.
        index: usize,
        /// Why.
        refusal: BatchRefusal,
    },
}

/// Why one event keeps its batch from being accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchRefusal {
    /// The owner is gone.
    OwnerGone,
    /// `expires_at` is not in the future.
    Expired,
    /// The id belongs to another event.
    IdReused,
    /// An earlier event of the batch has the same id, and is another one.
    IdRepeated,
}

impl Store {
    /// Stores all events of a batch and their deliveries, or none.
    pub async fn accept_batch(&self, batch: NewBatch) -> Result<AcceptBatch, StoreError> {
        let bytes = batch.events.iter().map(|event| event.payload.len()).sum();
        let count = batch.events.len();
        let wants = wants(&batch);
        self.admit(batch.organization, (count, bytes), Some(wants), move |tx| accept(tx, &batch)).await
    }
}

/// What accepting it looks at.
fn wants(batch: &NewBatch) -> Wants {
    let mut wants = Wants::default();
    batch.events.iter().for_each(|event| wants.add(&super::wants(event)));
    if let Some(key) = &batch.idempotency_key {
        wants.repeats.push(super::repeat(batch.organization, DedupeKind::Key, key.as_bytes()));
    }
    wants
}

/// What is to be done about one event.
enum Plan {
    Store(Behind),
    /// Accepted before, with so many deliveries.
    Known(EventId, u32),
    /// The same as an earlier one of the batch.
    Same(usize),
}

fn accept(tx: &mut Tx<'_>, batch: &NewBatch) -> Result<AcceptBatch, StoreError> {
    let now = tx.context.clock.wall();
    if let Some(repeat) = find_repeat(tx, batch, now)? {
        return Ok(repeat);
    }
    let mut plans = Vec::with_capacity(batch.events.len());
    let mut ids: HashMap<EventId, usize> = HashMap::new();
    for (index, event) in batch.events.iter().enumerate() {
        let earlier = if event.id_given { ids.insert(event.id, index) } else { None };
        let plan = match earlier {
            Some(earlier) if batch.events[earlier].request_hash == event.request_hash => {
                ids.insert(event.id, earlier);
                Ok(Plan::Same(earlier))
            }
            Some(_) => Err(BatchRefusal::IdRepeated),
            None => plan(tx, event, now)?,
        };
        match plan {
            Ok(plan) => plans.push(plan),
            Err(refusal) => return Ok(AcceptBatch::Refused { index, refusal }),
        }
    }
    let mut accepted: Vec<Accepted> = Vec::with_capacity(plans.len());
    for (event, plan) in batch.events.iter().zip(plans) {
        accepted.push(match plan {
            Plan::Store(behind) => store_one(tx, event, behind, now)?,
            Plan::Known(id, deliveries) => Accepted { id, deliveries, duplicate: true, waiting: false },
            Plan::Same(earlier) => Accepted { duplicate: true, waiting: false, ..accepted[earlier].clone() },
        });
    }
    remember_batch(tx, batch, &accepted, now)?;
    Ok(AcceptBatch::Accepted(accepted))
}

fn plan(tx: &mut Tx<'_>, event: &NewEvent, now: TimeMs) -> Result<Result<Plan, BatchRefusal>, StoreError> {
    if event.id_given {
        let known = find(tx, event.organization, DedupeKind::EventId, event.id.as_uuid().as_bytes(), now)?;
        let fan_out = fan_out_of(tx, event.organization, event.id)?;
        match (known, fan_out) {
            (Some(known), fan_out) if known.request_hash == event.request_hash => {
                return Ok(Ok(Plan::Known(known.event, fan_out.unwrap_or(0))));
            }
            (Some(_), _) | (None, Some(_)) => return Ok(Err(BatchRefusal::IdReused)),
            (None, None) => {}
        }
    }
    if event.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Ok(Err(BatchRefusal::Expired));
    }
    let behind = behind(tx, event.organization, event.owner, event.event_type)?;
    Ok(behind.map(Plan::Store).ok_or(BatchRefusal::OwnerGone))
}

fn store_one(tx: &mut Tx<'_>, event: &NewEvent, behind: Behind, now: TimeMs) -> Result<Accepted, StoreError> {
    let stored = store_event(tx, event, behind, now)?;
    if event.id_given {
        remember(tx, event, DedupeKind::EventId, event.id.as_uuid().as_bytes(), None)?;
    }
    let (deliveries, waiting) = (stored.deliveries, stored.waiting);
    Ok(Accepted { id: event.id, deliveries, duplicate: false, waiting })
}

fn find_repeat(tx: &Tx<'_>, batch: &NewBatch, now: TimeMs) -> Result<Option<AcceptBatch>, StoreError> {
    let Some(key) = &batch.idempotency_key else { return Ok(None) };
    let known = remembered(tx, batch.organization, DedupeKind::Key, key.as_bytes(), now)?;
    let Some(Remembered { request_hash: hash, events: ids }) = known else { return Ok(None) };
    if hash != batch.request_hash {
        return Ok(Some(AcceptBatch::KeyReused));
    }
    let mut accepted = Vec::new();
    for id in ids.chunks_exact(16) {
        let id: EventId = Uuid::from_slice(id).map_err(|_| StoreError::Corrupt("a batch's ids"))?.into();
        let deliveries = fan_out_of(tx, batch.organization, id)?.unwrap_or(0);
        accepted.push(Accepted { id, deliveries, duplicate: true, waiting: false });
    }
    Ok(Some(AcceptBatch::Accepted(accepted)))
}

fn remember_batch(
    tx: &mut Tx<'_>,
    batch: &NewBatch,
    accepted: &[Accepted],
    now: TimeMs,
) -> Result<(), StoreError> {
    let Some(key) = &batch.idempotency_key else { return Ok(()) };
    let ids: Vec<u8> = accepted.iter().flat_map(|accepted| accepted.id.as_uuid().into_bytes()).collect();
    let found = Remembered { request_hash: batch.request_hash, events: ids };
    let expires_at = TimeMs(now.0 + IDEMPOTENCY_KEY_KEPT_MS);
    remember_as(tx, &repeat(batch.organization, DedupeKind::Key, key.as_bytes()), found, Some(expires_at))?;
    Ok(())
}

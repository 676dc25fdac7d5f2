//! Accepting an event: the event, its deliveries and what makes a repeat recognisable, in one transaction.
//!
//! The subscriptions are read inside the transaction, so there is no cache to invalidate and a delete that
//! was answered before is always seen. Order: a repeat is recognised before anything that depends on time
//! or subscriptions, so that it gets the first answer.

mod batch;
mod lease;

use std::cell::LazyCell;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::id::{EventId, IdentityId, RequestId};
use uuid::Uuid;

pub use self::batch::{AcceptBatch, BatchRefusal, NewBatch};
use super::error::StoreError;
use super::facts::Behind;
use super::faults::Bug;
use super::memory::{Earlier, Match, Remembered};
use super::sql;
use super::sql::many::{Holds, Many, exact};
use super::writer::{Hold, Publish, Repeat, Tx, Wants};
use super::{Store, context, facts, heads, ordering, queue, rows};
use crate::domain::conversation::ConversationKey;
use crate::domain::delivery::Class;
use crate::domain::number::{DeliveryNo, OrganizationNo, Seq, SubscriptionNo};
use crate::domain::owner::{self, Owner};
use crate::domain::time::TimeMs;
use crate::store::sql::{Connection, params};

/// How long an `Idempotency-Key` is kept.
pub const IDEMPOTENCY_KEY_KEPT_MS: i64 = 24 * 3600 * 1000;
/// Deliveries that one event can have: 20 subscriptions of its owner and 20 of its identity.
pub const MAX_FAN_OUT: usize = 40;

/// An event that is ready to be stored.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id, new or given by the publisher.
    pub id: EventId,
    /// The publisher gave the id: a repeat of it is a duplicate.
    pub id_given: bool,
    /// `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// What two requests must have in common to be the same.
    pub request_hash: [u8; 32],
    /// Whose it is.
    pub organization: OrganizationNo,
    /// Its type.
    pub event_type: EventType,
    /// What it happened to.
    pub owner: Owner,
    /// No attempt starts after this.
    pub expires_at: Option<TimeMs>,
    /// The body that will be signed and sent.
    pub payload: Bytes,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accept {
    /// Stored, now or earlier.
    Accepted(Accepted),
    /// The owner is gone.
    OwnerGone,
    /// `expires_at` is not in the future.
    Expired,
    /// The `Idempotency-Key` was used for something else.
    KeyReused,
    /// The id was used for something else.
    IdReused,
    /// The key and the id name different events.
    KeyAndIdDiffer,
}

/// The answer to a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The event's id.
    pub id: EventId,
    /// How many deliveries were made when it was accepted.
    pub deliveries: u32,
    /// It had been accepted before; nothing was stored now.
    pub duplicate: bool,
    /// Some of its deliveries were neither handed over with the commit nor will be claimed when a place is
    /// freed: whoever claims should look.
    pub waiting: bool,
}

/// What a dedupe row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum DedupeKind {
    Key = 1,
    EventId = 2,
    Mail = 3,
}

const FIND_DEDUPE: &str = "SELECT request_hash, event_id FROM dedupe
    WHERE organization_id = $1 AND kind = $2 AND key = $3 AND (expires_ms IS NULL OR expires_ms > $4)";
pub(super) static ADD_DEDUPE: Many = Many {
    one: "INSERT INTO dedupe (organization_id, kind, key, request_hash, event_id, expires_ms)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (organization_id, kind, key) DO UPDATE SET
    request_hash = excluded.request_hash, event_id = excluded.event_id, expires_ms = excluded.expires_ms
    WHERE dedupe.expires_ms <= $7",
    all: exact!(
        "INSERT INTO dedupe (organization_id, kind, key, request_hash, event_id, expires_ms)
    SELECT a, b, c, d, e, f FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS SMALLINT[]), CAST($3 AS BYTEA[]),
    CAST($4 AS BYTEA[]), CAST($5 AS BYTEA[]), CAST($6 AS BIGINT[]), CAST($7 AS BIGINT[]))
    AS x (a, b, c, d, e, f, now) ORDER BY a, b, c
    ON CONFLICT (organization_id, kind, key) DO UPDATE SET
    request_hash = excluded.request_hash, event_id = excluded.event_id, expires_ms = excluded.expires_ms
    WHERE dedupe.expires_ms <= (SELECT min(n) FROM unnest(CAST($7 AS BIGINT[])) n)"
    ),
    columns: &[Holds::Int8, Holds::Int2, Holds::Bytes, Holds::Bytes, Holds::Bytes, Holds::Int8, Holds::Int8],
};
const FAN_OUT_OF: &str = "SELECT fan_out FROM events WHERE organization_id = $1 AND id = $2";
// The sign keeps the organisation out of the choice of an index.
const MATCHING: &str = "SELECT s.no, CASE s.ordering WHEN 'conversation' THEN s.ordering_since_seq END
    FROM subscriptions s
    JOIN subscription_types t ON t.subscription = s.no AND t.event_type = $3
    WHERE s.identity_id = $1 AND s.status = 'active' AND s.owner_id IN ($1, $2) AND +s.organization_id = $4
    ORDER BY s.no LIMIT 40";
pub(super) static ADD_EVENT: Many = Many {
    one: "INSERT INTO events (seq, id, organization_id, event_type, owner_kind, owner_id, identity_id,
    accepted_ms, expires_ms, fan_out, payload)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    all: "INSERT INTO events (seq, id, organization_id, event_type, owner_kind, owner_id, identity_id,
    accepted_ms, expires_ms, fan_out, payload)
    SELECT * FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BYTEA[]), CAST($3 AS BIGINT[]), CAST($4 AS SMALLINT[]), CAST($5 AS SMALLINT[]), CAST($6 AS BYTEA[]), CAST($7 AS BYTEA[]), CAST($8 AS BIGINT[]), CAST($9 AS BIGINT[]), CAST($10 AS BIGINT[]), CAST($11 AS BYTEA[]))",
    columns: &[Holds::Int8, Holds::Bytes, Holds::Int8, Holds::Int2, Holds::Int2, Holds::Bytes, Holds::Bytes, Holds::Int8, Holds::Int8, Holds::Int8, Holds::Bytes],
};

impl Store {
    /// Stores an event and its deliveries, or recognises a repeat.
    pub async fn accept(&self, event: NewEvent) -> Result<Accept, StoreError> {
        let bytes = event.payload.len();
        let wants = wants(&event);
        self.admit(event.organization, (1, bytes), Some(wants), move |tx| accept(tx, &event)).await
    }
}

/// What accepting it looks at.
fn wants(event: &NewEvent) -> Wants {
    let mut wants = Wants::default();
    let NewEvent { organization, owner, event_type, .. } = *event;
    wants.publishes.push(Publish { organization, owner, event_type });
    if let Some(key) = &event.idempotency_key {
        wants.repeats.push(repeat(organization, DedupeKind::Key, key.as_bytes()));
    }
    if event.id_given {
        wants.repeats.push(repeat(organization, DedupeKind::EventId, event.id.as_uuid().as_bytes()));
    }
    wants
}

fn repeat(organization: OrganizationNo, kind: DedupeKind, key: &[u8]) -> Repeat {
    Repeat { organization, kind, key: key.to_vec() }
}

fn accept(tx: &mut Tx<'_>, event: &NewEvent) -> Result<Accept, StoreError> {
    let now = tx.context.clock.wall();
    let is_twin = tx.context.faults.has(Bug::TwinAccepted) && tx.has_rows();
    if let Some(repeat) = find_repeat(tx, event, now)?.filter(|_| !is_twin) {
        return Ok(repeat);
    }
    if event.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Ok(Accept::Expired);
    }
    let Some(behind) = behind(tx, event.organization, event.owner, event.event_type)? else {
        return Ok(Accept::OwnerGone);
    };
    let Stored { deliveries, waiting } = store_event(tx, event, behind, now)?;
    if !is_twin {
        remember_key(tx, event, now)?;
        if event.id_given {
            remember(tx, event, DedupeKind::EventId, event.id.as_uuid().as_bytes(), None)?;
        }
    }
    Ok(Accept::Accepted(Accepted { id: event.id, deliveries, duplicate: false, waiting }))
}

/// Who stands behind the owner; from memory while no owner has changed.
fn behind(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    owner: Owner,
    event_type: EventType,
) -> Result<Option<Behind>, StoreError> {
    if let Some((behind, _)) = tx.memory.matches(&Publish { organization, owner, event_type }) {
        return Ok(behind);
    }
    if let Some(known) = tx.memory.identity(organization, owner) {
        return Ok(Some(known));
    }
    let behind = facts::behind(tx, organization, owner)?;
    if let Some(behind) = behind {
        tx.memory.remember_identity(organization, owner, behind);
    }
    Ok(behind)
}

fn find_repeat(tx: &mut Tx<'_>, event: &NewEvent, now: TimeMs) -> Result<Option<Accept>, StoreError> {
    let by_key = match &event.idempotency_key {
        Some(key) => find(tx, event.organization, DedupeKind::Key, key.as_bytes(), now)?,
        None => None,
    };
    let by_id = if event.id_given {
        find(tx, event.organization, DedupeKind::EventId, event.id.as_uuid().as_bytes(), now)?
    } else {
        None
    };
    if by_key.is_some_and(|known| known.request_hash != event.request_hash) {
        return Ok(Some(Accept::KeyReused));
    }
    if by_id.is_some_and(|known| known.request_hash != event.request_hash) {
        return Ok(Some(Accept::IdReused));
    }
    if let Some(known) = by_key
        && event.id_given
        && known.event != event.id
    {
        return Ok(Some(Accept::KeyAndIdDiffer));
    }
    let Some(known) = by_key.or(by_id) else {
        // What was asked for when the server gave this id is not known any more: it cannot be a repeat.
        let taken = event.id_given && fan_out_of(tx, event.organization, event.id)?.is_some();
        return Ok(taken.then_some(Accept::IdReused));
    };
    if by_key.is_none() {
        // Its id gave it away; from now on the key names the same event.
        remember_key(tx, event, now)?;
    }
    let deliveries = fan_out_of(tx, event.organization, known.event)?.unwrap_or(0);
    Ok(Some(Accept::Accepted(Accepted { id: known.event, deliveries, duplicate: true, waiting: false })))
}

fn remember_key(tx: &mut Tx<'_>, event: &NewEvent, now: TimeMs) -> Result<(), StoreError> {
    let Some(key) = &event.idempotency_key else { return Ok(()) };
    let expires_at = TimeMs(now.0 + IDEMPOTENCY_KEY_KEPT_MS);
    remember(tx, event, DedupeKind::Key, key.as_bytes(), Some(expires_at))
}

/// What an earlier request left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) request_hash: [u8; 32],
    pub(super) event: EventId,
}

pub(super) fn find(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    kind: DedupeKind,
    key: &[u8],
    now: TimeMs,
) -> Result<Option<Known>, StoreError> {
    let Some(found) = remembered(tx, organization, kind, key, now)? else { return Ok(None) };
    // A batch's row holds the ids of all its events.
    let first = found.events.get(..16).and_then(|id| Uuid::from_slice(id).ok());
    let event = first.ok_or(StoreError::Corrupt("a remembered event's id"))?.into();
    Ok(Some(Known { request_hash: found.request_hash, event }))
}

/// What an earlier request left under this key.
fn remembered(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    kind: DedupeKind,
    key: &[u8],
    now: TimeMs,
) -> Result<Option<Remembered>, StoreError> {
    match tx.memory.repeat(&repeat(organization, kind, key)) {
        Earlier::Found(found) => return Ok(Some(found)),
        Earlier::Nothing => return Ok(None),
        Earlier::Unread => {}
    }
    rows::optional(tx, FIND_DEDUPE, params![organization.0, kind as i64, key, now.0], |row| {
        Ok(Remembered { request_hash: row.get("request_hash")?, events: row.get("event_id")? })
    })
}

/// From now on it is a repeat.
fn remember_as(
    tx: &mut Tx<'_>,
    repeat: &Repeat,
    found: Remembered,
    expires_at: Option<TimeMs>,
) -> Result<(), StoreError> {
    let written = tx.write_exact(
        &ADD_DEDUPE,
        params![
            repeat.organization.0,
            repeat.kind as i64,
            repeat.key,
            &found.request_hash[..],
            found.events,
            expires_at.map(|time| time.0),
            tx.context.clock.wall().0
        ],
    )?;
    if !written {
        return Err(StoreError::Statement(sql::Error::Overtaken));
    }
    tx.memory.note_repeat(repeat, found);
    Ok(())
}

pub(super) fn remember(
    tx: &mut Tx<'_>,
    event: &NewEvent,
    kind: DedupeKind,
    key: &[u8],
    expires_at: Option<TimeMs>,
) -> Result<(), StoreError> {
    let found =
        Remembered { request_hash: event.request_hash, events: event.id.as_uuid().as_bytes().to_vec() };
    remember_as(tx, &repeat(event.organization, kind, key), found, expires_at)
}

fn fan_out_of(
    tx: &Connection,
    organization: OrganizationNo,
    event: EventId,
) -> Result<Option<u32>, StoreError> {
    let id = event.as_uuid();
    rows::scalar(tx, FAN_OUT_OF, params![organization.0, id.as_bytes()])
}

/// What was written of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored {
    /// Deliveries.
    pub(super) deliveries: u32,
    /// See [`Accepted::waiting`].
    pub(super) waiting: bool,
}

/// Writes the event and one delivery for each subscription that matches.
pub(super) fn store_event(
    tx: &mut Tx<'_>,
    event: &NewEvent,
    behind: Behind,
    now: TimeMs,
) -> Result<Stored, StoreError> {
    let identity = behind.identity;
    let subscriptions = matching(tx, event, identity)?;
    let seq = tx.next_seq()?;
    let fan_out = u32::try_from(subscriptions.len()).unwrap_or(u32::MAX);
    let (id, owner_id, identity_id) = (event.id.as_uuid(), event.owner.uuid(), identity.as_uuid());
    tx.write(
        &ADD_EVENT,
        params![
            seq.0,
            id.as_bytes(),
            event.organization.0,
            event.event_type.code(),
            owner::kind_code(event.owner.kind()),
            owner_id.as_bytes(),
            identity_id.as_bytes(),
            now.0,
            event.expires_at.map(|time| time.0),
            fan_out,
            &event.payload[..]
        ],
    )?;
    if behind.keeps_context {
        context::add(tx, event, identity, seq)?;
    }
    let conversation = LazyCell::new(|| ConversationKey::of(event.event_type, &event.payload));
    let mut waiting = false;
    for (position, Match { subscription, since }) in subscriptions.iter().enumerate() {
        let delivery = NewDelivery {
            no: DeliveryNo::new(seq, position),
            organization: event.organization,
            subscription: *subscription,
            event: seq,
            event_type: event.event_type,
            class: Class::Live,
            expires_at: event.expires_at,
        };
        waiting |= match since {
            Some(since) => ordering::enqueue_in_order(tx, &delivery, *since, *conversation, now)?.is_some(),
            None => !lease::with_commit(tx, &delivery, event, now)?,
        };
    }
    tx.count_rows(subscriptions.len());
    tx.tally.accepted(event.organization, subscriptions.len(), event.payload.len());
    Ok(Stored { deliveries: fan_out, waiting })
}

/// The subscriptions of the owner and of its identity that select the type, and since when each is in order.
fn matching(tx: &mut Tx<'_>, event: &NewEvent, identity: IdentityId) -> Result<Vec<Match>, StoreError> {
    let NewEvent { organization, owner, event_type, .. } = *event;
    if let Some((_, matches)) = tx.memory.matches(&Publish { organization, owner, event_type }) {
        return Ok(matches);
    }
    let (identity, owner) = (identity.as_uuid(), owner.uuid());
    let find = |tx: &Tx<'_>| {
        let params = params![identity.as_bytes(), owner.as_bytes(), event_type.code(), organization.0];
        rows::all(tx, MATCHING, params, |row| {
            let since = row.get::<_, Option<i64>>(1)?.map(Seq);
            Ok(Match { subscription: SubscriptionNo(row.get(0)?), since })
        })
    };
    let found = find(tx)?;
    if !tx.is_shared() || found.is_empty() {
        return Ok(found);
    }
    for Match { subscription, since } in &found {
        tx.hold(*subscription, if since.is_some() { Hold::Alone } else { Hold::Shared })?;
    }
    // What was held too late may have changed; what is new since then comes too late for this event.
    let still = find(tx)?;
    Ok(still.into_iter().filter(|one| found.contains(one)).collect())
}

/// A delivery to be queued.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewDelivery {
    pub(super) no: DeliveryNo,
    pub(super) organization: OrganizationNo,
    pub(super) subscription: SubscriptionNo,
    pub(super) event: Seq,
    pub(super) event_type: EventType,
    pub(super) class: Class,
    pub(super) expires_at: Option<TimeMs>,
}

/// Queues a delivery, due at once, under a fresh request id.
pub(super) fn enqueue(tx: &mut Tx<'_>, delivery: &NewDelivery, now: TimeMs) -> Result<RequestId, StoreError> {
    enqueue_held(tx, delivery, now, TimeMs::ZERO)
}

/// The same for a subscription that nothing may be taken of before `held_until`.
fn enqueue_held(
    tx: &mut Tx<'_>,
    delivery: &NewDelivery,
    now: TimeMs,
    held_until: TimeMs,
) -> Result<RequestId, StoreError> {
    let request_id = tx.context.entropy.uuid();
    let nobody = None::<i64>;
    tx.write(
        &queue::ADD,
        params![
            delivery.no.0,
            delivery.organization.0,
            delivery.subscription.0,
            delivery.event.0,
            delivery.event_type.code(),
            delivery.class.code(),
            request_id.as_bytes(),
            TimeMs::ZERO.0,
            delivery.expires_at.map(|time| time.0),
            now.0,
            0,
            nobody,
            nobody,
            nobody
        ],
    )?;
    if delivery.class == Class::Live {
        tx.memory.set_live_waits(delivery.subscription, true);
    }
    tx.tally.queued(delivery.organization);
    heads::lower(tx, delivery.subscription, delivery.class, held_until)?;
    Ok(request_id.into())
}

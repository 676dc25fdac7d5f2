//! Claiming: leasing what is due to this process.
//!
//! One transaction looks at the queue heads that are due, takes what may be taken, and raises the heads.
//! What it meets that must not be sent, it ends on the spot: deliveries of deleted subscriptions and
//! removed types are cancelled, expired ones expire. An expired lease is nothing special: its row is due
//! again, and the claim that takes it first writes the attempt that was lost.
//!
//! The work is bounded by the slots that are free, never by how much waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;
use inkhook_wire::sign::SigningKey;
use rusqlite::{Row, params};

use super::error::StoreError;
use super::queue::{self, QueueRow};
use super::seal::Place;
use super::settle::{self, AttemptRow};
use super::writer::Tx;
use super::{Store, heads, rows};
use crate::domain::delivery::{Claimed, ClaimedEvent, Class, DeliveryTarget, End};
use crate::domain::number::{OrganizationNo, Seq, SubscriptionNo, UrlNo};
use crate::domain::time::TimeMs;

/// Added to an attempt's timeout to get its lease: what clocks, scheduling and the settle may take.
pub const LEASE_SKEW: Duration = Duration::from_secs(5);
/// Attempts whose outcome nobody knows that a delivery may have before it is given up.
pub const MAX_UNKNOWN: u32 = 20;
/// Queue heads that one claim looks at, besides those of subscriptions that are full.
const HEADS: usize = 1_024;
/// Rows beyond the free slots that a claim looks at in one subscription: what it may have to end.
const ROWS_TO_END: usize = 64;
/// A subscription that cannot be read is looked at again after this.
const UNREADABLE_WAIT: Duration = Duration::from_mins(1);

/// What a claim may take.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Schedule time.
    pub now: TimeMs,
    /// Attempts that may be started in all.
    pub free: usize,
    /// Attempts that may be started for a subscription that is not in `free_by_subscription`.
    pub first_bound: usize,
    /// Attempts that may be started for each of these.
    pub free_by_subscription: HashMap<SubscriptionNo, usize>,
    /// The limit of a whole attempt.
    pub timeout: Duration,
}

/// What a claim took, and when to look again if no bell rings.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// The deliveries leased to this process.
    pub claimed: Vec<Claimed>,
    /// Deliveries made by hand that ended in this claim.
    pub ended_manual: bool,
    /// The earliest time at which something else becomes due. Not after `now` when this claim had all that
    /// one claim looks at, and slots are left: claim again at once.
    pub next_due: Option<TimeMs>,
}

const DUE_HEADS: &str = "SELECT subscription, class FROM queue_heads WHERE due_ms <= $1
    ORDER BY due_ms, subscription LIMIT $2";
const NEXT_HEAD: &str = "SELECT min(due_ms) FROM queue_heads WHERE due_ms > $1";
const TARGET: &str = "SELECT s.id, s.organization_id, s.identity_id, s.status, s.generation, s.not_before_ms,
    s.paused_ms, s.url AS url_no, u.url, s.auth_token, i.signing_key AS identity_key,
    o.signing_key AS organization_key
    FROM subscriptions s JOIN urls u ON u.no = s.url JOIN organizations o ON o.no = s.organization_id
    LEFT JOIN identities i ON i.id = s.identity_id WHERE s.no = $1";
const LEASE: &str =
    "UPDATE queue SET claim_no = $2, boot = $3, claimed_ms = $4, due_ms = $5, claimed_url = $6
    WHERE no = $1";
const GOES_TO: &str = "UPDATE queue SET claimed_url = $2 WHERE no = $1";
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
    /// it must not be sent now: cancelled, held, expired, or somebody else's.
    pub async fn retarget(&self, claimed: Claimed) -> Result<Option<Claimed>, StoreError> {
        self.change(move |tx| {
            let row = match queue::find(tx, claimed.delivery)? {
                Some(row) if row.claim_no == claimed.claim_no => row,
                _ => return Ok(None),
            };
            let Target::Open { target, held_until } =
                load_target(tx, row.subscription, claimed.target.timeout)?
            else {
                return Ok(None);
            };
            let now = tx.context.clock.schedule();
            let is_held = row.class != Class::Manual && held_until > now;
            if is_held || end_of(tx, &row, now)?.is_some() {
                return Ok(None);
            }
            tx.run(GOES_TO, params![row.no.0, target.url_no.0])?;
            Ok(Some(Claimed { target: Arc::new(target), ..claimed.clone() }))
        })
        .await
    }
}

fn claim(tx: &mut Tx<'_>, request: &ClaimRequest) -> Result<Claims, StoreError> {
    let mut claims = Claims::default();
    let mut free_of = request.free_by_subscription.clone();
    // A full subscription must not hide one that comes after it.
    let full = free_of.values().filter(|free| **free == 0).count();
    let limit = HEADS + full * Class::ALL.len();
    let due: Vec<(SubscriptionNo, Class)> = rows::all(tx, DUE_HEADS, params![request.now.0, limit], |row| {
        let class = Class::from_code(row.get(1)?).ok_or(StoreError::Corrupt("a queue head's class"))?;
        Ok((SubscriptionNo(row.get(0)?), class))
    })?;
    let mut more = due.len() == limit;
    let mut targets: HashMap<SubscriptionNo, Target> = HashMap::new();
    for (subscription, class) in due {
        let free = request.free.saturating_sub(claims.claimed.len());
        let free = free.min(*free_of.get(&subscription).unwrap_or(&request.first_bound));
        if free == 0 {
            continue;
        }
        let target = match targets.entry(subscription) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(load_target(tx, subscription, request.timeout)?)
            }
        };
        let before = claims.claimed.len();
        more |= claim_head(tx, request, (subscription, class), target, free, &mut claims)?;
        let taken = claims.claimed.len() - before;
        *free_of.entry(subscription).or_insert(request.first_bound) -= taken;
    }
    tx.count_rows(claims.claimed.len());
    claims.next_due = if more && claims.claimed.len() < request.free {
        Some(request.now)
    } else {
        rows::scalar::<Option<i64>>(tx, NEXT_HEAD, params![request.now.0])?.flatten().map(TimeMs)
    };
    Ok(claims)
}

/// Takes what one subscription and class has due; true when it stopped although slots were left.
fn claim_head(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    (subscription, class): (SubscriptionNo, Class),
    target: &Target,
    free: usize,
    claims: &mut Claims,
) -> Result<bool, StoreError> {
    let (target, held_until) = match target {
        Target::Deleted => {
            heads::remove_all(tx, subscription)?;
            return Ok(false);
        }
        Target::Unreadable => {
            heads::raise(tx, subscription, class, request.now.after(UNREADABLE_WAIT))?;
            return Ok(false);
        }
        Target::Open { target, held_until } => (target, *held_until),
    };
    if class != Class::Manual && held_until > request.now {
        heads::raise(tx, subscription, class, held_until)?;
        return Ok(false);
    }
    let target = Arc::new(target.clone());
    let mut taken = 0;
    let limit = free + ROWS_TO_END;
    let due = queue::due(tx, subscription, class, request.now, limit)?;
    let saw_all = due.len() < limit;
    for mut row in due {
        if taken == free {
            // Slots ran out, not the queue: the head stays where it is.
            return Ok(false);
        }
        if row.boot.is_some() {
            write_lost_attempt(tx, &mut row)?;
        }
        if let Some(end) = end_of(tx, &row, request.now)? {
            queue::end(tx, &row, end)?;
            claims.ended_manual |= class == Class::Manual;
            continue;
        }
        claims.claimed.push(take(tx, request, &row, &target)?);
        taken += 1;
    }
    heads::raise(tx, subscription, class, TimeMs::ZERO)?;
    Ok(!saw_all && taken < free)
}

/// Why a due delivery is not to be sent, if so.
fn end_of(tx: &Tx<'_>, row: &QueueRow, now: TimeMs) -> Result<Option<End>, StoreError> {
    if let Some(end) = queue::cancelled(tx, row)? {
        return Ok(Some(end));
    }
    if row.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Ok(Some(End::EventExpired));
    }
    // A delivery made by hand has one attempt; whoever asked is told that its outcome is unknown.
    let lost = row.unknown >= MAX_UNKNOWN || (row.unknown > 0 && row.class == Class::Manual);
    Ok(lost.then_some(End::Lost))
}

/// Leases one row.
fn take(
    tx: &Tx<'_>,
    request: &ClaimRequest,
    row: &QueueRow,
    target: &Arc<DeliveryTarget>,
) -> Result<Claimed, StoreError> {
    let claim_no = row.claim_no + 1;
    let lease_until = request.now.after(request.timeout).after(LEASE_SKEW);
    let wall = tx.context.clock.wall();
    tx.run(LEASE, params![row.no.0, claim_no, tx.context.boot, wall.0, lease_until.0, target.url_no.0])?;
    let event = load_event(tx, row.event, row.event_type)?;
    Ok(Claimed {
        delivery: row.no,
        claim_no,
        lease_until,
        claimed_at: request.now,
        attempt_no: row.attempts + 1,
        failures: row.failures,
        class: row.class,
        request_id: row.request_id,
        maybe_received: row.maybe_received,
        expires_at: row.expires_at,
        event,
        target: target.clone(),
    })
}

/// The lease of an attempt expired, or its process is gone: what came of it is unknown.
pub(super) fn write_lost_attempt(tx: &Tx<'_>, row: &mut QueueRow) -> Result<(), StoreError> {
    settle::write_attempt(tx, row, &AttemptRow::lost(tx, row))?;
    row.attempts += 1;
    row.unknown += 1;
    row.maybe_received = true;
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

/// A subscription as a claim finds it.
enum Target {
    /// No longer there.
    Deleted,
    /// Its secrets do not open, or it has no signing key: nothing is ever sent unsigned.
    Unreadable,
    /// May be delivered to, though perhaps not yet.
    Open { target: DeliveryTarget, held_until: TimeMs },
}

fn load_target(tx: &Tx<'_>, no: SubscriptionNo, timeout: Duration) -> Result<Target, StoreError> {
    let target = rows::optional(tx, TARGET, params![no.0], |row| {
        let status: String = row.get("status")?;
        if status != "active" {
            return Ok(Target::Deleted);
        }
        read_target(tx, row, no, timeout).or_else(|error| match error {
            StoreError::Seal(_) | StoreError::Corrupt(_) => {
                tracing::error!(subscription = no.0, %error, "a subscription cannot be delivered to");
                Ok(Target::Unreadable)
            }
            error => Err(error),
        })
    })?;
    Ok(target.unwrap_or(Target::Deleted))
}

fn read_target(
    tx: &Tx<'_>,
    row: &Row<'_>,
    no: SubscriptionNo,
    timeout: Duration,
) -> Result<Target, StoreError> {
    let organization = OrganizationNo(row.get("organization_id")?);
    let id: uuid::Uuid = rows::id(row, "id")?;
    let identity: uuid::Uuid = rows::id(row, "identity_id")?;
    let sealer = &tx.context.sealer;
    let auth_token: Option<Vec<u8>> = row.get("auth_token")?;
    let auth_token =
        auth_token.map(|token| sealer.open(Place::auth_token(organization, id), &token)).transpose()?;
    let identity_key: Option<Vec<u8>> = row.get("identity_key")?;
    let organization_key: Option<Vec<u8>> = row.get("organization_key")?;
    let key = match (identity_key, organization_key) {
        (Some(own), _) => sealer.open(Place::identity_key(organization, identity), &own)?,
        (None, Some(shared)) => sealer.open(Place::organization_key(organization), &shared)?,
        (None, None) => return Err(StoreError::Corrupt("a subscription without a signing key")),
    };
    let paused = rows::optional_time(row, "paused_ms")?;
    let held_until = if paused.is_some() { TimeMs(i64::MAX) } else { rows::time(row, "not_before_ms")? };
    let target = DeliveryTarget {
        subscription: no,
        subscription_id: id.into(),
        organization,
        generation: row.get("generation")?,
        url: row.get("url")?,
        url_no: UrlNo(row.get("url_no")?),
        auth_token,
        signing_key: Arc::new(SigningKey::new(key.expose())),
        timeout,
    };
    Ok(Target::Open { target, held_until })
}

//! Subscriptions as an attempt needs them: where to, signed with what, and whether at all now.

use std::sync::Arc;
use std::time::Duration;

use inkhook_wire::event::EventType;

use super::error::StoreError;
use super::health::{self, Standing};
use super::seal::Place;
use super::signer::{self, identity_signer};
use super::writer::{Context, Tx};
use super::{rows, subscriptions};
use crate::domain::delivery::DeliveryTarget;
use crate::domain::number::{OrganizationNo, Seq, SubscriptionNo, UrlNo};
use crate::domain::slots;
use crate::domain::time::TimeMs;
use crate::store::sql::{Row, params};

mod many;

pub(super) use self::many::{Answers, Asked, load_ahead};

macro_rules! select {
    ([$($columns:tt)*], $condition:literal) => {
        concat!(
            "SELECT ",
            $($columns)*,
            ", s.id, s.organization_id, s.identity_id, s.status, s.generation, s.not_before_ms, s.url AS url_no,
    u.url, s.auth_token, s.delivery, s.ordering_since_seq IS NOT NULL AS was_ordered, s.context_config,
    s.context_since_seq, ",
            identity_signer!(),
            "
    FROM subscriptions s JOIN urls u ON u.no = s.url JOIN organizations o ON o.no = s.organization_id
    LEFT JOIN identities i ON i.id = s.identity_id WHERE ",
            $condition
        )
    };
}
use select;

const TARGET: &str = select!(["s.paused_ms, s.health, s.drain_since_ms"], "s.no = $1");
const TYPES: &str = "SELECT event_type, since_seq FROM subscription_types WHERE subscription = $1";

/// A subscription as a claim finds it.
#[derive(Debug, Clone)]
pub(super) enum Target {
    /// No longer there.
    Deleted,
    /// Its secrets do not open, or it has no signing key: nothing is ever sent unsigned.
    Unreadable,
    /// May be delivered to, though perhaps not yet.
    Open {
        /// Where to, and how.
        target: Arc<DeliveryTarget>,
        /// Nothing automatic is sent before this.
        held_until: TimeMs,
        /// What it selects.
        selected: Selected,
        /// How much may be taken at a time.
        standing: Standing,
    },
}

/// The types that a subscription selects, each since an acceptance number.
#[derive(Debug, Clone)]
pub(super) struct Selected(Arc<[(EventType, Seq)]>);

impl Selected {
    /// Whether an event of this type, accepted under this number, is still selected: not if the type was
    /// removed since, even if it came back.
    pub(super) fn has(&self, event_type: EventType, accepted: Seq) -> bool {
        self.0.iter().any(|(selected, since)| *selected == event_type && accepted > *since)
    }

    fn read(tx: &Tx<'_>, no: SubscriptionNo) -> Result<Self, StoreError> {
        let types = rows::all(tx, TYPES, params![no.0], |row| {
            Ok((rows::event_type(row, "event_type")?, Seq(row.get("since_seq")?)))
        })?;
        Ok(Self(types.into()))
    }
}

/// The subscription as it is now; from memory while nothing about it has changed.
pub(super) fn load(tx: &mut Tx<'_>, no: SubscriptionNo, timeout: Duration) -> Result<Target, StoreError> {
    if let Some(known) = tx.memory.target(no, timeout) {
        return Ok(known);
    }
    let target = read(tx, no, timeout)?;
    if matches!(target, Target::Open { .. }) {
        tx.memory.remember_target(no, timeout, &target);
    }
    Ok(target)
}

fn read(tx: &Tx<'_>, no: SubscriptionNo, timeout: Duration) -> Result<Target, StoreError> {
    let target = rows::optional(tx, TARGET, params![no.0], |row| {
        read_status(tx.context, row, no, timeout, || Selected::read(tx, no))
    })?;
    Ok(target.unwrap_or(Target::Deleted))
}

/// A row of a subscription, in whatever state.
fn read_status(
    context: &Context,
    row: &Row<'_>,
    no: SubscriptionNo,
    timeout: Duration,
    selected: impl FnOnce() -> Result<Selected, StoreError>,
) -> Result<Target, StoreError> {
    let status: String = row.get("status")?;
    if status != "active" {
        return Ok(Target::Deleted);
    }
    if row.get("was_ordered")? {
        context.ordered.add(no);
    }
    read_or_not(context, row, no, timeout, selected()?)
}

fn read_or_not(
    context: &Context,
    row: &Row<'_>,
    no: SubscriptionNo,
    timeout: Duration,
    selected: Selected,
) -> Result<Target, StoreError> {
    read_row(context, row, no, timeout, selected).or_else(|error| match error {
        StoreError::Seal(_) | StoreError::Corrupt(_) => {
            tracing::error!(subscription = no.0, %error, "a subscription cannot be delivered to");
            Ok(Target::Unreadable)
        }
        error => Err(error),
    })
}

fn read_row(
    context: &Context,
    row: &Row<'_>,
    no: SubscriptionNo,
    timeout: Duration,
    selected: Selected,
) -> Result<Target, StoreError> {
    let organization = OrganizationNo(row.get("organization_id")?);
    let id: uuid::Uuid = rows::id(row, "id")?;
    let identity: uuid::Uuid = rows::id(row, "identity_id")?;
    let sealer = &context.sealer;
    let auth_token: Option<Vec<u8>> = row.get("auth_token")?;
    let auth_token =
        auth_token.map(|token| sealer.open(Place::auth_token(organization, id), &token)).transpose()?;
    let signer = signer::of_identity(sealer, row, organization, identity)?
        .ok_or(StoreError::Corrupt("a subscription without a signing key"))?;
    let paused = rows::optional_time(row, "paused_ms")?;
    let held_until = if paused.is_some() { TimeMs::NEVER } else { rows::time(row, "not_before_ms")? };
    let settings = subscriptions::read_delivery(row)?;
    let url: String = row.get("url")?;
    let target = DeliveryTarget {
        subscription: no,
        subscription_id: id.into(),
        organization,
        generation: row.get("generation")?,
        host: host_key(&url),
        url,
        url_no: UrlNo(row.get("url_no")?),
        auth_token,
        signer: Arc::new(signer),
        timeout: settings.timeout().unwrap_or(timeout),
        server_timeout: timeout,
        retry_schedule: settings.retry_schedule(),
        max_per_second: settings.max_per_second,
        max_in_flight: settings.max_in_flight.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        ordering: settings.ordering,
        context: super::context::read_wish(row)?,
    };
    Ok(Target::Open { target: Arc::new(target), held_until, selected, standing: health::read_standing(row)? })
}

/// URLs that share a host share its bound; what is no URL fails before it is sent.
fn host_key(url: &str) -> u64 {
    let url = url::Url::parse(url).ok();
    let host = url.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    slots::host_key(host, url.as_ref().and_then(url::Url::port_or_known_default).unwrap_or(0))
}

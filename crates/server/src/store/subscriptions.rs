//! Subscriptions: what is there, and the changes to it.
//!
//! Every statement names the organisation, and for an agent its identity, so that a row that is not the
//! caller's is not found at all. Only active rows are ever seen. Limits and duplicates are judged in the
//! transaction that writes; there is one writer, so they hold whatever arrives together.
//!
//! A change that an attempt under way must notice raises the subscription's generation, in the row and,
//! after the commit, in memory. What a change leaves queued is never touched here: it is cancelled by what
//! the row now says, at a cost that does not depend on how much it is.

mod change;
mod create;
mod remove;

use inkhook_wire::event::EventType;
use inkhook_wire::id::SubscriptionId;
use uuid::Uuid;

pub use change::PatchSubscription;
pub use create::CreateSubscription;
pub(super) use create::lock_identity;
pub(super) use remove::{delete_of_identity, delete_of_owner};

use super::error::StoreError;
use super::seal::{Place, Sealer};
use super::{Store, facts, health, rows};
use crate::domain::caller::Scope;
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::domain::owner::{self, Owner};
use crate::domain::subscription::{DeliverySettings, EventTypes, PauseReason, Subscription, WebhookUrl};
use crate::store::sql::{Connection, Row, params};

/// Which subscriptions a list holds; everything that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionFilter {
    /// Whose.
    pub owner: Option<OwnerFilter>,
    /// Their URL, normalised.
    pub url_normalized: Option<String>,
    /// A type that they select.
    pub event_type: Option<EventType>,
}

/// How an owner narrows a list.
#[derive(Debug, Clone, Copy)]
pub enum OwnerFilter {
    /// Made for exactly this owner, and of one channel only.
    Exactly(Owner),
    /// Everything of the identity behind this owner.
    IdentityOf(Owner),
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT s.no, s.id, s.organization_id, s.identity_id, s.owner_kind, s.owner_id, u.url,
                s.url_normalized, s.event_types, s.context_config, s.auth_token, s.delivery, s.generation,
                s.not_before_ms, s.paused_ms, s.pause_reason, s.health, s.consecutive_failures,
                s.last_success_ms, s.last_failure_ms, s.created_ms, s.updated_ms
            FROM subscriptions s JOIN urls u ON u.no = s.url WHERE s.status = 'active' AND ",
            $condition
        )
    };
}

macro_rules! list {
    ($condition:literal) => {
        concat!(
            select!($condition),
            " AND (s.identity_id = $2 OR $2 IS NULL) AND (s.url_normalized = $3 OR $3 IS NULL)
            AND (EXISTS (SELECT 1 FROM subscription_types t
                WHERE t.subscription = s.no AND t.event_type = $4) OR $4 IS NULL)
            ORDER BY s.no DESC"
        )
    };
}

const BY_ID: &str = select!("s.id = $1 AND s.organization_id = $2 AND (s.identity_id = $3 OR $3 IS NULL)");
const LIST: &str = list!("s.organization_id = $1");
// The sign keeps the organisation out of the choice of an index: an owner has 20 rows, an organisation any
// number.
const LIST_OF_OWNER: &str = list!("+s.organization_id = $1 AND s.owner_id = $5 AND s.owner_kind = $6");
const LIST_OF_IDENTITY: &str = list!("+s.organization_id = $1 AND s.identity_id = $5");

impl Store {
    /// The subscriptions that the scope can see and the filter lets through, newest first.
    pub async fn subscriptions(
        &self,
        scope: Scope,
        filter: SubscriptionFilter,
    ) -> Result<Vec<Subscription>, StoreError> {
        let sealer = self.sealer().clone();
        self.read(move |connection| list(connection, &sealer, scope, &filter)).await
    }

    /// The subscription with this id, if the scope can see it.
    pub async fn subscription(
        &self,
        scope: Scope,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        let sealer = self.sealer().clone();
        self.read(move |connection| {
            Ok(find(connection, &sealer, scope, id)?.map(|stored| stored.subscription))
        })
        .await
    }
}

fn list(
    connection: &Connection,
    sealer: &Sealer,
    scope: Scope,
    filter: &SubscriptionFilter,
) -> Result<Vec<Subscription>, StoreError> {
    let organization = scope.organization.0;
    let visible = scope.identity.map(|id| id.as_uuid().into_bytes());
    let url = filter.url_normalized.as_deref();
    let event_type = filter.event_type.map(EventType::code);
    let read = |row: &Row<'_>| Ok(read(row, sealer)?.subscription);
    match filter.owner {
        None => rows::all(connection, LIST, params![organization, visible, url, event_type], read),
        Some(OwnerFilter::Exactly(owner)) => {
            let (id, kind) = (owner.uuid().into_bytes(), owner::kind_code(owner.kind()));
            let params = params![organization, visible, url, event_type, id, kind];
            let mut found = rows::all(connection, LIST_OF_OWNER, params, read)?;
            found.retain(|subscription| subscription.event_types.is_single_family());
            Ok(found)
        }
        Some(OwnerFilter::IdentityOf(owner)) => {
            let Some(facts) = facts::find(connection, scope, owner)? else { return Ok(Vec::new()) };
            let identity = facts.identity_id.as_uuid().into_bytes();
            let params = params![organization, visible, url, event_type, identity];
            rows::all(connection, LIST_OF_IDENTITY, params, read)
        }
    }
}

/// A row, with what only the store needs.
struct Stored {
    organization: OrganizationNo,
    subscription: Subscription,
    generation: u64,
    /// Something holds its queue back, or may soon: somebody, the receiver's wish, or its failures.
    is_held: bool,
}

fn find(
    connection: &Connection,
    sealer: &Sealer,
    scope: Scope,
    id: SubscriptionId,
) -> Result<Option<Stored>, StoreError> {
    let visible = scope.identity.map(|id| id.as_uuid().into_bytes());
    let params = params![id.as_uuid().into_bytes(), scope.organization.0, visible];
    rows::optional(connection, BY_ID, params, |row| read(row, sealer))
}

fn read(row: &Row<'_>, sealer: &Sealer) -> Result<Stored, StoreError> {
    let organization = OrganizationNo(row.get("organization_id")?);
    let id: Uuid = rows::id(row, "id")?;
    let kind = owner::kind_from_code(row.get("owner_kind")?).ok_or(StoreError::Corrupt("an owner's kind"))?;
    let types: String = row.get("event_types")?;
    let types = serde_json::from_str(&types).map_err(|_| StoreError::Corrupt("a list of event types"))?;
    let context: Option<String> = row.get("context_config")?;
    let context = context.map(|text| serde_json::from_str(&text)).transpose();
    let token: Option<Vec<u8>> = row.get("auth_token")?;
    let place = Place::auth_token(organization, id);
    let paused_at = rows::optional_time(row, "paused_ms")?;
    let reason: Option<String> = row.get("pause_reason")?;
    let reason = match reason.as_deref() {
        None => PauseReason::Failing,
        Some(text) => PauseReason::parse(text).ok_or(StoreError::Corrupt("why a subscription is paused"))?,
    };
    let health = health::read_view(row)?;
    let subscription = Subscription {
        no: SubscriptionNo(row.get("no")?),
        id: id.into(),
        owner: Owner::new(kind, rows::id(row, "owner_id")?),
        identity_id: rows::id(row, "identity_id")?,
        url: WebhookUrl { given: row.get("url")?, normalized: row.get("url_normalized")? },
        event_types: EventTypes::from_stored(types),
        context_config: context.map_err(|_| StoreError::Corrupt("a context setting"))?,
        auth_token: token.map(|token| sealer.open(place, &token)).transpose()?,
        delivery: read_delivery(row)?,
        paused: paused_at.map(|since| (since, reason)),
        health,
        created_at: rows::time(row, "created_ms")?,
        updated_at: rows::time(row, "updated_ms")?,
    };
    let not_before: i64 = row.get("not_before_ms")?;
    let is_held = paused_at.is_some() || not_before > 0 || health.consecutive_failures > 0;
    Ok(Stored { organization, subscription, generation: row.get("generation")?, is_held })
}

const OF_URL: &str = "SELECT event_types FROM subscriptions
    WHERE identity_id = $1 AND status = 'active' AND url_normalized = $2 AND no <> $3";

/// Whether another active subscription of the identity sends some of these types to this URL.
fn collides(
    connection: &Connection,
    identity: Uuid,
    url: &WebhookUrl,
    event_types: &EventTypes,
    but: SubscriptionNo,
) -> Result<bool, StoreError> {
    let params = params![identity.as_bytes(), url.normalized, but.0];
    let others = rows::all(connection, OF_URL, params, |row| {
        let types: String = row.get(0)?;
        serde_json::from_str(&types).map_err(|_| StoreError::Corrupt("a list of event types"))
    })?;
    Ok(others.into_iter().map(EventTypes::from_stored).any(|other| other.overlaps(event_types)))
}

/// The list as it is stored.
fn types_text(event_types: &EventTypes) -> Result<String, StoreError> {
    serde_json::to_string(event_types.as_slice()).map_err(|_| StoreError::Corrupt("a list of event types"))
}

/// The setting as it is stored.
fn context_text(subscription: &Subscription) -> Result<Option<String>, StoreError> {
    let text = subscription.context_config.as_ref().map(serde_json::to_string).transpose();
    text.map_err(|_| StoreError::Corrupt("a context setting"))
}

/// The settings as they are stored; nothing when all of them are the defaults.
fn delivery_text(subscription: &Subscription) -> Result<Option<String>, StoreError> {
    let settings = &subscription.delivery;
    let own = (*settings != DeliverySettings::default()).then(|| serde_json::to_string(settings));
    own.transpose().map_err(|_| StoreError::Corrupt("delivery settings"))
}

/// The column `delivery`.
pub(super) fn read_delivery(row: &Row<'_>) -> Result<DeliverySettings, StoreError> {
    let text: Option<String> = row.get("delivery")?;
    let settings = text.map(|text| serde_json::from_str(&text)).transpose();
    Ok(settings.map_err(|_| StoreError::Corrupt("delivery settings"))?.unwrap_or_default())
}

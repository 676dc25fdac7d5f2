//! Making a subscription.

use inkhook_wire::event::EventType;
use inkhook_wire::id::IdentityId;

use super::{collides, context_text, delivery_text, types_text};
use crate::domain::caller::Scope;
use crate::domain::number::{OrganizationNo, Seq, SubscriptionNo};
use crate::domain::owner::{self, Owner};
use crate::domain::secret::Secret;
use crate::domain::subscription::{HealthView, MAX_ACTIVE_PER_OWNER, NewSubscription, Subscription};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::faults::Bug;
use crate::store::seal::Place;
use crate::store::sql::params;
use crate::store::writer::Tx;
use crate::store::{Store, context, facts, ordering, rows, signing_keys, urls};

/// What became of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateSubscription {
    /// Made.
    Created {
        /// As it is now.
        subscription: Box<Subscription>,
        /// The identity's signing key, when this create made it: there is no other way to read it.
        signing_key: Option<Secret>,
    },
    /// The owner is not there, or not for this scope to know.
    OwnerNotFound,
    /// Another active subscription of the identity sends some of these types to this URL.
    Duplicate,
    /// The owner has [`MAX_ACTIVE_PER_OWNER`].
    LimitReached,
}

const LOCK_IDENTITY: &str = "SELECT 1 FROM identities WHERE id = $1 /*pg FOR NO KEY UPDATE */";
const COUNT: &str = "SELECT count(*) FROM subscriptions
    WHERE owner_id = $1 AND owner_kind = $2 AND status = 'active'";
const ADD: &str = "INSERT INTO subscriptions (id, organization_id, identity_id, owner_kind, owner_id, url,
    url_normalized, event_types, context_config, auth_token, status, generation, created_ms, updated_ms,
    delivery) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'active', 1, $11, $11, $12) RETURNING no";
const ADD_TYPE: &str =
    "INSERT INTO subscription_types (subscription, event_type, since_seq) VALUES ($1, $2, $3)";

impl Store {
    /// Makes a subscription, and the identity's signing key when neither it nor its organisation has one:
    /// nothing is ever sent unsigned.
    pub async fn create_subscription(
        &self,
        scope: Scope,
        new: NewSubscription,
    ) -> Result<CreateSubscription, StoreError> {
        self.change(move |tx| create(tx, scope, &new)).await
    }
}

fn create(tx: &mut Tx<'_>, scope: Scope, new: &NewSubscription) -> Result<CreateSubscription, StoreError> {
    let Some(facts) = facts::find(tx, scope, new.owner)? else {
        return Ok(CreateSubscription::OwnerNotFound);
    };
    let identity = facts.identity_id;
    lock_identity(tx, identity)?;
    // While the lock was waited for the identity may have gone, or moved to another organisation.
    if tx.is_shared() && facts::find(tx, scope, new.owner)?.is_none() {
        return Ok(CreateSubscription::OwnerNotFound);
    }
    // Before the limit: who repeats a create at the limit is told that it is there already.
    if collides(tx, identity.as_uuid(), &new.url, &new.event_types, SubscriptionNo(0))? {
        return Ok(CreateSubscription::Duplicate);
    }
    if active_count(tx, new.owner)? >= MAX_ACTIVE_PER_OWNER {
        return Ok(CreateSubscription::LimitReached);
    }
    let now = tx.context.clock.wall();
    let signing_key =
        signing_keys::mint_if_none(tx, scope.organization, identity.as_uuid())?.map(|new| new.key);
    let subscription = Box::new(add(tx, scope.organization, identity, new, now)?);
    if subscription.asks_for_context() {
        context::setting_changed(tx, subscription.no, identity, true)?;
    }
    Ok(CreateSubscription::Created { subscription, signing_key })
}

/// Two creates or changes of one identity's subscriptions see each other, and so does who moves or deletes it.
pub(in crate::store) fn lock_identity(tx: &Tx<'_>, identity: IdentityId) -> Result<(), StoreError> {
    if tx.is_shared() {
        rows::scalar::<i64>(tx, LOCK_IDENTITY, params![identity.as_uuid().into_bytes()])?;
    }
    Ok(())
}

fn active_count(tx: &Tx<'_>, owner: Owner) -> Result<usize, StoreError> {
    let params = params![owner.uuid().into_bytes(), owner::kind_code(owner.kind())];
    Ok(rows::scalar(tx, COUNT, params)?.unwrap_or(0))
}

fn add(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    identity: IdentityId,
    new: &NewSubscription,
    now: TimeMs,
) -> Result<Subscription, StoreError> {
    let id = tx.context.entropy.uuid();
    let mut subscription = Subscription {
        no: SubscriptionNo(0),
        id: id.into(),
        owner: new.owner,
        identity_id: identity,
        url: new.url.clone(),
        event_types: new.event_types.clone(),
        context_config: new.context_config.clone(),
        auth_token: new.auth_token.clone(),
        delivery: new.delivery.clone(),
        paused: None,
        health: HealthView::default(),
        created_at: now,
        updated_at: now,
    };
    let url = urls::intern(tx, &new.url.given)?;
    let token = seal_token(tx, organization, &subscription)?;
    let no = tx.insert(
        ADD,
        params![
            id.as_bytes(),
            organization.0,
            identity.as_uuid().into_bytes(),
            owner::kind_code(new.owner.kind()),
            new.owner.uuid().into_bytes(),
            url.0,
            new.url.normalized,
            types_text(&new.event_types)?,
            context_text(&subscription)?,
            token,
            now.0,
            delivery_text(&subscription)?
        ],
    )?;
    subscription.no = SubscriptionNo(no);
    for event_type in new.event_types.iter() {
        add_type(tx, subscription.no, event_type)?;
    }
    ordering::set_ordering(tx, subscription.no, subscription.delivery.ordering)?;
    Ok(subscription)
}

/// From now on events of this type match. What was accepted before does not, also if the type was selected
/// then: nothing that was cancelled comes back.
pub(super) fn add_type(
    tx: &Tx<'_>,
    subscription: SubscriptionNo,
    event_type: EventType,
) -> Result<(), StoreError> {
    let since = if tx.context.faults.has(Bug::TypeRevives) { Seq(0) } else { tx.last_seq()? };
    tx.run(ADD_TYPE, params![subscription.0, event_type.code(), since.0])?;
    Ok(())
}

/// The auth token as it is stored: it opens in this row only.
pub(super) fn seal_token(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    subscription: &Subscription,
) -> Result<Option<Vec<u8>>, StoreError> {
    let place = Place::auth_token(organization, subscription.id.as_uuid());
    let token = subscription.auth_token.as_ref();
    let sealed = token.map(|token| tx.context.sealer.seal(&tx.context.entropy, place, token));
    Ok(sealed.transpose()?)
}

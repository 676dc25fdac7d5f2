//! Changing a subscription's settings, holding it and letting it go on.

use inkhook_wire::id::SubscriptionId;

use super::create::{add_type, lock_identity, seal_token};
use super::{Stored, collides, context_text, delivery_text, find, types_text};
use crate::domain::caller::Scope;
use crate::domain::subscription::{EventTypesRefusal, PauseReason, Subscription, SubscriptionChange};
use crate::store::error::StoreError;
use crate::store::sql::params;
use crate::store::writer::{Hold, Tx};
use crate::store::{Store, cancel, context, heads, health, ordering, rows, urls};

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchSubscription {
    /// As it is now, changed or as it was.
    Patched(Box<Subscription>),
    /// Not there, deleted, or not for this scope to know.
    NotFound,
    /// The types do not fit the owner.
    Refused(EventTypesRefusal),
    /// Another active subscription of the identity sends some of these types to this URL.
    Duplicate,
}

const WRITE: &str = "UPDATE subscriptions SET url = $2, url_normalized = $3, event_types = $4,
    context_config = $5, auth_token = $6, generation = $7, updated_ms = $8,
    delivery = $9 WHERE no = $1";
const REMOVE_TYPE: &str = "DELETE FROM subscription_types WHERE subscription = $1 AND event_type = $2";
const PAUSE: &str = "UPDATE subscriptions SET paused_ms = $2, pause_reason = $3, generation = $4,
    updated_ms = $2 WHERE no = $1";
const RELEASE: &str = "UPDATE subscriptions SET paused_ms = NULL, pause_reason = NULL, not_before_ms = 0,
    generation = $2, updated_ms = $3 WHERE no = $1";
const RETRIES: &str = "SELECT 1 FROM queue WHERE subscription = $1 AND class = 2 LIMIT 1";

impl Store {
    /// Changes what is given. A change that leaves everything as it is writes nothing.
    pub async fn patch_subscription(
        &self,
        scope: Scope,
        id: SubscriptionId,
        change: SubscriptionChange,
    ) -> Result<PatchSubscription, StoreError> {
        self.change(move |tx| patch(tx, scope, id, &change)).await
    }

    /// Holds what is queued and what comes, until [`Store::resume_subscription`] or a new URL. Once it is
    /// answered no attempt starts but those made by hand. `None`: not there.
    pub async fn pause_subscription(
        &self,
        scope: Scope,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        self.change(move |tx| {
            let stored = find_held(tx, scope, id)?;
            stored.map(|stored| pause(tx, stored)).transpose()
        })
        .await
    }

    /// Makes everything that waits due, whatever held it back: it drains. One that is failing and not paused
    /// is probed at once instead. `None`: not there.
    pub async fn resume_subscription(
        &self,
        scope: Scope,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        self.change(move |tx| {
            let stored = find_held(tx, scope, id)?;
            stored.map(|stored| resume(tx, stored)).transpose()
        })
        .await
    }
}

/// The subscription, which stays as it is until the end of the transaction.
pub(super) fn find_held(
    tx: &mut Tx<'_>,
    scope: Scope,
    id: SubscriptionId,
) -> Result<Option<Stored>, StoreError> {
    let find = |tx: &mut Tx<'_>| find(tx, &tx.context.sealer, scope, id);
    tx.held(Hold::Alone, find, |stored| stored.subscription.no)
}

fn patch(
    tx: &mut Tx<'_>,
    scope: Scope,
    id: SubscriptionId,
    change: &SubscriptionChange,
) -> Result<PatchSubscription, StoreError> {
    let Some(before) = find_held(tx, scope, id)? else {
        return Ok(PatchSubscription::NotFound);
    };
    let mut after = change.clone().applied(before.subscription.clone());
    if let Err(refusal) = after.event_types.check_owner(after.owner.kind()) {
        return Ok(PatchSubscription::Refused(refusal));
    }
    if after == before.subscription {
        return Ok(PatchSubscription::Patched(Box::new(after)));
    }
    lock_identity(tx, after.identity_id)?;
    if collides(tx, after.identity_id.as_uuid(), &after.url, &after.event_types, after.no)? {
        return Ok(PatchSubscription::Duplicate);
    }
    write(tx, &before, &mut after)?;
    Ok(PatchSubscription::Patched(Box::new(after)))
}

fn write(tx: &mut Tx<'_>, before: &Stored, after: &mut Subscription) -> Result<(), StoreError> {
    let no = after.no;
    let is_new_url = after.url.given != before.subscription.url.given;
    let is_new_token = after.auth_token != before.subscription.auth_token;
    let added: Vec<_> = after.event_types.without(&before.subscription.event_types).collect();
    let removed: Vec<_> = before.subscription.event_types.without(&after.event_types).collect();
    let is_new_delivery = after.delivery != before.subscription.delivery;
    let must_be_noticed = is_new_url || is_new_token || is_new_delivery || !removed.is_empty();
    let generation = before.generation + u64::from(must_be_noticed);
    after.updated_at = tx.context.clock.wall();
    tx.run(
        WRITE,
        params![
            no.0,
            urls::intern(tx, &after.url.given)?.0,
            after.url.normalized,
            types_text(&after.event_types)?,
            context_text(after)?,
            seal_token(tx, before.organization, after)?,
            generation,
            after.updated_at.0,
            delivery_text(after)?
        ],
    )?;
    tx.memory.forget_target(no);
    for event_type in added {
        add_type(tx, no, event_type)?;
    }
    for event_type in &removed {
        tx.run(REMOVE_TYPE, params![no.0, event_type.code()])?;
    }
    if !removed.is_empty() {
        cancel::note(tx, no)?;
    }
    if after.delivery.ordering != before.subscription.delivery.ordering {
        ordering::set_ordering(tx, no, after.delivery.ordering)?;
    }
    if after.asks_for_context() != before.subscription.asks_for_context() {
        context::setting_changed(tx, no, after.identity_id, after.asks_for_context())?;
    }
    if after.delivery.max_per_second != before.subscription.delivery.max_per_second {
        // What waits was put off by the old rate.
        heads::open_all(tx, no)?;
    }
    if is_new_url {
        // Whatever was wrong with the old one says nothing about the new one.
        after.health = health::moved(tx, no)?;
        release(tx, after, generation)?;
    }
    if must_be_noticed {
        tx.raise_generation(no, generation);
    }
    Ok(())
}

fn pause(tx: &mut Tx<'_>, stored: Stored) -> Result<Subscription, StoreError> {
    let mut subscription = stored.subscription;
    if subscription.paused.is_some() {
        return Ok(subscription);
    }
    let (now, generation) = (tx.context.clock.wall(), stored.generation + 1);
    health::paused_by_hand(tx, subscription.no)?;
    tx.run(PAUSE, params![subscription.no.0, now.0, PauseReason::ByHand.as_str(), generation])?;
    tx.raise_generation(subscription.no, generation);
    subscription.paused = Some((now, PauseReason::ByHand));
    subscription.updated_at = now;
    Ok(subscription)
}

fn resume(tx: &mut Tx<'_>, stored: Stored) -> Result<Subscription, StoreError> {
    let mut subscription = stored.subscription;
    if !stored.is_held && rows::scalar::<i64>(tx, RETRIES, params![subscription.no.0])?.is_none() {
        return Ok(subscription);
    }
    let generation = stored.generation + 1;
    subscription.updated_at = tx.context.clock.wall();
    subscription.health = health::resumed(tx, subscription.no)?;
    release(tx, &mut subscription, generation)?;
    tx.raise_generation(subscription.no, generation);
    Ok(subscription)
}

/// Nothing holds it back any more.
fn release(tx: &mut Tx<'_>, subscription: &mut Subscription, generation: u64) -> Result<(), StoreError> {
    tx.run(RELEASE, params![subscription.no.0, generation, subscription.updated_at.0])?;
    subscription.paused = None;
    heads::open_all(tx, subscription.no)
}

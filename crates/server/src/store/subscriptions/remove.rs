//! Deleting subscriptions.
//!
//! A delete is the same few statements however much is queued: the row's status says that everything in
//! the queue is cancelled, the raised generation stops what is prepared, and a note tells the janitor.

use inkhook_wire::id::{IdentityId, SubscriptionId};

use super::change::find_held;
use crate::domain::caller::Scope;
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::domain::owner::{self, Owner};
use crate::store::error::StoreError;
use crate::store::faults::Bug;
use crate::store::sql::params;
use crate::store::writer::{Hold, Tx};
use crate::store::{Store, cancel, heads, health, recover, rows};

const DELETE: &str = "UPDATE subscriptions SET status = 'deleted', auth_token = NULL, generation = $2,
    updated_ms = $3, deleted_ms = $3 WHERE no = $1";
const GENERATION: &str = "SELECT generation FROM subscriptions WHERE no = $1 AND status = 'active'";
const OF_IDENTITY: &str = "SELECT no, generation FROM subscriptions
    WHERE identity_id = $1 AND organization_id = $2 AND status = 'active'";
const OF_OWNER: &str = "SELECT no, generation FROM subscriptions
    WHERE owner_id = $1 AND owner_kind = $2 AND status = 'active'";

impl Store {
    /// Deletes a subscription; false: not there, deleted already, or not for this scope to know. Once it
    /// is answered no request of this subscription starts, and what was queued is cancelled.
    pub async fn delete_subscription(&self, scope: Scope, id: SubscriptionId) -> Result<bool, StoreError> {
        self.change(move |tx| {
            let Some(stored) = find_held(tx, scope, id)? else { return Ok(false) };
            delete(tx, stored.subscription.no, stored.generation)?;
            Ok(true)
        })
        .await
    }
}

/// Deletes the subscriptions of an identity that goes; 20 each of it, its mailbox and its number at most.
pub(in crate::store) fn delete_of_identity(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    identity: IdentityId,
) -> Result<(), StoreError> {
    let params = params![identity.as_uuid().into_bytes(), organization.0];
    let found = rows::all(tx, OF_IDENTITY, params, |row| Ok((SubscriptionNo(row.get(0)?), row.get(1)?)))?;
    delete_all(tx, found)
}

/// Deletes the subscriptions of a phone number or mailbox that goes; 20 at most. Those made for its
/// identity stay.
pub(in crate::store) fn delete_of_owner(tx: &mut Tx<'_>, owner: Owner) -> Result<(), StoreError> {
    let params = params![owner.uuid().into_bytes(), owner::kind_code(owner.kind())];
    let found = rows::all(tx, OF_OWNER, params, |row| Ok((SubscriptionNo(row.get(0)?), row.get(1)?)))?;
    delete_all(tx, found)
}

/// Deletes these, each as it is when it is held.
fn delete_all(tx: &mut Tx<'_>, mut found: Vec<(SubscriptionNo, u64)>) -> Result<(), StoreError> {
    found.sort_unstable();
    for (no, generation) in found {
        tx.hold(no, Hold::Alone)?;
        let current =
            if tx.is_shared() { rows::scalar(tx, GENERATION, params![no.0])? } else { Some(generation) };
        if let Some(generation) = current {
            delete(tx, no, generation)?;
        }
    }
    Ok(())
}

fn delete(tx: &mut Tx<'_>, no: SubscriptionNo, generation: u64) -> Result<(), StoreError> {
    let generation = generation + 1;
    tx.run(DELETE, params![no.0, generation, tx.context.clock.wall().0])?;
    heads::remove_all(tx, no)?;
    if !tx.context.faults.has(Bug::CancelForgotten) {
        cancel::note(tx, no)?;
    }
    recover::cancel_of(tx, no)?;
    health::forget(tx, no);
    // Perhaps nobody asks for its identity's contexts any more.
    tx.memory.forget_identities();
    tx.raise_generation(no, generation);
    Ok(())
}

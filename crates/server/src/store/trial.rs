//! Trying a subscription: an event that is made for it alone, and the one delivery of it.
//!
//! Both have the same acceptance number, and the delivery is of class manual: no other delivery is like that,
//! so a test is known for one wherever it is looked at, without a column that every event would have to have.

use inkhook_wire::id::{IdentityId, RequestId, SubscriptionId};

use super::accept::{ADD_EVENT, NewDelivery, NewEvent, enqueue};
use super::error::StoreError;
use super::writer::{Hold, Tx};
use super::{Store, rows};
use crate::domain::caller::Scope;
use crate::domain::delivery::Class;
use crate::domain::number::{DeliveryNo, SubscriptionNo};
use crate::domain::owner;
use crate::store::sql::params;

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// Queued; its attempt will be logged under this delivery.
    Queued(DeliveryNo, RequestId),
    /// No such subscription, or not the caller's.
    NotFound,
    /// The subscription does not select the event's type.
    TypeNotSelected,
}

const FIND: &str = "SELECT no, identity_id FROM subscriptions
    WHERE id = $1 AND organization_id = $2 AND status = 'active' AND (identity_id = $3 OR $3 IS NULL)";
const SELECTS: &str = "SELECT 1 FROM subscription_types WHERE subscription = $1 AND event_type = $2";

impl Store {
    /// Stores the event and queues one attempt of it to this subscription, and to no other.
    pub async fn try_subscription(
        &self,
        scope: Scope,
        subscription: SubscriptionId,
        event: NewEvent,
    ) -> Result<Trial, StoreError> {
        self.change(move |tx| attempt(tx, scope, subscription, &event)).await
    }
}

fn attempt(tx: &mut Tx<'_>, scope: Scope, id: SubscriptionId, event: &NewEvent) -> Result<Trial, StoreError> {
    let (uuid, identity) = (id.as_uuid(), scope.identity.map(|id| id.as_uuid().into_bytes()));
    let params = params![uuid.as_bytes(), scope.organization.0, identity];
    let find = |tx: &mut Tx<'_>| {
        rows::optional(tx, FIND, params, |row| {
            Ok((SubscriptionNo(row.get("no")?), rows::id::<IdentityId>(row, "identity_id")?))
        })
    };
    let found = tx.held(Hold::Shared, find, |(subscription, _)| *subscription)?;
    let Some((subscription, identity)) = found else { return Ok(Trial::NotFound) };
    if rows::scalar::<i64>(tx, SELECTS, params![subscription.0, event.event_type.code()])?.is_none() {
        return Ok(Trial::TypeNotSelected);
    }
    let (seq, now) = (tx.next_seq()?, tx.context.clock.wall());
    let (event_id, owner_id, identity_id) = (event.id.as_uuid(), event.owner.uuid(), identity.as_uuid());
    tx.write(
        &ADD_EVENT,
        params![
            seq.0,
            event_id.as_bytes(),
            scope.organization.0,
            event.event_type.code(),
            owner::kind_code(event.owner.kind()),
            owner_id.as_bytes(),
            identity_id.as_bytes(),
            now.0,
            None::<i64>,
            1,
            &event.payload[..]
        ],
    )?;
    let delivery = NewDelivery {
        no: DeliveryNo::new(seq, 0),
        organization: scope.organization,
        subscription,
        event: seq,
        event_type: event.event_type,
        class: Class::Manual,
        expires_at: None,
    };
    let request_id = enqueue(tx, &delivery, now)?;
    tx.count_rows(1);
    Ok(Trial::Queued(delivery.no, request_id))
}

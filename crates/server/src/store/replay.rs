//! Replaying: a delivery made by hand for an event that was attempted before.

use inkhook_wire::id::{AttemptId, RequestId};

use super::accept::{NewDelivery, enqueue};
use super::attempts::About;
use super::error::StoreError;
use super::writer::{Hold, Tx};
use super::{Store, attempts, context, rows};
use crate::domain::caller::Scope;
use crate::domain::delivery::Class;
use crate::domain::number::{DeliveryNo, Seq, SubscriptionNo};
use crate::store::sql::params;

/// What became of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// Queued; its attempt will be logged under this delivery.
    Queued(DeliveryNo, RequestId),
    /// No such attempt, or not the caller's.
    NotFound,
    /// Its subscription was deleted.
    SubscriptionDeleted,
    /// Its subscription no longer selects the event's type.
    TypeNotSelected,
    /// The event's `expires_at` passed.
    EventExpired,
    /// It was about a call that was coming in, which was decided then.
    IncomingCall,
}

// A line about a call names no subscription.
const SOURCE: &str = "SELECT a.subscription, a.event_seq, b.delivery FROM attempts a
    LEFT JOIN delivery_bodies b ON b.delivery = a.delivery WHERE a.id = $1 AND a.subscription > 0";

impl Store {
    /// Queues one attempt of the event that this attempt was for, to where its subscription points now.
    pub async fn replay(&self, scope: Scope, attempt: AttemptId) -> Result<Replay, StoreError> {
        self.change(move |tx| replay(tx, scope, attempt)).await
    }
}

fn replay(tx: &mut Tx<'_>, scope: Scope, id: AttemptId) -> Result<Replay, StoreError> {
    let source = |tx: &mut Tx<'_>| {
        rows::optional(tx, SOURCE, params![id.as_uuid().as_bytes()], |row| {
            let own_body = row.get::<_, Option<i64>>(2)?.map(DeliveryNo);
            Ok((SubscriptionNo(row.get(0)?), Seq(row.get(1)?), own_body))
        })
    };
    let source = tx.held(Hold::Shared, source, |(subscription, ..)| *subscription)?;
    let Some(attempt) = attempts::find(tx, scope, id)? else { return Ok(Replay::NotFound) };
    let About::Delivery { subscription_active, type_selected, event_expires_at, .. } = attempt.about else {
        return Ok(Replay::IncomingCall);
    };
    if !subscription_active {
        return Ok(Replay::SubscriptionDeleted);
    }
    if !type_selected {
        return Ok(Replay::TypeNotSelected);
    }
    let now = tx.context.clock.wall();
    if event_expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Ok(Replay::EventExpired);
    }
    let Some((subscription, event, own_body)) = source else { return Ok(Replay::NotFound) };
    // A number of its own: a type that is removed and added again later must not revive it.
    let no = DeliveryNo::new(tx.next_seq()?, 0);
    let delivery = NewDelivery {
        no,
        organization: scope.organization,
        subscription,
        event,
        event_type: attempt.event_type,
        class: Class::Manual,
        expires_at: event_expires_at,
    };
    if let Some(earlier) = own_body {
        context::keep_as(tx, no, earlier)?;
    }
    let request_id = enqueue(tx, &delivery, now)?;
    tx.count_rows(1);
    Ok(Replay::Queued(no, request_id))
}

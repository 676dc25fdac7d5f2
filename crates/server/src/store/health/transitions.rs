//! The one place at which the store tells that a subscription's state has changed.

use super::Transition;
use crate::domain::alert::{AlertDetail, AlertKind};
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::store::alerts::{self, NewAlert};
use crate::store::error::StoreError;
use crate::store::writer::Tx;

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum News {
    /// Its health changed.
    Health(Transition),
    /// So many of its deliveries were held for too long and have ended.
    HeldTooLong(usize),
}

/// Called in the transaction of the change, after it is written.
pub(in crate::store) fn noted(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    subscription: SubscriptionNo,
    news: News,
) -> Result<(), StoreError> {
    tracing::info!(organization = organization.0, subscription = subscription.0, ?news, "subscription");
    let count = if let News::HeldTooLong(count) = news { count } else { 1 };
    let (kind, detail) = match news {
        News::Health(Transition::Failing { failures }) => (
            AlertKind::SubscriptionFailing,
            AlertDetail { consecutive_failures: Some(failures), ..AlertDetail::default() },
        ),
        News::Health(Transition::Recovered { .. }) => {
            (AlertKind::SubscriptionRecovered, AlertDetail::default())
        }
        News::Health(Transition::Paused(reason)) => (
            AlertKind::SubscriptionPaused,
            AlertDetail { reason: Some(reason.as_str().into()), ..AlertDetail::default() },
        ),
        News::HeldTooLong(_) => (
            AlertKind::DeliveryHeldTooLong,
            AlertDetail { reason: Some("held_too_long".into()), ..AlertDetail::default() },
        ),
    };
    alerts::note(tx, NewAlert { organization, subscription, kind, count, event: None, detail })
}

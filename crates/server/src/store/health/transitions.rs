//! The one place at which the store tells that a subscription's state has changed.

use super::Transition;
use crate::domain::number::{OrganizationNo, SubscriptionNo};
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
#[expect(clippy::unnecessary_wraps, reason = "whoever listens writes in the same transaction")]
pub(in crate::store) fn noted(
    _tx: &Tx<'_>,
    organization: OrganizationNo,
    subscription: SubscriptionNo,
    news: News,
) -> Result<(), StoreError> {
    tracing::info!(organization = organization.0, subscription = subscription.0, ?news, "subscription");
    Ok(())
}

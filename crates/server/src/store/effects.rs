//! What a commit has to tell the rest of the process before it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::contact_cache::ContactCache;
use crate::domain::generations::Generations;
use crate::domain::number::{OrganizationNo, SubscriptionNo};

/// Something to do after the commit and before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Attempts prepared under an older generation must not start.
    Generation(SubscriptionNo, u64),
    /// Operational events prepared under an older generation must not be sent.
    Alerts(OrganizationNo, u64),
    /// Cached API keys may be wrong.
    Keys,
    /// Who owns which mailbox, number or name may have changed.
    Names,
    /// An organisation's address book has changed.
    Contacts(OrganizationNo),
}

/// Where effects go.
#[derive(Debug, Clone)]
pub(super) struct Effects {
    pub(super) generations: Arc<Generations>,
    pub(super) keys_epoch: Arc<AtomicU64>,
    pub(super) names_epoch: Arc<AtomicU64>,
    pub(super) contacts: Arc<ContactCache>,
}

impl Effects {
    pub(super) fn apply(&self, effect: Effect) {
        match effect {
            Effect::Generation(subscription, generation) => self.generations.raise(subscription, generation),
            Effect::Alerts(organization, generation) => {
                self.generations.raise_alerts(organization, generation);
            }
            Effect::Keys => {
                self.keys_epoch.fetch_add(1, Ordering::SeqCst);
            }
            Effect::Names => {
                self.names_epoch.fetch_add(1, Ordering::SeqCst);
            }
            Effect::Contacts(organization) => self.contacts.forget(organization),
        }
    }
}

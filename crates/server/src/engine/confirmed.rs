//! Until when a claim on a database that others share counts as it was read: what is older is read again before the
//! first byte is written.
//!
//! Counted by monotonic time, so that a clock that is put right in between makes nothing fresh that is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Parts;
use crate::deliver::send::Confirm;
use crate::domain::alert::ClaimedAlert;
use crate::domain::delivery::Claimed;
use crate::domain::time::TimeMs;
use crate::store::StoreError;

/// How long what was read of a claim counts, where other nodes may change it.
const FRESH_FOR: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Clone)]
pub(super) struct Confirmed {
    /// Monotonic time, in milliseconds; zero when it does not stand.
    until_ms: Arc<AtomicU64>,
    claim: Arc<Claim>,
    parts: Arc<Parts>,
}

/// What was claimed.
enum Claim {
    Delivery(Claimed),
    Alert(ClaimedAlert),
}

impl Claim {
    async fn stands(&self, parts: &Parts) -> Result<bool, StoreError> {
        match self {
            Self::Delivery(claimed) => parts.store.stands(claimed).await,
            Self::Alert(claimed) => parts.store.alert_stands(claimed).await,
        }
    }
}

impl Confirmed {
    /// Nothing where nobody else decides.
    pub(super) fn of(claimed: &Claimed, parts: &Arc<Parts>) -> Option<Self> {
        let claim = || Claim::Delivery(claimed.clone());
        parts.store.is_shared().then(|| Self::new(claim(), claimed.claimed_at, parts))
    }

    /// The same of an operational event.
    pub(super) fn of_alert(claimed: &ClaimedAlert, parts: &Arc<Parts>) -> Option<Self> {
        let claim = || Claim::Alert(claimed.clone());
        parts.store.is_shared().then(|| Self::new(claim(), claimed.claimed_at, parts))
    }

    fn new(claim: Claim, claimed_at: TimeMs, parts: &Arc<Parts>) -> Self {
        // A claim that seems to be of later is of another time, and counts as old.
        let now = parts.clock.schedule();
        let age = if claimed_at > now { FRESH_FOR } else { now.since(claimed_at) };
        let until = (parts.clock.monotonic() + FRESH_FOR).saturating_sub(age);
        let until_ms = Arc::new(AtomicU64::new(millis(until)));
        Self { until_ms, claim: Arc::new(claim), parts: parts.clone() }
    }

    /// Whether it still counts.
    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh_in(Duration::ZERO)
    }

    fn is_fresh_in(&self, time: Duration) -> bool {
        millis(self.parts.clock.monotonic() + time) <= self.until_ms.load(Ordering::SeqCst)
    }

    /// What is asked when the connection is there, if it is to be asked.
    pub(super) fn question(self) -> Confirm {
        Arc::new(move || {
            // A moment sooner than it must be: the write comes a moment later.
            if self.is_fresh_in(FRESH_FOR / 4) {
                return None;
            }
            let this = self.clone();
            Some(Box::pin(async move {
                let asked_at = this.parts.clock.monotonic();
                let until = match this.claim.stands(&this.parts).await {
                    Ok(true) => millis(asked_at + FRESH_FOR),
                    // Not sent; whoever prepares it anew finds out why.
                    Ok(false) => 0,
                    Err(error) => {
                        tracing::warn!(%error, "a claim could not be confirmed");
                        0
                    }
                };
                this.until_ms.store(until, Ordering::SeqCst);
            }))
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

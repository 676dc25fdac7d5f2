//! Until when a claim on a database that others share counts as it was read: what is older is read again before the
//! first byte is written.
//!
//! Counted by monotonic time, so that a clock that is put right in between makes nothing fresh that is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Parts;
use crate::deliver::send::Confirm;
use crate::domain::delivery::Claimed;

/// How long what was read of a claim counts, where other nodes may change it.
const FRESH_FOR: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Clone)]
pub(super) struct Confirmed {
    /// Monotonic time, in milliseconds; zero when it does not stand.
    until_ms: Arc<AtomicU64>,
    claimed: Arc<Claimed>,
    parts: Arc<Parts>,
}

impl Confirmed {
    pub(super) fn of(claimed: &Claimed, parts: &Arc<Parts>) -> Self {
        // A claim that seems to be of later is of another time, and counts as old.
        let now = parts.clock.schedule();
        let age = if claimed.claimed_at > now { FRESH_FOR } else { now.since(claimed.claimed_at) };
        let until = (parts.clock.monotonic() + FRESH_FOR).saturating_sub(age);
        let until_ms = Arc::new(AtomicU64::new(millis(until)));
        Self { until_ms, claimed: Arc::new(claimed.clone()), parts: parts.clone() }
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
                let until = match this.parts.store.stands(&this.claimed).await {
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

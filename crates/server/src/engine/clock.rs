//! Keeps schedule time with wall time: a clock that was put right, or a machine that slept, would otherwise have
//! everything due too soon or too late until the next start. On a database that others share a node does so only while
//! the database confirms its clock ([`super::nodes`]): one that is wrong must not make leases seem over.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::time::Clock;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);

/// Looks until the soft stop.
pub async fn follow_wall(clock: Clock, soft: CancellationToken) {
    while !soft.is_cancelled() {
        follow(&clock);
        tokio::select! {
            () = soft.cancelled() => {}
            () = pause(EVERY) => {}
        }
    }
}

/// Looks once.
pub(super) fn follow(clock: &Clock) {
    if let Some(by_ms) = clock.follow_wall() {
        tracing::warn!(by_ms, "the clock has moved, and what is due when with it");
    }
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

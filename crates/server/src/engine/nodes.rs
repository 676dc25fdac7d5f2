//! What a node does to be one of several: it says that it is there, learns how many are, and keeps an eye on its
//! clock. Only for a database that others may share.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::slots::Slots;
use crate::store::Store;
use crate::store::nodes::CLOCK_BOUND;

/// How often it says so. Cached API keys that were revoked elsewhere are refused after so long at the latest.
const EVERY: Duration = Duration::from_millis(500);
/// Whoever looks for lost attempts does so this often.
const LOOK_EVERY: u32 = 60;

/// Says so until the soft stop, and then that it has gone.
pub async fn run(store: Store, slots: Slots, name: String, soft: CancellationToken) {
    let mut beats = 0_u32;
    while !soft.is_cancelled() {
        beat(&store, &slots, &name).await;
        beats = beats.wrapping_add(1);
        if beats.is_multiple_of(LOOK_EVERY)
            && let Err(error) = store.close_left_open().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "lost attempts could not be looked for");
        }
        tokio::select! {
            () = soft.cancelled() => {}
            () = pause() => {}
        }
    }
    if let Err(error) = store.leave().await {
        tracing::debug!(error = &error as &dyn std::error::Error, "the other nodes find out by themselves");
    }
}

/// Once; tests call it by hand.
pub async fn beat(store: &Store, slots: &Slots, name: &str) {
    let metrics = store.metrics();
    match store.beat(name.to_owned()).await {
        Ok(Some(beat)) => {
            if slots.shared_among() != beat.live {
                tracing::info!(nodes = beat.live, "the bounds are shared among so many nodes now");
            }
            slots.share_among(beat.live);
            metrics.nodes.set(i64::try_from(beat.live).unwrap_or(i64::MAX));
            metrics.clock_offset_ms.set(beat.offset_ms);
            if Duration::from_millis(beat.offset_ms.unsigned_abs()) > CLOCK_BOUND {
                tracing::error!(
                    offset_ms = beat.offset_ms,
                    "this node's clock is too far from the database's: nothing is claimed until it is right"
                );
            }
        }
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "this node could not say that it is there"
            );
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait")]
async fn pause() {
    tokio::time::sleep(EVERY).await;
}

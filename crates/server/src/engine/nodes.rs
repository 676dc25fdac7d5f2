//! What a node does to be one of several: it says that it is there, learns how many are, and keeps an eye on its
//! clock. Only for a database that others may share.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::slots::Slots;
use crate::store::nodes::CLOCK_BOUND;
use crate::store::{RemoteBell, Store};
use crate::wake::Bells;

/// How often it says so. Cached API keys that were revoked elsewhere are refused after so long at the latest.
const EVERY: Duration = Duration::from_millis(500);
/// Other nodes hear a bell this often at most.
const RING_EVERY: Duration = Duration::from_millis(20);
/// After so many beats it looks for lost attempts, and counts what waits.
const LOOK_EVERY: u32 = 60;

/// Says so until the soft stop, and then that it has gone.
pub async fn run(store: Store, slots: Slots, name: String, soft: CancellationToken) {
    let mut beats = 0_u32;
    while !soft.is_cancelled() {
        beat(&store, &slots, &name).await;
        if beats.is_multiple_of(LOOK_EVERY)
            && let Err(error) = store.recount_backlog().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "what waits could not be counted");
        }
        beats = beats.wrapping_add(1);
        if beats.is_multiple_of(LOOK_EVERY)
            && let Err(error) = store.close_left_open().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "lost attempts could not be looked for");
        }
        tokio::select! {
            () = soft.cancelled() => {}
            () = pause(EVERY) => {}
        }
    }
    if let Err(error) = store.leave().await {
        tracing::debug!(error = &error as &dyn std::error::Error, "the other nodes find out by themselves");
    }
}

/// Passes bells on to the other nodes, and theirs on to this one, until the soft stop.
pub async fn pass_on_bells(store: Store, bells: Bells, soft: CancellationToken) {
    while !soft.is_cancelled() {
        match store.remote_bell().await {
            Ok(Some(remote)) => pass_on(remote, &bells, &soft).await,
            Ok(None) => return,
            Err(error) => tracing::debug!(%error, "the other nodes' bells cannot be heard"),
        }
        tokio::select! {
            () = soft.cancelled() => {}
            () = pause(EVERY) => {}
        }
    }
}

/// Until the connection ends.
async fn pass_on(mut remote: RemoteBell, bells: &Bells, soft: &CancellationToken) {
    let (mut queued, mut ended) = (bells.queued.listen(), bells.ended.listen());
    loop {
        tokio::select! {
            () = soft.cancelled() => return,
            heard = remote.rung() => {
                if !heard {
                    return;
                }
                bells.queued.ring();
                bells.ended.ring();
                // What was passed on to here does not go back.
                (queued, ended) = (bells.queued.listen(), bells.ended.listen());
                continue;
            }
            () = queued.rung() => {}
            () = ended.rung() => {}
        }
        if remote.ring().await.is_err() {
            return;
        }
        // However often it is rung here, the others need not hear it more often.
        pause(RING_EVERY).await;
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
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

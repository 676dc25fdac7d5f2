//! What a node does to be one of several: it says that it is there, learns how many are, and keeps an eye on its
//! clock. Only for a database that others may share.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::clock;
use crate::domain::slots::Slots;
use crate::domain::time::{Clock, TimeMs};
use crate::store::error::StoreError;
use crate::store::nodes::GONE_AFTER;
use crate::store::{RemoteBell, Store};
use crate::wake::Bells;

/// How often it says so. Cached API keys that were revoked elsewhere are refused after so long at the latest.
const EVERY: Duration = Duration::from_millis(500);
/// How often a node that is new looks whether the others have counted it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// It looks no longer than this: who is gone does not count after half of it, unless the server's clock went back.
const LOOK_FOR: Duration = GONE_AFTER.saturating_mul(2);
/// Of what others had under way beyond their part when they counted it, all but what is slow has ended after this.
const GIVEN_UP_IN: Duration = Duration::from_millis(100);
/// Other nodes hear a bell this often at most.
const RING_EVERY: Duration = Duration::from_millis(20);
/// How often it has the server look again at what that believes to be empty.
const REFRESH_EVERY: Duration = Duration::from_secs(3);
/// After so many times it looks for lost attempts, and counts what waits.
const LOOK_EVERY: u32 = 10;

/// This node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it says that it is there.
    pub store: Store,
    /// Its time.
    pub clock: Clock,
    /// What it shares with the others.
    pub slots: Slots,
    /// What the machine calls itself.
    pub name: String,
    /// Whether it takes a part of the bounds.
    pub delivers: bool,
}

impl Node {
    /// Says for the first time that it is there. Until that has worked nothing is claimed: a node that does not know
    /// whether its clock is right must not take other nodes' leases for over.
    pub async fn join(&self) {
        self.store.claim_nothing();
        self.beat().await;
    }

    /// Resolves when all the others share the bounds with this node: until then they may claim more than their
    /// part. A busy node may take its time for that; one that is gone soon does not count any more.
    pub async fn noticed(self) {
        let joined_at = self.joined_at().await;
        let noticed = async {
            self.counted_after(joined_at).await;
            // A node counts, goes by what it has counted, and only then counts again.
            self.counted_after(self.joined_at().await).await;
        };
        if tokio::time::timeout(LOOK_FOR, noticed).await.is_err() {
            tracing::warn!(
                "not every other node says that it has counted this one, which begins nevertheless"
            );
        }
        if self.slots.shared_among() > 1 {
            pause(GIVEN_UP_IN).await;
        }
    }

    /// A time of the server's at which it is known to be there.
    async fn joined_at(&self) -> TimeMs {
        loop {
            match self.store.joined_at().await {
                Ok(Some(joined_at)) => return joined_at,
                Ok(None) => pause(LOOK_AGAIN).await,
                // Its beats say so.
                Err(_) => pause(EVERY).await,
            }
        }
    }

    /// Resolves when all the others have counted the nodes after this time of the server's.
    async fn counted_after(&self, time: TimeMs) {
        loop {
            match self.store.is_noticed(time).await {
                Ok(true) => return,
                Ok(false) => pause(LOOK_AGAIN).await,
                Err(_) => pause(EVERY).await,
            }
        }
    }

    /// Says that it is there until nothing is under way here any more, and then that it has gone: others do not take
    /// over its part of the bounds before.
    pub async fn run(self, over: CancellationToken) {
        while !over.is_cancelled() {
            self.beat().await;
            tokio::select! {
                () = over.cancelled() => {}
                () = pause(EVERY) => {}
            }
        }
        if let Err(error) = self.store.leave().await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the other nodes find out by themselves"
            );
        }
    }

    /// Says so once.
    async fn beat(&self) {
        let metrics = self.store.metrics();
        match self.store.beat(self.name.clone(), self.delivers).await {
            Ok(Some(beat)) => {
                if self.slots.shared_among() != beat.live {
                    tracing::info!(nodes = beat.live, "the bounds are shared among so many nodes now");
                }
                self.slots.share_among(beat.live);
                metrics.nodes.set(i64::try_from(beat.live).unwrap_or(i64::MAX));
                metrics.clock_offset_ms.set(beat.offset_ms);
                if beat.is_wall_right() {
                    clock::follow(&self.clock);
                }
                if beat.is_clock_off() == Some(true) {
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
}

/// Does until the soft stop what some node must do now and then. However long it takes, the others hear of this
/// one meanwhile.
pub async fn keep_house(store: Store, soft: CancellationToken) {
    let failed = |error: StoreError, what| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            what,
            "a node's chore failed and is tried again later"
        );
    };
    let mut turns = 0_u32;
    while !soft.is_cancelled() {
        if turns.is_multiple_of(LOOK_EVERY)
            && let Err(error) = store.recount_backlog().await
        {
            failed(error, "counting what waits");
        }
        if let Err(error) = store.refresh_statistics().await {
            failed(error, "refreshing statistics");
        }
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(LOOK_EVERY)
            && let Err(error) = store.close_left_open().await
        {
            failed(error, "looking for lost attempts");
        }
        tokio::select! {
            () = soft.cancelled() => {}
            () = pause(REFRESH_EVERY) => {}
        }
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

#[expect(clippy::disallowed_methods, reason = "a loop's wait")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

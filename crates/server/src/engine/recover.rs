//! The loop that gets recover jobs on: one chunk of each in turn, until all of them have to wait.
//!
//! Everything that a job is lives in its row; a restart goes on with the next chunk. Chunks wait behind
//! everything else that is to be written, and what they queue waits behind live deliveries.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::number::SubscriptionNo;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::recover::Progress;
use crate::wake::Bells;

/// Looks for jobs at least this often; a bell makes it sooner.
const POLL: Duration = Duration::from_secs(5);
/// Looks this often whether what a job has queued has been sent.
const DRAIN_POLL: Duration = Duration::from_millis(250);

/// Gets jobs on until the soft stop.
pub async fn run(store: Store, bells: Bells, soft: CancellationToken) {
    let mut bell = bells.tidy.listen();
    while !soft.is_cancelled() {
        let wait = match get_on(&store, &bells, &soft).await {
            Ok(true) => DRAIN_POLL,
            Ok(false) => POLL,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "recovering failed");
                POLL
            }
        };
        tokio::select! {
            () = soft.cancelled() => {}
            () = bell.rung() => {}
            () = pause(wait) => {}
        }
    }
}

/// Round after round over the running jobs until none gets on; whether one waits for what it has queued.
/// Tests call it by hand.
///
/// # Errors
/// The store could not be written.
pub async fn get_on(store: &Store, bells: &Bells, soft: &CancellationToken) -> Result<bool, StoreError> {
    loop {
        let (mut advanced, mut full) = (false, false);
        let mut after = SubscriptionNo(0);
        while let Some((subscription, progress)) = step(store, after).await? {
            if soft.is_cancelled() {
                return Ok(false);
            }
            advanced |= progress == Progress::Advanced;
            full |= progress == Progress::Full;
            if progress != Progress::Full {
                bells.queued.ring();
            }
            after = subscription;
        }
        if !advanced {
            return Ok(full);
        }
    }
}

/// One chunk. A job whose events cannot be read fails, and holds nobody else up.
async fn step(
    store: &Store,
    after: SubscriptionNo,
) -> Result<Option<(SubscriptionNo, Progress)>, StoreError> {
    match store.recover_chunk(after).await {
        Err(error @ StoreError::Corrupt(_)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a recover job cannot go on");
            let failed = store.fail_recover(after).await?;
            Ok(failed.map(|subscription| (subscription, Progress::Ended)))
        }
        result => result,
    }
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait, always beside a bell")]
async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}

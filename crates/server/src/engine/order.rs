//! The loop that keeps conversations going where no delivery's end does: holds that are over, parked
//! deliveries that have expired, subscriptions whose order was turned off.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::Store;
use crate::store::error::StoreError;
use crate::wake::Bells;

/// Looks at least this often, and a hold may last longer by as much; a bell makes it sooner.
const POLL: Duration = Duration::from_secs(5);

/// Keeps the order until the soft stop.
pub async fn run(store: Store, bells: Bells, soft: CancellationToken) {
    let mut bell = bells.tidy.listen();
    while !soft.is_cancelled() {
        match keep(&store, &bells, &soft).await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "keeping the order failed");
            }
        }
        tokio::select! {
            () = soft.cancelled() => {}
            () = bell.rung() => {}
            () = pause() => {}
        }
    }
}

/// Chunk after chunk until nothing is left; tests call it by hand.
///
/// # Errors
/// The store could not be written.
pub async fn keep(store: &Store, bells: &Bells, soft: &CancellationToken) -> Result<(), StoreError> {
    while !soft.is_cancelled() {
        let kept = store.keep_order_chunk().await?;
        if kept.queued {
            bells.queued.ring();
        }
        if !kept.more {
            break;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait, always beside a bell")]
async fn pause() {
    tokio::time::sleep(POLL).await;
}

//! The janitor: writes what deletes and narrowed subscriptions left to be written, and forgets what was
//! remembered only for a time. [`held`] ends what paused subscriptions held for too long.

pub mod held;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::time::Clock;
use crate::store::Store;
use crate::store::cancel::Tidied;
use crate::store::error::StoreError;
use crate::wake::Bells;

/// Looks for work at least this often; a bell makes it sooner.
const POLL: Duration = Duration::from_secs(5);

/// Tidies up until the soft stop.
pub async fn run(store: Store, clock: Clock, hold: Duration, bells: Bells, soft: CancellationToken) {
    let mut bell = bells.tidy.listen();
    while !soft.is_cancelled() {
        let tidied = async {
            tidy_up(&store, &clock, &soft).await?;
            held::end_held(&store, &clock, hold, &soft).await
        };
        match tidied.await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "tidying up failed"),
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
pub async fn tidy_up(store: &Store, clock: &Clock, soft: &CancellationToken) -> Result<(), StoreError> {
    while !soft.is_cancelled() && store.cancel_chunk().await? == Tidied::More {}
    while !soft.is_cancelled() && store.forget_chunk(clock.wall()).await? == Tidied::More {}
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait, always beside a bell")]
async fn pause() {
    tokio::time::sleep(POLL).await;
}

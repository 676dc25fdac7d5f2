//! The janitor: writes what deletes and narrowed subscriptions left to be written, and forgets what was
//! remembered only for a time. [`held`] ends what paused subscriptions held for too long.

pub mod held;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::time::Clock;
use crate::store::Store;
use crate::store::cancel::Tidied;
use crate::store::error::StoreError;
use crate::store::sweep::SweepPlace;
use crate::wake::Bells;

/// Looks for work at least this often; a bell makes it sooner.
const POLL: Duration = Duration::from_secs(5);
/// Queue heads are looked at this often.
const SWEEP: Duration = Duration::from_secs(30);

/// Tidies up until the soft stop.
pub async fn run(store: Store, clock: Clock, hold: Duration, bells: Bells, soft: CancellationToken) {
    let mut bell = bells.tidy.listen();
    let mut sweep_at = clock.schedule().after(SWEEP);
    while !soft.is_cancelled() {
        let mut tidied = tidy_up(&store, &clock, &soft).await;
        if tidied.is_ok() {
            tidied = held::end_held(&store, &clock, hold, &soft).await;
        }
        if tidied.is_ok() && sweep_at <= clock.schedule() {
            tidied = sweep(&store, &soft).await;
            sweep_at = clock.schedule().after(SWEEP);
        }
        match tidied {
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

/// Looks once at every queue head.
///
/// # Errors
/// The store could not be read or written.
pub async fn sweep(store: &Store, soft: &CancellationToken) -> Result<(), StoreError> {
    let mut place = Some(SweepPlace::default());
    while let Some(from) = place.filter(|_| !soft.is_cancelled()) {
        place = store.sweep_heads(from).await?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait, always beside a bell")]
async fn pause() {
    tokio::time::sleep(POLL).await;
}

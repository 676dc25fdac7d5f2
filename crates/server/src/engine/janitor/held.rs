//! Ends what paused subscriptions have held for too long.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::time::{Clock, TimeMs};
use crate::store::Store;
use crate::store::error::StoreError;

/// Chunk after chunk until nothing is left that has been held for `hold` or longer; tests call it by hand.
///
/// # Errors
/// The store could not be read or written.
pub async fn end_held(
    store: &Store,
    clock: &Clock,
    hold: Duration,
    soft: &CancellationToken,
) -> Result<(), StoreError> {
    let hold_ms = i64::try_from(hold.as_millis()).unwrap_or(i64::MAX);
    let cutoff = TimeMs(clock.wall().0.saturating_sub(hold_ms));
    while !soft.is_cancelled() && store.end_held_chunk(cutoff).await? > 0 {}
    Ok(())
}

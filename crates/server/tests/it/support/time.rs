//! The tests' one clock and their one way to let time pass.

use std::time::{Duration, Instant};

/// The longest that anything here lets pass at once.
const LONGEST: Duration = Duration::from_secs(30);
/// How often [`until`] looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Now, on the clock of this process.
#[expect(clippy::disallowed_methods, reason = "what another process does is judged by this clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets time pass: for receivers that are slow and for moments that are random, never to wait for something.
#[expect(clippy::disallowed_methods, reason = "slowness is what these tests are about")]
pub async fn pass(time: Duration) {
    tokio::time::sleep(time.min(LONGEST)).await;
}

/// Looks until there is something to see, for as long as `patience` lasts.
pub async fn until<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            pass(LOOK_EVERY).await;
        }
    };
    let found = tokio::time::timeout(patience, looking).await;
    found.unwrap_or_else(|_| panic!("waited {patience:?} in vain for {what}"))
}

//! The clock that a server is given.
//!
//! Only a build with the feature `failpoints` looks at the variable `FAILPOINTS`, which names a directory, and at the
//! file `clock_ms` in it: by so many milliseconds the clock is ahead, from the start on and whenever the file changes.

use crate::domain::time::Clock;

/// The machine's.
#[cfg(not(feature = "failpoints"))]
pub(super) fn system() -> Clock {
    Clock::system()
}

/// The machine's, or one that is wrong.
#[cfg(feature = "failpoints")]
pub(super) fn system() -> Clock {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    let Some(directory) = std::env::var_os("FAILPOINTS") else { return Clock::system() };
    let file = std::path::PathBuf::from(directory).join("clock_ms");
    let told = move || std::fs::read_to_string(&file).ok()?.trim().parse().ok();
    let ahead_ms = Arc::new(AtomicI64::new(told().unwrap_or(0)));
    let clock = Clock::ahead_by(ahead_ms.clone());
    tokio::spawn(async move {
        loop {
            pause().await;
            if let Some(told) = told() {
                ahead_ms.store(told, Ordering::SeqCst);
            }
        }
    });
    clock
}

#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "a loop's wait")]
async fn pause() {
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
}

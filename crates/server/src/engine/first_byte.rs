//! A note of every first byte, for the tests that freeze a process.
//!
//! Only a build with the feature `failpoints` looks at the variable `FAILPOINTS`, which names a directory, and notes
//! first bytes in its file `first_bytes` if that was there at the first of them. In every other build there is nothing
//! here.

use crate::domain::time::{Clock, TimeMs};

#[cfg(feature = "failpoints")]
static DIRECTORY: std::sync::LazyLock<Option<std::path::PathBuf>> =
    std::sync::LazyLock::new(|| std::env::var_os("FAILPOINTS").map(Into::into));

/// A request whose first byte is written while its lease lasts, by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstByte {
    #[cfg(feature = "failpoints")]
    lease_end: std::time::Duration,
}

/// The same when it has been asked whether it may be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    #[cfg(feature = "failpoints")]
    lease_end: std::time::Duration,
    #[cfg(feature = "failpoints")]
    at: std::time::Duration,
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unused_self, reason = "a build for tests has something in it")]
impl FirstByte {
    pub(super) fn expected(_: &Clock, _: TimeMs) -> Self {
        Self {}
    }

    pub(super) fn asked(self, _: &Clock) -> Asked {
        Asked {}
    }
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unused_self, reason = "a build for tests has something in it")]
impl Asked {
    pub(super) fn written(self, _: &Clock) {}
}

#[cfg(feature = "failpoints")]
impl FirstByte {
    pub(super) fn expected(clock: &Clock, lease_until: TimeMs) -> Self {
        // Whatever stops the process between the two makes the lease seem longer than it is by nothing.
        let now = clock.monotonic();
        Self { lease_end: now + lease_until.since(clock.schedule()) }
    }

    pub(super) fn asked(self, clock: &Clock) -> Asked {
        Asked { lease_end: self.lease_end, at: clock.monotonic() }
    }
}

#[cfg(feature = "failpoints")]
impl Asked {
    /// Notes, in microseconds: when it was asked for, when it was written at the latest, when the lease ended.
    pub(super) fn written(self, clock: &Clock) {
        use std::fs::File;
        use std::io::Write;
        use std::sync::LazyLock;

        static NOTES: LazyLock<Option<File>> = LazyLock::new(|| {
            let file = DIRECTORY.as_ref()?.join("first_bytes");
            File::options().append(true).open(file).ok()
        });
        if let Some(mut notes) = NOTES.as_ref() {
            let [asked, written, lease_end] =
                [self.at, clock.monotonic(), self.lease_end].map(|at| at.as_micros());
            // In one piece: several are written at once. A note that is lost would be a first byte that nobody checks.
            let note = format!("{asked} {written} {lease_end}\n");
            if notes.write_all(note.as_bytes()).is_err() {
                std::process::abort();
            }
        }
    }
}

//! Instants at which the crash tests have the process end: as a power cut would, with nothing tidied up.
//!
//! Only a build with the feature `failpoints` looks at the variable `FAILPOINTS`, which names a directory,
//! and ends when it reaches a place whose file is there: the first time, or the time whose number is in the file. In
//! every other build there is nothing here.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` is for tests; a release must not have it");

/// Where the process may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The claim is committed, and nothing has been sent.
    BeforeSend,
    /// A body with a context is made, and nothing of it is stored.
    BodyBuilt,
    /// It is stored, and nothing has been sent.
    BodyKept,
    /// The attempt has ended, and nothing of that is written.
    BeforeSettle,
    /// The file says that it is copied, and the database knows nothing of it.
    CopyBegun,
    /// A chunk's rows are written and not committed.
    CopyInChunk,
    /// A chunk is committed.
    CopyAfterChunk,
    /// The file says that it was moved, and the database does not say yet that it is whole.
    CopyMoved,
}

/// Nothing happens here.
#[cfg(not(feature = "failpoints"))]
pub fn reach(_: Place) {}

/// Ends the process when this place's file is there.
#[cfg(feature = "failpoints")]
pub fn reach(place: Place) {
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static DIRECTORY: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("FAILPOINTS").map(PathBuf::from));
    static REACHED: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];
    let Some(directory) = DIRECTORY.as_ref() else { return };
    let file = match place {
        Place::BeforeSend => "before_send",
        Place::BodyBuilt => "body_built",
        Place::BodyKept => "body_kept",
        Place::BeforeSettle => "before_settle",
        Place::CopyBegun => "copy_begun",
        Place::CopyInChunk => "copy_in_chunk",
        Place::CopyAfterChunk => "copy_after_chunk",
        Place::CopyMoved => "copy_moved",
    };
    let times = REACHED[place as usize].fetch_add(1, Ordering::Relaxed) + 1;
    let Ok(text) = std::fs::read_to_string(directory.join(file)) else { return };
    if text.trim().parse().is_ok_and(|at: u64| at != times) {
        return;
    }
    std::process::abort();
}

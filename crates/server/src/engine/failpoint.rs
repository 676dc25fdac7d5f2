//! Instants at which the crash tests have the process end: as a power cut would, with nothing tidied up.
//!
//! Only a build with the feature `failpoints` looks at the variable `FAILPOINTS`, which names a directory,
//! and ends when it reaches a place whose file is there. In every other build there is nothing here.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` is for tests; a release must not have it");

/// Where the process may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The claim is committed, and nothing has been sent.
    BeforeSend,
    /// The attempt has ended, and nothing of that is written.
    BeforeSettle,
}

/// Nothing happens here.
#[cfg(not(feature = "failpoints"))]
pub(super) fn reach(_: Place) {}

/// Ends the process when this place's file is there.
#[cfg(feature = "failpoints")]
pub(super) fn reach(place: Place) {
    use std::path::PathBuf;
    use std::sync::LazyLock;

    static DIRECTORY: LazyLock<Option<PathBuf>> =
        LazyLock::new(|| std::env::var_os("FAILPOINTS").map(PathBuf::from));
    let file = match place {
        Place::BeforeSend => "before_send",
        Place::BeforeSettle => "before_settle",
    };
    if DIRECTORY.as_ref().is_some_and(|directory| directory.join(file).exists()) {
        std::process::abort();
    }
}

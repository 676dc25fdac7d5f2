//! What the process asks of the system before it serves anybody.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;

/// Connections that may wait to be accepted; a client that finds no room waits for a second and tries again.
const LISTEN_BACKLOG: i32 = 4_096;

/// Lets more clients wait than the 128 with which a listener begins.
///
/// # Errors
/// The system refuses.
pub(super) fn let_wait(listener: &TcpListener) -> io::Result<()> {
    Ok(rustix::net::listen(listener, LISTEN_BACKLOG)?)
}

/// Raises the limit of open files to what the system allows: each attempt and each connection is one, and the
/// usual limit is 1,024.
pub(super) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Err(error) = raised {
        tracing::warn!(%error, ?limit, "the limit of open files could not be raised");
    }
}

/// What the machine calls itself.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests;

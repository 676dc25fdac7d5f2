//! Logging: to standard error, one line an event, `RUST_LOG` says how much. Bodies and secrets are in no
//! type that prints, so they cannot get here.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged when `RUST_LOG` does not say.
const DEFAULT_FILTER: &str = "inkhook_server=info,warn";
/// The same where the terminal is for something else.
const QUIET_FILTER: &str = "warn";

/// Starts logging. Lines are for people on a terminal and JSON elsewhere. A second call changes nothing.
pub fn start() {
    start_with(DEFAULT_FILTER);
}

/// Starts logging what is wrong, and nothing else.
pub fn start_quiet() {
    start_with(QUIET_FILTER);
}

fn start_with(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if std::io::stderr().is_terminal() {
        lines.with_target(false).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
    // Only tests and the demo start twice.
    drop(started);
}

//! The built binary, started, stopped and killed: what a data directory and a command line go through.

mod check;
mod churn;
mod commands;
mod context;
mod first_start;
mod full_disk;
mod journal;
mod kill;
mod mail;
mod queue;
mod receiver;
mod shutdown;
mod traffic;

pub use self::commands::{refusal, stdout};
pub use self::mail::send as send_mail;

/// Kills or deletes of the long form unless `INKHOOK_SOAK_ROUNDS` says otherwise.
const SOAK_ROUNDS: usize = 200;

/// How many rounds: `short`, or with `INKHOOK_SOAK=1` as many as `INKHOOK_SOAK_ROUNDS` says.
pub fn rounds(short: usize) -> usize {
    if !is_soak() {
        return short;
    }
    let given = std::env::var("INKHOOK_SOAK_ROUNDS").ok();
    given.map_or(SOAK_ROUNDS, |rounds| rounds.parse().expect("a number")).max(short)
}

/// Whether the long form was asked for.
pub fn is_soak() -> bool {
    std::env::var_os("INKHOOK_SOAK").is_some_and(|value| value == "1")
}

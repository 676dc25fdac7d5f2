//! What a statement's failure means, whichever database said it.

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

/// A statement that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite said so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Postgres said so, or could not be asked.
    #[error("{}", told(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// The server did not answer in time; the connection is given up.
    #[error("the database did not answer in time")]
    NoAnswer,
    /// There is no connection.
    #[error("there is no connection to the database")]
    NotConnected,
    /// A statement before it had failed, so there is nothing to commit.
    #[error("a statement of this transaction had failed")]
    Aborted,
    /// A row that this transaction counted on was changed by another node.
    #[error("another node was there before")]
    Overtaken,
    /// A column is not what the code takes it for.
    #[error("a column cannot be read: {0}")]
    Column(String),
    /// On demand, for tests of what each trouble leads to.
    #[error("on demand: {0:?}")]
    OnDemand(Trouble),
}

/// What the failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full.
    Full,
    /// The same transaction may succeed when it is run again.
    Conflict,
    /// A lock was not free in time: whoever has it hangs, as a commit does whose standby does not answer.
    Held,
    /// The disk refused to write or to sync: nothing can be promised any more.
    Disk,
    /// It took too long and was cut off.
    CutOff,
    /// The server is gone, is stopping, or only reads now: it comes back, or another takes its place.
    Away,
    /// The statement itself is at fault.
    Statement,
}

/// feature_not_supported: "cached plan must not change result type". Another node has changed the schema.
const OUTDATED: &str = "0A000";

impl Error {
    /// Whether a statement changed fewer rows than were given to it: see [`exact`](super::many::exact).
    pub(super) fn is_inexact(&self) -> bool {
        let is = |error: &tokio_postgres::Error| error.code() == Some(&SqlState::DIVISION_BY_ZERO);
        matches!(self, Self::Postgres(error) if is(error))
    }

    /// Whether a statement was prepared for a schema that is no longer there.
    pub(super) fn is_outdated(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code().is_some_and(|state| state.code() == OUTDATED))
    }

    /// See [`Trouble`].
    pub(in crate::store) fn trouble(&self) -> Trouble {
        match self {
            Self::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => Trouble::Full,
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Conflict,
                Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt) => Trouble::Disk,
                Some(ErrorCode::OperationInterrupted) => Trouble::CutOff,
                _ => Trouble::Statement,
            },
            Self::Postgres(error) => match error.code() {
                Some(state) => of_state(state),
                // What it could not send, or read, it says without a code.
                None if error.is_closed() || is_io(error) => Trouble::Away,
                None => Trouble::Statement,
            },
            Self::NoAnswer | Self::NotConnected => Trouble::Away,
            Self::Aborted | Self::Overtaken => Trouble::Conflict,
            Self::Column(_) => Trouble::Statement,
            Self::OnDemand(trouble) => *trouble,
        }
    }
}

fn of_state(state: &SqlState) -> Trouble {
    match state.code() {
        // disk_full, and out of memory or of connections: there is room again later.
        "53100" => Trouble::Full,
        // serialization_failure, deadlock_detected; unique_violation: another node was there first, and whoever looks
        // again sees it.
        "40001" | "40P01" | "23505" | OUTDATED => Trouble::Conflict,
        // lock_not_available.
        "55P03" => Trouble::Held,
        "57014" => Trouble::CutOff,
        // read_only_sql_transaction: after a failover the old primary may still be there, as a standby.
        "25006" => Trouble::Away,
        // 08: connection exceptions; 53: too many connections; 57P: shutdown, crash, starting up;
        // 25P03: idle for too long in a transaction; 58: the server's own disk.
        code if ["08", "53", "57P", "25P03", "58"].iter().any(|class| code.starts_with(class)) => {
            Trouble::Away
        }
        _ => Trouble::Statement,
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<std::io::Error>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The server's own words; what tokio-postgres prints by itself is "db error". Its detail and hint may hold
/// values of rows, so they stay out.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_lead_where_they_should() {
        let led = |code: &str| of_state(&SqlState::from_code(code));
        assert_eq!(led("53100"), Trouble::Full);
        assert_eq!(led("55P03"), Trouble::Held);
        for conflict in ["40001", "40P01", "23505"] {
            assert_eq!(led(conflict), Trouble::Conflict, "{conflict}");
        }
        assert_eq!(led("57014"), Trouble::CutOff);
        for away in ["25006", "08006", "53300", "57P01", "57P02", "57P03", "25P03", "58030"] {
            assert_eq!(led(away), Trouble::Away, "{away}");
        }
        assert_eq!((led("23514"), led("42P01")), (Trouble::Statement, Trouble::Statement));
    }
}

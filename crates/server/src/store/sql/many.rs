//! One statement for many rows.
//!
//! To SQLite a statement costs nothing but its work, so each row is written at once. To a server it costs a round
//! trip, so rows are gathered and written together, before the next statement that might look at them and before
//! the commit at the latest. Rows gathered for different statements must not depend on one another's order:
//! they are written statement by statement.

use rusqlite::types::ToSql;

/// What a gathered column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Holds {
    /// BIGINT.
    Int8,
    /// SMALLINT.
    Int2,
    /// BYTEA.
    Bytes,
    /// TEXT.
    Text,
}

/// A statement that is run for many rows.
#[derive(Debug)]
pub(in crate::store) struct Many {
    /// For one row.
    pub(in crate::store) one: &'static str,
    /// For all of them: parameter `$1` is the first column of each, and so on.
    pub(in crate::store) all: &'static str,
    /// What the columns hold.
    pub(in crate::store) columns: &'static [Holds],
}

/// A statement for many rows each of which must change one. When one does not, another node was there before: the
/// statement fails on the server, so that a commit may be sent behind it, and the transaction is run again. Its
/// first column is BIGINT.
macro_rules! exact {
    ($sql:literal) => {
        concat!(
            "WITH done AS (",
            $sql,
            " RETURNING 1) SELECT 1 / CAST(count(*) = cardinality(CAST($1 AS BIGINT[])) AS INT) FROM done"
        )
    };
}
pub(in crate::store) use exact;

/// The values of one row.
pub(in crate::store) type Values<'a> = &'a [&'a dyn ToSql];

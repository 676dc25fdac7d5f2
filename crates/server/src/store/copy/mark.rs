//! Who is copied where: a note in each of the two stores.
//!
//! Both notes name the copy by the same random id. The file says that a copy of it has begun, or that it was moved; the
//! database says how far it has come, or that it is whole. Never is more than one of the two fit to be served: the
//! file is marked as moved before the database is called whole.
//!
//! A file that is opened for anything else loses its note that a copy has begun, because from then on it may change:
//! that copy is not gone on with.

use serde::{Deserialize, Serialize};

use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, params};

const READ: &str = "SELECT value FROM meta WHERE key = 'copy'";
const WRITE: &str = "INSERT INTO meta (key, value) VALUES ('copy', $1)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const REMOVE: &str = "DELETE FROM meta WHERE key = 'copy'";
const HAS_TABLES: &str = "SELECT 1 FROM pg_class WHERE oid = to_regclass('meta')";

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    /// A copy has begun, and the file was not used since.
    Copying { id: String },
    /// Everything is in this database now.
    Moved { id: String, database: String, at_ms: i64 },
}

/// What a database says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) id: String,
    pub(super) state: State,
    /// When it began, by the clock of whoever copies: numbers depend on it.
    pub(super) began_ms: i64,
    /// The table that is being copied, by its place in the plan.
    pub(super) table: usize,
    /// The key of its last row that is there, as the file has it.
    pub(super) after: Vec<Part>,
    /// Rows that are there.
    pub(super) rows: u64,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Not all is there.
    Copying,
    /// All is there and was verified.
    Whole,
    /// The file is in use again.
    GivenUp,
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What the file says, if anything.
pub(super) fn of_file(connection: &Connection) -> Result<Option<Mark>, StoreError> {
    read(connection)
}

/// What the database says, if anything.
pub(super) fn of_server(connection: &Connection) -> Result<Option<Note>, StoreError> {
    read(connection)
}

fn read<T: for<'a> Deserialize<'a>>(connection: &Connection) -> Result<Option<T>, StoreError> {
    let stored: Option<Vec<u8>> = connection.scalar(READ, params![])?;
    let note = stored.map(|stored| serde_json::from_slice(&stored));
    note.transpose().map_err(|_| StoreError::Corrupt("the note about a copy"))
}

/// Says it, in the transaction that is open, if one is.
pub(super) fn write(connection: &Connection, note: &impl Serialize) -> Result<(), StoreError> {
    let text = serde_json::to_vec(note).map_err(|_| StoreError::Corrupt("the note about a copy"))?;
    connection.run(WRITE, params![text])?;
    Ok(())
}

/// Says nothing any more.
pub(super) fn remove(connection: &Connection) -> Result<(), StoreError> {
    connection.run(REMOVE, params![])?;
    Ok(())
}

/// Before a file is used for anything but to be copied.
pub(in crate::store) fn before_use_of_file(connection: &Connection) -> Result<(), StoreError> {
    match of_file(connection)? {
        None => Ok(()),
        Some(Mark::Copying { .. }) => {
            tracing::warn!("a copy of this store was not finished; it cannot be gone on with from here");
            remove(connection)
        }
        Some(Mark::Moved { database, at_ms, .. }) => Err(StoreError::Moved { database, at: TimeMs(at_ms) }),
    }
}

/// Whether a database has the tables that a note would be in.
pub(super) fn is_known_to(connection: &Connection) -> Result<bool, StoreError> {
    Ok(connection.scalar::<i64>(HAS_TABLES, params![])?.is_some())
}

/// Before a database is used, whose schema is up to date.
pub(in crate::store) fn before_use_of_server(connection: &Connection) -> Result<(), StoreError> {
    match of_server(connection)?.map(|note| note.state) {
        None | Some(State::Whole) => Ok(()),
        Some(State::Copying) => Err(StoreError::HalfCopied),
        Some(State::GivenUp) => Err(StoreError::CopyGivenUp),
    }
}

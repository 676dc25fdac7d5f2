//! Moving a store from its file to a database server.
//!
//! **What it promises.** Everything that the file holds is in the database afterwards, or the file stays what is
//! served. What is queued is delivered by whoever serves the database, each delivery as often as it would have been
//! from the file. Rows go in chunks, and each chunk is one transaction together with the note how far the copy has
//! come: a process that ends anywhere leaves a copy that the next one goes on with. At the end every table is read
//! back from both sides and compared by its rows and a checksum.
//!
//! **Never two.** A file whose copy is whole says that it was moved, and no server starts on it; a database whose copy
//! is not whole starts no server either. The file says so before the database does ([`mark`]). The directory's lock
//! is held as long as a copy takes, so nobody changes what is read; whoever uses the file between the halves of a
//! copy ends that copy.
//!
//! **What becomes of each value** stands in [`plan`]; of the numbers that carry the time, in [`numbers`]. To be copied, a
//! file is opened as a server would open it: leases of processes that are gone are freed, and attempts whose
//! outcome nobody knows are logged or marked as such, by the rules that hold at every start.
//!
//! There is no way back: what was accepted by the database's servers is there only. [`Store::undo_copy`] makes the
//! file fit for use again, as it was when it was moved, and the database unfit.

mod mark;
mod numbers;
mod plan;
mod rows;
mod steps;
mod verify;

use std::path::Path;

use self::mark::{Mark, Note, State};
use self::steps::Copier;
use super::error::StoreError;
use super::keeper::Watch;
use super::sql::postgres::{Role, Session};
use super::sql::{self, Connection, params};
use super::{DatabaseServer, Store, StoreOptions, Use, database_path, migrate, nodes, rows as read};
use crate::domain::metrics::Metrics;
use crate::domain::time::TimeMs;

pub(super) use self::mark::{before_use_of_file, before_use_of_server};

const SERVER_TIME: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
const LIVE: &str = "SELECT count(*) FROM nodes WHERE seen_ms >= $1";

/// Why a store is not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The file or the database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database has rows that are of no copy.
    #[error("the database is not empty: there is something in {0}. A copy needs an empty database")]
    NotEmpty(String),
    /// The file was moved to another database.
    #[error("this store was moved already, to the Postgres database \"{database}\" at {at}")]
    MovedElsewhere {
        /// Its name.
        database: String,
        /// When.
        at: TimeMs,
    },
    /// The database holds the beginning of a copy which is not the one that the file knows of.
    #[error(
        "the database holds a part of a copy that cannot be gone on with: it is of another store, or this one was \
         used since. Begin anew in an empty database"
    )]
    Changed,
    /// The database holds the whole copy of another store, and may be in use.
    #[error("the database holds the copy of another store")]
    AnotherStore,
    /// A value has no place on a server.
    #[error(
        "{table}.{column} holds the character U+0000 in a name that must be unique; Postgres has no such text"
    )]
    Unfit {
        /// Where.
        table: &'static str,
        /// In which column.
        column: &'static str,
    },
    /// The two sides are not the same.
    #[error(
        "the copy is not the same as the store: {table} has {ours} rows in the file and {theirs} in the database, \
         or other values. The file stays what is to be served"
    )]
    Differs {
        /// Where.
        table: &'static str,
        /// Rows of the file.
        ours: i64,
        /// Rows of the database.
        theirs: i64,
    },
    /// Nothing was moved, so nothing can be undone.
    #[error("this store was not moved: there is nothing to undo")]
    NotMoved,
    /// The database that is configured is not the one that the file was moved to.
    #[error("the database that is configured is not \"{0}\", which this store was moved to")]
    OtherDatabase(String),
    /// Nodes deliver from the database.
    #[error("{0} nodes are at work on the database: stop them first")]
    NodesAtWork(i64),
}

impl From<sql::Error> for CopyError {
    fn from(error: sql::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A chunk is in the database.
    Copied {
        /// Of this table.
        table: &'static str,
        /// Rows of all tables that are there now.
        rows: u64,
    },
    /// Everything is in the database, and is being compared.
    Verified {
        /// Up to and with this table.
        table: &'static str,
        /// Rows of all tables that were found the same.
        rows: u64,
    },
}

/// A table that was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// Rows, the same on both sides.
    pub rows: u64,
    /// SHA-256 of all values in the order of the key, the same on both sides.
    pub checksum: [u8; 32],
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    /// All is there.
    Whole {
        /// Each table.
        tables: Vec<CopiedTable>,
        /// Rows that an earlier process had copied.
        rows_before: u64,
    },
    /// It was there already.
    Already {
        /// The database's name.
        database: String,
        /// Since when.
        at: TimeMs,
    },
}

/// What undoing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The database that the file had been moved to.
    pub database: String,
    /// Whether that one was told, so that no server starts there.
    pub is_given_up: bool,
}

impl Store {
    /// Opens the file in the data directory to be copied, or to undo that: a file that was moved opens, too.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open_to_copy(options: StoreOptions) -> Result<Self, StoreError> {
        let metrics = std::sync::Arc::new(Metrics::default());
        let watch = Watch::new(options.clock.clone(), metrics.clone());
        Self::open_file(options, watch, metrics, Use::Copy)
    }

    /// Copies everything into a database, or goes on with that, and marks the file as moved. The store must have been
    /// opened with [`Store::open_to_copy`] from this directory.
    ///
    /// # Errors
    /// See [`CopyError`]. The file is as fit for use as before, unless it was marked as moved already.
    pub async fn copy_to(
        &self,
        data_dir: &Path,
        server: DatabaseServer,
        told: impl FnMut(Progress) + Send + 'static,
    ) -> Result<Copied, CopyError> {
        let (store, path) = (self.clone(), database_path(data_dir));
        let runtime = tokio::runtime::Handle::current();
        let copy = move || {
            migrate::migrate_server(&server)?;
            let source = Connection::from(migrate::open_reader(&path)?);
            let target = Session::open(server.clone(), Role::Migrator)?;
            let database = server.database().to_owned();
            let target = Connection::Postgres(Box::new(target));
            let copier = Copier { store, runtime, source, target, database, told: Box::new(told) };
            copier.run()
        };
        let copied = tokio::task::spawn_blocking(copy).await;
        copied.unwrap_or(Err(CopyError::Store(StoreError::Closed)))
    }

    /// Makes a file that was moved fit for use again, as it was then, and the database, if it is given, unfit.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub async fn undo_copy(&self, server: Option<DatabaseServer>) -> Result<Undone, CopyError> {
        let Some(Mark::Moved { id, database, .. }) = self.read(mark::of_file).await? else {
            return Err(CopyError::NotMoved);
        };
        let is_given_up = server.is_some();
        if let Some(server) = server {
            let database = database.clone();
            let give_up = move || give_up(server, &id, database);
            let given_up = tokio::task::spawn_blocking(give_up).await;
            given_up.unwrap_or(Err(CopyError::Store(StoreError::Closed)))?;
        }
        self.change(|tx| mark::remove(tx)).await?;
        Ok(Undone { database, is_given_up })
    }
}

/// Has the database say that its copy counts no more.
fn give_up(server: DatabaseServer, id: &str, database: String) -> Result<(), CopyError> {
    let target = Connection::Postgres(Box::new(Session::open(server, Role::Migrator)?));
    let note = if mark::is_known_to(&target)? { mark::of_server(&target)? } else { None };
    let Some(note) = note.filter(|note| note.id == id) else {
        return Err(CopyError::OtherDatabase(database));
    };
    let now = TimeMs(read::scalar(&target, SERVER_TIME, &[])?.unwrap_or(0));
    let live: i64 = read::scalar(&target, LIVE, params![now.before(nodes::GONE_AFTER).0])?.unwrap_or(0);
    if live > 0 {
        return Err(CopyError::NodesAtWork(live));
    }
    mark::write(&target, &Note { state: State::GivenUp, ..note })?;
    Ok(())
}

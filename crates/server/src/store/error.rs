//! What can go wrong in the store, told apart by what the caller has to do about it.

use std::path::PathBuf;

use super::sql::{self, Trouble};
use crate::domain::time::TimeMs;

/// A verb that could not be carried out. Refusals that belong to a verb are in that verb's answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The inbox of the organisation is full: 429.
    #[error("too much of this organisation is waiting to be stored")]
    Busy,
    /// The inbox as a whole is full: 503.
    #[error("too much is waiting to be stored")]
    Overloaded,
    /// The organisation has as many deliveries queued as it may: 429.
    #[error("this organisation has {0} deliveries queued, which is its limit")]
    TooManyQueued(u64),
    /// The organisation's queued events and deliveries take as many bytes as they may: 429.
    #[error("what this organisation has queued takes {0} bytes, which is its limit")]
    TooMuchQueued(u64),
    /// What is left of the disk is for what was accepted already: 503, comes back by itself.
    #[error("little of the disk is free")]
    LowDisk,
    /// A read took longer than it may: 503.
    #[error("the read took too long and was cut off")]
    TooSlow,
    /// The disk is full: 503, comes back by itself.
    #[error("the disk is full")]
    Full,
    /// Nobody knows whether the commit took place: 503; safe to repeat with an idempotency key.
    #[error("the result of the commit is unknown")]
    UnknownCommit,
    /// The store is shutting down or has failed for good: 503.
    #[error("the store is closed")]
    Closed,
    /// The database server is away: 503, comes back by itself.
    #[error("the database is not reachable")]
    Away,
    /// A statement failed: our fault, 500.
    #[error("a statement failed")]
    Statement(#[from] sql::Error),
    /// A row holds something that this version does not understand.
    #[error("a stored value is not valid: {0}")]
    Corrupt(&'static str),
    /// Sealing or unsealing failed.
    #[error(transparent)]
    Seal(#[from] super::seal::SealError),
    /// Another server uses the data directory.
    #[error("the data directory {} is in use by another server", .0.display())]
    InUse(PathBuf),
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used", .path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The operating system gives no thread.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date")]
    Migration(#[from] refinery::Error),
    /// The schema is of a later version, which has taken away what this one uses.
    #[error("the schema needs a version that knows number {oldest} of it; this one knows number {known}")]
    NewerSchema {
        /// What a version must know to use it.
        oldest: u32,
        /// What this one knows.
        known: u32,
    },
    /// The database's URL cannot be used.
    #[error("the database's URL cannot be used: {0}")]
    Server(#[from] sql::postgres::ServerError),
    /// The master key is not the one that sealed this store.
    #[error("the master key is not the one that this store was made with")]
    WrongMasterKey,
    /// The file was copied into a database, which is what is to be served.
    #[error(
        "this store was moved to the Postgres database \"{database}\" at {at}: serve that one (--database-url). To \
         use the file as it was then, and give up what is there, run: inkhook copy --undo"
    )]
    Moved {
        /// The database's name.
        database: String,
        /// When.
        at: TimeMs,
    },
    /// The database holds a part of a copy.
    #[error("the database holds a copy that is not finished: run inkhook copy again to go on with it")]
    HalfCopied,
    /// The database holds a copy whose file is in use again.
    #[error(
        "the database holds a copy that was given up (inkhook copy --undo); it is not to be served any more"
    )]
    CopyGivenUp,
}

impl StoreError {
    /// What it leads to, when it came from a statement.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Full => Some(Trouble::Full),
            Self::Away => Some(Trouble::Away),
            Self::Statement(error) => Some(error.trouble()),
            _ => None,
        }
    }

    /// Whether this is about the store as a whole and not about one operation.
    pub(super) fn is_for_all(&self) -> bool {
        matches!(self, Self::UnknownCommit)
            || matches!(self.trouble(), Some(Trouble::Full | Trouble::Disk | Trouble::Away))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Statement(error.into())
    }
}

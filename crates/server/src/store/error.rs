//! What can go wrong in the store, told apart by what the caller has to do about it.

use std::path::PathBuf;

use rusqlite::ErrorCode;

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
    /// A sync failed; the process must end.
    #[error("writing to disk failed")]
    Disk(#[source] rusqlite::Error),
    /// A statement failed: our fault, 500.
    #[error("a statement failed")]
    Statement(#[from] rusqlite::Error),
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
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date")]
    Migration(#[from] refinery::Error),
    /// The master key is not the one that sealed this store.
    #[error("the master key is not the one that this store was made with")]
    WrongMasterKey,
}

impl StoreError {
    /// Whether this says that the disk is full.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Statement(error) => code(error) == Some(ErrorCode::DiskFull),
            _ => false,
        }
    }

    /// Whether the same transaction may succeed when it is run again.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Statement(error)
            if matches!(code(error), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)))
    }

    /// Whether the disk refused to write or sync: nothing can be promised any more.
    pub(super) fn is_io(&self) -> bool {
        match self {
            Self::Disk(_) => true,
            Self::Statement(error) => {
                matches!(code(error), Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt))
            }
            _ => false,
        }
    }
}

impl StoreError {
    /// Whether this is about the store as a whole and not about one operation.
    pub(super) fn is_for_all(&self) -> bool {
        self.is_io() || self.is_full() || matches!(self, Self::UnknownCommit)
    }
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

//! The steps of a copy: begin or go on, chunk after chunk, look, and say that it is whole.

use tokio::runtime::Handle;

use super::mark::{self, Mark, Note, State};
use super::numbers::Numbers;
use super::plan::{How, NOT_COPIED, TABLES};
use super::{Copied, CopyError, Progress, rows, verify};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::failpoint::{self, Place};
use crate::store::sql::{Connection, params};
use crate::store::{Store, partitions};

/// What a file's database has counted to, for a table that counts.
const COUNTED: &str = "SELECT seq FROM sqlite_sequence WHERE name = $1";
const COUNT_ON: &str = "SELECT setval(pg_get_serial_sequence($1, 'no'), $2)";
/// A chunk that a crash of the server takes away takes its note with it, so none needs a sync of its own.
const DO_NOT_SYNC: &str = "SET synchronous_commit = off";
const SYNC: &str = "RESET synchronous_commit";
const SCHEMA_LOCK: &str = "SELECT pg_advisory_xact_lock(7596548430949)";

/// A copy under way.
pub(super) struct Copier {
    /// The file's, for what is written to it.
    pub(super) store: Store,
    pub(super) runtime: Handle,
    /// Reads the file.
    pub(super) source: Connection,
    pub(super) target: Connection,
    /// The target's name.
    pub(super) database: String,
    pub(super) told: Box<dyn FnMut(Progress)>,
}

impl Copier {
    pub(super) fn run(mut self) -> Result<Copied, CopyError> {
        let mark = mark::of_file(&self.source)?;
        let note = match (mark::of_server(&self.target)?, mark) {
            (Some(note), _) if note.state == State::GivenUp => return Err(StoreError::CopyGivenUp.into()),
            (Some(note), Some(Mark::Moved { id, database, at_ms }))
                if note.state == State::Whole && note.id == id =>
            {
                return Ok(Copied::Already { database, at: TimeMs(at_ms) });
            }
            (Some(note), Some(Mark::Copying { id } | Mark::Moved { id, .. }))
                if note.state == State::Copying && note.id == id =>
            {
                note
            }
            (_, Some(Mark::Moved { database, at_ms, .. })) => {
                return Err(CopyError::MovedElsewhere { database, at: TimeMs(at_ms) });
            }
            (Some(note), _) if note.state == State::Whole => return Err(CopyError::AnotherStore),
            (Some(_), _) => return Err(CopyError::Changed),
            (None, _) => self.begin()?,
        };
        let rows_before = note.rows;
        let numbers = Numbers::read(&self.source, TimeMs(note.began_ms))?;
        self.target.run(DO_NOT_SYNC, &[])?;
        let note = self.copy(note, &numbers)?;
        self.analyze()?;
        let tables = verify::verify(&self.source, &self.target, &numbers, &mut self.told)?;
        self.count_on(&numbers)?;
        self.finish(&note)?;
        Ok(Copied::Whole { tables, rows_before })
    }

    fn begin(&self) -> Result<Note, CopyError> {
        self.must_be_empty()?;
        // First in the file: a copy that the file knows nothing of is not gone on with.
        let (id, began) = self.runtime.block_on(self.store.change(|tx| {
            let id = tx.context.entropy.uuid().to_string();
            mark::write(tx, &Mark::Copying { id: id.clone() })?;
            Ok((id, tx.context.clock.wall()))
        }))?;
        failpoint::reach(Place::CopyBegun);
        let numbers = Numbers::read(&self.source, began)?;
        let note =
            Note { id, state: State::Copying, began_ms: began.0, table: 0, after: Vec::new(), rows: 0 };
        self.within(|| {
            self.target.run(SCHEMA_LOCK, params![])?;
            self.must_be_empty()?;
            let (events, attempts) = numbers.days();
            partitions::lay(&self.target, events, attempts, began)?;
            Ok(mark::write(&self.target, &note)?)
        })?;
        Ok(note)
    }

    fn must_be_empty(&self) -> Result<(), CopyError> {
        let mut not_empty = Vec::new();
        for table in TABLES.iter().map(|table| table.name).chain(NOT_COPIED) {
            let row: Option<i64> =
                self.target.scalar(&format!("SELECT CAST(1 AS BIGINT) FROM {table} LIMIT 1"), &[])?;
            if row.is_some() {
                not_empty.push(table);
            }
        }
        if not_empty.is_empty() { Ok(()) } else { Err(CopyError::NotEmpty(not_empty.join(", "))) }
    }

    fn copy(&mut self, mut note: Note, numbers: &Numbers) -> Result<Note, CopyError> {
        while let Some(table) = TABLES.get(note.table) {
            let chunk = rows::read(&self.source, table, &rows::from_parts(&note.after))?;
            note.rows += chunk.rows.len() as u64;
            match chunk.rows.last() {
                Some(last) if !chunk.is_last => note.after = rows::parts(&rows::key(last, table))?,
                _ => (note.table, note.after) = (note.table + 1, Vec::new()),
            }
            let changed = chunk.rows.into_iter().map(|row| rows::changed(row, table, numbers));
            let changed = changed.collect::<Result<Vec<_>, _>>()?;
            self.within(|| {
                if let (false, Some(session)) = (changed.is_empty(), self.target.server()) {
                    session.copy_in(table.name, &table.names(), &changed)?;
                }
                mark::write(&self.target, &note)?;
                failpoint::reach(Place::CopyInChunk);
                Ok(())
            })?;
            failpoint::reach(Place::CopyAfterChunk);
            (self.told)(Progress::Copied { table: table.name, rows: note.rows });
        }
        Ok(note)
    }

    /// Statistics, so that the first plans are good ones. Takes as long as it takes.
    fn analyze(&self) -> Result<(), CopyError> {
        let tables: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        match self.target.server() {
            Some(session) => Ok(session.run_long(&format!("ANALYZE {}", tables.join(", ")))?),
            None => Ok(()),
        }
    }

    /// Whatever counts goes on after what is there, and after what was there and is gone.
    fn count_on(&self, numbers: &Numbers) -> Result<(), CopyError> {
        for table in TABLES.iter().filter(|table| table.is_numbered) {
            let counted: Option<i64> = self.source.scalar(COUNTED, params![table.name])?;
            if let Some(counted) = counted.filter(|counted| *counted > 0) {
                self.target.scalar::<i64>(COUNT_ON, params![table.name, counted])?;
            }
        }
        if let Some(attempts) = self.source.scalar(COUNTED, params!["attempts"])? {
            numbers.of(attempts, How::Attempt)?;
        }
        Ok(partitions::move_past(&self.target, numbers.highest())?)
    }

    /// From here on the database is what is served.
    fn finish(&self, note: &Note) -> Result<(), CopyError> {
        self.target.run(SYNC, &[])?;
        let (id, database) = (note.id.clone(), self.database.clone());
        self.runtime.block_on(self.store.change(move |tx| {
            let at_ms = tx.context.clock.wall().0;
            let moved = Mark::Moved { id: id.clone(), database: database.clone(), at_ms };
            mark::write(tx, &moved)
        }))?;
        failpoint::reach(Place::CopyMoved);
        self.within(|| Ok(mark::write(&self.target, &Note { state: State::Whole, ..note.clone() })?))
    }

    /// One transaction of the target's.
    fn within(&self, run: impl FnOnce() -> Result<(), CopyError>) -> Result<(), CopyError> {
        self.target.begin()?;
        let done = run();
        if done.is_err() {
            // What was begun is gone with the connection, if not by this.
            drop(self.target.roll_back());
            return done;
        }
        Ok(self.target.commit()?)
    }
}

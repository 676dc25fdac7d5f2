//! What the writer does when a group fails.
//!
//! | error | accepts and changes | settles |
//! |---|---|---|
//! | a statement's | run one by one; only the culprit fails | again without body and error text |
//! | conflict | the whole group once more, then as above | the same |
//! | disk full, or its quota used up | answered [`StoreError::Full`] | kept, tried again every second |
//! | commit's result unknown | answered [`StoreError::UnknownCommit`] | run again: fenced, so twice is once |
//! | the disk refuses a write or a sync | [`StoreError::Closed`]; the writer ends and says so | the same |

use std::time::Duration;

use rusqlite::ffi;

use super::super::error::StoreError;
use super::super::faults::Fault;
use super::super::keeper;
use super::{Group, Kind, Op, Worker};

/// How often a full disk is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_secs(1);

impl Worker {
    /// Handles a group that was rolled back or may not have been committed.
    pub(super) fn recover(&mut self, ops: Vec<Box<dyn Op>>, error: &StoreError) {
        if !error.is_conflict() {
            return self.one_by_one_or_all(ops, error);
        }
        match self.again(ops) {
            Group::Failed(ops, error) => self.one_by_one_or_all(ops, &error),
            done @ Group::Done(_) => self.conclude(done),
        }
    }

    fn one_by_one_or_all(&mut self, ops: Vec<Box<dyn Op>>, error: &StoreError) {
        if self.is_without_room(error) {
            self.wait_for_room(ops);
        } else if error.is_io() {
            self.give_up(ops, error);
        } else if matches!(error, StoreError::UnknownCommit) {
            self.repeat_settles(ops);
        } else {
            self.one_by_one(ops);
        }
    }

    /// A quota that is used up looks like a broken disk to SQLite.
    fn is_without_room(&self, error: &StoreError) -> bool {
        error.is_full() || (error.is_io() && keeper::has_no_room(&self.data_dir))
    }

    fn one_by_one(&mut self, ops: Vec<Box<dyn Op>>) {
        let mut ops = ops.into_iter();
        while let Some(op) = ops.next() {
            match self.again(vec![op]) {
                Group::Done(done) => self.conclude(Group::Done(done)),
                Group::Failed(mut failed, error) => {
                    if error.is_for_all() {
                        failed.extend(ops);
                        return self.one_by_one_or_all(failed, &error);
                    }
                    self.culprit(failed, error);
                }
            }
        }
    }

    /// The one operation that fails by itself: a settle gets a second try with less to write.
    fn culprit(&mut self, mut failed: Vec<Box<dyn Op>>, error: StoreError) {
        let degraded =
            failed.iter_mut().map(|op| op.degrade()).reduce(|any, this| any || this).unwrap_or(false);
        if !degraded {
            return refuse(failed, error);
        }
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "an attempt could not be stored: it is written without its text"
        );
        match self.again(failed) {
            Group::Failed(failed, error) if error.is_for_all() => self.one_by_one_or_all(failed, &error),
            Group::Failed(failed, error) => refuse(failed, error),
            done @ Group::Done(_) => self.conclude(done),
        }
    }

    fn repeat_settles(&mut self, ops: Vec<Box<dyn Op>>) {
        tracing::error!("the result of a commit is unknown; its settles are written again");
        let settles = answer_all_but_settles(ops, || StoreError::UnknownCommit);
        if !settles.is_empty() {
            let group = self.again(settles);
            self.conclude(group);
        }
    }

    /// Refuses new work until the disk has room again; settles are kept meanwhile.
    fn wait_for_room(&mut self, ops: Vec<Box<dyn Op>>) {
        tracing::error!("the disk is full: publishing is refused until there is room");
        self.kept.extend(answer_all_but_settles(ops, || StoreError::Full));
        loop {
            self.inbox.wait_at_most(FULL_DISK_RETRY);
            while let Some((_, op)) = self.inbox.pop() {
                self.kept.extend(answer_all_but_settles(vec![op], || StoreError::Full));
            }
            let mut kept = std::mem::take(&mut self.kept);
            kept.push(Box::new(Touch));
            match self.again(kept) {
                Group::Failed(ops, error) if self.is_without_room(&error) => {
                    self.kept.extend(answer_all_but_settles(ops, || StoreError::Full));
                }
                group => {
                    tracing::info!("the disk has room again");
                    return self.conclude(group);
                }
            }
            if self.inbox.is_closed() {
                let kept = std::mem::take(&mut self.kept);
                for op in kept {
                    op.finish(Err(StoreError::Full));
                }
                return;
            }
        }
    }

    fn give_up(&mut self, ops: Vec<Box<dyn Op>>, error: &StoreError) {
        tracing::error!(error = error as &dyn std::error::Error, "the disk refuses to write: giving up");
        self.inbox.close();
        let kept = std::mem::take(&mut self.kept);
        for op in ops.into_iter().chain(kept) {
            op.finish(Err(StoreError::Closed));
        }
        while let Some((_, op)) = self.inbox.pop() {
            op.finish(Err(StoreError::Closed));
        }
        self.failed.send_replace(true);
    }
}

/// Answers an operation that cannot be stored. Whoever waits for it logs the error; nobody else does.
fn refuse(failed: Vec<Box<dyn Op>>, error: StoreError) {
    let mut error = Some(error);
    for op in failed {
        op.finish(Err(error.take().unwrap_or(StoreError::Closed)));
    }
}

fn answer_all_but_settles(ops: Vec<Box<dyn Op>>, error: impl Fn() -> StoreError) -> Vec<Box<dyn Op>> {
    let (settles, others): (Vec<_>, Vec<_>) = ops.into_iter().partition(|op| op.kind() == Kind::Settle);
    for op in others {
        op.finish(Err(error()));
    }
    settles
}

/// Tells whether the disk has room when no settle waits to be written.
struct Touch;

impl Op for Touch {
    fn kind(&self) -> Kind {
        Kind::Change
    }

    fn run(&mut self, tx: &mut super::Tx<'_>) -> Result<(), StoreError> {
        tx.touch()
    }

    fn finish(self: Box<Self>, _: Result<(), StoreError>) {}
}

/// The error that a scripted fault stands for.
pub(super) fn fault_error(fault: Fault) -> StoreError {
    let code = match fault {
        Fault::Statement => ffi::SQLITE_CONSTRAINT,
        Fault::Full => ffi::SQLITE_FULL,
        Fault::Conflict => ffi::SQLITE_BUSY,
        Fault::Io => ffi::SQLITE_IOERR_FSYNC,
        Fault::Unknown => return StoreError::UnknownCommit,
    };
    StoreError::Statement(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
}

#[cfg(test)]
mod tests;

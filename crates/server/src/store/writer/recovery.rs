//! What the writer does when a group fails.
//!
//! | error | accepts and changes | settles |
//! |---|---|---|
//! | a statement's | run one by one; only the culprit fails | again without body and error text |
//! | conflict | the whole group once more, then as above | the same |
//! | disk full, or its quota used up | answered [`StoreError::Full`] | kept, tried again every second |
//! | the database server is away, or a lock is held for long | answered [`StoreError::Away`] | the same |
//! | commit's result unknown | answered [`StoreError::UnknownCommit`] | run again: fenced, so twice is once |
//! | the disk refuses a write or a sync | [`StoreError::Closed`]; the writer ends and says so | the same |

use std::time::Duration;

use super::super::error::StoreError;
use super::super::faults::Fault;
use super::super::keeper;
use super::super::sql::{self, Trouble};
use super::worker::Group;
use super::{Kind, Op, Worker};

/// How often a full disk, or a server that is away, is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How often an operation that others get in the way of is run once more.
const DISTURBED: usize = 3;

/// What the store cannot write without, and waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Room on the disk.
    Room,
    /// The database server.
    Server,
}

impl Lack {
    fn tell(self) {
        match self {
            Self::Room => tracing::error!("the disk is full: publishing is refused until there is room"),
            Self::Server => {
                tracing::error!("the database is not reachable: publishing is refused until it is back");
            }
        }
    }

    /// What whoever asks for something new is answered meanwhile.
    fn refusal(self) -> StoreError {
        match self {
            Self::Room => StoreError::Full,
            Self::Server => StoreError::Away,
        }
    }
}

impl Worker {
    /// Handles a group that was rolled back or may not have been committed.
    pub(super) fn recover(&mut self, ops: Vec<Box<dyn Op>>, error: &StoreError) {
        if error.trouble() != Some(Trouble::Conflict) {
            return self.one_by_one_or_all(ops, error);
        }
        match self.again(ops) {
            Group::Failed(ops, error) => self.one_by_one_or_all(ops, &error),
            done @ Group::Done(_) => self.conclude(done),
        }
    }

    fn one_by_one_or_all(&mut self, ops: Vec<Box<dyn Op>>, error: &StoreError) {
        if let Some(lack) = self.lack(error) {
            self.wait_for(lack, ops);
        } else if error.trouble() == Some(Trouble::Disk) {
            self.give_up(ops, error);
        } else if matches!(error, StoreError::UnknownCommit) {
            self.repeat_settles(ops);
        } else {
            self.one_by_one(ops);
        }
    }

    /// What has to come back before anything can be written. A quota that is used up looks like a broken disk
    /// to SQLite.
    fn lack(&self, error: &StoreError) -> Option<Lack> {
        match error.trouble()? {
            Trouble::Full => Some(Lack::Room),
            Trouble::Away | Trouble::Held => Some(Lack::Server),
            Trouble::Disk => keeper::has_no_room(&self.data_dir).then_some(Lack::Room),
            _ => None,
        }
    }

    fn one_by_one(&mut self, ops: Vec<Box<dyn Op>>) {
        let mut ops = ops.into_iter();
        while let Some(op) = ops.next() {
            let for_all = match self.until_undisturbed(op) {
                Group::Failed(failed, error) if error.is_for_all() => Some((failed, error)),
                Group::Failed(failed, error) => self.culprit(failed, error),
                done @ Group::Done(_) => {
                    self.conclude(done);
                    None
                }
            };
            if let Some((mut failed, error)) = for_all {
                // Those that had no turn yet must not wait for it: nobody knows how long this lasts.
                failed.extend(ops);
                return self.one_by_one_or_all(failed, &error);
            }
        }
    }

    /// One operation, again and again while others get in its way.
    fn until_undisturbed(&mut self, op: Box<dyn Op>) -> Group {
        let mut group = self.again(vec![op]);
        for _ in 0..DISTURBED {
            group = match group {
                Group::Failed(ops, error) if error.trouble() == Some(Trouble::Conflict) => self.again(ops),
                group => return group,
            };
        }
        group
    }

    /// The one operation that fails by itself: a settle gets a second try with less to write. What fails then for
    /// a reason that concerns everybody comes back with it.
    fn culprit(
        &mut self,
        mut failed: Vec<Box<dyn Op>>,
        error: StoreError,
    ) -> Option<(Vec<Box<dyn Op>>, StoreError)> {
        let degraded =
            failed.iter_mut().map(|op| op.degrade()).reduce(|any, this| any || this).unwrap_or(false);
        if !degraded {
            refuse(failed, error);
            return None;
        }
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "an attempt could not be stored: it is written without its text"
        );
        match self.again(failed) {
            Group::Failed(failed, error) if error.is_for_all() => return Some((failed, error)),
            Group::Failed(failed, error) => refuse(failed, error),
            done @ Group::Done(_) => self.conclude(done),
        }
        None
    }

    fn repeat_settles(&mut self, ops: Vec<Box<dyn Op>>) {
        tracing::error!("the result of a commit is unknown; its settles are written again");
        let settles = answer_all_but_settles(ops, || StoreError::UnknownCommit);
        if !settles.is_empty() {
            let group = self.again(settles);
            self.conclude(group);
        }
    }

    /// Refuses new work until what is lacking is there again; settles are kept meanwhile.
    fn wait_for(&mut self, mut lack: Lack, ops: Vec<Box<dyn Op>>) {
        lack.tell();
        let next = self.waiting.drain(..).map(|(_, op)| op);
        let ops = ops.into_iter().chain(next).collect();
        self.kept.extend(answer_all_but_settles(ops, || lack.refusal()));
        loop {
            self.inbox.wait_at_most(RETRY);
            self.faults.wait_until_resumed();
            let arrived: Vec<_> = std::iter::from_fn(|| self.inbox.pop().map(|(_, op)| op)).collect();
            let mut kept = std::mem::take(&mut self.kept);
            kept.push(Box::new(Touch));
            match self.again(kept) {
                Group::Failed(ops, error) => {
                    let Some(still) = self.lack(&error) else {
                        // What comes of it may be to wait again, and then those who arrived are answered at once.
                        self.waiting.extend(arrived.into_iter().map(|op| (0, op)));
                        self.conclude(Group::Failed(ops, error));
                        let left = self.waiting.drain(..).map(|(_, op)| op).collect();
                        return self.one_by_one(left);
                    };
                    if still != lack {
                        still.tell();
                    }
                    lack = still;
                    let ops = ops.into_iter().chain(arrived).collect();
                    self.kept.extend(answer_all_but_settles(ops, || lack.refusal()));
                }
                done @ Group::Done(_) => {
                    tracing::info!("the store can write again");
                    self.conclude(done);
                    return self.one_by_one(arrived);
                }
            }
            if self.inbox.is_closed() {
                let kept = std::mem::take(&mut self.kept);
                for op in kept {
                    op.finish(Err(lack.refusal()));
                }
                return;
            }
        }
    }

    fn give_up(&mut self, ops: Vec<Box<dyn Op>>, error: &StoreError) {
        tracing::error!(error = error as &dyn std::error::Error, "the disk refuses to write: giving up");
        self.inbox.close();
        let kept = std::mem::take(&mut self.kept);
        let waiting = self.waiting.drain(..).map(|(_, op)| op);
        for op in ops.into_iter().chain(kept).chain(waiting) {
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
    let trouble = match fault {
        Fault::Statement => Trouble::Statement,
        Fault::Full => Trouble::Full,
        Fault::Conflict => Trouble::Conflict,
        Fault::Io => Trouble::Disk,
        Fault::Away => Trouble::Away,
        Fault::Unknown => return StoreError::UnknownCommit,
    };
    StoreError::Statement(sql::Error::OnDemand(trouble))
}

#[cfg(test)]
mod tests;

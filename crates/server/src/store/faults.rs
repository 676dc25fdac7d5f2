//! Errors on demand, for the tests of the failure rules, and commits that are slow on purpose, for
//! measurements. A production store has neither.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where the writer asks whether to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// After a publish's statements.
    Accept,
    /// After a settle's statements.
    Settle,
    /// Instead of the commit: nothing is written.
    Commit,
    /// After the commit: everything is written, but the writer does not learn it.
    AfterCommit,
}

/// How to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A statement's error.
    Statement,
    /// The disk is full.
    Full,
    /// Two transactions got in each other's way.
    Conflict,
    /// The disk refused a sync.
    Io,
    /// The commit's result is unknown.
    Unknown,
}

/// A script of faults, consumed in order at each point. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    script: Option<Arc<Mutex<Script>>>,
    commit_delay: Duration,
}

#[derive(Debug, Default)]
struct Script {
    faults: VecDeque<Scripted>,
    page_limit: Option<u32>,
}

#[derive(Debug)]
struct Scripted {
    point: Point,
    passes: usize,
    fault: Fault,
}

/// More pages than a database can have.
const NO_PAGE_LIMIT: u32 = 1_073_741_823;

impl Faults {
    /// A store that can be made to fail with [`Faults::push`].
    #[must_use]
    pub fn scripted() -> Self {
        Self { script: Some(Arc::default()), commit_delay: Duration::ZERO }
    }

    /// A store whose commits each take so much longer, as on a disk that is slow to sync.
    #[must_use]
    pub fn slow_commits(commit_delay: Duration) -> Self {
        Self { script: None, commit_delay }
    }

    /// Takes the time that a slower disk would take; none by default.
    #[expect(clippy::disallowed_methods, reason = "it stands for the time that the disk takes")]
    pub(super) fn delay_commit(&self) {
        if !self.commit_delay.is_zero() {
            std::thread::sleep(self.commit_delay);
        }
    }

    /// The next time the writer reaches `point`, it fails like this.
    pub fn push(&self, point: Point, fault: Fault) {
        self.push_after(point, 0, fault);
    }

    /// The writer passes `point` this often, and fails the next time.
    pub fn push_after(&self, point: Point, passes: usize, fault: Fault) {
        self.script(|script| script.faults.push_back(Scripted { point, passes, fault }));
    }

    /// From the next group on, the database file cannot grow beyond this many pages; `None`: it can.
    pub fn limit_pages(&self, pages: Option<u32>) {
        self.script(|script| script.page_limit = Some(pages.unwrap_or(NO_PAGE_LIMIT)));
    }

    /// Whether every scripted fault was reached.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.script(|script| script.faults.is_empty()).unwrap_or(true)
    }

    /// Takes the next fault if it is for `point` and its turn has come.
    pub(super) fn take(&self, point: Point) -> Option<Fault> {
        self.script(|script| {
            let index = script.faults.iter().position(|scripted| scripted.point == point)?;
            if let Some(passes) = script.faults[index].passes.checked_sub(1) {
                script.faults[index].passes = passes;
                return None;
            }
            script.faults.remove(index).map(|scripted| scripted.fault)
        })
        .flatten()
    }

    /// A new limit, once.
    pub(super) fn take_page_limit(&self) -> Option<u32> {
        self.script(|script| script.page_limit.take()).flatten()
    }

    fn script<T>(&self, run: impl FnOnce(&mut Script) -> T) -> Option<T> {
        let script = self.script.as_ref()?;
        Some(run(&mut script.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

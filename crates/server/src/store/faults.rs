//! Errors and bugs on demand, for the tests of the failure rules and for the tests that must show that they
//! would notice a broken promise, and commits that are slow on purpose, for measurements. A production store
//! has none: only code can ask for errors and bugs, no setting does.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
    /// The database server is gone.
    Away,
    /// The commit's result is unknown.
    Unknown,
}

/// A promise that the store breaks on purpose. What tests cannot find they do not test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A settle does not look at the claim's number.
    NoFence,
    /// The gate lets everything pass ([`Generations::that_never_refuse`]).
    ///
    /// [`Generations::that_never_refuse`]: crate::domain::generations::Generations::that_never_refuse
    NoGate,
    /// A delete leaves what is queued where it is.
    CancelForgotten,
    /// A claim raises a queue head beyond what is due next.
    HeadTooLate,
    /// A settle writes the delivery's state and not its attempt.
    AttemptForgotten,
    /// A start leaves the leases of earlier processes as they are.
    LeaseKept,
    /// A type that comes back brings back what its removal cancelled.
    TypeRevives,
    /// Of two equal publishes in one group, the second is not recognised.
    TwinAccepted,
    /// What asks for time at a URL that was replaced holds the one that is there now.
    HoldMisplaced,
    /// A fresh delivery is handed over with its commit although others wait before it.
    HandedOverAhead,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NoFence,
        Self::NoGate,
        Self::CancelForgotten,
        Self::HeadTooLate,
        Self::AttemptForgotten,
        Self::LeaseKept,
        Self::TypeRevives,
        Self::TwinAccepted,
        Self::HoldMisplaced,
        Self::HandedOverAhead,
    ];
}

/// A script of faults, consumed in order at each point, and a bug if any. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Faults(Option<Arc<Hooks>>);

#[derive(Debug, Default)]
struct Hooks {
    bug: Option<Bug>,
    script: Mutex<Script>,
    resumed: Condvar,
    commit_delay: Duration,
}

#[derive(Debug, Default)]
struct Script {
    faults: VecDeque<Scripted>,
    page_limit: Option<u32>,
    is_held: bool,
}

impl Hooks {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        Self(Some(Arc::default()))
    }

    /// The same with this bug.
    #[must_use]
    pub fn with_bug(bug: Option<Bug>) -> Self {
        Self(Some(Arc::new(Hooks { bug, ..Hooks::default() })))
    }

    /// From now on the writer begins no group, until [`Faults::resume`]: what is asked for meanwhile goes
    /// into one group.
    pub fn hold(&self) {
        self.script(|script| script.is_held = true);
    }

    /// The writer goes on.
    pub fn resume(&self) {
        self.script(|script| script.is_held = false);
        if let Some(hooks) = &self.0 {
            hooks.resumed.notify_all();
        }
    }

    /// A store whose commits each take so much longer, as on a disk that is slow to sync.
    #[must_use]
    pub fn slow_commits(commit_delay: Duration) -> Self {
        if commit_delay.is_zero() {
            return Self::default();
        }
        Self(Some(Arc::new(Hooks { commit_delay, ..Hooks::default() })))
    }

    /// Takes the time that a slower disk would take; none by default.
    #[expect(clippy::disallowed_methods, reason = "it stands for the time that the disk takes")]
    pub(super) fn delay_commit(&self) {
        if let Some(hooks) = self.0.as_ref().filter(|hooks| !hooks.commit_delay.is_zero()) {
            std::thread::sleep(hooks.commit_delay);
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

    /// Whether the store is to have this bug.
    #[must_use]
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.0.as_ref().is_some_and(|hooks| hooks.bug == Some(bug))
    }

    /// Waits as long as the writer is held.
    pub(super) fn wait_until_resumed(&self) {
        let Some(hooks) = &self.0 else { return };
        let mut script = hooks.script();
        while script.is_held {
            script = hooks.resumed.wait(script).unwrap_or_else(PoisonError::into_inner);
        }
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
        Some(run(&mut self.0.as_ref()?.script()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn only_what_was_asked_for_goes_wrong() {
        let production = Faults::default();
        production.push(Point::Commit, Fault::Full);
        production.hold();
        production.wait_until_resumed();
        assert_eq!(production.take(Point::Commit), None);
        for bug in Bug::ALL {
            assert!(!production.has(bug) && !Faults::scripted().has(bug), "{bug:?}");
            let found: Vec<Bug> =
                Bug::ALL.into_iter().filter(|other| Faults::with_bug(Some(bug)).has(*other)).collect();
            assert_eq!(found, [bug]);
        }
    }

    #[test]
    fn a_held_writer_goes_on_when_it_is_resumed() {
        let (faults, is_resumed) = (Faults::scripted(), AtomicBool::new(false));
        faults.hold();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                faults.wait_until_resumed();
                is_resumed.load(Ordering::SeqCst)
            });
            is_resumed.store(true, Ordering::SeqCst);
            faults.resume();
            assert!(writer.join().expect("no panic"), "not before");
        });
        faults.wait_until_resumed();
    }
}

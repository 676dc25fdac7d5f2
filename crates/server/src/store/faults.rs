//! Errors on demand, for the tests of the failure rules. A production store has none.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

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
pub struct Faults(Option<Script>);

type Script = Arc<Mutex<VecDeque<(Point, Fault)>>>;

impl Faults {
    /// A store that can be made to fail with [`Faults::push`].
    #[must_use]
    pub fn scripted() -> Self {
        Self(Some(Arc::default()))
    }

    /// The next time the writer reaches `point`, it fails like this.
    pub fn push(&self, point: Point, fault: Fault) {
        if let Some(script) = &self.0 {
            script.lock().unwrap_or_else(PoisonError::into_inner).push_back((point, fault));
        }
    }

    /// Whether every scripted fault was reached.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.0.as_ref().is_none_or(|script| script.lock().unwrap_or_else(PoisonError::into_inner).is_empty())
    }

    /// Takes the next fault if it is for `point`.
    pub(super) fn take(&self, point: Point) -> Option<Fault> {
        let script = self.0.as_ref()?;
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        let index = script.iter().position(|(at, _)| *at == point)?;
        script.remove(index).map(|(_, fault)| fault)
    }
}

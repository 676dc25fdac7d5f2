//! A recover job: what is to be delivered again, and how far that has come.

use std::fmt;
use std::str::FromStr;

use inkhook_wire::id::SubscriptionId;
use uuid::Uuid;

use super::time::TimeMs;

/// Names a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobId(pub Uuid);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that names no job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct ParseJobIdError;

impl FromStr for JobId {
    type Err = ParseJobIdError;

    fn from_str(text: &str) -> Result<Self, ParseJobIdError> {
        Uuid::try_parse(text).map(Self).map_err(|_| ParseJobIdError)
    }
}

/// Which events of the window. All of them must match the subscription as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    /// A delivery ended without success, none succeeded, and none waits.
    Failed,
    /// Each of them.
    All,
    /// There is no delivery, in any state.
    Missed,
}

impl Which {
    /// The public word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::All => "all",
            Self::Missed => "missed",
        }
    }

    /// The integer in the store.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Failed => 1,
            Self::All => 2,
            Self::Missed => 3,
        }
    }

    /// Reads [`Which::code`] back.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        [Self::Failed, Self::All, Self::Missed].into_iter().find(|which| which.code() == code)
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Under way, or waiting for what it has queued.
    Running,
    /// Every event of the window was looked at.
    Completed,
    /// By hand, or because the subscription was deleted.
    Cancelled,
    /// Something stored could not be read.
    Failed,
}

impl JobState {
    /// The public word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The integer in the store.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Running => 1,
            Self::Completed => 2,
            Self::Cancelled => 3,
            Self::Failed => 4,
        }
    }

    /// Reads [`JobState::code`] back.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        let all = [Self::Running, Self::Completed, Self::Cancelled, Self::Failed];
        all.into_iter().find(|state| state.code() == code)
    }
}

/// What is asked for: events accepted from `since` to `until`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recover {
    /// Which of them.
    pub which: Which,
    /// From then on.
    pub since: TimeMs,
    /// Up to then.
    pub until: TimeMs,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whose deliveries.
    pub subscription_id: SubscriptionId,
    /// What was asked for.
    pub recover: Recover,
    /// Where it stands.
    pub state: JobState,
    /// Events that it has looked at.
    pub examined: u64,
    /// Deliveries that it has made.
    pub queued: u64,
    /// When it was asked for.
    pub created_at: TimeMs,
    /// When it last got on.
    pub updated_at: TimeMs,
    /// When it ended.
    pub ended_at: Option<TimeMs>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back() {
        for which in [Which::Failed, Which::All, Which::Missed] {
            assert_eq!(Which::from_code(which.code()), Some(which));
        }
        for state in [JobState::Running, JobState::Completed, JobState::Cancelled, JobState::Failed] {
            assert_eq!(JobState::from_code(state.code()), Some(state));
        }
        assert_eq!((Which::from_code(0), JobState::from_code(5)), (None, None));
    }
}

//! An attempt: one HTTP request made for a delivery, and what came back.

use std::time::Duration;

use bytes::Bytes;

use super::time::TimeMs;

/// What an attempt came to, as `deliver` reports it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It was made, and this came of it.
    Made(Attempt),
    /// The gate refused because the subscription changed: prepare anew.
    Changed,
    /// The gate refused because the lease is no longer ours: somebody else has it or will.
    LeaseOver,
    /// Shutdown ended it. `request_started` tells whether the receiver may have seen it.
    CutOff {
        /// The first byte had been written.
        request_started: bool,
    },
}

/// An attempt that ran to its end.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What it means for the delivery.
    pub verdict: Verdict,
    /// The answer's status, when there was one.
    pub status: Option<u16>,
    /// What went wrong, in a sentence for the tenant.
    pub error: Option<String>,
    /// What was kept of the answer's body.
    pub response_body: Option<Bytes>,
    /// How much of the body was read.
    pub response_bytes: u64,
    /// The request may have been received although no answer was read.
    pub maybe_received: bool,
    /// How long the receiver asked to be left alone (429 and 503 only).
    pub retry_after: Option<Duration>,
    /// When it began, wall clock.
    pub started_at: TimeMs,
    /// From its beginning to its end.
    pub duration: Duration,
}

/// The meaning of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// 2xx, and the body ended or reached the cap in time.
    Success,
    /// Worth retrying.
    Failure,
    /// 410: never again.
    Gone,
}

/// What the log says of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// 2xx in time.
    Succeeded,
    /// Anything else that is known.
    Failed,
    /// The node was lost or stopped before the answer was read.
    Unknown,
}

impl Recorded {
    /// The integer in the store.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            Self::Succeeded => 1,
            Self::Failed => 2,
            Self::Unknown => 3,
        }
    }

    /// Reads [`Recorded::code`] back.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        [Self::Succeeded, Self::Failed, Self::Unknown].into_iter().find(|recorded| recorded.code() == code)
    }
}

impl From<Verdict> for Recorded {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Success => Self::Succeeded,
            Verdict::Failure | Verdict::Gone => Self::Failed,
        }
    }
}

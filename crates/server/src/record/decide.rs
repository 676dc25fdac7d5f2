//! What becomes of a delivery after an attempt.
//!
//! | outcome | next |
//! |---|---|
//! | success | succeeded |
//! | 410 | exhausted, reason `gone`; the subscription is paused |
//! | failure of a delivery made by hand | exhausted: it has one attempt |
//! | failure, waits left in the schedule | retried after the wait ± 20 %, or when `Retry-After` says, if later |
//! | failure, none left | exhausted |
//! | cut off by shutdown | due again; the schedule has not moved |
//! | not sent: the gate refused, or the lease was over | the same, if nobody has taken it over |

use uuid::Uuid;

use crate::domain::attempt::{Attempt, Outcome, Verdict};
use crate::domain::delivery::{Claimed, Class, End};
use crate::domain::retry::RetrySchedule;
use crate::domain::time::TimeMs;
use crate::store::settle::{AttemptRow, Next, Settlement};

/// What [`decide`] needs besides the claim and the outcome.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The waits between attempts.
    pub schedule: &'a RetrySchedule,
    /// Schedule time.
    pub now: TimeMs,
    /// Wall time at which the attempt began, for one that was cut off.
    pub started_at: TimeMs,
    /// Varies the wait.
    pub jitter: f64,
    /// The log line's id.
    pub attempt_id: Uuid,
}

/// Decides. The settle is fenced: when somebody else holds the delivery by now it changes nothing.
#[must_use]
pub fn decide(claimed: &Claimed, outcome: Outcome, around: Circumstances<'_>) -> Settlement {
    let (attempt, next, hold_until) = match outcome {
        Outcome::Made(attempt) => {
            let hold_until = attempt.retry_after.map(|wait| around.now.after(wait));
            let next = after_attempt(claimed, &attempt, around, hold_until);
            (Some(AttemptRow::made(around.attempt_id, attempt)), next, hold_until)
        }
        Outcome::CutOff { request_started: true } if claimed.class == Class::Manual => {
            (Some(AttemptRow::cut_off(around.attempt_id, around.started_at)), Next::End(End::Lost), None)
        }
        Outcome::CutOff { request_started: true } => (
            Some(AttemptRow::cut_off(around.attempt_id, around.started_at)),
            Next::Release { maybe_received: true },
            None,
        ),
        // Written although nothing was sent: a delivery that was cancelled meanwhile waits for the end of its
        // attempt, and one that was not need not wait for its lease.
        Outcome::CutOff { request_started: false } | Outcome::Changed | Outcome::LeaseOver => {
            (None, Next::Release { maybe_received: false }, None)
        }
    };
    Settlement {
        delivery: claimed.delivery,
        subscription: claimed.target.subscription,
        claim_no: claimed.claim_no,
        attempt,
        next,
        hold_until,
    }
}

fn after_attempt(
    claimed: &Claimed,
    attempt: &Attempt,
    around: Circumstances<'_>,
    hold_until: Option<TimeMs>,
) -> Next {
    match attempt.verdict {
        Verdict::Success => return Next::End(End::Succeeded),
        Verdict::Gone => return Next::End(End::Gone),
        Verdict::Failure if claimed.class == Class::Manual => return Next::End(End::OutOfAttempts),
        Verdict::Failure => {}
    }
    if let Some(due) = claimed.early_for.filter(|due| *due > around.now) {
        let due = hold_until.map_or(due, |until| due.max(until));
        return Next::Keep { due, maybe_received: attempt.maybe_received };
    }
    match around.schedule.wait_after(claimed.failures + 1, around.jitter) {
        None => Next::End(End::OutOfAttempts),
        Some(wait) => {
            let due = around.now.after(wait);
            let due = hold_until.map_or(due, |until| due.max(until));
            Next::Retry { due, maybe_received: attempt.maybe_received }
        }
    }
}

#[cfg(test)]
mod tests;

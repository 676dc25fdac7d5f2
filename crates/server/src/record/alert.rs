//! What becomes of an operational event after an attempt.
//!
//! | outcome | next |
//! |---|---|
//! | success | sent |
//! | 410 | dropped: the receiver wants no more of this one |
//! | failure, waits left in the schedule | retried after the wait ± 20 %, or when `Retry-After` says, if later |
//! | failure, none left | dropped |
//! | cut off by shutdown, or the organisation's URL or key changed | due again; the schedule has not moved |

use crate::domain::alert::ClaimedAlert;
use crate::domain::attempt::{Attempt, Outcome, Verdict};
use crate::domain::retry::RetrySchedule;
use crate::domain::time::TimeMs;
use crate::store::alerts::{AlertNext, AlertSettlement};

/// Decides. `None` when there is nothing to write: somebody else holds it by now.
#[must_use]
pub fn decide(
    claimed: &ClaimedAlert,
    outcome: &Outcome,
    schedule: &RetrySchedule,
    now: TimeMs,
    jitter: f64,
) -> Option<AlertSettlement> {
    let (next, is_open) = match outcome {
        Outcome::Made(attempt) => {
            (after_attempt(claimed, attempt, schedule, now, jitter), attempt.maybe_received)
        }
        Outcome::CutOff { request_started } => (AlertNext::Release, *request_started),
        Outcome::Changed => (AlertNext::Release, false),
        Outcome::LeaseOver => return None,
    };
    let maybe_received = claimed.maybe_received || is_open;
    Some(AlertSettlement { no: claimed.no, claim_no: claimed.claim_no, maybe_received, next })
}

fn after_attempt(
    claimed: &ClaimedAlert,
    attempt: &Attempt,
    schedule: &RetrySchedule,
    now: TimeMs,
    jitter: f64,
) -> AlertNext {
    match attempt.verdict {
        Verdict::Success => return AlertNext::Sent,
        Verdict::Gone => return AlertNext::Dropped,
        Verdict::Failure => {}
    }
    match schedule.wait_after(claimed.failures + 1, jitter) {
        None => AlertNext::Dropped,
        Some(wait) => AlertNext::Retry { due: now.after(wait.max(attempt.retry_after.unwrap_or_default())) },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use inkhook_wire::sign::SigningKey;
    use uuid::Uuid;

    use super::*;
    use crate::domain::number::OrganizationNo;
    use crate::domain::signing::Signer;

    const NOW: TimeMs = TimeMs(1_000_000);

    fn next(failures: u32, verdict: Verdict, retry_after: Option<Duration>) -> AlertNext {
        let outcome = Outcome::Made(Attempt {
            verdict,
            status: Some(500),
            error: None,
            response_body: None,
            response_bytes: 0,
            maybe_received: false,
            retry_after,
            started_at: NOW,
            duration: Duration::ZERO,
        });
        settled(failures, &outcome).expect("something to write").next
    }

    fn settled(failures: u32, outcome: &Outcome) -> Option<AlertSettlement> {
        let claimed = ClaimedAlert {
            no: 7,
            claim_no: 2,
            claimed_at: TimeMs(0),
            lease_until: NOW,
            id: Uuid::from_u128(1).into(),
            request_id: Uuid::from_u128(1).into(),
            attempt_no: failures + 1,
            failures,
            maybe_received: false,
            organization: OrganizationNo(1),
            generation: 1,
            url: "https://ops.client.com/".into(),
            signer: Arc::new(Signer::new(SigningKey::new("whsec_demo-secret"))),
            payload: Bytes::new(),
        };
        let schedule = RetrySchedule::new(vec![Duration::from_secs(5), Duration::from_secs(30)]);
        decide(&claimed, outcome, &schedule, NOW, 1.0)
    }

    #[test]
    fn each_outcome_has_its_consequence() {
        let retry = |seconds| AlertNext::Retry { due: NOW.after(Duration::from_secs(seconds)) };
        assert_eq!(next(0, Verdict::Success, None), AlertNext::Sent);
        assert_eq!(next(0, Verdict::Gone, None), AlertNext::Dropped);
        assert_eq!(next(0, Verdict::Failure, None), retry(5));
        assert_eq!(next(1, Verdict::Failure, None), retry(30));
        assert_eq!(next(1, Verdict::Failure, Some(Duration::from_secs(40))), retry(40));
        assert_eq!(next(2, Verdict::Failure, None), AlertNext::Dropped);
        let cut_off = settled(2, &Outcome::CutOff { request_started: true }).expect("released");
        assert_eq!((cut_off.next, cut_off.maybe_received), (AlertNext::Release, true));
        assert_eq!(settled(2, &Outcome::Changed).expect("released").next, AlertNext::Release);
        assert!(settled(2, &Outcome::LeaseOver).is_none());
    }
}

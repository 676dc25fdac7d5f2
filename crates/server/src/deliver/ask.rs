//! Asking what becomes of a call: one request, and what its answer says.
//!
//! Nothing is retried here, and nothing is decided: whatever goes wrong is a [`Reason`].

use inkhook_egress::{AlwaysOpen, BodyEnd, Client, FailureKind, Request};
use tokio_util::sync::CancellationToken;

use super::classify;
use crate::domain::attempt::{Attempt, Outcome};
use crate::domain::call::{Answered, Reason, Verdict, read_answer};
use crate::domain::identity::IncomingCall;
use crate::domain::time::{Clock, TimeMs};

/// What a question came to.
#[derive(Debug)]
pub struct Asked {
    /// For the log.
    pub outcome: Outcome,
    /// What the answer says, or why it is of no use.
    pub said: Result<Verdict, Reason>,
}

impl Asked {
    /// Nobody could be asked: the rules forbid it, or there was nothing to sign with.
    #[must_use]
    pub fn not_sent(error: String, reason: Reason, now: TimeMs) -> Self {
        Self { outcome: Outcome::Made(classify::not_sendable(error, now)), said: Err(reason) }
    }
}

/// Asks. `cut_off` ends it at once.
pub async fn ask(
    client: &Client,
    request: Request,
    rule: &IncomingCall,
    clock: &Clock,
    cut_off: &CancellationToken,
    keep_inside_bodies: bool,
) -> Asked {
    let started_at = clock.wall();
    let result = tokio::select! {
        result = client.post(request, AlwaysOpen) => result,
        () = cut_off.cancelled() => {
            let outcome = Outcome::CutOff { request_started: true };
            return Asked { outcome, said: Err(Reason::Stopping) };
        }
    };
    let now = clock.wall();
    match result {
        Ok(answer) => {
            let is_whole = answer.body_complete == BodyEnd::Ended;
            let said = read_answer(Answered { status: answer.status, body: &answer.body, is_whole }, rule);
            let attempt = classify::answer(answer, started_at, now, keep_inside_bodies);
            Asked { outcome: Outcome::Made(explained(attempt, said.as_ref().err().copied())), said }
        }
        Err(failure) => {
            let reason = reason(&failure.kind);
            let attempt = classify::failure(failure, started_at, now, keep_inside_bodies);
            Asked { outcome: Outcome::Made(attempt), said: Err(reason) }
        }
    }
}

/// The log says of an answer that it was not used, where nothing says so yet and its status does not.
fn explained(mut attempt: Attempt, reason: Option<Reason>) -> Attempt {
    if let Some(reason) = reason
        && attempt.error.is_none()
        && attempt.status.is_some_and(|status| (200..300).contains(&status))
    {
        attempt.error = Some(reason.sentence().to_owned());
    }
    attempt
}

fn reason(failure: &FailureKind) -> Reason {
    match failure {
        FailureKind::Forbidden { .. } | FailureKind::HttpToUnopened(_) => Reason::NotAllowed,
        FailureKind::ConnectTimeout { .. } | FailureKind::Deadline { .. } => Reason::Timeout,
        FailureKind::Resolve { .. }
        | FailureKind::Connect { .. }
        | FailureKind::Tls { .. }
        | FailureKind::Reset { .. }
        | FailureKind::Closed { .. }
        | FailureKind::Protocol(_)
        | FailureKind::GateClosed
        | FailureKind::Io { .. } => Reason::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use inkhook_egress::Phase;

    use super::*;
    use crate::domain::attempt;

    fn attempt(status: u16) -> Attempt {
        Attempt {
            verdict: attempt::Verdict::Success,
            status: Some(status),
            error: None,
            response_body: None,
            response_bytes: 0,
            maybe_received: false,
            retry_after: None,
            started_at: TimeMs(0),
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn the_log_says_why_an_answer_was_not_used_unless_its_status_does() {
        let said = explained(attempt(200), Some(Reason::InvalidBody)).error.expect("a sentence");
        assert!(said.contains("JSON"), "{said}");
        assert_eq!(explained(attempt(500), Some(Reason::Status)).error, None);
        assert_eq!(explained(attempt(200), None).error, None);
    }

    #[test]
    fn every_failure_has_a_reason() {
        let address = "10.0.0.1".parse().unwrap();
        let late = FailureKind::Deadline { phase: Phase::Resolve, after: Duration::from_secs(5) };
        for (failure, expected) in [
            (FailureKind::Forbidden { address, reason: "private" }, Reason::NotAllowed),
            (FailureKind::HttpToUnopened(address), Reason::NotAllowed),
            (late, Reason::Timeout),
            (FailureKind::ConnectTimeout { after: Duration::from_secs(1) }, Reason::Timeout),
            (FailureKind::Reset { phase: Phase::Body }, Reason::Unreachable),
            (FailureKind::Protocol("x"), Reason::Unreachable),
        ] {
            assert_eq!(reason(&failure), expected);
        }
    }
}

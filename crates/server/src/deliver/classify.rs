//! From what the network did to what it means.
//!
//! | came back | means |
//! |---|---|
//! | 2xx, body ended or reached the cap | success |
//! | 410 | gone: never again |
//! | 429 or 503 with a usable `Retry-After` | failure, and the subscription is left alone for so long |
//! | anything else: other statuses, redirects, a broken body, no answer | failure |

use std::time::Duration;

use bytes::Bytes;
use inkhook_egress::{Answer, Failure, FailureKind};

use crate::domain::attempt::{Attempt, Verdict};
use crate::domain::retry::parse_retry_after;
use crate::domain::time::TimeMs;

/// Judges a complete answer.
#[must_use]
pub fn answer(answer: Answer, started_at: TimeMs, now: TimeMs, keep_inside: bool) -> Attempt {
    let verdict = match answer.status {
        200..=299 => Verdict::Success,
        410 => Verdict::Gone,
        _ => Verdict::Failure,
    };
    let error = match answer.status {
        101 => Some("answered 101: switching protocols is not supported".to_owned()),
        300..=399 => Some(format!("answered {}: redirects are not followed", answer.status)),
        _ => None,
    };
    let retry_after = wait(answer.status, answer.retry_after.as_deref(), now);
    let response_bytes = answer.body.len() as u64;
    Attempt {
        verdict,
        status: Some(answer.status),
        error,
        // What is behind addresses that only the operator opened is not for tenants to read.
        response_body: kept(answer.body, answer.opened && !keep_inside),
        response_bytes,
        maybe_received: false,
        retry_after,
        started_at,
        duration: answer.duration,
    }
}

/// Judges a failure of the network or of the answer's form.
#[must_use]
pub fn failure(failure: Failure, started_at: TimeMs, now: TimeMs, keep_inside: bool) -> Attempt {
    let retry_after = failure.status.and_then(|status| wait(status, failure.retry_after.as_deref(), now));
    Attempt {
        verdict: if failure.status == Some(410) { Verdict::Gone } else { Verdict::Failure },
        status: failure.status,
        error: Some(failure.kind.to_string()),
        response_bytes: failure.body.len() as u64,
        response_body: kept(failure.body, failure.opened && !keep_inside),
        maybe_received: failure.request_started && failure.status.is_none(),
        retry_after,
        started_at,
        duration: failure.duration,
    }
}

/// Whether the gate, not the network, ended the attempt.
#[must_use]
pub fn gate_closed(failure: &Failure) -> bool {
    failure.kind == FailureKind::GateClosed
}

/// An attempt that ended before there was a request to send.
#[must_use]
pub fn not_sendable(error: String, started_at: TimeMs) -> Attempt {
    Attempt {
        verdict: Verdict::Failure,
        status: None,
        error: Some(error),
        response_body: None,
        response_bytes: 0,
        maybe_received: false,
        retry_after: None,
        started_at,
        duration: Duration::ZERO,
    }
}

fn wait(status: u16, retry_after: Option<&str>, now: TimeMs) -> Option<Duration> {
    matches!(status, 429 | 503).then(|| parse_retry_after(retry_after?, now)).flatten()
}

fn kept(body: Bytes, hidden: bool) -> Option<Bytes> {
    (!body.is_empty() && !hidden).then_some(body)
}

#[cfg(test)]
mod tests {
    use inkhook_egress::{BodyEnd, Phase};

    use super::*;

    const NOW: TimeMs = TimeMs(1_780_000_000_000);

    fn came_back(status: u16, retry_after: Option<&str>) -> Attempt {
        let came = Answer {
            status,
            retry_after: retry_after.map(Into::into),
            content_type: None,
            body: Bytes::from_static(b"ok"),
            body_complete: BodyEnd::Ended,
            first_byte: Duration::from_millis(1),
            duration: Duration::from_millis(2),
            opened: false,
            peer: ([203, 0, 113, 5], 443).into(),
            reused: false,
        };
        answer(came, NOW, NOW, false)
    }

    fn failed(kind: FailureKind, request_started: bool, status: Option<u16>) -> Attempt {
        let came = Failure {
            kind,
            request_started,
            status,
            retry_after: None,
            body: Bytes::new(),
            duration: Duration::from_millis(2),
            peer: None,
            opened: false,
        };
        failure(came, NOW, NOW, false)
    }

    #[test]
    fn only_2xx_is_success_and_only_410_is_final() {
        for status in 100..600 {
            let expected = match status {
                200..=299 => Verdict::Success,
                410 => Verdict::Gone,
                _ => Verdict::Failure,
            };
            assert_eq!(came_back(status, None).verdict, expected, "{status}");
        }
    }

    #[test]
    fn a_redirect_says_that_it_is_not_followed() {
        let error = came_back(307, None).error.expect("a sentence");
        assert!(error.contains("redirects are not followed"), "{error}");
        assert_eq!(came_back(500, None).error, None, "a status speaks for itself");
    }

    #[test]
    fn retry_after_counts_with_429_and_503_only() {
        assert_eq!(came_back(429, Some("7")).retry_after, Some(Duration::from_secs(7)));
        assert_eq!(came_back(503, Some("7")).retry_after, Some(Duration::from_secs(7)));
        assert_eq!(came_back(500, Some("7")).retry_after, None);
        assert_eq!(came_back(429, Some("soon")).retry_after, None);
        assert_eq!(came_back(429, None).retry_after, None);
    }

    #[test]
    fn a_broken_body_after_2xx_is_a_failure() {
        let attempt = failed(FailureKind::Reset { phase: Phase::Body }, true, Some(200));
        assert_eq!((attempt.verdict, attempt.status), (Verdict::Failure, Some(200)));
        assert!(!attempt.maybe_received, "an answer was read: the receiver will know");
    }

    #[test]
    fn what_was_sent_and_not_answered_may_have_been_received() {
        let deadline = FailureKind::Deadline { phase: Phase::Headers, after: Duration::from_secs(30) };
        assert!(failed(deadline.clone(), true, None).maybe_received);
        assert!(!failed(deadline, false, None).maybe_received);
    }

    #[test]
    fn bodies_from_inside_are_not_kept() {
        assert_eq!(kept(Bytes::from_static(b"secret"), true), None);
        assert_eq!(kept(Bytes::from_static(b"public"), false), Some(Bytes::from_static(b"public")));
        assert_eq!(kept(Bytes::new(), false), None);
    }
}

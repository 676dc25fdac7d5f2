use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inkhook_wire::event::EventType;
use inkhook_wire::sign::SigningKey;

use super::*;
use crate::domain::attempt::Recorded;
use crate::domain::delivery::{ClaimedEvent, DeliveryTarget};
use crate::domain::number::{DeliveryNo, OrganizationNo, Seq, SubscriptionNo, UrlNo};
use crate::domain::signing::Signer;
use crate::domain::subscription::Ordering;

const NOW: TimeMs = TimeMs(1_000_000);

fn claimed(failures: u32, class: Class) -> Claimed {
    Claimed {
        delivery: DeliveryNo(64),
        claim_no: 2,
        lease_until: NOW.after(Duration::from_secs(35)),
        claimed_at: NOW,
        attempt_no: failures + 1,
        failures,
        class,
        is_probe: false,
        early_for: None,
        request_id: Uuid::from_u128(1).into(),
        maybe_received: false,
        expires_at: None,
        gap: None,
        event: ClaimedEvent {
            seq: Seq(1),
            id: Uuid::from_u128(2).into(),
            event_type: EventType::MessageReceived,
            payload: Bytes::new(),
        },
        target: Arc::new(DeliveryTarget {
            subscription: SubscriptionNo(1),
            subscription_id: Uuid::from_u128(3).into(),
            organization: OrganizationNo(1),
            generation: 1,
            url: "https://hooks.client.com/".into(),
            url_no: UrlNo(1),
            auth_token: None,
            signer: Arc::new(Signer::new(SigningKey::new("whsec_x"))),
            timeout: Duration::from_secs(30),
            host: 0,
            server_timeout: Duration::from_secs(30),
            retry_schedule: None,
            max_per_second: None,
            max_in_flight: None,
            ordering: Ordering::None,
            context: None,
        }),
    }
}

fn attempt(verdict: Verdict) -> Attempt {
    Attempt {
        verdict,
        status: Some(500),
        error: None,
        response_body: None,
        response_bytes: 0,
        maybe_received: false,
        retry_after: None,
        started_at: NOW,
        duration: Duration::from_millis(12),
    }
}

fn decided(claimed: &Claimed, outcome: Outcome) -> Settlement {
    let schedule = RetrySchedule::default();
    let around = Circumstances {
        schedule: &schedule,
        now: NOW,
        started_at: NOW,
        jitter: 1.0,
        attempt_id: Uuid::from_u128(9),
    };
    decide(claimed, outcome, around)
}

#[test]
fn a_probe_ahead_of_its_time_does_not_move_the_schedule() {
    let own = NOW.after(Duration::from_secs(50));
    let early = Claimed { is_probe: true, early_for: Some(own), ..claimed(10, Class::Retry) };
    let next = |claimed: &Claimed, attempt| decided(claimed, Outcome::Made(attempt)).next;
    let failure = || attempt(Verdict::Failure);
    assert_eq!(next(&early, failure()), Next::Keep { due: own, maybe_received: false }, "not the last one");
    let held = Attempt { retry_after: Some(Duration::from_mins(1)), ..failure() };
    let until = NOW.after(Duration::from_mins(1));
    assert_eq!(next(&early, held), Next::Keep { due: until, maybe_received: false });
    assert_eq!(next(&early, attempt(Verdict::Success)), Next::End(End::Succeeded));
    let late = Claimed { early_for: Some(NOW), ..early };
    assert_eq!(next(&late, failure()), Next::End(End::OutOfAttempts), "its time came while it was tried");
}

#[test]
fn success_and_gone_end_it() {
    let live = claimed(0, Class::Live);
    let success = decided(&live, Outcome::Made(attempt(Verdict::Success)));
    assert_eq!(success.next, Next::End(End::Succeeded));
    assert_eq!(success.attempt.unwrap().recorded, Recorded::Succeeded);
    assert_eq!(decided(&live, Outcome::Made(attempt(Verdict::Gone))).next, Next::End(End::Gone));
}

#[test]
fn failures_follow_the_schedule_to_its_end() {
    let schedule = RetrySchedule::default();
    for failures in 0..10 {
        let next = decided(&claimed(failures, Class::Retry), Outcome::Made(attempt(Verdict::Failure))).next;
        let wait = schedule.wait_after(failures + 1, 1.0).unwrap();
        assert_eq!(next, Next::Retry { due: NOW.after(wait), maybe_received: false });
    }
    let last = decided(&claimed(10, Class::Retry), Outcome::Made(attempt(Verdict::Failure)));
    assert_eq!(last.next, Next::End(End::OutOfAttempts));
}

#[test]
fn a_delivery_made_by_hand_has_one_attempt() {
    let manual = claimed(0, Class::Manual);
    let failed = decided(&manual, Outcome::Made(attempt(Verdict::Failure)));
    assert_eq!(failed.next, Next::End(End::OutOfAttempts));
    let cut = decided(&manual, Outcome::CutOff { request_started: true });
    assert_eq!(cut.next, Next::End(End::Lost));
}

#[test]
fn retry_after_holds_the_subscription_and_moves_the_retry_when_later() {
    let live = claimed(0, Class::Live);
    let asked =
        |seconds| Attempt { retry_after: Some(Duration::from_secs(seconds)), ..attempt(Verdict::Failure) };
    let later = decided(&live, Outcome::Made(asked(600)));
    let until = NOW.after(Duration::from_mins(10));
    assert_eq!(
        (later.next, later.hold_until),
        (Next::Retry { due: until, maybe_received: false }, Some(until))
    );
    let sooner = decided(&live, Outcome::Made(asked(1)));
    let due = NOW.after(Duration::from_secs(5));
    assert_eq!(sooner.next, Next::Retry { due, maybe_received: false }, "the schedule's wait is longer");
}

#[test]
fn a_cut_off_does_not_use_up_an_attempt() {
    let live = claimed(3, Class::Retry);
    let started = decided(&live, Outcome::CutOff { request_started: true });
    assert_eq!(started.next, Next::Release { maybe_received: true });
    assert_eq!(started.attempt.unwrap().recorded, Recorded::Unknown);
    let not_started = decided(&live, Outcome::CutOff { request_started: false });
    assert_eq!(not_started.next, Next::Release { maybe_received: false });
    assert!(not_started.attempt.is_none());
}

#[test]
fn an_unanswered_request_marks_what_follows() {
    let silent = Attempt { maybe_received: true, ..attempt(Verdict::Failure) };
    let next = decided(&claimed(0, Class::Live), Outcome::Made(silent)).next;
    assert!(matches!(next, Next::Retry { maybe_received: true, .. }));
}

#[test]
fn a_lost_lease_is_given_back_without_an_attempt() {
    let given_back = decided(&claimed(0, Class::Live), Outcome::LeaseOver);
    assert_eq!(given_back.next, Next::Release { maybe_received: false });
    assert!(given_back.attempt.is_none());
}

#[test]
fn an_error_is_a_text_that_any_database_takes() {
    let failed = Attempt { error: Some("it said a\0b".into()), ..attempt(Verdict::Failure) };
    let settlement = decided(&claimed(0, Class::Live), Outcome::Made(failed));
    assert_eq!(settlement.attempt.unwrap().error.as_deref(), Some("it said a\u{fffd}b"));
}

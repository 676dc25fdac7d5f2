//! Leases: the fence, and what becomes of attempts whose outcome nobody knows.

use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Class, End};
use inkhook_server::store::claim::{LEASE_SKEW, MAX_UNKNOWN};
use inkhook_server::store::settle::{Next, Settled, Settlement};
use inkhook_wire::event::EventType;

use crate::support::invariants;
use crate::support::store::{StoreBench, TIMEOUT, stored};

const RECEIVED: EventType = EventType::MessageReceived;

async fn one_queued() -> StoreBench {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 1).await;
    bench
}

#[tokio::test]
async fn a_lease_keeps_others_away_until_it_ends() {
    let bench = one_queued().await;
    bench.claim_one().await;
    bench.clock.advance((TIMEOUT + LEASE_SKEW).checked_sub(Duration::from_millis(1)).unwrap());
    assert!(bench.claim().await.is_empty());
    bench.clock.advance(Duration::from_millis(1));
    bench.claim_one().await;
}

#[tokio::test]
async fn taking_an_expired_lease_writes_the_lost_attempt_and_a_late_settle_completes_it() {
    let bench = one_queued().await;
    let lost = bench.claim_one().await;
    bench.clock.advance(TIMEOUT + LEASE_SKEW);
    let taken = bench.claim_one().await;
    assert_eq!((taken.attempt_no, taken.claim_no, taken.failures), (2, 2, 0), "no place in the schedule");
    assert!(taken.maybe_received);
    assert_eq!(bench.outcomes(lost.delivery), [3]);
    let before = bench.rows("SELECT * FROM queue");
    assert_eq!(bench.succeed(&lost).await, Settled::Late);
    assert_eq!(bench.rows("SELECT * FROM queue"), before, "the delivery is not touched");
    assert_eq!(bench.outcomes(lost.delivery), [1]);
    assert_eq!(bench.succeed(&lost).await, Settled::Nothing, "twice is once");
    assert_eq!(bench.fail(&lost, Next::End(End::OutOfAttempts)).await, Settled::Nothing);
    assert_eq!(bench.fail(&taken, Next::End(End::OutOfAttempts)).await, Settled::Done);
    assert_eq!(bench.ended(lost.delivery), Some(stored(End::OutOfAttempts)));
    assert_eq!(bench.outcomes(lost.delivery), [1, 2]);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_late_settle_without_an_attempt_or_an_outcome_completes_nothing() {
    let bench = one_queued().await;
    let lost = bench.claim_one().await;
    bench.clock.advance(TIMEOUT + LEASE_SKEW);
    bench.claim_one().await;
    let release = Next::Release { maybe_received: false };
    let none = Settlement { attempt: None, ..bench.settlement(&lost, Recorded::Failed, release) };
    assert_eq!(bench.settle(none).await, Settled::Nothing);
    assert_eq!(bench.settle(bench.settlement(&lost, Recorded::Unknown, release)).await, Settled::Nothing);
    assert_eq!(bench.outcomes(lost.delivery), [3]);
}

#[tokio::test]
async fn a_settle_after_the_lease_ended_counts_while_nobody_took_it_over() {
    let bench = one_queued().await;
    let slow = bench.claim_one().await;
    bench.clock.advance(2 * (TIMEOUT + LEASE_SKEW));
    assert_eq!(bench.succeed(&slow).await, Settled::Done);
    assert!(bench.claim().await.is_empty());
    assert_eq!(bench.ended(slow.delivery), Some(stored(End::Succeeded)));
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn twenty_attempts_that_nobody_knows_of_end_a_delivery() {
    let bench = one_queued().await;
    let mut delivery = None;
    for claim in 1..=MAX_UNKNOWN {
        let claimed = bench.claim_one().await;
        assert_eq!(claimed.attempt_no, claim);
        delivery = Some(claimed.delivery);
        bench.clock.advance(TIMEOUT + LEASE_SKEW);
    }
    assert!(bench.claim().await.is_empty());
    let delivery = delivery.unwrap();
    assert_eq!(bench.ended(delivery), Some(stored(End::Lost)));
    assert_eq!(bench.outcomes(delivery), [3; 20]);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn leases_of_a_process_that_is_gone_are_free_at_once() {
    let mut bench = one_queued().await;
    let lost = bench.claim_one().await;
    bench.restart().await;
    invariants::check(&bench);
    let taken = bench.claim_one().await;
    assert_eq!((taken.delivery, taken.claim_no, taken.attempt_no), (lost.delivery, 2, 2));
    assert!(taken.maybe_received);
    assert_eq!(bench.outcomes(lost.delivery), [3]);
    bench.succeed(&taken).await;
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_manual_delivery_that_got_lost_ends_and_is_not_sent_again() {
    let mut bench = one_queued().await;
    let first = bench.claim_one().await;
    bench.succeed(&first).await;
    let help = bench.store().attempts(scope(), super::lists::page()).await.unwrap();
    bench.store().replay(scope(), help[0].id).await.unwrap();
    let by_hand = bench.claim_one().await;
    assert_eq!(by_hand.class, Class::Manual);
    bench.restart().await;
    let claims = bench.claims(bench.claim_request()).await;
    assert!(claims.claimed.is_empty() && claims.ended_manual);
    assert_eq!(bench.ended(by_hand.delivery), Some(stored(End::Lost)));
    invariants::check_at_rest(&bench);
}

fn scope() -> inkhook_server::domain::caller::Scope {
    let organization = inkhook_server::domain::number::OrganizationNo(1);
    inkhook_server::domain::caller::Scope { organization, identity: None }
}

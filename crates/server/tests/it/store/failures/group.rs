//! Statements that fail, and transactions that get in each other's way.

use futures_util::future::join_all;
use futures_util::{join, poll};
use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::End;
use inkhook_server::store::StoreError;
use inkhook_server::store::accept::{Accept, Accepted, NewEvent};
use inkhook_server::store::claim::LEASE_SKEW;
use inkhook_server::store::faults::{Fault, Point};
use inkhook_server::store::settle::{Next, Settled};
use inkhook_wire::event::EventType;

use super::block_writer;
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench, TIMEOUT, stored};

async fn subscribed() -> (StoreBench, Agent) {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[EventType::MessageReceived]).await;
    (bench, help)
}

/// Accepts these in one group.
async fn accept_together(bench: &StoreBench, events: Vec<NewEvent>) -> Vec<Result<Accept, StoreError>> {
    let blocked = block_writer(&bench.faults);
    let mut accepted = Box::pin(join_all(events.into_iter().map(|event| bench.store().accept(event))));
    assert!(poll!(&mut accepted).is_pending(), "all of them wait for the writer");
    drop(blocked);
    accepted.await
}

fn is_new(answer: &Result<Accept, StoreError>) -> bool {
    matches!(answer, Ok(Accept::Accepted(Accepted { duplicate: false, .. })))
}

fn is_statement<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Statement(_)))
}

#[tokio::test]
async fn only_the_culprit_fails_and_its_neighbours_in_the_group_are_stored() {
    let (bench, help) = subscribed().await;
    // The second accept fails in the group, and again when they are run one by one: had the first been
    // committed by itself, it would not be run again and the second would pass.
    bench.faults.push_after(Point::Accept, 1, Fault::Statement);
    bench.faults.push_after(Point::Accept, 1, Fault::Statement);
    let answers = accept_together(&bench, (0..3).map(|_| bench.mail(help)).collect()).await;
    assert!(bench.faults.is_spent());
    assert!(is_new(&answers[0]) && is_new(&answers[2]), "{answers:?}");
    assert!(is_statement(&answers[1]), "{answers:?}");
    assert_eq!((bench.number("SELECT count(*) FROM events"), bench.queued()), (2, 2));
    invariants::check(&bench);
    assert!(is_new(&bench.store().accept(bench.mail(help)).await), "and it goes on");
}

#[tokio::test]
async fn settles_and_changes_beside_a_culprit_are_stored() {
    let (bench, help) = subscribed().await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    bench.faults.push(Point::Accept, Fault::Statement);
    bench.faults.push(Point::Accept, Fault::Statement);
    let blocked = block_writer(&bench.faults);
    let mut all = Box::pin(async {
        join!(
            bench.succeed(&claimed),
            bench.store().create_organization("other".into()),
            bench.store().accept(bench.mail(help)),
            bench.store().claim_due(bench.claim_request()),
        )
    });
    assert!(poll!(&mut all).is_pending());
    drop(blocked);
    let (settled, created, accepted, claims) = all.await;
    assert_eq!(settled, Settled::Done);
    assert!(created.is_ok() && claims.is_ok());
    assert!(is_statement(&accepted), "{accepted:?}");
    assert_eq!(bench.ended(claimed.delivery), Some(stored(End::Succeeded)));
    assert_eq!(bench.number("SELECT count(*) FROM organizations"), 2);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_refused_key_of_a_group_that_was_run_again_is_not_used_up() {
    let (bench, help) = subscribed().await;
    let keyed =
        |hash| NewEvent { idempotency_key: Some("key".into()), request_hash: [hash; 32], ..bench.mail(help) };
    // The first fails for good, so that the second is the one that has the key.
    bench.faults.push(Point::Accept, Fault::Statement);
    bench.faults.push(Point::Accept, Fault::Statement);
    let answers = accept_together(&bench, vec![keyed(1), keyed(2), keyed(2)]).await;
    assert!(is_statement(&answers[0]), "{answers:?}");
    assert!(is_new(&answers[1]) && !is_new(&answers[2]), "{answers:?}");
    assert_eq!(bench.number("SELECT count(*) FROM events"), 1);
}

#[tokio::test]
async fn a_settle_that_cannot_be_written_is_written_without_body_and_text() {
    let (bench, help) = subscribed().await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    bench.faults.push(Point::Settle, Fault::Statement);
    bench.faults.push(Point::Settle, Fault::Statement);
    assert_eq!(bench.fail(&claimed, Next::End(End::OutOfAttempts)).await, Settled::Done);
    assert!(bench.faults.is_spent());
    let line = bench.rows("SELECT error IS NULL, response_body IS NULL, status, duration_ms FROM attempts");
    assert_eq!(line, [[1.into(), 1.into(), 500.into(), 12.into()]]);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_settle_that_cannot_be_written_at_all_is_an_attempt_that_nobody_knows_of() {
    let (bench, help) = subscribed().await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    (0..3).for_each(|_| bench.faults.push(Point::Settle, Fault::Statement));
    let settlement = bench.settlement(&claimed, Recorded::Failed, Next::End(End::OutOfAttempts));
    let settled = bench.store().settle(settlement).await;
    assert!(is_statement(&settled), "{settled:?}");
    assert!(bench.faults.is_spent());
    bench.clock.advance(TIMEOUT + LEASE_SKEW);
    let again = bench.claim_one().await;
    assert!(again.maybe_received);
    assert_eq!(bench.outcomes(claimed.delivery), [3]);
    bench.succeed(&again).await;
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_settle_is_not_lost_when_the_result_is_unknown_after_its_text_was_left_out() {
    let (bench, help) = subscribed().await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    bench.faults.push(Point::Settle, Fault::Statement);
    bench.faults.push(Point::Settle, Fault::Statement);
    bench.faults.push(Point::Commit, Fault::Unknown);
    assert_eq!(bench.fail(&claimed, Next::End(End::OutOfAttempts)).await, Settled::Done);
    assert!(bench.faults.is_spent());
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_conflict_is_tried_once_more_whole_and_then_one_by_one() {
    for conflicts in 1..=2 {
        let (bench, help) = subscribed().await;
        bench.accept_mails(help, 1).await;
        let claimed = bench.claim_one().await;
        (0..conflicts).for_each(|_| bench.faults.push(Point::Commit, Fault::Conflict));
        let blocked = block_writer(&bench.faults);
        let mails = (0..3).map(|_| bench.store().accept(bench.mail(help)));
        let mut all = Box::pin(async { join!(join_all(mails), bench.succeed(&claimed)) });
        assert!(poll!(&mut all).is_pending());
        drop(blocked);
        let (accepted, settled) = all.await;
        assert!(bench.faults.is_spent());
        assert!(accepted.iter().all(is_new), "{accepted:?}");
        assert_eq!(settled, Settled::Done);
        assert_eq!((bench.number("SELECT count(*) FROM events"), bench.queued()), (4, 3));
        invariants::check(&bench);
    }
}

#[tokio::test]
async fn what_conflicts_for_ever_fails() {
    let (bench, help) = subscribed().await;
    // With the others, again with them, and then by itself as often as it is worth.
    (0..6).for_each(|_| bench.faults.push(Point::Commit, Fault::Conflict));
    assert!(is_statement(&bench.store().accept(bench.mail(help)).await));
    assert!(bench.faults.is_spent());
    assert_eq!(bench.number("SELECT count(*) FROM events"), 0);
}

/// A group ends with the operation that brings it to 4,096 deliveries. Run again it has all of these operations from
/// the start, and none of them may be left behind.
#[tokio::test]
async fn a_large_group_that_is_run_again_answers_everybody() {
    const SUBSCRIPTIONS: usize = 20;
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    for _ in 0..SUBSCRIPTIONS {
        bench.subscribe(help.admin(), help.by_mail(), &[EventType::MessageReceived]).await;
    }
    let events = 4_096 / SUBSCRIPTIONS + 30;
    bench.faults.push(Point::Commit, Fault::Conflict);
    let accepted = accept_together(&bench, (0..events).map(|_| bench.mail(help)).collect()).await;
    assert!(bench.faults.is_spent());
    assert!(accepted.iter().all(is_new), "{accepted:?}");
    assert_eq!(bench.queued(), i64::try_from(events * SUBSCRIPTIONS).unwrap());
    invariants::check(&bench);
}

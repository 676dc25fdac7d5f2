//! What waits is shown, and the operator's changes reach all of it and nothing else.

use std::time::Duration;

use inkhook_server::domain::delivery::{Class, End};
use inkhook_server::domain::health::FAILURES_TO_FAILING;
use inkhook_server::domain::subscription::Subscription;
use inkhook_server::store::cancel::CHUNK_ROWS;
use inkhook_server::store::settle::{Next, Settled};
use inkhook_server::store::waiting::{COUNTED, Place, Waiting, WaitingFilter, Why};
use inkhook_wire::event::EventType;

use crate::support::invariants;
use crate::support::store::{Agent, StoreBench, stored};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;

async fn subscribed() -> (StoreBench, Agent, Subscription) {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    (bench, help, subscription)
}

async fn list(bench: &StoreBench, filter: WaitingFilter) -> Vec<Waiting> {
    bench.store().waiting(filter, bench.clock.schedule()).await.expect("read")
}

async fn only(bench: &StoreBench) -> Waiting {
    let mut found = list(bench, WaitingFilter { limit: 50, ..WaitingFilter::default() }).await;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Everything in chunks; what was changed and what was left.
async fn every_chunk<F>(mut step: impl FnMut(Place) -> F) -> (u64, u64)
where
    F: Future<Output = Result<inkhook_server::store::waiting::Step, inkhook_server::store::StoreError>>,
{
    let (mut changed, mut left, mut next) = (0, 0, Some(Place::default()));
    while let Some(place) = next {
        let done = step(place).await.expect("stored");
        assert!(done.changed + done.left <= u64::try_from(CHUNK_ROWS).unwrap());
        changed += done.changed;
        left += done.left;
        next = done.next;
    }
    (changed, left)
}

#[tokio::test]
async fn each_reason_to_wait_has_its_name() {
    let (bench, help, subscription) = subscribed().await;
    bench.accept_mails(help, 2).await;
    let began = bench.clock.wall();
    let line = only(&bench).await;
    assert_eq!((line.subscription, &line.url), (subscription.id, &subscription.url.given));
    assert_eq!(line.organization.as_ref().map(|(_, name)| &**name), Some("help"));
    assert_eq!((line.counts, line.in_flight, line.since), (vec![(Class::Live, 2)], 0, began));
    assert_eq!(line.why, Why::Due);

    let request = bench.request_within(1, 1);
    let claimed = bench.claimed_within(request).await.remove(0);
    assert_eq!(only(&bench).await.why, Why::InFlight);
    let until = bench.clock.schedule().after(Duration::from_mins(1));
    let next = Next::Retry { due: until, maybe_received: false };
    let mut settlement = bench.settlement(&claimed, inkhook_server::domain::attempt::Recorded::Failed, next);
    settlement.hold_until = Some(until);
    bench.settle(settlement).await;
    let line = only(&bench).await;
    assert_eq!(line.why, Why::RetryAfter(until));
    assert_eq!(line.counts, [(Class::Live, 1), (Class::Retry, 1)]);
    bench.store().pause_subscription(help.admin(), subscription.id).await.unwrap();
    assert_eq!(only(&bench).await.why, Why::Paused { reason: "by_hand".into(), since: began });
    bench.store().resume_subscription(help.admin(), subscription.id).await.unwrap();
    assert_eq!(only(&bench).await.why, Why::Draining);
    let waited = bench.claim().await;
    assert_eq!(waited.len(), 2, "what waited for it is due, whatever its own time");
    for claimed in &waited {
        bench.succeed(claimed).await;
    }
    assert!(bench.claim().await.is_empty());

    bench.accept_mails(help, 1).await;
    for failures in 1..=FAILURES_TO_FAILING {
        let claimed = bench.claim_one().await;
        let due = bench.clock.schedule().after(Duration::from_mins(1));
        bench.fail(&claimed, Next::Retry { due, maybe_received: false }).await;
        let expected = if failures < FAILURES_TO_FAILING { Why::DueAt(due) } else { Why::Failing };
        assert_eq!(only(&bench).await.why, expected, "after {failures}");
        bench.clock.advance(Duration::from_mins(1));
    }
    let probe = bench.claim_one().await;
    bench.succeed(&probe).await;
    assert!(list(&bench, WaitingFilter { limit: 50, ..WaitingFilter::default() }).await.is_empty());
}

#[tokio::test]
async fn counting_stops_and_pages_follow_one_another() {
    let (bench, help, first) = subscribed().await;
    let second = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let other = bench.agent("other").await;
    let third = bench.subscribe(other.admin(), other.by_mail(), &[RECEIVED]).await;
    let more = usize::try_from(COUNTED).unwrap() + 1;
    bench.accept_mails(help, more + 5).await;
    bench.accept_mails(other, 1).await;
    let ids =
        async |filter| -> Vec<_> { list(&bench, filter).await.iter().map(|one| one.subscription).collect() };
    let page = WaitingFilter { limit: 2, ..WaitingFilter::default() };
    assert_eq!(ids(page).await, [first.id, second.id]);
    assert_eq!(ids(WaitingFilter { after: Some(second.id), ..page }).await, [third.id]);
    let theirs = WaitingFilter { organization: Some(other.organization), ..page };
    assert_eq!(ids(theirs).await, [third.id]);
    assert_eq!(list(&bench, page).await[0].counts, [(Class::Live, COUNTED + 1)]);
}

#[tokio::test]
async fn a_retry_makes_everything_due_and_lifts_the_receivers_wish() {
    let (bench, help, subscription) = subscribed().await;
    let count = CHUNK_ROWS + 1;
    bench.accept_mails(help, count).await;
    let due = bench.clock.schedule().after(Duration::from_hours(1));
    let mut claimed = bench.claim().await;
    let under_way = claimed.pop().expect("one");
    for claimed in &claimed {
        let next = Next::Retry { due, maybe_received: false };
        let mut settlement =
            bench.settlement(claimed, inkhook_server::domain::attempt::Recorded::Failed, next);
        settlement.hold_until = Some(due);
        bench.settle(settlement).await;
    }
    bench.accept_mails(help, 1).await;
    assert!(bench.claim().await.is_empty(), "held");
    let store = bench.store();
    let changed = every_chunk(|place| store.retry_waiting(subscription.no, place)).await;
    assert_eq!(changed, (u64::try_from(CHUNK_ROWS).unwrap(), 2), "one is under way, one was due");
    invariants::check(&bench);
    assert_eq!(bench.claim().await.len(), CHUNK_ROWS + 1);
    bench.succeed(&under_way).await;
}

#[tokio::test]
async fn a_cancel_ends_what_was_there_under_a_reason_of_its_own() {
    let (bench, help, subscription) = subscribed().await;
    let other = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, CHUNK_ROWS + 1).await;
    let request = bench.request_within(1, 1);
    let under_way = bench.claimed_within(request).await.remove(0);
    assert_eq!(under_way.target.subscription, subscription.no);
    let generation = under_way.target.generation;
    let store = bench.store();
    let changed = every_chunk(|place| store.cancel_waiting(subscription.no, place)).await;
    assert_eq!(changed, (u64::try_from(CHUNK_ROWS).unwrap() + 1, 0));
    assert_eq!(bench.ended(under_way.delivery), Some(stored(End::CancelledByOperator)));
    let mut written = false;
    assert!(!bench.generations.write_if_unchanged(subscription.no, generation, &mut || written = true));
    assert!(!written, "what was prepared does not start");
    assert_eq!(bench.fail(&under_way, Next::End(End::OutOfAttempts)).await, Settled::AfterEnd);
    assert_eq!(bench.claim().await.len(), CHUNK_ROWS + 1, "the neighbour's");
    bench.accept_mails(help, 1).await;
    assert_eq!(only_of(&bench, subscription.id).await.counts, [(Class::Live, 1)], "new ones are delivered");
    assert_ne!(other.id, subscription.id);
    invariants::check(&bench);
}

async fn only_of(bench: &StoreBench, id: inkhook_wire::id::SubscriptionId) -> Waiting {
    let all = list(bench, WaitingFilter { limit: 50, ..WaitingFilter::default() }).await;
    all.into_iter().find(|one| one.subscription == id).expect("it waits")
}

#[tokio::test]
async fn one_delivery_is_found_by_its_request_id() {
    let (bench, help, _) = subscribed().await;
    bench.accept_mails(help, 3).await;
    let due = bench.clock.schedule().after(Duration::from_hours(1));
    let claimed = bench.claim().await;
    for claimed in &claimed {
        bench.fail(claimed, Next::Retry { due, maybe_received: false }).await;
    }
    let store = bench.store();
    let found = store.queued_request(claimed[1].request_id).await.unwrap().expect("it waits");
    assert_eq!(found, claimed[1].delivery);
    assert!(store.retry_delivery(found).await.unwrap());
    assert!(!store.retry_delivery(found).await.unwrap(), "it is due already");
    assert_eq!(bench.claim_one().await.delivery, found);
    let last = store.queued_request(claimed[2].request_id).await.unwrap().expect("it waits");
    assert!(store.cancel_delivery(last).await.unwrap());
    assert!(!store.cancel_delivery(last).await.unwrap(), "it has ended");
    assert_eq!(bench.ended(last), Some(stored(End::CancelledByOperator)));
    assert_eq!(store.queued_request(bench.entropy.uuid().into()).await.unwrap(), None);
    invariants::check(&bench);
}

#[tokio::test]
async fn a_move_is_a_new_delivery_at_the_other_place() {
    let (bench, help, from) = subscribed().await;
    bench.select(help.admin(), &from, &[RECEIVED, SENT]).await;
    for _ in 0..CHUNK_ROWS {
        bench.accept(bench.mail(help)).await;
    }
    bench.accept(bench.event(help.organization, help.by_mail(), SENT)).await;
    let request = bench.request_within(1, 1);
    let under_way = bench.claimed_within(request).await.remove(0);
    // Made later than what is moved to it was accepted.
    let to = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let store = bench.store();
    let moved = every_chunk(|place| store.move_waiting(help.organization, from.no, to.no, place)).await;
    assert_eq!(moved, (u64::try_from(CHUNK_ROWS).unwrap() - 1, 2), "under way; not selected there");
    invariants::check(&bench);
    let (state, reason) = stored(End::Moved);
    let ends = bench.rows("SELECT DISTINCT state, reason FROM deliveries");
    assert_eq!(ends, [[state.into(), reason.unwrap().into()]]);
    let there = only_of(&bench, to.id).await;
    assert_eq!(there.counts, [(Class::Recover, COUNTED.min(u64::try_from(CHUNK_ROWS).unwrap() - 1))]);
    bench.succeed(&under_way).await;
    let claimed = bench.claim().await;
    let (moved, rest): (Vec<_>, Vec<_>) =
        claimed.into_iter().partition(|claimed| claimed.target.subscription == to.no);
    assert_eq!((moved.len(), rest.len()), (CHUNK_ROWS - 1, 1));
    for claimed in moved.iter().chain(&rest) {
        assert_eq!(claimed.attempt_no, 1);
        bench.succeed(claimed).await;
    }
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn nothing_is_moved_into_another_organisation() {
    let (bench, help, from) = subscribed().await;
    let other = bench.agent("other").await;
    let theirs = bench.subscribe(other.admin(), other.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 1).await;
    for organization in [help.organization, other.organization] {
        let done =
            bench.store().move_waiting(organization, from.no, theirs.no, Place::default()).await.unwrap();
        assert_eq!((done.changed, done.left), (0, 1));
    }
    invariants::check(&bench);
}

//! Claiming: order, bounds, and what is never taken.

mod round;

use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Class, End};
use inkhook_server::domain::number::{OrganizationNo, SubscriptionNo};
use inkhook_server::domain::slots::Want;
use inkhook_server::domain::subscription::SubscriptionChange;
use inkhook_server::domain::time::TimeMs;
use inkhook_server::store::replay::Replay;
use inkhook_server::store::settle::Next;
use inkhook_wire::event::EventType;

use crate::support::invariants;
use crate::support::store::{StoreBench, TIMEOUT, stored};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;

/// A place for an attempt that this test does not make.
fn want(subscription: SubscriptionNo) -> Want {
    Want {
        organization: OrganizationNo(1),
        subscription,
        class: Class::Live,
        host: 0,
        bytes: 0,
        max_in_flight: None,
        max_per_second: None,
        now: TimeMs(0),
        failing: false,
    }
}

#[tokio::test]
async fn one_subscription_is_served_in_the_order_of_acceptance_and_within_the_bounds() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let first = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let second = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 5).await;
    let request = bench.request_within(5, 3);
    let first_place = request.slots.try_take(want(first.no)).expect("a place");
    let claims = bench.claims(request.clone()).await;
    let of = |subscription: SubscriptionNo| {
        let of = claims.claimed.iter().filter(move |it| it.claimed.target.subscription == subscription);
        of.map(|it| it.claimed.event.seq.0).collect::<Vec<_>>()
    };
    let accepted: Vec<i64> = bench.books.column("SELECT seq FROM events ORDER BY seq LIMIT 2");
    assert_eq!(
        (of(first.no), of(second.no)),
        (accepted.clone(), accepted),
        "five in all, one of them before"
    );
    assert!(bench.claims(request.clone()).await.claimed.is_empty(), "no place is left");
    drop(first_place);
    assert_eq!(bench.claims(request.clone()).await.claimed.len(), 1, "one in all");
    drop((claims, request));
    let request = bench.request_within(100, 2);
    let full: Vec<_> = [first.no, first.no, second.no, second.no].map(want).into();
    let full: Vec<_> = full.into_iter().map(|want| request.slots.try_take(want).expect("a place")).collect();
    assert!(bench.claims(request).await.claimed.is_empty(), "none of these two");
    drop(full);
    invariants::check(&bench);
}

#[tokio::test]
async fn the_classes_of_one_subscription_share_its_bound() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 2).await;
    for claimed in bench.claim().await {
        let due = bench.clock.schedule();
        bench.fail(&claimed, Next::Retry { due, maybe_received: false }).await;
    }
    bench.accept_mails(help, 2).await;
    let claimed = bench.claimed_within(bench.request_within(100, 3)).await;
    let live = claimed.iter().filter(|claimed| claimed.class == Class::Live).count();
    assert_eq!((live, claimed.len()), (2, 3));
}

#[tokio::test]
async fn a_claim_carries_what_the_attempt_needs() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let event = bench.mail(help);
    bench.accept(event.clone()).await;
    let first = bench.claim_one().await;
    assert_eq!(first.event.id, event.id);
    assert_eq!(first.event.payload, event.payload);
    assert_eq!(first.target.url, subscription.url.given);
    assert_eq!((first.attempt_no, first.claim_no, first.failures), (1, 1, 0));
    assert!(!first.maybe_received);
    assert!(first.lease_until > bench.clock.schedule().after(TIMEOUT), "longer than the attempt may take");
    let due = bench.clock.schedule();
    bench.fail(&first, Next::Retry { due, maybe_received: true }).await;
    let url = bench.url();
    bench
        .patch(
            help.admin(),
            &subscription,
            SubscriptionChange { url: Some(url.clone()), ..Default::default() },
        )
        .await;
    let second = bench.claim_one().await;
    assert_eq!((second.request_id, second.event.id), (first.request_id, first.event.id));
    assert_eq!((second.attempt_no, second.claim_no, second.failures), (2, 2, 1));
    assert_eq!((second.class, second.maybe_received), (Class::Retry, true));
    assert_eq!(second.target.url, url.given, "the settings of now");
    assert!(second.target.generation > first.target.generation);
}

#[tokio::test]
async fn nothing_of_a_deleted_subscription_or_a_removed_or_re_added_type_is_taken() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let deleted = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let narrowed = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED, SENT]).await;
    let again = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED, SENT]).await;
    bench.accept_mails(help, 3).await;
    bench.delete(help.admin(), &deleted).await;
    bench.select(help.admin(), &narrowed, &[SENT]).await;
    bench.select(help.admin(), &again, &[SENT]).await;
    bench.select(help.admin(), &again, &[RECEIVED, SENT]).await;
    assert!(bench.claim().await.is_empty());
    bench.accept(bench.event(help.organization, help.by_mail(), SENT)).await;
    assert_eq!(bench.accept_mails(help, 1).await, 1, "only where the type is selected now");
    let mut claimed: Vec<_> = bench.claim().await;
    claimed.sort_by_key(|claimed| (claimed.target.subscription, claimed.event.seq));
    let claimed: Vec<_> =
        claimed.iter().map(|claimed| (claimed.target.subscription, claimed.event.event_type)).collect();
    assert_eq!(claimed, [(narrowed.no, SENT), (again.no, SENT), (again.no, RECEIVED)]);
    invariants::check(&bench);
}

#[tokio::test]
async fn pause_and_retry_after_hold_everything_but_what_is_asked_for_by_hand() {
    for hold in ["pause", "retry-after"] {
        let bench = StoreBench::new();
        let help = bench.agent("help").await;
        let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
        bench.accept_mails(help, 1).await;
        let first = bench.claim_one().await;
        let (attempt, until) =
            (bench.attempt(Recorded::Failed), bench.clock.schedule().after(Duration::from_mins(1)));
        let id = attempt.id.into();
        let next = Next::Retry { due: bench.clock.schedule(), maybe_received: false };
        let mut settlement = bench.settlement(&first, Recorded::Failed, next);
        settlement.attempt = Some(attempt);
        settlement.hold_until = (hold == "retry-after").then_some(until);
        bench.settle(settlement).await;
        if hold == "pause" {
            bench.store().pause_subscription(help.admin(), subscription.id).await.unwrap();
        }
        bench.accept_mails(help, 1).await;
        assert!(bench.claim().await.is_empty(), "{hold}");
        let replay = bench.store().replay(help.admin(), id).await.unwrap();
        assert!(matches!(replay, Replay::Queued(..)), "{replay:?}");
        let by_hand = bench.claim_one().await;
        assert_eq!(by_hand.class, Class::Manual, "{hold}");
        bench.succeed(&by_hand).await;
        bench.clock.advance(Duration::from_mins(1));
        if hold == "pause" {
            assert!(bench.claim().await.is_empty());
            bench.store().resume_subscription(help.admin(), subscription.id).await.unwrap();
        }
        assert_eq!(bench.claim().await.len(), 2, "{hold}");
        invariants::check(&bench);
    }
}

#[tokio::test]
async fn an_expired_event_ends_instead_of_being_taken() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let mut event = bench.mail(help);
    event.expires_at = Some(bench.clock.wall().after(Duration::from_secs(10)));
    bench.accept(event.clone()).await;
    event.id = bench.mail(help).id;
    bench.accept(event).await;
    let tried = bench.claimed_within(bench.request_within(1, 1)).await.remove(0);
    let due = bench.clock.schedule().after(Duration::from_secs(10));
    bench.fail(&tried, Next::Retry { due, maybe_received: false }).await;
    assert_eq!(bench.ended(tried.delivery), Some(stored(End::EventExpired)), "at once, not when due");
    bench.clock.advance(Duration::from_secs(10));
    assert!(bench.claim().await.is_empty());
    assert_eq!(bench.rows("SELECT DISTINCT state, reason FROM deliveries").len(), 1);
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_claim_is_read_again_only_while_it_may_be_sent() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED, SENT]).await;
    let store = bench.store();
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    let url = bench.url();
    bench
        .patch(
            help.admin(),
            &subscription,
            SubscriptionChange { url: Some(url.clone()), ..Default::default() },
        )
        .await;
    let current = store.retarget(claimed.clone()).await.unwrap().expect("it may be sent");
    assert_eq!(current.target.url, url.given);
    assert!(current.target.generation > claimed.target.generation);
    store.pause_subscription(help.admin(), subscription.id).await.unwrap();
    assert!(store.retarget(claimed.clone()).await.unwrap().is_none(), "paused");
    store.resume_subscription(help.admin(), subscription.id).await.unwrap();
    assert!(store.retarget(claimed.clone()).await.unwrap().is_some());
    bench.select(help.admin(), &subscription, &[SENT]).await;
    assert!(store.retarget(claimed.clone()).await.unwrap().is_none(), "no longer selected");
    bench.delete(help.admin(), &subscription).await;
    assert!(store.retarget(claimed.clone()).await.unwrap().is_none(), "deleted");
    bench.tidy().await;
    assert!(store.retarget(claimed).await.unwrap().is_none(), "ended");
}

#[tokio::test]
async fn a_claim_whose_event_expired_meanwhile_is_not_sent() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let mut event = bench.mail(help);
    event.expires_at = Some(bench.clock.wall().after(Duration::from_secs(1)));
    bench.accept(event).await;
    let claimed = bench.claim_one().await;
    assert!(bench.store().retarget(claimed.clone()).await.unwrap().is_some());
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.store().retarget(claimed).await.unwrap().is_none());
}

#[tokio::test]
async fn a_claim_that_was_made_by_hand_is_sent_although_the_subscription_is_paused() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 1).await;
    let first = bench.claim_one().await;
    bench.succeed(&first).await;
    let attempts = bench.store().attempts(help.admin(), super::lists::page()).await.unwrap();
    bench.store().replay(help.admin(), attempts[0].id).await.unwrap();
    let by_hand = bench.claim_one().await;
    bench.store().pause_subscription(help.admin(), subscription.id).await.unwrap();
    assert!(bench.store().retarget(by_hand).await.unwrap().is_some());
}

#[tokio::test]
async fn a_type_that_was_added_after_a_claim_is_claimed_as_well() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    bench.accept_mails(help, 1).await;
    let request = bench.claim_request();
    assert_eq!(bench.claimed_within(request.clone()).await.len(), 1);
    bench.select(help.admin(), &subscription, &[RECEIVED, SENT]).await;
    bench.accept(bench.event(help.organization, help.by_mail(), SENT)).await;
    assert_eq!(bench.claimed_within(request).await.len(), 1, "what was read of it before is forgotten");
}

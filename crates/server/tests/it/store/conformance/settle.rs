//! Settling: each way a delivery can go on, once.

use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Claimed, Class, End};
use inkhook_server::domain::subscription::{SubscriptionChange, WebhookUrl};
use inkhook_server::store::settle::{Next, Settled, Settlement};
use inkhook_wire::event::EventType;

use crate::support::invariants;
use crate::support::store::{Agent, StoreBench, stored};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;

async fn one_claimed() -> (StoreBench, Agent, inkhook_server::domain::subscription::Subscription, Claimed) {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED, SENT]).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    (bench, help, subscription, claimed)
}

#[tokio::test]
async fn each_end_is_written_once_with_its_attempt() {
    for end in [End::Succeeded, End::OutOfAttempts, End::Gone, End::Lost] {
        let (bench, _, _, claimed) = one_claimed().await;
        let recorded = if end == End::Succeeded { Recorded::Succeeded } else { Recorded::Failed };
        let settle = || bench.settlement(&claimed, recorded, Next::End(end));
        assert_eq!(bench.settle(settle()).await, Settled::Done);
        assert_eq!(bench.settle(settle()).await, Settled::Nothing, "twice is once");
        assert_eq!(bench.ended(claimed.delivery), Some(stored(end)));
        assert_eq!(bench.outcomes(claimed.delivery), [recorded.code()]);
        invariants::check_at_rest(&bench);
    }
}

#[tokio::test]
async fn a_failure_moves_the_schedule_and_a_release_does_not() {
    let (bench, _, _, claimed) = one_claimed().await;
    let due = bench.clock.schedule().after(Duration::from_secs(5));
    let retry = Next::Retry { due, maybe_received: false };
    assert_eq!(bench.fail(&claimed, retry).await, Settled::Done);
    assert_eq!(bench.fail(&claimed, retry).await, Settled::Nothing, "twice is once");
    assert!(bench.claim().await.is_empty(), "not yet");
    bench.clock.advance(Duration::from_secs(5));
    let second = bench.claim_one().await;
    assert_eq!((second.failures, second.attempt_no, second.class), (1, 2, Class::Retry));
    let release = Next::Release { maybe_received: false };
    let none = Settlement { attempt: None, ..bench.settlement(&second, Recorded::Failed, release) };
    assert_eq!(bench.settle(none.clone()).await, Settled::Done);
    assert_eq!(bench.settle(none).await, Settled::Nothing);
    let third = bench.claim_one().await;
    assert_eq!((third.failures, third.attempt_no, third.claim_no), (1, 2, 3), "as if it had not been tried");
    assert!(!third.maybe_received);
    let cut_off = Next::Release { maybe_received: true };
    bench.settle(bench.settlement(&third, Recorded::Unknown, cut_off)).await;
    let fourth = bench.claim_one().await;
    assert_eq!((fourth.failures, fourth.attempt_no), (1, 3), "logged, but no place in the schedule");
    assert!(fourth.maybe_received);
    bench.fail(&fourth, Next::Retry { due: bench.clock.schedule(), maybe_received: false }).await;
    assert!(bench.claim_one().await.maybe_received, "once it may have been received it stays so");
    assert_eq!(bench.outcomes(claimed.delivery), [2, 3, 2]);
    invariants::check(&bench);
}

#[tokio::test]
async fn gone_pauses_the_subscription_and_is_noticed_by_attempts_under_way() {
    let (bench, help, subscription, claimed) = one_claimed().await;
    bench.accept_mails(help, 1).await;
    let beside = bench.claim_one().await;
    bench.fail(&claimed, Next::End(End::Gone)).await;
    let shown = bench.store().subscription(help.admin(), subscription.id).await.unwrap().unwrap();
    assert!(shown.paused.is_some());
    let mut wrote = false;
    let generation = beside.target.generation;
    bench.generations.write_if_unchanged(subscription.no, generation, &mut || wrote = true);
    assert!(!wrote, "the other attempt does not start");
    bench.accept_mails(help, 1).await;
    assert!(bench.claim().await.is_empty(), "held");
    bench.fail(&beside, Next::End(End::Gone)).await;
    let again = bench.store().subscription(help.admin(), subscription.id).await.unwrap().unwrap();
    assert_eq!(again.paused, shown.paused, "paused once");
    invariants::check(&bench);
}

#[tokio::test]
async fn a_hold_only_ever_grows_and_resume_ends_it() {
    let (bench, help, subscription, claimed) = one_claimed().await;
    let now = bench.clock.schedule();
    let hold = async |claimed: &Claimed, seconds| {
        let until = now.after(Duration::from_secs(seconds));
        let next = Next::Retry { due: until, maybe_received: false };
        let mut settlement = bench.settlement(claimed, Recorded::Failed, next);
        settlement.hold_until = Some(until);
        bench.settle(settlement).await;
    };
    bench.accept_mails(help, 1).await;
    let second = bench.claim_one().await;
    hold(&claimed, 60).await;
    hold(&second, 30).await;
    let not_before = || bench.number("SELECT not_before_ms FROM subscriptions");
    assert_eq!(not_before(), now.after(Duration::from_mins(1)).0);
    bench.clock.advance(Duration::from_secs(59));
    assert!(bench.claim().await.is_empty(), "the retry at 30 s waits, too");
    bench.store().resume_subscription(help.admin(), subscription.id).await.unwrap();
    assert_eq!(not_before(), 0);
    let due: Vec<_> = bench.claim().await.iter().map(|claimed| claimed.delivery).collect();
    assert_eq!(due, [second.delivery, claimed.delivery], "whatever waits, also what was to wait longer");
}

#[tokio::test]
async fn who_asked_for_time_at_a_url_that_was_replaced_does_not_hold_the_new_one() {
    let (bench, help, subscription, claimed) = one_claimed().await;
    let url = |path: &str| {
        let given = format!("https://moved.example/{path}");
        Some(WebhookUrl { given: given.clone(), normalized: given })
    };
    let to_new = SubscriptionChange { url: url("new"), ..SubscriptionChange::default() };
    bench.store().patch_subscription(help.admin(), subscription.id, to_new).await.expect("stored");
    let until = bench.clock.schedule().after(Duration::from_mins(1));
    let asks_for_time = |claimed: &Claimed| {
        let next = Next::Retry { due: until, maybe_received: false };
        Settlement { hold_until: Some(until), ..bench.settlement(claimed, Recorded::Failed, next) }
    };
    assert_eq!(bench.settle(asks_for_time(&claimed)).await, Settled::Done);
    assert_eq!(bench.number("SELECT not_before_ms FROM subscriptions"), 0);
    bench.accept_mails(help, 1).await;
    let at_new = bench.claim_one().await;
    bench.settle(asks_for_time(&at_new)).await;
    assert_eq!(bench.number("SELECT not_before_ms FROM subscriptions"), until.0, "here it is obeyed");
    bench.accept_mails(help, 1).await;
    assert!(bench.claim().await.is_empty());
}

#[tokio::test]
async fn a_failure_after_a_delete_or_a_removed_type_is_logged_and_ends_cancelled() {
    let failures = [
        Next::Retry { due: crate::support::START, maybe_received: false },
        Next::Release { maybe_received: true },
        Next::End(End::OutOfAttempts),
        Next::End(End::Lost),
        Next::End(End::Gone),
    ];
    for deleted in [true, false] {
        for tidied in [true, false] {
            for next in failures {
                let (bench, help, subscription, claimed) = one_claimed().await;
                let end = if deleted { End::SubscriptionDeleted } else { End::TypeNotSelected };
                if deleted {
                    bench.delete(help.admin(), &subscription).await;
                } else {
                    bench.select(help.admin(), &subscription, &[SENT]).await;
                }
                if tidied {
                    bench.tidy().await;
                }
                let settled = bench.fail(&claimed, next).await;
                assert_eq!(settled, if tidied { Settled::AfterEnd } else { Settled::Done });
                assert_eq!(bench.fail(&claimed, next).await, Settled::Nothing, "twice is once");
                bench.tidy().await;
                assert_eq!(bench.ended(claimed.delivery), Some(stored(end)), "{next:?}, tidied: {tidied}");
                assert_eq!(bench.outcomes(claimed.delivery), [2]);
                invariants::check_at_rest(&bench);
            }
        }
    }
}

#[tokio::test]
async fn a_success_after_a_delete_is_a_success() {
    for tidied in [true, false] {
        let (bench, help, subscription, claimed) = one_claimed().await;
        bench.delete(help.admin(), &subscription).await;
        if tidied {
            bench.tidy().await;
        }
        bench.succeed(&claimed).await;
        bench.tidy().await;
        assert_eq!(bench.ended(claimed.delivery), Some(stored(End::Succeeded)));
        invariants::check_at_rest(&bench);
    }
}

#[tokio::test]
async fn an_attempt_that_never_started_leaves_no_line_in_the_log_although_its_delivery_was_cancelled() {
    let (mut bench, help, subscription, claimed) = one_claimed().await;
    bench.delete(help.admin(), &subscription).await;
    bench.tidy().await;
    let release = Next::Release { maybe_received: false };
    let none = Settlement { attempt: None, ..bench.settlement(&claimed, Recorded::Failed, release) };
    assert_eq!(bench.settle(none).await, Settled::AfterEnd);
    invariants::check_at_rest(&bench);
    bench.restart().await;
    assert_eq!(bench.outcomes(claimed.delivery), Vec::<i64>::new());
    assert_eq!(bench.ended(claimed.delivery), Some(stored(End::SubscriptionDeleted)));
    invariants::check_at_rest(&bench);
}

#[tokio::test]
async fn a_410_for_a_removed_type_still_pauses() {
    let (bench, help, subscription, claimed) = one_claimed().await;
    bench.select(help.admin(), &subscription, &[SENT]).await;
    bench.fail(&claimed, Next::End(End::Gone)).await;
    let shown = bench.store().subscription(help.admin(), subscription.id).await.unwrap().unwrap();
    assert!(shown.paused.is_some(), "the receiver wants nothing more of any type");
    assert_eq!(bench.ended(claimed.delivery), Some(stored(End::TypeNotSelected)));
}

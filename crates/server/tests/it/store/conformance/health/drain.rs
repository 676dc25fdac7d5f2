//! Draining: what waited goes out at a rate, whatever its own due times.

use inkhook_server::domain::subscription::SubscriptionChange;

use super::{HOUR, Ward};
use crate::support::invariants;

/// What may go out in each tenth of a second, until nothing is left or `tenths` are over.
async fn drained(ward: &Ward, tenths: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    for _ in 0..tenths {
        let claimed = ward.bench.claim().await;
        invariants::check(&ward.bench);
        taken.push(claimed.len());
        for claimed in claimed {
            ward.bench.succeed(&claimed).await;
        }
        ward.pass_ms(100);
    }
    taken
}

#[tokio::test]
async fn what_waits_drains_at_the_least_rate_whatever_its_own_due_times() {
    let ward = Ward::failing(30).await;
    ward.pass(5);
    let probe = ward.probe().await;
    ward.bench.succeed(&probe).await;
    // 29 that were never tried and five that were to be tried in an hour.
    let taken = drained(&ward, 40).await;
    assert_eq!(taken[..3], [2, 1, 1], "a fifth of a second's worth, then one in each tenth");
    assert_eq!(taken.iter().sum::<usize>(), 34, "{taken:?}");
    assert_eq!(taken[33..].iter().sum::<usize>(), 0, "{taken:?}");
    invariants::check_at_rest(&ward.bench);
    ward.bench.accept_mails(ward.help, 100).await;
    assert_eq!(ward.bench.claim().await.len(), 100, "nothing that waited is left: no rate any more");
    assert_eq!(ward.bench.number("SELECT count(drain_since_ms) FROM subscriptions"), 0);
}

#[tokio::test]
async fn it_drains_at_twice_the_rate_that_it_could_take() {
    let ward = Ward::new().await;
    // 1,800 in a minute: 30 a second.
    for _ in 0..60 {
        ward.bench.accept_mails(ward.help, 30).await;
        for claimed in ward.bench.claim().await {
            ward.bench.succeed(&claimed).await;
        }
        ward.pass(1);
    }
    ward.bench.accept_mails(ward.help, 200).await;
    let request = ward.bench.request_within(5, 5);
    for claimed in ward.bench.claimed_within(request).await {
        ward.fail(&claimed, HOUR).await;
    }
    ward.pass(5);
    let probe = ward.probe().await;
    ward.bench.succeed(&probe).await;
    let taken = drained(&ward, 10).await;
    assert_eq!(taken[..4], [12, 6, 6, 6], "60 a second: {taken:?}");
}

#[tokio::test]
async fn what_fails_after_the_recovery_waits_for_its_own_time() {
    let ward = Ward::failing(1).await;
    ward.pass(5);
    let probe = ward.probe().await;
    ward.bench.succeed(&probe).await;
    ward.pass(1);
    let drained = ward.bench.claim().await;
    assert_eq!(drained.len(), 2);
    for claimed in &drained {
        assert!(claimed.early_for.is_none() && !claimed.is_probe);
        ward.fail(claimed, HOUR).await;
    }
    ward.pass(10);
    let rest = ward.bench.claim().await;
    assert_eq!(rest.len(), 2, "a burst");
    for claimed in &rest {
        assert!(drained.iter().all(|failed| failed.delivery != claimed.delivery));
        ward.bench.succeed(claimed).await;
    }
    ward.pass(10);
    let last = ward.bench.claim_one().await;
    ward.bench.succeed(&last).await;
    ward.pass(10);
    ward.none().await;
    ward.bench.clock.advance(HOUR);
    assert_eq!(ward.bench.claim().await.len(), 2);
}

#[tokio::test]
async fn another_url_and_resume_begin_anew_and_drain() {
    for by_url in [true, false] {
        let ward = Ward::failing(10).await;
        ward.pause().await;
        ward.pass(3_000);
        ward.none().await;
        if by_url {
            let change = SubscriptionChange { url: Some(ward.bench.url()), ..SubscriptionChange::default() };
            ward.bench.patch(ward.help.admin(), &ward.subscription, change).await;
        } else {
            ward.resume().await;
        }
        let health = ward.shown().await.health;
        assert_eq!((health.is_failing, health.consecutive_failures), (false, 0), "by URL: {by_url}");
        let taken = drained(&ward, 20).await;
        assert_eq!((taken[0], taken[1]), (2, 1), "by URL: {by_url}");
        assert_eq!(taken.iter().sum::<usize>(), 15, "by URL: {by_url}");
        invariants::check_at_rest(&ward.bench);
    }
}

#[tokio::test]
async fn resume_of_a_healthy_one_makes_its_retries_due_and_without_any_changes_nothing() {
    let ward = Ward::new().await;
    ward.bench.accept_mails(ward.help, 2).await;
    let before = ward.shown().await;
    ward.resume().await;
    assert_eq!(ward.shown().await, before, "nothing holds it back");
    let [first, second] = ward.bench.claim().await.try_into().expect("two");
    ward.fail(&first, HOUR).await;
    ward.bench.succeed(&second).await;
    ward.none().await;
    ward.resume().await;
    let again = ward.bench.claim_one().await;
    assert_eq!(again.delivery, first.delivery);
    ward.bench.succeed(&again).await;
    invariants::check_at_rest(&ward.bench);
}

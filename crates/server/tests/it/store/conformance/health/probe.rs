//! Probes: one at a time, each another delivery, in their rhythm.

use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::Class;
use inkhook_server::domain::health::LONGEST_PROBE_WAIT;
use inkhook_server::domain::number::DeliveryNo;
use inkhook_server::domain::subscription::SubscriptionChange;
use inkhook_server::store::settle::Next;

use super::{HOUR, RECEIVED, SENT, Ward};
use crate::support::invariants;

/// The waits between probes, in seconds.
const WAITS: [u64; 8] = [5, 10, 20, 40, 80, 160, 300, 300];

#[tokio::test]
async fn while_it_fails_one_delivery_at_a_time_is_tried_and_the_others_lose_no_attempt() {
    let ward = Ward::failing(50).await;
    for wait in WAITS {
        ward.pass(wait - 1);
        ward.none().await;
        ward.pass(1);
        let probe = ward.probe().await;
        ward.fail(&probe, HOUR).await;
    }
    let tried = ward.bench.number("SELECT count(*) FROM attempts");
    assert_eq!(tried, 5 + 8);
    let untried = "SELECT count(*) FROM queue WHERE attempts = 0 AND failures = 0";
    assert_eq!(ward.bench.number(untried), 50 - 8);
    let most = ward.bench.number("SELECT max(attempts) FROM queue");
    assert_eq!(most, 1, "each probe is another delivery");
}

#[tokio::test]
async fn the_one_whose_last_try_is_longest_ago_is_next_and_its_schedule_stays() {
    let ward = Ward::failing(0).await;
    let mut order: Vec<DeliveryNo> = Vec::new();
    for _ in 0..15 {
        ward.bench.clock.advance(LONGEST_PROBE_WAIT);
        let probe = ward.probe().await;
        order.push(probe.delivery);
        let was_due = probe.early_for.is_none();
        assert_eq!(was_due, order.len() >= 12, "an hour after the first try each is due by itself");
        if was_due {
            break;
        }
        ward.fail(&probe, HOUR).await;
    }
    assert_eq!(order[..5], order[5..10], "in turn");
    let mut distinct = order[..5].to_vec();
    distinct.dedup();
    assert_eq!(distinct.len(), 5);
    let moved = "SELECT count(*) FROM queue WHERE failures <> 1";
    assert_eq!(ward.bench.number(moved), 0, "a try before its time uses up no wait of the schedule");
}

#[tokio::test]
async fn an_event_that_comes_is_a_reason_to_probe_at_once_unless_one_is_under_way() {
    let ward = Ward::failing(0).await;
    ward.none().await;
    ward.bench.accept_mails(ward.help, 1).await;
    let probe = ward.probe().await;
    assert_eq!(probe.class, Class::Live, "the one that was never tried");
    ward.bench.accept_mails(ward.help, 1).await;
    ward.none().await;
    ward.fail(&probe, HOUR).await;
    ward.none().await;
    ward.pass(9);
    ward.none().await;
    ward.pass(1);
    let second = ward.probe().await;
    assert_ne!(second.delivery, probe.delivery);
    ward.fail(&second, HOUR).await;
}

#[tokio::test]
async fn a_restart_keeps_probing_and_knows_that_the_probe_under_way_is_lost() {
    let mut ward = Ward::failing(3).await;
    ward.pass(5);
    let lost = ward.probe().await;
    ward.bench.restart().await;
    invariants::check(&ward.bench);
    let again = ward.probe().await;
    assert_ne!(again.delivery, lost.delivery, "the one that is lost was tried last");
    ward.fail(&again, HOUR).await;
    assert!(ward.shown().await.health.is_failing);
    ward.pass(9);
    ward.none().await;
    ward.bench.restart().await;
    ward.none().await;
    ward.pass(1);
    let third = ward.probe().await;
    ward.bench.succeed(&third).await;
    assert!(!ward.shown().await.health.is_failing);
    invariants::check(&ward.bench);
}

#[tokio::test]
async fn a_probe_whose_lease_is_over_makes_way_for_the_next() {
    let ward = Ward::failing(1).await;
    ward.pass(5);
    let probe = ward.probe().await;
    ward.bench.clock.advance(probe.lease_until.since(ward.bench.clock.schedule()));
    let next = ward.probe().await;
    assert_ne!(next.delivery, probe.delivery);
    ward.bench.succeed(&next).await;
    invariants::check(&ward.bench);
}

#[tokio::test]
async fn one_that_ends_without_a_verdict_is_followed_at_once() {
    let ward = Ward::failing(2).await;
    ward.pass(5);
    let probe = ward.probe().await;
    let mut unstarted =
        ward.bench.settlement(&probe, Recorded::Failed, Next::Release { maybe_received: false });
    unstarted.attempt = None;
    ward.bench.settle(unstarted).await;
    let next = ward.probe().await;
    ward.fail(&next, HOUR).await;
    ward.none().await;
}

#[tokio::test]
async fn a_probe_that_is_told_to_wait_waits_that_long() {
    let ward = Ward::failing(1).await;
    ward.pass(5);
    let probe = ward.probe().await;
    let until = ward.bench.clock.schedule().after(Duration::from_secs(20));
    let next = Next::Retry { due: until, maybe_received: false };
    let mut settlement = ward.bench.settlement(&probe, Recorded::Failed, next);
    settlement.hold_until = Some(until);
    ward.bench.settle(settlement).await;
    ward.pass(19);
    ward.none().await;
    ward.pass(1);
    ward.probe().await;
}

#[tokio::test]
async fn a_hold_that_ends_is_followed_by_a_probe_also_when_nothing_is_due_by_itself() {
    let ward = Ward::failing(0).await;
    ward.pass(5);
    let probe = ward.probe().await;
    let until = ward.bench.clock.schedule().after(Duration::from_secs(20));
    let own = probe.early_for.expect("it is tried before its time");
    let next = Next::Keep { due: own, maybe_received: false };
    let mut settlement = ward.bench.settlement(&probe, Recorded::Failed, next);
    settlement.hold_until = Some(until);
    ward.bench.settle(settlement).await;
    ward.none().await;
    ward.pass(19);
    ward.none().await;
    ward.pass(1);
    ward.probe().await;
}

#[tokio::test]
async fn a_probe_ahead_of_its_time_that_goes_to_a_new_url_is_an_attempt_like_any_other() {
    let ward = Ward::failing(0).await;
    ward.pass(5);
    let probe = ward.probe().await;
    let change = SubscriptionChange { url: Some(ward.bench.url()), ..Default::default() };
    ward.bench.patch(ward.help.admin(), &ward.subscription, change).await;
    let again = ward.bench.store().retarget(probe.clone()).await.expect("read").expect("it may be sent");
    assert_eq!((probe.is_probe, probe.early_for.is_some()), (true, true));
    assert_eq!((again.is_probe, again.early_for), (false, None), "all that waited is due");

    // What changes nothing about the receiver leaves it what it was.
    let ward = Ward::failing(0).await;
    ward.pass(5);
    let probe = ward.probe().await;
    let again = ward.bench.store().retarget(probe.clone()).await.expect("read").expect("it may be sent");
    assert_eq!((again.is_probe, again.early_for), (true, probe.early_for));
}

#[tokio::test]
async fn resume_of_a_failing_one_probes_at_once() {
    let ward = Ward::failing(3).await;
    ward.none().await;
    ward.resume().await;
    assert!(ward.shown().await.health.is_failing, "a word is no success");
    let probe = ward.probe().await;
    ward.fail(&probe, HOUR).await;
    ward.pass(9);
    ward.none().await;
    ward.pass(1);
    ward.probe().await;
}

#[tokio::test]
async fn a_delete_or_a_removed_type_while_a_probe_is_under_way_leaves_nothing_behind() {
    let ward = Ward::failing(3).await;
    ward.pass(5);
    let probe = ward.probe().await;
    ward.bench.delete(ward.help.admin(), &ward.subscription).await;
    ward.bench.fail(&probe, Next::Retry { due: ward.bench.clock.schedule(), maybe_received: false }).await;
    ward.none().await;
    ward.bench.tidy().await;
    invariants::check_at_rest(&ward.bench);

    let ward = Ward::failing(3).await;
    ward.bench.select(ward.help.admin(), &ward.subscription, &[RECEIVED, SENT]).await;
    ward.pass(5);
    let probe = ward.probe().await;
    let event = ward.bench.event(ward.help.organization, ward.help.by_mail(), SENT);
    ward.bench.accept(event).await;
    ward.bench.select(ward.help.admin(), &ward.subscription, &[SENT]).await;
    ward.bench.tidy().await;
    ward.bench.fail(&probe, Next::Retry { due: ward.bench.clock.schedule(), maybe_received: false }).await;
    ward.pass(10);
    let next = ward.probe().await;
    assert_eq!(next.event.event_type, SENT);
    ward.bench.succeed(&next).await;
    invariants::check_at_rest(&ward.bench);
}

#[tokio::test]
async fn what_is_too_late_or_cancelled_is_ended_on_the_way_to_a_probe() {
    let ward = Ward::failing(0).await;
    for _ in 0..3 {
        let mut event = ward.bench.mail(ward.help);
        event.expires_at = Some(ward.bench.clock.wall().after(Duration::from_secs(5)));
        ward.bench.accept(event).await;
    }
    ward.bench.accept_mails(ward.help, 1).await;
    ward.pass(5);
    let probe = ward.probe().await;
    assert_eq!(probe.class, Class::Live);
    assert_eq!(ward.bench.number("SELECT count(*) FROM deliveries WHERE reason = 'event_expired'"), 3);
}

#[tokio::test]
async fn a_probe_begins_in_the_slow_share() {
    let ward = Ward::failing(1).await;
    ward.pass(5);
    let request = ward.bench.request_within(100, 10);
    let claims = ward.bench.claims(request.clone()).await;
    let in_use = request.slots.in_use();
    assert_eq!((claims.claimed.len(), in_use.fast, in_use.slow), (1, 0, 1));
    invariants::check(&ward.bench);
}

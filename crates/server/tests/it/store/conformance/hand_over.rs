//! Handing over with the commit: what comes to whoever has the seat, and what waits in the table.
//!
//! What was handed over is there when the accept or settle is answered, so nothing here waits.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Claimed, Class, End, Leased};
use inkhook_server::domain::health::FAILURES_TO_FAILING;
use inkhook_server::domain::slots::Slots;
use inkhook_server::domain::subscription::{DeliverySettings, EventTypes, NewSubscription, Subscription};
use inkhook_server::store::StoreError;
use inkhook_server::store::accept::{Accept, Accepted};
use inkhook_server::store::claim::LEASE_SKEW;
use inkhook_server::store::faults::{Fault, Point};
use inkhook_server::store::hand_over::HandedOver;
use inkhook_server::store::settle::Next;
use inkhook_server::store::subscriptions::CreateSubscription;
use inkhook_wire::event::EventType;

use crate::support::invariants;
use crate::support::store::{Agent, StoreBench, TIMEOUT, slots_within};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;
const HOUR: Duration = Duration::from_hours(1);

/// A store whose seat is taken, with one subscription for what an agent receives.
struct Desk {
    bench: StoreBench,
    help: Agent,
    subscription: Subscription,
    slots: Slots,
    handed: HandedOver,
}

impl Desk {
    async fn new() -> Self {
        Self::with(slots_within(100, 100), DeliverySettings::default()).await
    }

    async fn with(slots: Slots, delivery: DeliverySettings) -> Self {
        let bench = StoreBench::new();
        let help = bench.agent("help").await;
        let new = NewSubscription {
            owner: help.by_mail(),
            url: bench.url(),
            event_types: EventTypes::from_stored(vec![RECEIVED]),
            context_config: None,
            auth_token: None,
            delivery,
        };
        let subscription = match bench.store().create_subscription(help.admin(), new).await.expect("stored") {
            CreateSubscription::Created { subscription, .. } => *subscription,
            refused => panic!("{refused:?}"),
        };
        let handed = bench.store().take_seat(slots.clone(), TIMEOUT);
        Self { bench, help, subscription, slots, handed }
    }

    /// Publishes one; whether whoever claims should look for it, and what was handed over.
    async fn publish(&mut self) -> (bool, Vec<Leased>) {
        let accepted = self.bench.accept(self.bench.mail(self.help)).await;
        assert_eq!((accepted.deliveries, accepted.duplicate), (1, false));
        (accepted.waiting, self.ready())
    }

    /// What has been handed over and was not looked at yet.
    fn ready(&mut self) -> Vec<Leased> {
        std::iter::from_fn(|| self.handed.ready()).flatten().collect()
    }

    /// The next one published is handed over; nobody needs to be told.
    async fn publish_handed(&mut self) -> Leased {
        let (waiting, mut handed) = self.publish().await;
        assert_eq!((waiting, handed.len()), (false, 1), "it comes with its commit");
        handed.remove(0)
    }

    /// The next one published waits in the table. `waiting`: whoever claims must look for it.
    async fn publish_waits(&mut self, waiting: bool) {
        let (is_waiting, handed) = self.publish().await;
        assert_eq!((is_waiting, handed.len()), (waiting, 0), "it waits");
    }

    async fn fail(&self, claimed: &Claimed) {
        let due = self.bench.clock.schedule().after(HOUR);
        self.bench.fail(claimed, Next::Retry { due, maybe_received: false }).await;
    }

    /// Settles a success, frees its place, and claims what was refused one.
    async fn succeed_and_claim(&mut self, leased: Leased) -> Vec<Leased> {
        let end = Next::End(End::Succeeded);
        let settlement = self.bench.settlement(&leased.claimed, Recorded::Succeeded, end);
        let next = leased.slot.free().then_some(self.subscription.no);
        self.bench.store().settle_and_claim(settlement, next).await.expect("settled");
        self.ready()
    }
}

#[tokio::test]
async fn a_fresh_delivery_comes_with_its_commit_and_is_a_claim_like_any_other() {
    let mut desk = Desk::new().await;
    let Leased { claimed, slot } = desk.publish_handed().await;
    assert_eq!((claimed.attempt_no, claimed.claim_no, claimed.class), (1, 1, Class::Live));
    assert_eq!(claimed.lease_until, desk.bench.clock.schedule().after(TIMEOUT).after(LEASE_SKEW));
    assert_eq!(desk.slots.in_use().fast, 1);
    assert!(desk.bench.claim().await.is_empty(), "nobody else takes it");
    invariants::check(&desk.bench);
    // The next one does not wait for the first one's end.
    let second = desk.publish_handed().await;
    desk.bench.succeed(&claimed).await;
    drop(slot);
    // A lease that ends takes it back like any other.
    desk.bench.clock.advance(TIMEOUT + LEASE_SKEW);
    let again = desk.bench.claim_one().await;
    assert_eq!((again.delivery, again.attempt_no), (second.claimed.delivery, 2));
    desk.bench.succeed(&again).await;
    assert_eq!(desk.bench.outcomes(again.delivery), [3, 1]);
    invariants::check_at_rest(&desk.bench);
}

#[tokio::test]
async fn nothing_overtakes_what_waits() {
    let mut desk = Desk::new().await;
    // Nobody has the seat: it waits.
    desk.handed = {
        let (slots, store) = (desk.slots.clone(), desk.bench.store().clone());
        drop(desk.handed);
        desk.bench.accept_mails(desk.help, 1).await;
        store.take_seat(slots, TIMEOUT)
    };
    desk.publish_waits(true).await;
    let claimed = desk.bench.claim().await;
    assert_eq!(claimed.len(), 2);
    let third = desk.publish_handed().await;
    assert!(claimed.iter().all(|earlier| earlier.delivery < third.claimed.delivery));
    // One that was put back untried waits, too.
    let release = Next::Release { maybe_received: false };
    let mut put_back = desk.bench.settlement(&claimed[0], Recorded::Failed, release);
    put_back.attempt = None;
    desk.bench.settle(put_back).await;
    desk.publish_waits(true).await;
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn what_is_paused_is_not_handed_over() {
    let mut desk = Desk::new().await;
    let (scope, id) = (desk.help.admin(), desk.subscription.id);
    desk.bench.store().pause_subscription(scope, id).await.expect("stored").expect("it is there");
    desk.publish_waits(false).await;
    desk.bench.store().resume_subscription(scope, id).await.expect("stored").expect("it is there");
    // What waited drains, and what comes meanwhile has its turn after it.
    desk.publish_waits(true).await;
    assert_eq!(desk.bench.claim().await.len(), 2);
    assert!(desk.bench.claim().await.is_empty());
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn who_asked_for_time_has_it() {
    let mut desk = Desk::new().await;
    let Leased { claimed, slot } = desk.publish_handed().await;
    let until = desk.bench.clock.schedule().after(HOUR);
    let next = Next::Retry { due: until, maybe_received: false };
    let mut settlement = desk.bench.settlement(&claimed, Recorded::Failed, next);
    settlement.hold_until = Some(until);
    desk.bench.settle(settlement).await;
    drop(slot);
    desk.bench.clock.advance(HOUR.saturating_sub(Duration::from_millis(1)));
    desk.publish_waits(true).await;
    desk.bench.clock.advance(Duration::from_millis(1));
    assert_eq!(desk.bench.claim().await.len(), 2);
    desk.publish_handed().await;
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn what_fails_is_probed_and_nothing_is_handed_over() {
    let mut desk = Desk::new().await;
    for _ in 1..FAILURES_TO_FAILING {
        let Leased { claimed, .. } = desk.publish_handed().await;
        desk.fail(&claimed).await;
    }
    let last = desk.publish_handed().await;
    desk.fail(&last.claimed).await;
    // Nothing fresh waits: that it fails is the one reason.
    desk.publish_waits(true).await;
    let probe = desk.bench.claim_one().await;
    assert!(probe.is_probe);
    desk.publish_waits(true).await;
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn what_came_back_drains_before_anything_is_handed_over() {
    let mut desk = Desk::new().await;
    for _ in 0..FAILURES_TO_FAILING {
        let Leased { claimed, .. } = desk.publish_handed().await;
        desk.fail(&claimed).await;
    }
    desk.bench.clock.advance(Duration::from_mins(1));
    let probe = desk.bench.claim_one().await;
    desk.bench.succeed(&probe).await;
    // Nothing fresh waits: that retries drain is the one reason.
    desk.publish_waits(true).await;
    while desk.bench.queued() > 0 {
        for claimed in desk.bench.claim().await {
            desk.bench.succeed(&claimed).await;
        }
        desk.bench.clock.advance(Duration::from_secs(1));
    }
    // Until a look at the queue has found that nothing is left.
    desk.publish_waits(true).await;
    let looked = desk.bench.claim_one().await;
    desk.bench.succeed(&looked).await;
    desk.publish_handed().await;
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn beyond_its_bound_it_waits_and_the_settle_that_frees_the_place_hands_it_over() {
    let one = DeliverySettings { max_in_flight: Some(1), ..DeliverySettings::default() };
    let bounds = [(slots_within(100, 1), DeliverySettings::default()), (slots_within(100, 100), one)];
    for (slots, delivery) in bounds {
        let mut desk = Desk::with(slots, delivery).await;
        let first = desk.publish_handed().await;
        desk.publish_waits(false).await;
        assert!(desk.publish().await.1.is_empty(), "nor does another");
        let mut second = desk.succeed_and_claim(first).await;
        assert_eq!(second.len(), 1, "as many as places are free");
        let mut third = desk.succeed_and_claim(second.remove(0)).await;
        assert_eq!(third.len(), 1);
        assert!(desk.succeed_and_claim(third.remove(0)).await.is_empty());
        assert_eq!((desk.slots.in_use().fast, desk.bench.queued()), (0, 0));
        desk.publish_handed().await;
        invariants::check(&desk.bench);
    }
}

#[tokio::test]
async fn a_settle_hands_nothing_over_of_what_is_paused_meanwhile() {
    let mut desk = Desk::with(slots_within(100, 1), DeliverySettings::default()).await;
    let first = desk.publish_handed().await;
    desk.publish_waits(false).await;
    let paused = desk.bench.store().pause_subscription(desk.help.admin(), desk.subscription.id).await;
    assert!(paused.expect("stored").is_some());
    assert!(desk.succeed_and_claim(first).await.is_empty());
    assert_eq!((desk.slots.in_use().fast, desk.bench.queued()), (0, 1));
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn when_everything_is_full_the_next_place_that_is_freed_is_told_of() {
    let mut desk = Desk::with(slots_within(1, 100), DeliverySettings::default()).await;
    let other = desk.bench.subscribe(desk.help.admin(), desk.help.by_mail(), &[SENT]).await;
    let first = desk.publish_handed().await;
    let sent = desk.bench.event(desk.help.organization, desk.help.by_mail(), SENT);
    assert!(!desk.bench.accept(sent).await.waiting);
    assert!(desk.ready().is_empty());
    assert!(desk.slots.freed().now_or_never().is_none());
    assert!(!first.slot.free(), "it is not for its own subscription");
    assert!(desk.slots.freed().now_or_never().is_some());
    assert_eq!(desk.bench.claim_one().await.target.subscription, other.no);
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn a_rate_that_is_used_up_hands_nothing_over() {
    let slowly = DeliverySettings { max_per_second: Some(1), ..DeliverySettings::default() };
    let mut desk = Desk::with(slots_within(100, 100), slowly).await;
    let first = desk.publish_handed().await;
    desk.publish_waits(true).await;
    assert!(desk.succeed_and_claim(first).await.is_empty(), "a place is not what is missing");
    desk.bench.clock.advance(Duration::from_secs(1));
    // These are other slots, whose rate nobody has used.
    let second = desk.bench.claim_one().await;
    desk.bench.succeed(&second).await;
    desk.publish_handed().await;
    desk.publish_waits(true).await;
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn a_group_that_is_rolled_back_gives_its_places_back_and_hands_nothing_over() {
    let mut desk = Desk::new().await;
    // Once in the group, and once when it is run by itself.
    desk.bench.faults.push_after(Point::Accept, 1, Fault::Statement);
    desk.bench.faults.push_after(Point::Accept, 1, Fault::Statement);
    let events: Vec<_> = (0..3).map(|_| desk.bench.mail(desk.help)).collect();
    desk.bench.faults.hold();
    let store = desk.bench.store();
    let mut answers = Box::pin(join_all(events.into_iter().map(|event| store.accept(event))));
    assert!(futures_util::poll!(&mut answers).is_pending());
    desk.bench.faults.resume();
    let answers = answers.await;
    assert!(desk.bench.faults.is_spent());
    let is_handed = |answer: &_| matches!(answer, Ok(Accept::Accepted(Accepted { waiting: false, .. })));
    assert!(is_handed(&answers[0]) && answers[1].is_err() && is_handed(&answers[2]), "{answers:?}");
    let handed = desk.ready();
    assert_eq!((handed.len(), desk.slots.in_use().fast, desk.bench.queued()), (2, 2, 2));
    let leased = desk.bench.number("SELECT count(*) FROM queue WHERE boot IS NOT NULL");
    assert_eq!(leased, 2, "and each of them once");
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn a_commit_that_nobody_knows_of_hands_nothing_over() {
    for (point, stored) in [(Point::Commit, 0), (Point::AfterCommit, 1)] {
        let mut desk = Desk::new().await;
        desk.bench.faults.push(point, Fault::Unknown);
        let failed = desk.bench.store().accept(desk.bench.mail(desk.help)).await;
        assert!(matches!(failed, Err(StoreError::UnknownCommit)), "{failed:?}");
        assert_eq!((desk.ready().len(), desk.slots.in_use().fast, desk.bench.queued()), (0, 0, stored));
        // What was written after all is nobody's until its lease ends.
        assert!(desk.bench.claim().await.is_empty());
        desk.bench.clock.advance(TIMEOUT + LEASE_SKEW);
        assert_eq!(i64::try_from(desk.bench.claim().await.len()), Ok(stored));
        invariants::check(&desk.bench);
    }
}

#[tokio::test]
async fn a_settle_that_is_written_at_its_second_try_hands_over_once() {
    let mut desk = Desk::with(slots_within(100, 1), DeliverySettings::default()).await;
    let first = desk.publish_handed().await;
    desk.publish_waits(false).await;
    desk.bench.faults.push(Point::Settle, Fault::Statement);
    let second = desk.succeed_and_claim(first).await;
    assert!(desk.bench.faults.is_spent());
    assert_eq!((second.len(), desk.slots.in_use().fast), (1, 1));
    assert_eq!((second[0].claimed.claim_no, desk.bench.queued()), (1, 1));
    invariants::check(&desk.bench);
}

#[tokio::test]
async fn there_is_one_seat_and_who_leaves_it_is_handed_nothing() {
    let mut desk = Desk::new().await;
    let mut later = desk.bench.store().take_seat(desk.slots.clone(), TIMEOUT);
    let (waiting, handed) = desk.publish().await;
    assert_eq!((waiting, handed.len()), (false, 0));
    assert_eq!(later.ready().map(|leased| leased.len()), Some(1));
    later.close();
    desk.publish_waits(true).await;
    assert!(later.ready().is_none());
    invariants::check(&desk.bench);
}

/// A transaction that is under way when an engine stops may have leased for it. What nobody is given would be taken for
/// an attempt that was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_the_seat_is_given_what_was_leased_for_it() {
    let mut desk = Desk::new().await;
    let mut given = 0;
    for _ in 0..50 {
        let (store, mail) = (desk.bench.store().clone(), desk.bench.mail(desk.help));
        let publishing = tokio::spawn(async move { store.accept(mail).await.expect("stored") });
        desk.bench.store().leave_seat().await;
        desk.handed.close();
        let leased = desk.ready();
        given += leased.len();
        publishing.await.expect("it does not panic");
        let held = desk.bench.number("SELECT count(*) FROM queue WHERE boot IS NOT NULL");
        assert_eq!(i64::try_from(given), Ok(held));
        // Out of the way, so that the next may be leased, too.
        for Leased { claimed, .. } in leased {
            desk.bench.succeed(&claimed).await;
            given -= 1;
        }
        for claimed in desk.bench.claim().await {
            desk.bench.succeed(&claimed).await;
        }
        desk.handed = desk.bench.store().take_seat(desk.slots.clone(), TIMEOUT);
    }
    invariants::check(&desk.bench);
}

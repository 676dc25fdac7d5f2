//! Deliveries in the order of their conversation.

use std::time::Duration;

use bytes::Bytes;
use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Claimed, Class, End};
use inkhook_server::domain::subscription::Ordering;
use inkhook_server::domain::subscription::Subscription;
use inkhook_server::store::accept::NewEvent;
use inkhook_server::store::ordering::{CHUNK_ROWS, HOLD, Kept};
use inkhook_server::store::settle::{Next, Settlement};
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;

use super::lists::page;
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;

/// A mailbox with one subscription that gets its mail in order.
struct Scene {
    bench: StoreBench,
    help: Agent,
    subscription: Subscription,
}

impl Scene {
    async fn new() -> Self {
        Self::selecting(&[RECEIVED]).await
    }

    async fn selecting(types: &[EventType]) -> Self {
        let bench = StoreBench::new();
        let help = bench.agent("help").await;
        let subscription = bench.subscribe(help.admin(), help.by_mail(), types).await;
        let scene = Self { bench, help, subscription };
        scene.set(Ordering::Conversation).await;
        scene
    }

    async fn set(&self, ordering: Ordering) {
        let set = self.bench.store().set_ordering(self.help.admin(), self.subscription.id, ordering);
        assert!(set.await.expect("stored"));
    }

    /// Accepts a mail of a thread.
    async fn mail(&self, thread: &str) -> EventId {
        self.accept(in_thread(self.bench.mail(self.help), thread)).await
    }

    async fn accept(&self, event: NewEvent) -> EventId {
        let accepted = self.bench.accept(event).await;
        assert_eq!(accepted.deliveries, 1, "parked or not, it is one");
        invariants::check(&self.bench);
        accepted.id
    }

    /// An event that is worth nothing after so long.
    fn expiring(&self, thread: &str, seconds: u64) -> NewEvent {
        let mut event = in_thread(self.bench.mail(self.help), thread);
        event.expires_at = Some(self.bench.clock.wall().after(Duration::from_secs(seconds)));
        event
    }

    async fn claim(&self) -> Vec<Claimed> {
        let claimed = self.bench.claim().await;
        invariants::check(&self.bench);
        claimed
    }

    async fn events(&self) -> Vec<EventId> {
        self.claim().await.iter().map(|claimed| claimed.event.id).collect()
    }

    async fn one(&self, event: EventId) -> Claimed {
        let mut claimed = self.claim().await;
        assert_eq!(claimed.iter().map(|claimed| claimed.event.id).collect::<Vec<_>>(), [event]);
        claimed.remove(0)
    }

    /// It fails, and is due again after so long.
    async fn fail(&self, claimed: &Claimed, wait: Duration) {
        let due = self.bench.clock.schedule().after(wait);
        self.bench.fail(claimed, Next::Retry { due, maybe_received: false }).await;
        invariants::check(&self.bench);
    }

    async fn succeed(&self, claimed: &Claimed) {
        self.bench.succeed(claimed).await;
        invariants::check(&self.bench);
    }

    /// All that the loop does.
    async fn keep(&self) {
        while self.chunk().await.more {}
    }

    async fn chunk(&self) -> Kept {
        let kept = self.bench.store().keep_order_chunk().await.expect("kept");
        invariants::check(&self.bench);
        kept
    }

    fn parked(&self) -> i64 {
        self.bench.number("SELECT count(*) FROM parked")
    }

    /// State, reason and attempts of an event's only delivery, as they are told.
    async fn told(&self, event: EventId) -> (&'static str, Option<String>, u32) {
        let view = self.bench.store().event(self.help.admin(), event).await.expect("read").expect("there");
        assert_eq!(view.deliveries.len(), 1);
        let delivery = &view.deliveries[0];
        (delivery.state.as_str(), delivery.reason.clone(), delivery.attempts)
    }

    async fn drain(&self) -> Vec<EventId> {
        let mut order = Vec::new();
        loop {
            let claimed = self.claim().await;
            if claimed.is_empty() {
                self.keep().await;
                invariants::check_at_rest(&self.bench);
                return order;
            }
            for claimed in claimed {
                order.push(claimed.event.id);
                self.succeed(&claimed).await;
            }
        }
    }
}

/// The same event in this thread.
pub fn in_thread(mut event: NewEvent, thread: &str) -> NewEvent {
    let payload = format!(r#"{{"data":{{"message":{{"thread_id":"{thread}"}}}}}}"#);
    event.payload = Bytes::from(payload);
    event
}

#[tokio::test]
async fn one_of_a_conversation_at_a_time_and_others_beside_it() {
    let scene = Scene::new().await;
    let (first, second, third) = (scene.mail("a").await, scene.mail("a").await, scene.mail("a").await);
    let other = scene.mail("b").await;
    let (lone, lonely) =
        (scene.accept(scene.bench.mail(scene.help)).await, scene.accept(scene.bench.mail(scene.help)).await);
    assert_eq!((scene.bench.queued(), scene.parked()), (4, 2));
    assert_eq!(scene.bench.store().queued_total().await.unwrap(), 6, "parked ones count");
    assert_eq!(scene.told(second).await, ("queued", None, 0), "and are told as queued");

    let claimed = scene.claim().await;
    let events: Vec<_> = claimed.iter().map(|claimed| claimed.event.id).collect();
    assert_eq!(events, [first, other, lone, lonely], "events without a conversation do not wait");
    assert!(scene.claim().await.is_empty());
    let request_ids: Vec<_> = claimed.iter().map(|claimed| claimed.request_id).collect();
    scene.succeed(&claimed[0]).await;
    let next = scene.one(second).await;
    assert!(!request_ids.contains(&next.request_id) && next.attempt_no == 1 && next.gap.is_none());
    assert_eq!(next.class, Class::Live);
    for claimed in &claimed[1..] {
        scene.succeed(claimed).await;
    }
    assert!(scene.claim().await.is_empty(), "the other conversation's end lets nothing of this one go");
    scene.succeed(&next).await;
    assert_eq!(scene.drain().await, [third]);
    assert_eq!(scene.told(third).await, ("succeeded", None, 1));
}

#[tokio::test]
async fn every_end_lets_the_next_go() {
    for end in [End::Succeeded, End::OutOfAttempts, End::Gone, End::Lost] {
        let scene = Scene::new().await;
        let (first, second) = (scene.mail("a").await, scene.mail("a").await);
        let claimed = scene.one(first).await;
        let recorded = if end == End::Succeeded { Recorded::Succeeded } else { Recorded::Failed };
        scene.bench.settle(scene.bench.settlement(&claimed, recorded, Next::End(end))).await;
        if end == End::Gone {
            assert!(scene.claim().await.is_empty(), "the subscription is paused");
            let resumed = scene.bench.store().resume_subscription(scene.help.admin(), scene.subscription.id);
            assert!(resumed.await.unwrap().is_some());
        }
        assert_eq!(scene.drain().await, [second], "{end:?}");
    }
}

#[tokio::test]
async fn an_end_that_a_claim_or_a_settle_finds_lets_the_next_go() {
    // Found expired by the claim.
    let scene = Scene::new().await;
    let first = scene.accept(scene.expiring("a", 10)).await;
    let second = scene.mail("a").await;
    scene.bench.clock.advance(Duration::from_secs(10));
    let claimed = scene.one(second).await;
    assert_eq!(scene.told(first).await, ("expired", Some("event_expired".into()), 0));
    scene.succeed(&claimed).await;
    assert!(scene.drain().await.is_empty());

    // A retry that would come too late.
    let scene = Scene::new().await;
    let first = scene.accept(scene.expiring("a", 10)).await;
    let second = scene.mail("a").await;
    let claimed = scene.one(first).await;
    scene.fail(&claimed, Duration::from_secs(10)).await;
    assert_eq!(scene.told(first).await, ("expired", Some("event_expired".into()), 1));
    assert_eq!(scene.drain().await, [second]);

    // One whose outcome nobody knew too often.
    let scene = Scene::new().await;
    let (first, second) = (scene.mail("a").await, scene.mail("a").await);
    for _ in 0..inkhook_server::store::claim::MAX_UNKNOWN {
        scene.one(first).await;
        scene.bench.clock.advance(Duration::from_secs(35));
    }
    let claimed = scene.one(second).await;
    assert_eq!(scene.told(first).await.0, "exhausted");
    scene.succeed(&claimed).await;
    assert!(scene.drain().await.is_empty());
}

#[tokio::test]
async fn a_failing_one_is_waited_for_so_long_and_then_passed() {
    let scene = Scene::new().await;
    let (first, second, third) = (scene.mail("a").await, scene.mail("a").await, scene.mail("a").await);
    scene.bench.clock.advance(2 * HOLD);
    scene.keep().await;
    let claimed = scene.one(first).await;
    scene.fail(&claimed, Duration::from_secs(5)).await;
    scene.bench.clock.advance(Duration::from_secs(5));
    let claimed = scene.one(first).await;
    // Counted from the first failure.
    scene.fail(&claimed, Duration::from_hours(2)).await;
    assert_eq!(HOLD, Duration::from_mins(15));
    scene.bench.clock.advance(Duration::from_millis(15 * 60_000 - 5_001));
    assert_eq!(scene.chunk().await, Kept { queued: false, more: false });
    assert!(scene.claim().await.is_empty(), "a moment too early");
    scene.bench.clock.advance(Duration::from_millis(1));
    assert!(scene.chunk().await.queued);
    let passing = scene.one(second).await;
    assert_eq!(passing.gap, Some(first));

    scene.fail(&passing, Duration::from_mins(1)).await;
    scene.bench.clock.advance(Duration::from_mins(1));
    let again = scene.one(second).await;
    assert_eq!((again.gap, again.class), (Some(first), Class::Retry), "said with each attempt");
    scene.succeed(&again).await;
    let after = scene.one(third).await;
    assert_eq!(after.gap, None, "only the one that went past says so");
    scene.succeed(&after).await;
    assert_eq!(scene.mail("a").await, scene.one_claimed_and_settled().await, "nobody waits for it any more");
    scene.bench.clock.advance(Duration::from_hours(2));
    assert_eq!(scene.drain().await, [first], "it went on by its schedule");
}

impl Scene {
    async fn one_claimed_and_settled(&self) -> EventId {
        let claimed = self.bench.claim_one().await;
        self.succeed(&claimed).await;
        claimed.event.id
    }
}

#[tokio::test]
async fn one_that_comes_when_the_wait_is_over_goes_past_at_once() {
    let scene = Scene::new().await;
    let first = scene.mail("a").await;
    let claimed = scene.one(first).await;
    scene.fail(&claimed, Duration::from_hours(2)).await;
    scene.bench.clock.advance(HOLD);
    assert!(!scene.chunk().await.queued, "nothing was parked");
    let second = scene.mail("a").await;
    let passing = scene.one(second).await;
    assert_eq!(passing.gap, Some(first));
    let third = scene.mail("a").await;
    assert!(scene.claim().await.is_empty(), "the next waits for the one that went past");
    scene.succeed(&passing).await;
    assert_eq!(scene.one_claimed_and_settled().await, third);
    scene.bench.clock.advance(Duration::from_hours(2));
    assert_eq!(scene.drain().await, [first]);

    // It succeeded before anybody came: there is no gap.
    let first = scene.mail("a").await;
    let claimed = scene.one(first).await;
    scene.fail(&claimed, Duration::from_mins(30)).await;
    scene.bench.clock.advance(Duration::from_mins(30));
    scene.keep().await;
    assert_eq!(scene.drain().await, [first]);
    let second = scene.mail("a").await;
    assert_eq!(scene.one(second).await.gap, None);
}

#[tokio::test]
async fn an_attempt_that_got_lost_is_a_failure_to_wait_for_so_long() {
    let mut scene = Scene::new().await;
    let (first, second) = (scene.mail("a").await, scene.mail("a").await);
    scene.one(first).await;
    scene.bench.restart().await;
    let again = scene.one(first).await;
    assert!(again.maybe_received);
    scene.bench.clock.advance(HOLD);
    scene.bench.restart().await;
    scene.keep().await;
    let mut claimed = scene.claim().await;
    claimed.sort_by_key(|claimed| claimed.delivery);
    assert_eq!(claimed.iter().map(|claimed| claimed.event.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!(claimed[1].gap, Some(first));
    for claimed in &claimed {
        scene.succeed(claimed).await;
    }
    assert!(scene.drain().await.is_empty());
}

#[tokio::test]
async fn a_pause_is_no_time_to_wait_in() {
    let scene = Scene::new().await;
    let (first, second) = (scene.mail("a").await, scene.mail("a").await);
    let claimed = scene.one(first).await;
    scene.fail(&claimed, Duration::from_secs(5)).await;
    let (store, admin) = (scene.bench.store(), scene.help.admin());
    store.pause_subscription(admin, scene.subscription.id).await.unwrap();
    scene.bench.clock.advance(Duration::from_hours(9));
    scene.keep().await;
    assert_eq!(scene.parked(), 1);
    store.resume_subscription(admin, scene.subscription.id).await.unwrap();
    scene.keep().await;
    assert_eq!(scene.drain().await, [first, second], "in order, once there is somebody to deliver to");
}

#[tokio::test]
async fn parked_deliveries_expire_and_their_turn_passes() {
    let scene = Scene::new().await;
    let first = scene.mail("a").await;
    let soon = scene.accept(scene.expiring("a", 10)).await;
    let later = scene.accept(scene.expiring("a", 60)).await;
    let last = scene.mail("a").await;
    let claimed = scene.one(first).await;
    scene.bench.clock.advance(Duration::from_secs(10));
    assert_eq!(scene.told(soon).await.0, "queued");
    scene.keep().await;
    assert_eq!(scene.told(soon).await, ("expired", Some("event_expired".into()), 0));
    // This one's turn comes before anybody has looked.
    scene.bench.clock.advance(Duration::from_mins(1));
    scene.succeed(&claimed).await;
    let claimed = scene.one(last).await;
    assert_eq!(scene.told(later).await, ("expired", Some("event_expired".into()), 0));
    scene.succeed(&claimed).await;
    assert!(scene.drain().await.is_empty());
}

#[tokio::test]
async fn a_gap_that_nobody_was_told_of_is_told_with_the_next() {
    let scene = Scene::new().await;
    let first = scene.mail("a").await;
    let code = scene.accept(scene.expiring("a", 16 * 60)).await;
    let third = scene.mail("a").await;
    let claimed = scene.one(first).await;
    scene.fail(&claimed, Duration::from_hours(2)).await;
    scene.bench.clock.advance(HOLD);
    scene.keep().await;
    // Let go, but not claimed before it expired.
    scene.bench.clock.advance(Duration::from_mins(2));
    let claimed = scene.one(third).await;
    assert_eq!(scene.told(code).await.0, "expired");
    assert_eq!(claimed.gap, Some(first));
    scene.succeed(&claimed).await;
    scene.bench.clock.advance(Duration::from_hours(2));
    assert_eq!(scene.drain().await, [first]);
}

#[tokio::test]
async fn a_delete_cancels_what_is_parked_in_chunks() {
    let scene = Scene::new().await;
    let first = scene.mail("a").await;
    let mut parked = Vec::new();
    for _ in 0..=CHUNK_ROWS {
        parked.push(scene.accept(in_thread(scene.bench.mail(scene.help), "a")).await);
    }
    let claimed = scene.one(first).await;
    scene.bench.delete(scene.help.admin(), &scene.subscription).await;
    let cancelled = ("cancelled", Some("subscription_deleted".to_owned()), 0);
    assert_eq!(scene.told(parked[0]).await, cancelled, "told before it is written");
    assert_eq!(scene.parked(), 1 + i64::try_from(CHUNK_ROWS).unwrap());
    // The head's end in between puts one more into the queue; it is cancelled there.
    scene.bench.store().cancel_chunk().await.unwrap();
    assert_eq!(scene.parked(), 1, "one chunk");
    scene.bench.succeed(&claimed).await;
    assert_eq!((scene.parked(), scene.bench.queued()), (0, 1));
    scene.bench.tidy().await;
    assert!(scene.claim().await.is_empty());
    for event in parked {
        assert_eq!(scene.told(event).await, cancelled);
    }
    assert_eq!(scene.told(first).await.0, "succeeded");
    invariants::check_at_rest(&scene.bench);
}

#[tokio::test]
async fn a_removed_type_cancels_what_is_parked_of_it_and_lets_the_rest_go() {
    let scene = Scene::selecting(&[RECEIVED, SENT]).await;
    let of_type = |event_type| {
        let event = scene.bench.event(scene.help.organization, scene.help.by_mail(), event_type);
        scene.accept(in_thread(event, "a"))
    };
    let (head, sent) = (of_type(RECEIVED).await, of_type(SENT).await);
    let (parked, sent_last) = (of_type(RECEIVED).await, of_type(SENT).await);
    scene.bench.select(scene.help.admin(), &scene.subscription, &[SENT]).await;
    scene.bench.select(scene.help.admin(), &scene.subscription, &[RECEIVED, SENT]).await;
    let cancelled = ("cancelled", Some("event_type_not_selected".to_owned()), 0);
    for event in [head, parked] {
        assert_eq!(scene.told(event).await, cancelled, "for good, though the type is back");
    }
    scene.bench.tidy().await;
    invariants::check(&scene.bench);
    assert_eq!(scene.drain().await, [sent, sent_last]);
    for event in [head, parked] {
        assert_eq!(scene.told(event).await, cancelled);
    }
}

#[tokio::test]
async fn turning_it_off_queues_what_is_parked_in_chunks() {
    let scene = Scene::new().await;
    let mut all = Vec::new();
    for _ in 0..CHUNK_ROWS + 2 {
        all.push(scene.mail("a").await);
    }
    scene.set(Ordering::None).await;
    assert_eq!(scene.bench.queued(), 1, "however much is parked");
    all.push(scene.mail("a").await);
    assert_eq!(scene.bench.queued(), 2, "what comes now is not parked");
    assert_eq!(scene.chunk().await, Kept { queued: true, more: true });
    assert_eq!(scene.parked(), 1);
    assert!(scene.chunk().await.queued);
    assert_eq!(scene.parked(), 0);
    let claimed = scene.claim().await;
    assert_eq!(claimed.iter().map(|claimed| claimed.event.id).collect::<Vec<_>>(), all, "in accepted order");
    for claimed in &claimed {
        scene.succeed(claimed).await;
    }
    assert!(scene.drain().await.is_empty());
}

#[tokio::test]
async fn turning_it_on_counts_from_the_next_event() {
    let scene = Scene::new().await;
    scene.set(Ordering::None).await;
    let (before, also_before) = (scene.mail("a").await, scene.mail("a").await);
    scene.set(Ordering::Conversation).await;
    let (first, second) = (scene.mail("a").await, scene.mail("a").await);
    assert_eq!(scene.events().await, [before, also_before, first], "the second waits for the first alone");
    scene.keep().await;
    assert_eq!(scene.told(second).await.0, "queued");
    scene.bench.clock.advance(Duration::from_secs(35));
    let order = scene.drain().await;
    assert_eq!(order.last(), Some(&second));
}

#[tokio::test]
async fn off_and_on_again_leaves_nothing_behind() {
    let mut scene = Scene::new().await;
    let (one, two, three) = (scene.mail("a").await, scene.mail("a").await, scene.mail("a").await);
    scene.set(Ordering::None).await;
    scene.set(Ordering::Conversation).await;
    let (four, five) = (scene.mail("a").await, scene.mail("a").await);
    scene.bench.restart().await;
    assert_eq!(scene.events().await, [one, four], "the new order waits for nothing of the old one");
    scene.keep().await;
    assert_eq!(scene.events().await, [two, three], "what was parked before is queued");
    assert_eq!(scene.told(five).await.0, "queued");
    assert_eq!(scene.parked(), 1);
    scene.bench.clock.advance(Duration::from_secs(35));
    assert_eq!(scene.drain().await, [one, two, three, four, five]);
}

#[tokio::test]
async fn a_setting_that_stays_and_one_of_nobody_change_nothing() {
    let scene = Scene::new().await;
    scene.mail("a").await;
    let second = scene.mail("a").await;
    let since = "SELECT ordering_since_seq FROM subscriptions";
    let before = scene.bench.number(since);
    scene.set(Ordering::Conversation).await;
    assert_eq!(scene.bench.number(since), before, "it goes on counting from where it did");
    let stranger = scene.bench.agent("stranger").await;
    for scope in [stranger.admin(), stranger.scope()] {
        let set = scene.bench.store().set_ordering(scope, scene.subscription.id, Ordering::None);
        assert!(!set.await.unwrap());
    }
    assert_eq!(scene.chunk().await, Kept { queued: false, more: false });
    assert_eq!(scene.told(second).await.0, "queued");
    assert_eq!(scene.drain().await.last(), Some(&second));
}

#[tokio::test]
async fn the_order_survives_a_restart() {
    let mut scene = Scene::new().await;
    let (first, second, third) = (scene.mail("a").await, scene.mail("a").await, scene.mail("a").await);
    scene.bench.restart().await;
    let claimed = scene.one(first).await;
    scene.succeed(&claimed).await;
    scene.bench.restart().await;
    let claimed = scene.one(second).await;
    scene.fail(&claimed, Duration::from_hours(2)).await;
    scene.bench.clock.advance(HOLD);
    scene.bench.restart().await;
    scene.keep().await;
    scene.bench.restart().await;
    let claimed = scene.one(third).await;
    assert_eq!(claimed.gap, Some(second));
    scene.succeed(&claimed).await;
    scene.bench.clock.advance(Duration::from_hours(2));
    assert_eq!(scene.drain().await, [second]);
}

#[tokio::test]
async fn replays_are_outside_the_order() {
    let scene = Scene::new().await;
    let (first, second) = (scene.mail("a").await, scene.mail("a").await);
    let claimed = scene.one(first).await;
    scene.fail(&claimed, Duration::from_hours(1)).await;
    let log = scene.bench.store().attempts(scene.help.admin(), page()).await.unwrap();
    scene.bench.store().replay(scene.help.admin(), log[0].id).await.unwrap();
    let replay = scene.one(first).await;
    assert_eq!(replay.class, Class::Manual);
    scene.succeed(&replay).await;
    assert!(scene.claim().await.is_empty(), "its end lets nothing go");
    assert_eq!(scene.parked(), 1);
    scene.bench.clock.advance(Duration::from_hours(1));
    assert_eq!(scene.drain().await, [first, second]);
}

#[tokio::test]
async fn each_subscription_has_its_own_order() {
    let scene = Scene::new().await;
    let other = scene.bench.subscribe(scene.help.admin(), scene.help.owner(), &[RECEIVED]).await;
    let accept = || scene.bench.accept(in_thread(scene.bench.mail(scene.help), "a"));
    let (first, second) = (accept().await, accept().await);
    assert_eq!((first.deliveries, second.deliveries), (2, 2));
    let claimed = scene.claim().await;
    let of = |subscription: &Subscription| -> Vec<EventId> {
        let of = claimed.iter().filter(|claimed| claimed.target.subscription == subscription.no);
        of.map(|claimed| claimed.event.id).collect()
    };
    assert_eq!(of(&scene.subscription), [first.id]);
    assert_eq!(of(&other), [first.id, second.id]);
    for claimed in &claimed {
        scene.succeed(claimed).await;
    }
    assert_eq!(scene.drain().await, [second.id]);
}

#[tokio::test]
async fn without_an_order_deliveries_are_claimed_as_they_were_accepted() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let (mut accepted, mut claimed) = (Vec::new(), Vec::new());
    for round in 0..40 {
        for _ in 0..round % 7 {
            accepted.push(bench.accept(bench.mail(help)).await.id);
        }
        let taken = bench.claimed_within(bench.request_within(round % 5, 5)).await;
        for (place, one) in taken.iter().enumerate() {
            claimed.push(one.event.id);
            // Some answers come late.
            if place % 2 == 0 {
                bench.succeed(one).await;
            }
        }
    }
    claimed.extend(bench.claim().await.iter().map(|claimed| claimed.event.id));
    assert_eq!(claimed, accepted);
}

#[tokio::test]
async fn a_chunk_lets_so_many_go_and_one_more_waits() {
    let scene = Scene::new().await;
    for thread in 0..=CHUNK_ROWS {
        scene.bench.accept(in_thread(scene.bench.mail(scene.help), &thread.to_string())).await;
        scene.bench.accept(in_thread(scene.bench.mail(scene.help), &thread.to_string())).await;
    }
    for claimed in scene.claim().await {
        let due = scene.bench.clock.schedule().after(Duration::from_hours(2));
        let next = Next::Retry { due, maybe_received: false };
        // Asked for time: that does not make the subscription failing.
        let hold_until = Some(scene.bench.clock.schedule());
        let failed = scene.bench.settlement(&claimed, Recorded::Failed, next);
        scene.bench.settle(Settlement { hold_until, ..failed }).await;
    }
    scene.bench.clock.advance(HOLD);
    let kept = scene.bench.store().keep_order_chunk().await.unwrap();
    assert_eq!((kept, scene.parked()), (Kept { queued: true, more: true }, 1));
    scene.keep().await;
    assert_eq!(scene.parked(), 0);
    let passing = scene.claim().await;
    assert_eq!(passing.len(), CHUNK_ROWS + 1);
    assert!(passing.iter().all(|claimed| claimed.gap.is_some()));
}

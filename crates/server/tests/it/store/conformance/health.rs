//! Health: what a claim takes of a subscription whose receiver fails, and of one that came back.

mod drain;
mod probe;

use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Claimed, Class, End};
use inkhook_server::domain::health::{FAILING_TO_PAUSED, FAILURES_TO_FAILING};
use inkhook_server::domain::subscription::{Subscription, SubscriptionChange};
use inkhook_server::store::faults::{Fault, Point};
use inkhook_server::store::held::CHUNK_ROWS;
use inkhook_server::store::replay::Replay;
use inkhook_server::store::settle::Next;
use inkhook_wire::event::EventType;
use rusqlite::types::Value;

use super::lists::page;
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench, stored};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;
const HOUR: Duration = Duration::from_hours(1);

struct Ward {
    bench: StoreBench,
    help: Agent,
    subscription: Subscription,
}

impl Ward {
    async fn new() -> Self {
        let bench = StoreBench::new();
        let help = bench.agent("help").await;
        let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
        Self { bench, help, subscription }
    }

    /// A subscription that has just begun to fail, with `waiting` deliveries that were never tried and five
    /// that were.
    async fn failing(waiting: usize) -> Self {
        let ward = Self::new().await;
        let failures = FAILURES_TO_FAILING as usize;
        ward.bench.accept_mails(ward.help, failures + waiting).await;
        let request = ward.bench.request_within(failures, failures);
        for claimed in ward.bench.claimed_within(request).await {
            ward.fail(&claimed, HOUR).await;
        }
        assert!(ward.shown().await.health.is_failing);
        invariants::check(&ward.bench);
        ward
    }

    /// Fails an attempt as the schedule would have it, with this wait.
    async fn fail(&self, claimed: &Claimed, wait: Duration) {
        let next = match claimed.early_for {
            Some(due) => Next::Keep { due, maybe_received: false },
            None => Next::Retry { due: self.bench.clock.schedule().after(wait), maybe_received: false },
        };
        self.bench.fail(claimed, next).await;
        invariants::check(&self.bench);
    }

    /// The probe, and that there is only one.
    async fn probe(&self) -> Claimed {
        let probe = self.bench.claim_one().await;
        assert!(probe.is_probe);
        assert!(self.bench.claim().await.is_empty(), "one at a time");
        invariants::check(&self.bench);
        probe
    }

    async fn none(&self) {
        assert!(self.bench.claim().await.is_empty());
        invariants::check(&self.bench);
    }

    async fn shown(&self) -> Subscription {
        let found = self.bench.store().subscription(self.help.admin(), self.subscription.id).await;
        found.expect("read").expect("it is there")
    }

    async fn resume(&self) {
        let resumed = self.bench.store().resume_subscription(self.help.admin(), self.subscription.id).await;
        assert!(resumed.expect("stored").is_some());
    }

    async fn pause(&self) {
        let paused = self.bench.store().pause_subscription(self.help.admin(), self.subscription.id).await;
        assert!(paused.expect("stored").is_some());
    }

    fn pass(&self, seconds: u64) {
        self.bench.clock.advance(Duration::from_secs(seconds));
    }

    fn pass_ms(&self, ms: u64) {
        self.bench.clock.advance(Duration::from_millis(ms));
    }

    /// Replays the newest attempt in the log, and claims that.
    async fn by_hand(&self) -> Claimed {
        let log = self.bench.store().attempts(self.help.admin(), page()).await.expect("read");
        let replay = self.bench.store().replay(self.help.admin(), log[0].id).await.expect("stored");
        assert!(matches!(replay, Replay::Queued(..)), "{replay:?}");
        let claimed = self.bench.claim_one().await;
        assert_eq!((claimed.class, claimed.is_probe), (Class::Manual, false));
        claimed
    }
}

#[tokio::test]
async fn what_asks_for_time_is_not_failing() {
    let ward = Ward::new().await;
    ward.bench.accept_mails(ward.help, 20).await;
    for claimed in ward.bench.claim().await {
        let until = ward.bench.clock.schedule().after(Duration::from_mins(1));
        let next = Next::Retry { due: until, maybe_received: false };
        let mut settlement = ward.bench.settlement(&claimed, Recorded::Failed, next);
        settlement.hold_until = Some(until);
        ward.bench.settle(settlement).await;
    }
    let health = ward.shown().await.health;
    assert!(!health.is_failing && health.consecutive_failures == 0 && health.last_failure_at.is_some());
    ward.pass(60);
    assert_eq!(ward.bench.claim().await.len(), 20, "all at once, as ever");
}

#[tokio::test]
async fn days_of_failing_probes_pause_and_nothing_more_is_tried() {
    let ward = Ward::failing(3).await;
    ward.bench.clock.advance(FAILING_TO_PAUSED.saturating_sub(Duration::from_secs(10)));
    let probe = ward.probe().await;
    ward.fail(&probe, HOUR).await;
    assert!(ward.shown().await.paused.is_none());
    ward.pass(10);
    let generation = "SELECT generation FROM subscriptions";
    let before = ward.bench.number(generation);
    let probe = ward.probe().await;
    ward.fail(&probe, HOUR).await;
    let shown = ward.shown().await;
    let (since, reason) = shown.paused.expect("paused");
    assert_eq!((since, reason.as_str()), (ward.bench.clock.wall(), "failing"));
    assert_eq!(ward.bench.number(generation), before + 1, "what is prepared must notice");
    ward.bench.accept_mails(ward.help, 1).await;
    ward.bench.clock.advance(HOUR);
    ward.none().await;
    ward.resume().await;
    assert!(!ward.bench.claim().await.is_empty());
}

#[tokio::test]
async fn gone_pauses_but_not_when_it_came_from_an_earlier_url() {
    let ward = Ward::new().await;
    ward.bench.accept_mails(ward.help, 2).await;
    let claimed = ward.bench.claim().await;
    let change = SubscriptionChange { url: Some(ward.bench.url()), ..SubscriptionChange::default() };
    ward.bench.patch(ward.help.admin(), &ward.subscription, change).await;
    ward.bench.fail(&claimed[0], Next::End(End::Gone)).await;
    assert!(ward.shown().await.paused.is_none(), "what the old one says is over");
    assert_eq!(ward.bench.ended(claimed[0].delivery), Some(stored(End::Gone)));
    ward.bench.accept_mails(ward.help, 1).await;
    let here = ward.bench.claim_one().await;
    ward.bench.fail(&here, Next::End(End::Gone)).await;
    let (_, reason) = ward.shown().await.paused.expect("paused");
    assert_eq!(reason.as_str(), "gone");
}

#[tokio::test]
async fn by_hand_is_allowed_while_failing_and_paused_and_its_success_heals_but_resumes_nothing() {
    let ward = Ward::failing(3).await;
    let failed = ward.by_hand().await;
    ward.bench.fail(&failed, Next::End(End::OutOfAttempts)).await;
    assert_eq!(ward.shown().await.health.consecutive_failures, FAILURES_TO_FAILING, "no probe");
    ward.none().await;
    ward.pause().await;
    let good = ward.by_hand().await;
    ward.bench.succeed(&good).await;
    let shown = ward.shown().await;
    assert!(shown.paused.is_some() && !shown.health.is_failing);
    assert_eq!(shown.health.consecutive_failures, 0);
    ward.none().await;
    let ward = Ward::failing(3).await;
    let good = ward.by_hand().await;
    ward.bench.succeed(&good).await;
    assert!(!ward.shown().await.health.is_failing);
    assert_eq!(ward.bench.claim().await.len(), 2, "what waits drains");
}

#[tokio::test]
async fn a_success_is_written_once_a_second_and_a_change_of_state_at_once() {
    let ward = Ward::new().await;
    let written =
        || ward.bench.rows("SELECT last_success_ms, consecutive_failures FROM subscriptions")[0].clone();
    let succeed = async || {
        ward.bench.accept_mails(ward.help, 1).await;
        let claimed = ward.bench.claim_one().await;
        ward.bench.succeed(&claimed).await;
    };
    let at = |ms: i64| Value::Integer(crate::support::START.0 + ms);
    succeed().await;
    assert_eq!(written(), [at(0), 0.into()]);
    ward.pass_ms(999);
    succeed().await;
    assert_eq!(written(), [at(0), 0.into()], "not yet");
    ward.bench.accept_mails(ward.help, 1).await;
    let claimed = ward.bench.claim_one().await;
    ward.fail(&claimed, HOUR).await;
    assert_eq!(written(), [at(999), 1.into()], "a failure is written with all that was counted");
    succeed().await;
    assert_eq!(written(), [at(999), 0.into()], "news");
    ward.pass_ms(1_000);
    succeed().await;
    assert_eq!(written(), [at(1_999), 0.into()]);
}

#[tokio::test]
async fn what_was_rolled_back_was_not_counted() {
    let ward = Ward::new().await;
    ward.bench.accept_mails(ward.help, 5).await;
    let claimed = ward.bench.claim().await;
    for claimed in &claimed {
        ward.bench.faults.push(Point::Settle, Fault::Statement);
        ward.fail(claimed, HOUR).await;
    }
    let health = ward.shown().await.health;
    assert_eq!((health.is_failing, health.consecutive_failures), (true, 5), "each once");
}

#[tokio::test]
async fn what_is_held_for_too_long_ends_and_the_rest_is_held_on() {
    let ward = Ward::failing(CHUNK_ROWS).await;
    let day = Duration::from_hours(24);
    ward.bench.clock.advance(day);
    ward.pause().await;
    ward.bench.clock.advance(day);
    ward.bench.accept_mails(ward.help, 2).await;
    let cutoff = |held: Duration| {
        let ms = i64::try_from(held.as_millis()).expect("a time");
        inkhook_server::domain::time::TimeMs(ward.bench.clock.wall().0 - ms)
    };
    let end = async |held| {
        let ended = ward.bench.store().end_held_chunk(cutoff(held)).await.expect("tidied");
        invariants::check(&ward.bench);
        ended
    };
    assert_eq!(end(day + Duration::from_millis(1)).await, 0, "the pause is not as old as that");
    assert_eq!(end(day).await, CHUNK_ROWS, "one chunk");
    assert_eq!(end(day).await, 5, "and those that were tried before");
    assert_eq!(end(day).await, 0, "what came since the pause is held on");
    assert_eq!(ward.bench.queued(), 2);
    let reasons = "SELECT count(*) FROM deliveries WHERE state = 4 AND reason = 'held_too_long'";
    assert_eq!(ward.bench.number(reasons), i64::try_from(CHUNK_ROWS + 5).expect("a number"));
    ward.bench.clock.advance(day);
    assert_eq!(end(day).await, 2);
    assert_eq!(ward.bench.queued(), 0);
}

//! Random schedules against what the order by conversation promises: of a conversation one delivery is under
//! way at a time, in accepted order, but that one which has failed for so long is passed, and the one that
//! passes it says so; and whatever happens, everything ends.
//!
//! `PROPTEST_CASES` says how many schedules; 24 without it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Claimed, End};
use inkhook_server::domain::number::DeliveryNo;
use inkhook_server::domain::subscription::Ordering;
use inkhook_server::domain::subscription::Subscription;
use inkhook_server::domain::time::TimeMs;
use inkhook_server::store::ordering::HOLD;
use inkhook_server::store::settle::{Next, Settled};
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::Config;
use rusqlite::types::Value;

use super::conformance::ordering::in_thread;
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench, TIMEOUT};

/// Schedules of a short run.
const CASES: u32 = 24;
/// Actions in one schedule at most.
const LENGTH: usize = 80;
const THREADS: usize = 3;
/// Days after which everything must have ended.
const DAYS: usize = 60;

#[derive(Debug, Clone, Copy)]
enum Action {
    /// A mail of a thread; of none when there is no such thread.
    Accept {
        thread: usize,
        sent: bool,
        expires_s: Option<u64>,
    },
    Claim {
        free: usize,
    },
    Settle {
        claim: usize,
        outcome: Outcome,
    },
    /// The process ends with its claims unsettled, and another one starts.
    Crash,
    Advance {
        seconds: u64,
    },
    /// One chunk of what keeps conversations going, or of what cancels.
    Keep,
    Tidy,
    Pause,
    Resume,
    /// Deselects one of the types, and selects it again.
    Reselect {
        sent: bool,
    },
    Delete,
}

#[derive(Debug, Clone, Copy)]
enum Outcome {
    Succeed,
    Fail { wait_s: u64 },
    Exhausted,
    Unstarted,
    CutOff,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Succeed),
        4 => prop_oneof![1..60_u64, Just(3_600)].prop_map(|wait_s| Outcome::Fail { wait_s }),
        1 => Just(Outcome::Exhausted),
        1 => Just(Outcome::Unstarted),
        1 => Just(Outcome::CutOff),
    ];
    let action = prop_oneof![
        12 => (0..=THREADS, any::<bool>(), option::weighted(0.3, 1..1_500_u64))
            .prop_map(|(thread, sent, expires_s)| Action::Accept { thread, sent, expires_s }),
        10 => (1..6_usize).prop_map(|free| Action::Claim { free }),
        14 => (any::<usize>(), outcome).prop_map(|(claim, outcome)| Action::Settle { claim, outcome }),
        2 => Just(Action::Crash),
        6 => prop_oneof![Just(1), Just(36), Just(450), Just(900)].prop_map(|seconds| Action::Advance { seconds }),
        6 => Just(Action::Keep),
        3 => Just(Action::Tidy),
        1 => Just(Action::Pause),
        2 => Just(Action::Resume),
        1 => any::<bool>().prop_map(|sent| Action::Reselect { sent }),
        1 => prop_oneof![9 => Just(Action::Tidy), 1 => Just(Action::Delete)],
    ];
    vec(action, 1..LENGTH)
}

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_a_conversation_keeps_its_order(actions in actions()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(actions));
    }
}

async fn run(actions: Vec<Action>) {
    let mut world = World::new().await;
    for action in actions {
        world.act(action).await;
        world.see_pause();
        invariants::check_step(&world.bench);
    }
    world.finish().await;
}

struct Delivery {
    thread: usize,
    event: EventId,
    /// When it was first known to have failed: its conversation waits for it so long from then on.
    failed_at: Option<TimeMs>,
    /// The claim that has not been settled.
    open: Option<u32>,
    was_claimed: bool,
}

struct World {
    bench: StoreBench,
    agent: Agent,
    subscription: Subscription,
    is_deleted: bool,
    /// When a pause was last seen to last.
    paused_at: Option<TimeMs>,
    deliveries: BTreeMap<DeliveryNo, Delivery>,
    claims: Vec<Claimed>,
}

const BOTH: [EventType; 2] = [EventType::MessageReceived, EventType::MessageSent];

impl World {
    async fn new() -> Self {
        let bench = StoreBench::new();
        let agent = bench.agent("help").await;
        let subscription = bench.subscribe(agent.admin(), agent.by_mail(), &BOTH).await;
        let set = bench.store().set_ordering(agent.admin(), subscription.id, Ordering::Conversation).await;
        assert!(set.expect("stored"));
        let (deliveries, claims) = (BTreeMap::new(), Vec::new());
        Self { bench, agent, subscription, is_deleted: false, paused_at: None, deliveries, claims }
    }

    async fn act(&mut self, action: Action) {
        let (store, admin, id) = (self.bench.store(), self.agent.admin(), self.subscription.id);
        match action {
            Action::Accept { thread, sent, expires_s } => self.accept(thread, sent, expires_s).await,
            Action::Claim { free } => self.claim(free).await,
            Action::Settle { claim, outcome } => self.settle(claim, outcome).await,
            Action::Crash => self.crash().await,
            Action::Advance { seconds } => self.bench.clock.advance(Duration::from_secs(seconds)),
            Action::Keep => self.keep().await,
            Action::Tidy => drop(store.cancel_chunk().await.expect("tidied")),
            Action::Pause => drop(store.pause_subscription(admin, id).await.expect("stored")),
            Action::Resume => drop(store.resume_subscription(admin, id).await.expect("stored")),
            Action::Reselect { sent } if !self.is_deleted => {
                self.bench.select(admin, &self.subscription, &[BOTH[usize::from(sent)]]).await;
                self.bench.select(admin, &self.subscription, &BOTH).await;
            }
            Action::Delete if !self.is_deleted => {
                self.is_deleted = true;
                self.bench.delete(admin, &self.subscription).await;
            }
            Action::Reselect { .. } | Action::Delete => {}
        }
    }

    fn see_pause(&mut self) {
        if self.bench.number("SELECT count(*) FROM subscriptions WHERE paused_ms IS NOT NULL") > 0 {
            self.paused_at = Some(self.bench.clock.schedule());
        }
    }

    /// After this, nobody waits for one that has failed for so long.
    async fn keep(&self) {
        while self.bench.store().keep_order_chunk().await.expect("kept").more {}
        if self.bench.number("SELECT count(*) FROM subscriptions WHERE paused_ms IS NULL") == 0 {
            return;
        }
        let now = self.bench.clock.schedule();
        let waited_for = "SELECT c.head, 0 FROM conversations c
            JOIN parked p ON p.subscription = c.subscription AND p.key = c.key";
        for (head, _) in self.bench.rows(waited_for).iter().map(numbers) {
            let failed_at = self.deliveries[&DeliveryNo(head)].failed_at;
            // A pause in between begins the wait anew.
            let waited = self.paused_at.max(failed_at);
            assert!(failed_at.is_none() || waited.is_some_and(|since| since.after(HOLD) > now), "{head}");
        }
    }

    async fn accept(&mut self, thread: usize, sent: bool, expires_s: Option<u64>) {
        let owner = self.agent.by_mail();
        let mut event = self.bench.event(self.agent.organization, owner, BOTH[usize::from(sent)]);
        if thread < THREADS {
            event = in_thread(event, &thread.to_string());
        }
        event.expires_at =
            expires_s.map(|seconds| self.bench.clock.wall().after(Duration::from_secs(seconds)));
        let id = event.id;
        if self.bench.accept(event).await.deliveries == 0 {
            assert!(self.is_deleted);
            return;
        }
        let made = self.bench.number("SELECT max(seq) * 64 FROM events");
        let delivery = Delivery { thread, event: id, failed_at: None, open: None, was_claimed: false };
        self.deliveries.insert(DeliveryNo(made), delivery);
    }

    /// The deliveries that have ended, and those that count as cancelled.
    fn ended(&self) -> HashMap<DeliveryNo, i64> {
        let cancelled = "SELECT d.no, d.state FROM deliveries d UNION ALL
            SELECT q.no, 3 FROM (SELECT no, event_type, subscription FROM queue
                UNION ALL SELECT no, event_type, subscription FROM parked) q
            JOIN subscriptions s ON s.no = q.subscription
            LEFT JOIN subscription_types t ON t.subscription = s.no AND t.event_type = q.event_type
            WHERE s.status <> 'active' OR t.since_seq IS NULL OR q.no / 64 <= t.since_seq";
        let rows = self.bench.books.rows_again(cancelled);
        rows.iter().map(numbers).map(|(no, state)| (DeliveryNo(no), state)).collect()
    }

    async fn claim(&mut self, free: usize) {
        let claimed = self.bench.claimed_within(self.bench.request_within(free, free)).await;
        let ended = self.ended();
        for claimed in &claimed {
            self.see_claim(claimed, &ended);
        }
        self.claims.extend(claimed);
    }

    fn see_claim(&mut self, claimed: &Claimed, ended: &HashMap<DeliveryNo, i64>) {
        let now = self.bench.clock.schedule();
        let delivery = &self.deliveries[&claimed.delivery];
        let thread = delivery.thread;
        let is_passed =
            |earlier: &Delivery| earlier.failed_at.is_some_and(|failed| failed.after(HOLD) <= now);
        if thread < THREADS {
            let before = self.deliveries.range(..claimed.delivery).rev();
            let mut before = before.filter(|(_, earlier)| earlier.thread == thread).peekable();
            let direct = before.peek().filter(|(no, _)| !ended.contains_key(no));
            if let Some((_, passed)) = direct
                && !delivery.was_claimed
            {
                assert_eq!(claimed.gap, Some(passed.event), "it went past and does not say so");
            }
            for (no, earlier) in before.filter(|(no, _)| !ended.contains_key(no)) {
                assert!(is_passed(earlier), "{:?} started before {no:?} had ended", claimed.delivery);
            }
        }
        if let Some(gap) = claimed.gap {
            let passed = self.deliveries.values().find(|earlier| earlier.event == gap).expect("an event");
            assert!(passed.thread == thread && is_passed(passed), "there is no gap");
        }
        let delivery = self.deliveries.get_mut(&claimed.delivery).expect("a delivery");
        if delivery.open.is_some() {
            delivery.failed_at.get_or_insert(now);
        }
        (delivery.open, delivery.was_claimed) = (Some(claimed.claim_no), true);
    }

    async fn settle(&mut self, claim: usize, outcome: Outcome) {
        if self.claims.is_empty() {
            return;
        }
        let claimed = self.claims.swap_remove(claim % self.claims.len());
        let now = self.bench.clock.schedule();
        let (recorded, next) = match outcome {
            Outcome::Succeed => (Recorded::Succeeded, Next::End(End::Succeeded)),
            Outcome::Fail { wait_s } => {
                let due = now.after(Duration::from_secs(wait_s));
                (Recorded::Failed, Next::Retry { due, maybe_received: false })
            }
            Outcome::Exhausted => (Recorded::Failed, Next::End(End::OutOfAttempts)),
            Outcome::Unstarted => (Recorded::Unknown, Next::Release { maybe_received: false }),
            Outcome::CutOff => (Recorded::Unknown, Next::Release { maybe_received: true }),
        };
        let mut settlement = self.bench.settlement(&claimed, recorded, next);
        if matches!(outcome, Outcome::Unstarted) {
            settlement.attempt = None;
        }
        let settled = self.bench.settle(settlement).await;
        let delivery = self.deliveries.get_mut(&claimed.delivery).expect("a delivery");
        if delivery.open == Some(claimed.claim_no) {
            delivery.open = None;
            if ![Settled::Done, Settled::AfterEnd].contains(&settled) {
                // A claim that met the expired lease ended it instead of taking it.
                assert!(self.ended().contains_key(&claimed.delivery), "{settled:?}");
                return;
            }
            if matches!(outcome, Outcome::Fail { .. }) {
                delivery.failed_at.get_or_insert(now);
            }
        }
    }

    async fn crash(&mut self) {
        self.bench.restart().await;
        self.claims.clear();
    }

    async fn finish(mut self) {
        self.act(Action::Resume).await;
        self.crash().await;
        for day in 0..DAYS {
            self.bench.tidy().await;
            while self.bench.store().keep_order_chunk().await.expect("kept").more {}
            self.claim(1_000).await;
            while !self.claims.is_empty() {
                let outcome = match day % 3 {
                    0 => Outcome::Succeed,
                    1 => Outcome::Fail { wait_s: 60 },
                    _ => Outcome::Exhausted,
                };
                self.settle(0, outcome).await;
            }
            invariants::check_step(&self.bench);
            if self.bench.store().queued_total().await.expect("read") == 0 {
                break;
            }
            self.bench.clock.advance(Duration::from_hours(1).max(TIMEOUT));
        }
        self.bench.tidy().await;
        while self.bench.store().keep_order_chunk().await.expect("kept").more {}
        self.crash().await;
        invariants::check_at_rest(&self.bench);
        let ended = self.ended();
        assert_eq!(ended.len(), self.deliveries.len(), "each was there, and none besides");
        assert!(self.deliveries.keys().all(|no| ended.contains_key(no)));
    }
}

fn numbers(row: &Vec<Value>) -> (i64, i64) {
    match row.as_slice() {
        [Value::Integer(first), Value::Integer(second)] => (*first, *second),
        other => panic!("{other:?}"),
    }
}

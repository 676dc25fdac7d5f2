//! A store beside what it should be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::delivery::{Claimed, Class, End};
use inkhook_server::domain::number::{DeliveryNo, SubscriptionNo};
use inkhook_server::domain::owner::Owner;
use inkhook_server::domain::slots::MANUAL_EXTRA;
use inkhook_server::domain::subscription::{Subscription, SubscriptionChange};
use inkhook_server::domain::time::TimeMs;
use inkhook_server::store::database_path;
use inkhook_server::store::replay::Replay;
use inkhook_server::store::settle::{Next, Settled, Settlement};
use inkhook_wire::event::EventType;
use inkhook_wire::id::{EventId, RequestId};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::schedule::{Action, Outcome};
use crate::store::conformance::lists::page;
use crate::support::store::{Agent, StoreBench};
use crate::support::{connect, invariants};

/// Subscriptions in one schedule at most.
const SUBSCRIPTIONS: usize = 6;
/// Hours after which everything must have ended.
const HOURS: usize = 100;
/// The state's number of a cancelled delivery, and of one that succeeded.
const CANCELLED: i64 = 3;
const SUCCEEDED: i64 = 1;

pub struct World {
    bench: StoreBench,
    /// Looks at the rows, past the store.
    rows: Connection,
    agent: Agent,
    subscriptions: Vec<Known>,
    deliveries: BTreeMap<DeliveryNo, Delivery>,
    /// Claims that this process holds, settled or not: a settle may come late, or twice.
    claims: Vec<Claimed>,
    /// States of ended deliveries as seen last.
    ended: HashMap<DeliveryNo, i64>,
}

struct Known {
    subscription: Subscription,
    owner: Owner,
    is_active: bool,
    types: u8,
    is_paused: bool,
    not_before: TimeMs,
    url: String,
}

struct Delivery {
    subscription: SubscriptionNo,
    event: EventId,
    event_type: EventType,
    expires_at: Option<TimeMs>,
    manual: bool,
    /// Its subscription was deleted or its type removed while it waited.
    is_cancelled: bool,
    request_id: Option<RequestId>,
    attempts: u32,
    failures: u32,
    maybe_received: bool,
    /// The claim that has not been settled, and until when nobody else may have it.
    open: Option<(u32, TimeMs)>,
    /// The claim of it that was a probe.
    probe: Option<u32>,
}

fn types_of(set: u8) -> Vec<EventType> {
    let both = [EventType::MessageReceived, EventType::MessageSent];
    both.into_iter()
        .enumerate()
        .filter(|(bit, _)| set & (1 << bit) != 0)
        .map(|(_, event_type)| event_type)
        .collect()
}

fn selects(set: u8, event_type: EventType) -> bool {
    types_of(set).contains(&event_type)
}

impl World {
    pub async fn new() -> Self {
        let bench = StoreBench::new();
        let agent = bench.agent("help").await;
        Self {
            rows: connect(&database_path(bench.directory.path())),
            bench,
            agent,
            subscriptions: Vec::new(),
            deliveries: BTreeMap::new(),
            claims: Vec::new(),
            ended: HashMap::new(),
        }
    }

    pub async fn act(&mut self, action: Action) {
        match action {
            Action::Create { owner, types } => self.create(owner, types).await,
            Action::Accept { owner, sent, expires_s } => self.accept(owner, sent, expires_s).await,
            Action::Claim { free, per_subscription } => self.claim(free, per_subscription).await,
            Action::Settle { claim, outcome } => self.settle(claim, outcome).await,
            Action::Crash => self.crash().await,
            Action::Delete { subscription } => self.delete(subscription).await,
            Action::Select { subscription, types } => self.select(subscription, types).await,
            Action::Pause { subscription } => self.pause(subscription).await,
            Action::Resume { subscription } => self.resume(subscription).await,
            Action::NewUrl { subscription } => self.new_url(subscription).await,
            Action::Tidy => drop(self.bench.store().cancel_chunk().await.expect("tidied")),
            Action::Replay { attempt } => self.replay(attempt).await,
            Action::Advance { seconds } => self.bench.clock.advance(Duration::from_secs(seconds)),
        }
    }

    /// What holds after every action.
    pub fn check(&mut self) {
        assert_eq!(invariants::breach(&self.rows), None);
        for row in self.bench.rows("SELECT no, state FROM deliveries") {
            let (no, state) = numbers(&row);
            let delivery = &self.deliveries[&DeliveryNo(no)];
            if delivery.is_cancelled {
                assert!([CANCELLED, SUCCEEDED].contains(&state), "cancelled, but ended as {state}");
            } else {
                assert_ne!(state, CANCELLED, "nobody cancelled it");
            }
            let before = self.ended.insert(DeliveryNo(no), state).unwrap_or(state);
            assert!(
                before == state || (before, state) == (CANCELLED, SUCCEEDED),
                "an end is an end: {before} became {state}"
            );
        }
        // A claim that met an expired lease may have ended the delivery instead of taking it.
        for row in self.bench.rows("SELECT no, 0 FROM deliveries WHERE open_claim IS NULL") {
            let (no, _) = numbers(&row);
            self.deliveries.get_mut(&DeliveryNo(no)).expect("a delivery").open = None;
        }
    }

    /// Runs the time to the end, and sees that everything has ended.
    pub async fn finish(mut self) {
        for place in 0..self.subscriptions.len() {
            self.resume(place).await;
        }
        // A process that ends before the first byte of anything.
        self.crash().await;
        for hour in 0..HOURS {
            self.bench.tidy().await;
            self.claim(1_000, 1_000).await;
            self.check();
            for claim in 0..self.claims.len() {
                let outcome = match hour % 3 {
                    0 => Outcome::Fail { wait_s: 60, maybe_received: false },
                    1 => Outcome::Succeed,
                    _ => Outcome::Exhausted,
                };
                self.settle(claim, outcome).await;
            }
            self.check();
            if self.bench.queued() == 0 {
                break;
            }
            self.bench.clock.advance(Duration::from_hours(1));
        }
        self.crash().await;
        self.bench.tidy().await;
        self.check();
        invariants::check_at_rest(&self.bench);
        let ended: HashSet<_> = self.ended.keys().copied().collect();
        assert_eq!(ended, self.deliveries.keys().copied().collect(), "each was there, and none besides");
    }

    fn owner(&self, owner: usize) -> Owner {
        if owner == 1 { self.agent.owner() } else { self.agent.by_mail() }
    }

    async fn create(&mut self, owner: usize, types: u8) {
        if self.subscriptions.len() == SUBSCRIPTIONS {
            return;
        }
        let owner = self.owner(owner);
        let subscription = self.bench.subscribe(self.agent.admin(), owner, &types_of(types)).await;
        self.subscriptions.push(Known {
            url: subscription.url.given.clone(),
            subscription,
            owner,
            is_active: true,
            types,
            is_paused: false,
            not_before: TimeMs::ZERO,
        });
    }

    async fn accept(&mut self, owner: usize, sent: bool, expires_s: Option<u64>) {
        let owner = self.owner(owner);
        let event_type = if sent { EventType::MessageSent } else { EventType::MessageReceived };
        let mut event = self.bench.event(self.agent.organization, owner, event_type);
        event.expires_at =
            expires_s.map(|seconds| self.bench.clock.wall().after(Duration::from_secs(seconds)));
        let accepted = self.bench.accept(event.clone()).await;
        let identity = self.agent.owner();
        let expected: Vec<SubscriptionNo> = self
            .subscriptions
            .iter()
            .filter(|known| known.is_active && selects(known.types, event_type))
            .filter(|known| known.owner == owner || known.owner == identity)
            .map(|known| known.subscription.no)
            .collect();
        assert_eq!(accepted.deliveries as usize, expected.len());
        let sql =
            "SELECT no, subscription FROM queue WHERE event_seq = (SELECT max(seq) FROM events) ORDER BY no";
        let made: Vec<_> = self.bench.rows(sql).iter().map(|row| numbers(row)).collect();
        assert_eq!(
            made.iter().map(|(_, subscription)| SubscriptionNo(*subscription)).collect::<Vec<_>>(),
            expected
        );
        for (no, subscription) in made {
            let delivery = Delivery {
                subscription: SubscriptionNo(subscription),
                event: event.id,
                event_type,
                expires_at: event.expires_at,
                manual: false,
                is_cancelled: false,
                request_id: None,
                attempts: 0,
                failures: 0,
                maybe_received: false,
                open: None,
                probe: None,
            };
            self.deliveries.insert(DeliveryNo(no), delivery);
        }
    }

    async fn claim(&mut self, free: usize, per_subscription: usize) {
        let request = self.bench.request_within(free, per_subscription);
        let now = request.now;
        let claimed = self.bench.claimed_within(request).await;
        assert!(claimed.len() <= free);
        let mut of_subscription: HashMap<SubscriptionNo, usize> = HashMap::new();
        for claimed in claimed {
            let count = of_subscription.entry(claimed.target.subscription).or_default();
            *count += 1;
            assert!(*count <= per_subscription + MANUAL_EXTRA);
            self.see_claim(&claimed, now);
            self.claims.push(claimed);
        }
    }

    fn see_claim(&mut self, claimed: &Claimed, now: TimeMs) {
        let known =
            self.subscriptions.iter().find(|known| known.subscription.no == claimed.target.subscription);
        let known = known.expect("a subscription");
        let probes = self.deliveries.values().filter(|delivery| delivery.probe.is_some());
        let mut probes = probes.filter(|delivery| delivery.subscription == claimed.target.subscription);
        let under_way = |delivery: &Delivery| {
            delivery.open.is_some_and(|(claim_no, until)| Some(claim_no) == delivery.probe && until > now)
        };
        assert!(!claimed.is_probe || !probes.any(under_way), "one probe at a time");
        let delivery = self.deliveries.get_mut(&claimed.delivery).expect("a delivery");
        assert!(!self.ended.contains_key(&claimed.delivery), "it has ended");
        assert!(!delivery.is_cancelled && known.is_active && selects(known.types, delivery.event_type));
        assert!(delivery.expires_at.is_none_or(|expires_at| expires_at > now), "too late");
        assert_eq!(claimed.class == Class::Manual, delivery.manual);
        assert!(delivery.manual || (!known.is_paused && known.not_before <= now), "held");
        if let Some((_, until)) = delivery.open.take() {
            assert!(until <= now, "somebody has it");
            assert!(!delivery.manual, "by hand is once");
            delivery.attempts += 1;
            delivery.maybe_received = true;
        }
        assert_eq!(claimed.event.id, delivery.event);
        assert_eq!(claimed.event.event_type, delivery.event_type);
        assert_eq!(claimed.target.subscription, delivery.subscription);
        assert_eq!(*delivery.request_id.get_or_insert(claimed.request_id), claimed.request_id);
        assert_eq!(claimed.attempt_no, delivery.attempts + 1);
        assert_eq!(claimed.failures, delivery.failures);
        assert_eq!(claimed.maybe_received, delivery.maybe_received);
        delivery.open = Some((claimed.claim_no, claimed.lease_until));
        delivery.probe = claimed.is_probe.then_some(claimed.claim_no);
    }

    async fn settle(&mut self, claim: usize, outcome: Outcome) {
        if self.claims.is_empty() {
            return;
        }
        let claimed = self.claims[claim % self.claims.len()].clone();
        let settlement = self.settlement(&claimed, outcome);
        let (next, hold_until) = (settlement.next, settlement.hold_until);
        let was_made = settlement.attempt.is_some();
        let settled = self.bench.settle(settlement).await;
        let delivery = self.deliveries.get_mut(&claimed.delivery).expect("a delivery");
        let is_current = delivery.open.is_some_and(|(claim_no, _)| claim_no == claimed.claim_no);
        if !is_current {
            assert!([Settled::Late, Settled::Nothing].contains(&settled), "{settled:?}");
            return;
        }
        delivery.open = None;
        assert!([Settled::Done, Settled::AfterEnd].contains(&settled), "{settled:?}");
        assert!(settled == Settled::Done || delivery.is_cancelled);
        if settled == Settled::AfterEnd {
            return;
        }
        delivery.attempts += u32::from(was_made);
        match next {
            Next::Retry { maybe_received, .. } => {
                delivery.failures += 1;
                delivery.maybe_received |= maybe_received;
            }
            Next::Keep { maybe_received, .. } | Next::Release { maybe_received } => {
                delivery.maybe_received |= maybe_received;
            }
            Next::End(_) => {}
        }
        let known =
            self.subscriptions.iter_mut().find(|known| known.subscription.no == delivery.subscription);
        let known = known.expect("a subscription");
        let is_here = known.is_active && known.url == claimed.target.url;
        known.is_paused |= next == Next::End(End::Gone) && is_here;
        known.not_before = known.not_before.max(hold_until.unwrap_or(TimeMs::ZERO));
    }

    /// As `record::decide` would make it.
    fn settlement(&self, claimed: &Claimed, outcome: Outcome) -> Settlement {
        let now = self.bench.clock.schedule();
        let manual = claimed.class == Class::Manual;
        let failed = Recorded::Failed;
        let (recorded, next, hold_s) = match outcome {
            Outcome::Succeed => (Recorded::Succeeded, Next::End(End::Succeeded), None),
            Outcome::Gone => (failed, Next::End(End::Gone), None),
            Outcome::Exhausted => (failed, Next::End(End::OutOfAttempts), None),
            Outcome::Fail { .. } | Outcome::Hold { .. } if manual => {
                (failed, Next::End(End::OutOfAttempts), None)
            }
            Outcome::Fail { maybe_received, .. } if claimed.early_for.is_some_and(|due| due > now) => {
                let due = claimed.early_for.unwrap_or(now);
                (failed, Next::Keep { due, maybe_received }, None)
            }
            Outcome::Fail { wait_s, maybe_received } => {
                let due = now.after(Duration::from_secs(wait_s));
                (failed, Next::Retry { due, maybe_received }, None)
            }
            Outcome::Hold { wait_s } => {
                let due = now.after(Duration::from_secs(wait_s));
                (failed, Next::Retry { due, maybe_received: false }, Some(wait_s))
            }
            Outcome::Unstarted => (failed, Next::Release { maybe_received: false }, None),
            Outcome::CutOff if manual => (Recorded::Unknown, Next::End(End::Lost), None),
            Outcome::CutOff => (Recorded::Unknown, Next::Release { maybe_received: true }, None),
        };
        let mut settlement = self.bench.settlement(claimed, recorded, next);
        settlement.hold_until = hold_s.map(|seconds| now.after(Duration::from_secs(seconds)));
        if matches!(outcome, Outcome::Unstarted) {
            settlement.attempt = None;
        }
        settlement
    }

    async fn crash(&mut self) {
        self.bench.restart().await;
        self.claims.clear();
        for delivery in self.deliveries.values_mut() {
            if let Some((_, until)) = &mut delivery.open {
                *until = TimeMs::ZERO;
            }
        }
    }

    /// The active subscription at this place, if there is one.
    fn place(&self, subscription: usize) -> Option<usize> {
        let active: Vec<usize> =
            (0..self.subscriptions.len()).filter(|place| self.subscriptions[*place].is_active).collect();
        (!active.is_empty()).then(|| active[subscription % active.len()])
    }

    /// What waits of a subscription is cancelled when `selects` no longer holds for its type.
    fn cancel(&mut self, subscription: SubscriptionNo, selects: impl Fn(EventType) -> bool) {
        let waiting: HashSet<i64> =
            self.bench.rows("SELECT no, 0 FROM queue").iter().map(|row| numbers(row).0).collect();
        for (no, delivery) in &mut self.deliveries {
            if delivery.subscription == subscription
                && waiting.contains(&no.0)
                && !selects(delivery.event_type)
            {
                delivery.is_cancelled = true;
            }
        }
    }

    async fn delete(&mut self, subscription: usize) {
        let Some(place) = self.place(subscription) else { return };
        self.cancel(self.subscriptions[place].subscription.no, |_| false);
        let known = &mut self.subscriptions[place];
        known.is_active = false;
        self.bench.delete(self.agent.admin(), &known.subscription).await;
    }

    async fn select(&mut self, subscription: usize, types: u8) {
        let Some(place) = self.place(subscription) else { return };
        self.cancel(self.subscriptions[place].subscription.no, |event_type| selects(types, event_type));
        let known = &mut self.subscriptions[place];
        known.types = types;
        self.bench.select(self.agent.admin(), &known.subscription, &types_of(types)).await;
    }

    async fn pause(&mut self, subscription: usize) {
        let Some(place) = self.place(subscription) else { return };
        let known = &mut self.subscriptions[place];
        known.is_paused = true;
        let paused = self.bench.store().pause_subscription(self.agent.admin(), known.subscription.id).await;
        assert!(paused.expect("stored").is_some());
    }

    async fn resume(&mut self, subscription: usize) {
        let Some(place) = self.place(subscription) else { return };
        let known = &mut self.subscriptions[place];
        (known.is_paused, known.not_before) = (false, TimeMs::ZERO);
        let resumed = self.bench.store().resume_subscription(self.agent.admin(), known.subscription.id).await;
        assert!(resumed.expect("stored").is_some());
    }

    async fn new_url(&mut self, subscription: usize) {
        let Some(place) = self.place(subscription) else { return };
        let known = &mut self.subscriptions[place];
        (known.is_paused, known.not_before) = (false, TimeMs::ZERO);
        let url = self.bench.url();
        known.url.clone_from(&url.given);
        let change = SubscriptionChange { url: Some(url), ..SubscriptionChange::default() };
        self.bench.patch(self.agent.admin(), &known.subscription, change).await;
    }

    async fn replay(&mut self, attempt: usize) {
        let log = self.bench.store().attempts(self.agent.admin(), page()).await.expect("read");
        if log.is_empty() {
            return;
        }
        let line = &log[attempt % log.len()];
        let replay = self.bench.store().replay(self.agent.admin(), line.id).await.expect("stored");
        let known = self.subscriptions.iter().find(|known| known.subscription.id == line.subscription_id);
        let known = known.expect("a subscription");
        let now = self.bench.clock.wall();
        let expected_refusal = if !known.is_active {
            Some(Replay::SubscriptionDeleted)
        } else if !selects(known.types, line.event_type) {
            Some(Replay::TypeNotSelected)
        } else {
            line.event_expires_at.is_some_and(|expires_at| expires_at <= now).then_some(Replay::EventExpired)
        };
        if let Some(refusal) = expected_refusal {
            assert_eq!(replay, refusal);
            return;
        }
        let Replay::Queued(no, request_id) = replay else { panic!("{replay:?}") };
        let delivery = Delivery {
            subscription: known.subscription.no,
            event: line.event_id,
            event_type: line.event_type,
            expires_at: line.event_expires_at,
            manual: true,
            is_cancelled: false,
            request_id: Some(request_id),
            attempts: 0,
            failures: 0,
            maybe_received: false,
            open: None,
            probe: None,
        };
        self.deliveries.insert(no, delivery);
    }
}

fn numbers(row: &[Value]) -> (i64, i64) {
    match row {
        [Value::Integer(first), Value::Integer(second)] => (*first, *second),
        other => panic!("{other:?}"),
    }
}

//! What should be: a small model of subscriptions and deliveries, with no store, no network and no engine.
//!
//! It is told of every step, and of everything that happened at the receiver, and says what breaks a
//! promise. What it cannot know (when exactly a retry is due, which of two processes a lease was lost to) it
//! bounds from both sides or reads from the rows.

mod arrivals;
mod rows;

use std::collections::BTreeMap;
use std::time::Duration;

use inkhook_server::domain::time::TimeMs;
use inkhook_server::store::claim::LEASE_SKEW;
use inkhook_wire::event::EventType;
use inkhook_wire::id::EventId;

use super::life::{TIMEOUT, WAITS_S};
use super::receiver::Arrival;
use super::seen::Seen as Rows;
use super::step::Answer;

/// Failures in a row from which on a subscription is only probed.
const FAILING: u32 = 5;

/// Where a subscription stands.
#[derive(Debug)]
pub struct Subscription {
    /// The row.
    pub no: i64,
    pub is_active: bool,
    pub types: u8,
    /// Which of its URLs is in force.
    pub url: usize,
    pub token: Option<String>,
    pub is_paused: bool,
    pub not_before: TimeMs,
    failures_in_a_row: u32,
    /// When everything that waited was last made due.
    hurried_at: Option<TimeMs>,
}

/// How a delivery must end, once that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Succeeded,
    Exhausted,
}

/// One event on its way to one subscription.
#[derive(Debug)]
pub struct Delivery {
    pub subscription: usize,
    pub event: EventId,
    pub event_type: EventType,
    pub payload: Vec<u8>,
    pub expires_at: Option<TimeMs>,
    pub is_manual: bool,
    /// Its subscription was deleted or its type removed while it waited.
    pub is_cancelled: bool,
    pub end: Option<End>,
    failures: u32,
    /// Its next attempt starts between these times, if nothing holds it back.
    earliest: TimeMs,
    latest: TimeMs,
    /// An attempt may have been received without an answer that was read.
    maybe_received: bool,
    /// What it was before its last failure, when that may have been a probe ahead of its time, which does not
    /// count.
    before_probe: Option<BeforeProbe>,
}

/// See [`Delivery::before_probe`].
#[derive(Debug, Clone, Copy)]
struct BeforeProbe {
    failures: u32,
    earliest: TimeMs,
    latest: TimeMs,
}

/// A request that came, and what became of it.
#[derive(Debug)]
struct Seen {
    arrival: Arrival,
    delivery: i64,
    at: TimeMs,
    leased_until: TimeMs,
    state: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nobody has answered.
    Open,
    /// It was answered, and its sender lives to read it.
    Answered(Answer),
    /// Its sender is gone: nobody read an answer.
    Lost,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Reference {
    pub subscriptions: Vec<Subscription>,
    pub deliveries: BTreeMap<i64, Delivery>,
    by_request: BTreeMap<String, i64>,
    arrivals: Vec<Seen>,
    /// States of ended deliveries as seen last.
    ended: BTreeMap<i64, i64>,
    pub now: TimeMs,
}

/// The event types of a set.
pub fn types_of(set: u8) -> Vec<EventType> {
    let both = [EventType::MessageReceived, EventType::MessageSent];
    let chosen = both.into_iter().enumerate().filter(|(bit, _)| set & (1 << bit) != 0);
    chosen.map(|(_, event_type)| event_type).collect()
}

impl Reference {
    pub fn subscribe(&mut self, no: i64, types: u8) {
        self.subscriptions.push(Subscription {
            no,
            is_active: true,
            types,
            url: 0,
            token: None,
            is_paused: false,
            not_before: TimeMs::ZERO,
            failures_in_a_row: 0,
            hurried_at: None,
        });
    }

    /// A delivery was made.
    pub fn deliver(&mut self, no: i64, request_id: String, delivery: Delivery) {
        self.by_request.insert(request_id, no);
        self.deliveries.insert(no, delivery);
    }

    /// What waits of a subscription is cancelled where `selects` does not hold for its type.
    pub fn cancel(&mut self, subscription: usize, selects: impl Fn(EventType) -> bool) {
        let open = |no: &i64, ended: &BTreeMap<i64, i64>| !ended.contains_key(no);
        for (no, delivery) in &mut self.deliveries {
            let waits = delivery.subscription == subscription && delivery.end.is_none();
            if waits && open(no, &self.ended) && !selects(delivery.event_type) {
                delivery.is_cancelled = true;
            }
        }
    }

    /// Whatever held a subscription back no longer does. One that is failing and not paused is still failing,
    /// unless it has another URL.
    pub fn release(&mut self, subscription: usize, is_new_url: bool) {
        let known = &mut self.subscriptions[subscription];
        let is_probed = known.failures_in_a_row >= FAILING && !known.is_paused && !is_new_url;
        (known.is_paused, known.not_before) = (false, TimeMs::ZERO);
        if is_probed {
            return;
        }
        known.failures_in_a_row = 0;
        self.hurry(subscription);
    }

    /// What waits of a subscription is due, whatever its own time.
    fn hurry(&mut self, subscription: usize) {
        let now = self.now;
        self.subscriptions[subscription].hurried_at = Some(now);
        for delivery in self.deliveries.values_mut().filter(|it| it.subscription == subscription) {
            delivery.earliest = delivery.earliest.min(now);
        }
    }

    /// The sender is gone.
    pub fn lose_what_is_open(&mut self) {
        for seen in &mut self.arrivals {
            if seen.state == Fate::Open {
                seen.state = Fate::Lost;
                let delivery = self.deliveries.get_mut(&seen.delivery).expect("it is known");
                delivery.maybe_received = true;
            }
        }
    }

    /// Which delivery and attempt an arrival is.
    pub fn attempt_of(&self, arrival: usize) -> (i64, u32) {
        (self.arrivals[arrival].delivery, self.arrivals[arrival].arrival.attempt)
    }

    fn is_selected(&self, delivery: &Delivery) -> bool {
        let known = &self.subscriptions[delivery.subscription];
        known.is_active && types_of(known.types).contains(&delivery.event_type)
    }

    /// When the lease ends of a delivery whose request came now, as far as its row still says so.
    fn leased_until(&self, no: i64, rows: &Rows) -> TimeMs {
        let latest = self.now.after(TIMEOUT).after(LEASE_SKEW);
        let row = rows.queued.get(&no).filter(|row| row.boot.is_some());
        row.map_or(latest, |row| latest.min(TimeMs(row.due_ms)))
    }

    /// Requests of a subscription that nobody has answered.
    fn open_of(&self, subscription: usize) -> usize {
        let is_open = |seen: &&Seen| {
            seen.state == Fate::Open && self.deliveries[&seen.delivery].subscription == subscription
        };
        self.arrivals.iter().filter(is_open).count()
    }
}

impl Delivery {
    /// A delivery that was just made.
    pub fn new(subscription: usize, event: EventId, event_type: EventType, payload: Vec<u8>) -> Self {
        Self {
            subscription,
            event,
            event_type,
            payload,
            expires_at: None,
            is_manual: false,
            is_cancelled: false,
            end: None,
            failures: 0,
            earliest: TimeMs::ZERO,
            latest: TimeMs::ZERO,
            before_probe: None,
            maybe_received: false,
        }
    }

    /// It failed once more: when it may be tried again, or that it has ended.
    fn fail(&mut self, now: TimeMs, hold_s: u64) {
        self.failures += 1;
        let wait = WAITS_S.get(self.failures as usize - 1).filter(|_| !self.is_manual);
        let Some(wait) = wait else {
            self.end = Some(End::Exhausted);
            return;
        };
        let (hold, wait) = (Duration::from_secs(hold_s), Duration::from_secs(*wait));
        self.earliest = now.after(wait.mul_f64(0.8).max(hold));
        self.latest = now.after(wait.mul_f64(1.2).max(hold)).after(Duration::from_millis(1));
    }

    /// Whether it is too late for it by then.
    fn is_expired(&self, by: TimeMs) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= by)
    }
}

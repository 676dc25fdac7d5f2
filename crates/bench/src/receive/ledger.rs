//! What a receiver has counted, by the first segment of the path.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::mark;
use super::mode::Mode;
use crate::clock::Clock;
use crate::http::Request;
use crate::latency::{Latency, per_second};

/// Names a delivery: ours, and what peers call it.
const REQUEST_IDS: [&str; 1] = ["x-inkbox-request-id"];
/// Names an event: the standard's name, and Svix's.
const EVENT_IDS: [&str; 2] = ["webhook-id", "svix-id"];

/// What one group has had.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Requests that were read to the end.
    pub requests: u64,
    /// Of these, with a request id (or, without one, an event id) that had not come before.
    pub deliveries: u64,
    /// Of these, whose path had not had the event before.
    pub events: u64,
    /// Requests whose signature did not verify; only when there is something to verify with.
    pub unsigned: u64,
    /// Bytes of answers' bodies that were written before the sender stopped reading, the most of one answer.
    pub body_bytes: u64,
    /// Connections that the sender ended while it was being answered, or while it was not.
    pub given_up: u64,
    /// When the first and the last delivery arrived, in unix microseconds.
    pub first_us: u64,
    /// See there.
    pub last_us: u64,
    /// From the mark to the arrival, of deliveries that had not come before.
    pub latency: Latency,
}

impl Group {
    /// Deliveries in a second, between the first and the last.
    pub fn per_second(&self) -> f64 {
        per_second(self.deliveries.saturating_sub(1), self.last_us - self.first_us)
    }

    fn to_json(&self) -> Value {
        json!({"requests": self.requests, "deliveries": self.deliveries, "events": self.events,
            "repeats": self.requests - self.deliveries, "unsigned": self.unsigned,
            "body_bytes": self.body_bytes, "given_up": self.given_up, "first_us": self.first_us,
            "last_us": self.last_us, "per_second": self.per_second(), "latency_us": self.latency.to_json()})
    }
}

/// What all groups have had.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// By first segment.
    pub groups: BTreeMap<String, Group>,
    /// TLS handshakes that the sender refused.
    pub handshakes_refused: u64,
}

impl Stats {
    /// One of them; nothing when it had no request.
    pub fn group(&self, name: &str) -> Group {
        self.groups.get(name).cloned().unwrap_or_default()
    }

    /// As the receiver prints it.
    pub fn to_json(&self) -> Value {
        let groups = self.groups.iter().map(|(name, group)| (name.clone(), group.to_json()));
        json!({"groups": Value::Object(groups.collect()), "handshakes_refused": self.handshakes_refused})
    }
}

/// Hashes are their own hashes.
#[derive(Debug, Default, Clone, Copy)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers are put in");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

type Hashes = HashSet<u64, BuildHasherDefault<Itself>>;

/// Ids that there is room for from the start, so that a measurement does not wait for a table to grow.
const ROOM: usize = 1 << 20;

#[derive(Debug)]
struct State {
    stats: Stats,
    deliveries: Hashes,
    events: Hashes,
    modes: HashMap<String, Mode>,
    goal: Option<(String, u64)>,
}

impl State {
    fn group(&mut self, name: &str) -> &mut Group {
        if !self.stats.groups.contains_key(name) {
            self.stats.groups.insert(name.to_owned(), Group::default());
        }
        self.stats.groups.get_mut(name).expect("it is there now")
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    clock: Clock,
    mode: Mode,
    secrets: Vec<String>,
    state: Mutex<State>,
    reached: Condvar,
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// The first segment of a path.
fn segment(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split(['/', '?']).next().unwrap_or_default()
}

impl Ledger {
    pub(super) fn new(clock: Clock, mode: Mode, secrets: Vec<String>) -> Self {
        let room = || Hashes::with_capacity_and_hasher(ROOM, BuildHasherDefault::default());
        let (deliveries, events) = (room(), room());
        let state = State { stats: Stats::default(), deliveries, events, modes: HashMap::new(), goal: None };
        Self { clock, mode, secrets, state: Mutex::new(state), reached: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request; how to behave, and its group when that must be known later.
    pub(super) fn arrived(&self, request: &Request<'_>) -> (Mode, Option<String>) {
        let at_us = self.clock.now_us();
        let header = |names: &[&str]| {
            let named = |header: &&httparse::Header<'_>| {
                names.iter().any(|name| header.name.eq_ignore_ascii_case(name))
            };
            request.headers.iter().find(named).map(|header| header.value)
        };
        let event_id = header(&EVENT_IDS);
        let event = event_id.map(|id| hash(&[request.path.as_bytes(), id]));
        let delivery = header(&REQUEST_IDS).map(|id| hash(&[id])).or(event);
        let marked = mark::find(request.body);
        let is_signed = self.secrets.is_empty() || self.verifies(request);
        let segment = segment(request.path);

        let mut state = self.lock();
        let is_new = delivery.is_none_or(|delivery| state.deliveries.insert(delivery));
        let is_new_event = event.is_none_or(|event| state.events.insert(event));
        let group = state.group(segment);
        group.requests += 1;
        group.unsigned += u64::from(!is_signed);
        if is_new {
            group.deliveries += 1;
            group.events += u64::from(is_new_event);
            if group.deliveries == 1 {
                group.first_us = at_us;
            }
            group.last_us = at_us;
            if let Some((_, sent_us)) = marked {
                group.latency.record(at_us.saturating_sub(sent_us));
            }
        }
        let requests = group.requests;
        self.notice_goal(&state, segment);
        let mode = self.mode_of(&state, segment);
        match mode {
            Mode::Ok => (mode, None),
            Mode::Fail(percent) => (fails(requests, percent), None),
            other => (other, Some(segment.to_owned())),
        }
    }

    fn notice_goal(&self, state: &State, segment: &str) {
        if let Some((group, goal)) = &state.goal
            && group == segment
            && state.stats.groups[segment].deliveries >= *goal
        {
            self.reached.notify_all();
        }
    }

    fn mode_of(&self, state: &State, segment: &str) -> Mode {
        state.modes.get(segment).copied().or_else(|| segment.parse().ok()).unwrap_or(self.mode)
    }

    fn verifies(&self, request: &Request<'_>) -> bool {
        let headers = || request.headers.iter().map(|header| (header.name, header.value));
        let verifies = |secret: &String| {
            inkhook_wire::sign::verify_inkbox(secret, headers(), request.body, None).is_ok()
        };
        self.secrets.iter().any(verifies)
    }

    /// So much of an answer's body was written; the sender may have ended the connection before its end.
    pub(super) fn answered(&self, group: &str, body_bytes: u64, given_up: bool) {
        let mut state = self.lock();
        let group = state.group(group);
        group.body_bytes = group.body_bytes.max(body_bytes);
        group.given_up += u64::from(given_up);
    }

    pub(super) fn handshake_refused(&self) {
        self.lock().stats.handshakes_refused += 1;
    }

    pub(super) fn set(&self, segment: &str, mode: Mode) {
        self.lock().modes.insert(segment.to_owned(), mode);
    }

    pub(super) fn stats(&self) -> Stats {
        self.lock().stats.clone()
    }

    pub(super) fn reset(&self) {
        let mut state = self.lock();
        state.stats = Stats::default();
        state.deliveries.clear();
        state.events.clear();
    }

    pub(super) fn wait(&self, group: &str, deliveries: u64, at_most: Duration) -> u64 {
        let had = |state: &State| state.stats.groups.get(group).map_or(0, |group| group.deliveries);
        let mut state = self.lock();
        state.goal = Some((group.to_owned(), deliveries));
        let wait = self.reached.wait_timeout_while(state, at_most, |state| had(state) < deliveries);
        let (mut state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        state.goal = None;
        had(&state)
    }
}

/// Spread evenly: of any hundred in a row, `percent` fail.
fn fails(number: u64, percent: u32) -> Mode {
    let percent = u64::from(percent);
    let fails = number * percent / 100 > (number - 1) * percent / 100;
    if fails { Mode::Status(500) } else { Mode::Ok }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(Clock::start(), Mode::Ok, Vec::new())
    }

    fn arrive(ledger: &Ledger, path: &str, request_id: &str, event_id: &str) -> Mode {
        let headers = [("X-Inkbox-Request-ID", request_id), ("webhook-id", event_id)]
            .map(|(name, value)| httparse::Header { name, value: value.as_bytes() });
        ledger.arrived(&Request { method: "POST", path, headers: &headers, body: b"" }).0
    }

    #[test]
    fn a_repeat_is_told_from_a_replay_and_from_another_subscription() {
        let ledger = ledger();
        arrive(&ledger, "/a/0", "req_1", "evt_1");
        arrive(&ledger, "/a/0", "req_1", "evt_1");
        arrive(&ledger, "/a/1", "req_2", "evt_1");
        arrive(&ledger, "/a/0", "req_3", "evt_1");
        let group = ledger.stats().group("a");
        assert_eq!((group.requests, group.deliveries, group.events), (4, 3, 2));
    }

    #[test]
    fn a_path_says_how_to_behave_unless_it_was_told() {
        let ledger = ledger();
        assert_eq!(arrive(&ledger, "/hang/x", "1", "1"), Mode::Hang);
        assert_eq!(arrive(&ledger, "/mine?x", "2", "2"), Mode::Ok);
        ledger.set("mine", Mode::Reset);
        assert_eq!(arrive(&ledger, "/mine", "3", "3"), Mode::Reset);
    }

    #[test]
    fn failures_are_spread_evenly() {
        let count = |percent| (1..=100).filter(|&number| fails(number, percent) != Mode::Ok).count();
        assert_eq!([0, 1, 30, 100].map(count), [0, 1, 30, 100]);
        assert_eq!((1..=4).map(|number| fails(number, 50)).filter(|mode| *mode == Mode::Ok).count(), 2);
    }

    #[test]
    fn waiting_ends_when_it_is_reached_and_when_time_is_up() {
        let ledger = ledger();
        arrive(&ledger, "/a", "1", "1");
        assert_eq!(ledger.wait("a", 1, Duration::from_secs(10)), 1);
        assert_eq!(ledger.wait("a", 2, Duration::from_millis(1)), 1);
    }
}

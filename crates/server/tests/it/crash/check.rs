//! The rules that what was promised, what arrived and what is on record must keep, whatever was killed when.
//!
//! Each rule is a function that looks at the evidence and names what breaks it. The tests at the foot break
//! each rule and see it named.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;
use uuid::Uuid;

use super::journal::{Entry, Kind, Said};
use super::receiver::{Arrival, MOODS};

/// An attempt's outcome on record.
const SUCCEEDED: i64 = 1;
const FAILED: i64 = 2;
const UNKNOWN: i64 = 3;
/// The only end that these deliveries can have: their receivers take everything in the end.
const DELIVERED: i64 = 1;

/// An ended delivery on record.
#[derive(Debug, Clone)]
pub(super) struct DeliveryRow {
    pub(super) no: i64,
    pub(super) request_id: String,
    pub(super) state: i64,
    pub(super) attempts: u32,
}

/// An attempt on record.
#[derive(Debug, Clone)]
pub(super) struct AttemptRow {
    pub(super) delivery: i64,
    pub(super) attempt_no: u32,
    pub(super) outcome: i64,
    pub(super) status: Option<u16>,
    /// When it was claimed and when it was put on record, by the servers' clock.
    pub(super) started_ms: i64,
    pub(super) recorded_ms: i64,
}

/// A kill happened between these two times of the same clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kill {
    pub(super) after_ms: i64,
    pub(super) before_ms: i64,
}

/// Everything that is known.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    /// What was asked and answered.
    pub(super) asked: Vec<Entry>,
    /// What arrived, in the order in which it did.
    pub(super) arrivals: Vec<Arrival>,
    pub(super) kills: Vec<Kill>,
    /// What the API says of every event.
    pub(super) events: Vec<Value>,
    /// Deliveries that have not ended.
    pub(super) queued: Vec<i64>,
    /// How often the least lucky of them was cut off.
    pub(super) most_lost: u32,
    pub(super) deliveries: Vec<DeliveryRow>,
    pub(super) attempts: Vec<AttemptRow>,
}

impl Evidence {
    /// Reads what is on record, past the server.
    pub(super) fn read_store(&mut self, data_dir: &Path) {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let store = Connection::open_with_flags(data_dir.join("inkhook.db"), flags).expect("it opens");
        self.queued = rows(&store, "SELECT no FROM queue", |row| row.get(0));
        let most_lost = rows(&store, "SELECT coalesce(max(unknown), 0) FROM queue", |row| row.get(0));
        self.most_lost = most_lost[0];
        let deliveries = "SELECT no, request_id, state, attempts FROM deliveries";
        self.deliveries = rows(&store, deliveries, |row| {
            let request_id = Uuid::from_bytes(row.get(1)?);
            Ok(DeliveryRow {
                no: row.get(0)?,
                request_id: format!("req_{request_id}"),
                state: row.get(2)?,
                attempts: row.get(3)?,
            })
        });
        let attempts = "SELECT delivery, attempt_no, outcome, status, started_ms, created_ms FROM attempts
            ORDER BY delivery, no";
        self.attempts = rows(&store, attempts, |row| {
            Ok(AttemptRow {
                delivery: row.get(0)?,
                attempt_no: row.get(1)?,
                outcome: row.get(2)?,
                status: row.get(3)?,
                started_ms: row.get(4)?,
                recorded_ms: row.get(5)?,
            })
        });
    }

    /// Every breach of every rule; empty when all is well.
    pub(super) fn breaches(&self) -> Vec<String> {
        let rules = [
            self.what_was_accepted_arrives(),
            self.what_was_refused_does_not(),
            self.one_request_is_one_event(),
            self.what_arrives_is_signed_and_the_same_each_time(),
            self.every_delivery_ended_once(),
            self.attempts_are_numbered_without_a_gap(),
            self.attempts_and_states_agree(),
            self.arrivals_are_on_record(),
            self.only_what_was_in_flight_at_a_kill_comes_twice(),
            self.duplicates_say_so_and_nothing_else_does(),
            self.the_api_says_the_same(),
        ];
        rules.into_iter().flatten().collect()
    }

    /// Accepted: it arrived, answered 200, at every subscription of its mailbox, under the id that was given.
    fn what_was_accepted_arrives(&self) -> Vec<String> {
        let mut arrived: HashMap<&str, BTreeSet<(&str, &str)>> = HashMap::new();
        for arrival in self.arrivals.iter().filter(|arrival| is_taken(arrival)) {
            arrived.entry(&arrival.subject).or_default().insert((&arrival.mood, &arrival.event));
        }
        let mut breaches = Vec::new();
        for entry in &self.asked {
            for said in &entry.said {
                let Said::Accepted(id) = said else { continue };
                let got = arrived.get(&*entry.subject);
                let missing = |mood: &&&str| {
                    !got.is_some_and(|got| {
                        got.iter()
                            .any(|(at, event)| *at == **mood && id.as_deref().is_none_or(|id| id == *event))
                    })
                };
                let missing: Vec<_> = MOODS.iter().filter(missing).collect();
                if !missing.is_empty() {
                    breaches.push(format!("accepted and not arrived at {missing:?}: {entry:?}"));
                }
            }
        }
        breaches
    }

    fn what_was_refused_does_not(&self) -> Vec<String> {
        let is_refused = |entry: &&Entry| {
            let refused = entry.said.iter().any(|said| matches!(said, Said::Refused(_)));
            refused || entry.kind == Kind::Wrong
        };
        let refused: HashMap<_, _> =
            self.asked.iter().filter(is_refused).map(|entry| (&*entry.subject, entry)).collect();
        let wrongly = self.asked.iter().filter(|entry| {
            let accepted = |said: &Said| matches!(said, Said::Accepted(_));
            let wrong = entry.kind == Kind::Wrong;
            entry
                .said
                .iter()
                .any(|said| if wrong { accepted(said) } else { matches!(said, Said::Refused(_)) })
        });
        let answered = wrongly.map(|entry| format!("wrongly answered: {entry:?}"));
        let arrived = self.arrivals.iter().filter_map(|arrival| refused.get(&*arrival.subject));
        answered.chain(arrived.map(|entry| format!("refused and arrived all the same: {entry:?}"))).collect()
    }

    /// Repeats with the same key and repeats of the same mail make no second event; and what arrives
    /// anywhere arrives at every subscription, answered or not.
    fn one_request_is_one_event(&self) -> Vec<String> {
        let mut events: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut moods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for arrival in &self.arrivals {
            events.entry(&arrival.subject).or_default().insert(&arrival.event);
            moods.entry(&arrival.subject).or_default().insert(&arrival.mood);
        }
        let known: HashMap<_, _> = self.asked.iter().map(|entry| (&*entry.subject, entry.mailbox)).collect();
        let strange =
            self.arrivals.iter().filter(|arrival| known.get(&*arrival.subject) != Some(&arrival.mailbox));
        let strange = strange.map(|arrival| format!("nobody asked for this there: {arrival:?}"));
        let several = events.iter().filter(|(_, events)| events.len() > 1);
        let several = several.map(|(subject, events)| format!("{subject} became {events:?}"));
        let partly = moods.iter().filter(|(_, moods)| moods.len() != MOODS.len());
        let partly = partly.map(|(subject, moods)| format!("{subject} arrived at {moods:?} only"));
        strange.chain(several).chain(partly).collect()
    }

    fn what_arrives_is_signed_and_the_same_each_time(&self) -> Vec<String> {
        let mut bodies: HashMap<&str, &[u8]> = HashMap::new();
        let mut breaches = Vec::new();
        for arrival in &self.arrivals {
            if !arrival.is_signed {
                breaches.push(format!("a signature that does not verify: {}", describe(arrival)));
            }
            if *bodies.entry(&arrival.event).or_insert(&arrival.body) != arrival.body {
                breaches.push(format!("another body for the same event: {}", describe(arrival)));
            }
        }
        breaches
    }

    fn every_delivery_ended_once(&self) -> Vec<String> {
        let unended = self.queued.iter().map(|no| format!("delivery {no} never ended"));
        let otherwise = self.deliveries.iter().filter(|delivery| delivery.state != DELIVERED);
        let otherwise = otherwise.map(|delivery| format!("ended otherwise than delivered: {delivery:?}"));
        let mut seen = HashSet::new();
        let twice = self.deliveries.iter().filter(move |delivery| !seen.insert(&delivery.request_id));
        unended.chain(otherwise).chain(twice.map(|delivery| format!("ended twice: {delivery:?}"))).collect()
    }

    fn attempts_are_numbered_without_a_gap(&self) -> Vec<String> {
        let by_delivery = self.attempts_by_delivery();
        let mut breaches = Vec::new();
        for (no, attempts) in &by_delivery {
            let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.attempt_no).collect();
            let expected: Vec<u32> = (1..).take(numbers.len()).collect();
            if numbers != expected {
                breaches.push(format!("delivery {no} has attempts {numbers:?}"));
            }
        }
        breaches
    }

    /// No attempt without its state, no state without its attempts.
    fn attempts_and_states_agree(&self) -> Vec<String> {
        let by_delivery = self.attempts_by_delivery();
        let mut breaches = Vec::new();
        for delivery in &self.deliveries {
            let attempts = by_delivery.get(&delivery.no).map_or(&[][..], |attempts| attempts);
            let good = attempts.iter().filter(|attempt| attempt.outcome == SUCCEEDED).count();
            let ends_well = attempts.last().is_some_and(|attempt| attempt.outcome == SUCCEEDED);
            if attempts.len() != delivery.attempts as usize || good != 1 || !ends_well {
                breaches.push(format!("state and attempts differ: {delivery:?} {attempts:?}"));
            }
        }
        let known: HashSet<i64> = self.deliveries.iter().map(|delivery| delivery.no).collect();
        let lost = by_delivery.keys().filter(|no| !known.contains(no));
        breaches.extend(lost.map(|no| format!("attempts of delivery {no}, which does not exist")));
        breaches
    }

    /// What arrived is on record with the answer that it got, and what is on record as answered arrived.
    fn arrivals_are_on_record(&self) -> Vec<String> {
        let recorded = self.recorded();
        let mut arrived: HashMap<(&str, u32), u16> = HashMap::new();
        let mut breaches = Vec::new();
        for arrival in &self.arrivals {
            let place = (&*arrival.request_id, arrival.attempt);
            if arrived.insert(place, arrival.answered.map_or(0, |(_, status)| status)).is_some() {
                breaches.push(format!("one attempt, two requests: {}", describe(arrival)));
            }
            if !recorded.contains_key(&place) {
                breaches.push(format!("not on record: {}", describe(arrival)));
            }
        }
        for (place, attempt) in recorded {
            let expected = match attempt.outcome {
                SUCCEEDED => 200,
                FAILED => 500,
                _ => continue,
            };
            if attempt.status != Some(expected) || arrived.get(&place) != Some(&expected) {
                let got = arrived.get(&place);
                breaches.push(format!("on record {attempt:?} of {place:?}, answered {got:?}"));
            }
        }
        breaches
    }

    /// A second arrival of what was taken already: the first is on record as unknown. And unknown is only what
    /// was in flight when a server was killed: claimed before, put on record by a later one.
    fn only_what_was_in_flight_at_a_kill_comes_twice(&self) -> Vec<String> {
        let recorded = self.recorded();
        let mut taken: HashMap<&str, &Arrival> = HashMap::new();
        let mut breaches = Vec::new();
        for arrival in &self.arrivals {
            if let Some(first) = taken.get(&*arrival.request_id) {
                let lost = recorded.get(&(&*first.request_id, first.attempt));
                let is_lost = lost.is_some_and(|attempt| attempt.outcome == UNKNOWN);
                if !is_lost {
                    breaches.push(format!(
                        "came again without need: {} after {}",
                        describe(arrival),
                        describe(first)
                    ));
                }
            }
            if is_taken(arrival) {
                taken.insert(&arrival.request_id, arrival);
            }
        }
        let in_flight = |attempt: &&AttemptRow| {
            let met =
                |kill: &Kill| attempt.started_ms <= kill.before_ms && attempt.recorded_ms >= kill.after_ms;
            self.kills.iter().any(met)
        };
        let unknown = self.attempts.iter().filter(|attempt| attempt.outcome == UNKNOWN);
        let needless = unknown.filter(|attempt| !in_flight(attempt));
        breaches.extend(needless.map(|attempt| format!("unknown without a kill: {attempt:?}")));
        breaches
    }

    fn duplicates_say_so_and_nothing_else_does(&self) -> Vec<String> {
        let recorded = self.recorded();
        let wrong = self.arrivals.iter().filter(|arrival| {
            let earlier = (1..arrival.attempt).filter_map(|no| recorded.get(&(&*arrival.request_id, no)));
            let is_open = earlier.into_iter().any(|attempt| attempt.status.is_none());
            arrival.says_duplicate != is_open
        });
        wrong.map(|arrival| format!("inkhook-possible-duplicate is wrong: {}", describe(arrival))).collect()
    }

    fn the_api_says_the_same(&self) -> Vec<String> {
        let by_request: HashMap<_, _> =
            self.deliveries.iter().map(|delivery| (&*delivery.request_id, delivery)).collect();
        let mut breaches = Vec::new();
        let mut told = 0;
        for event in &self.events {
            let deliveries = event["deliveries"].as_array().map_or(&[][..], |deliveries| deliveries);
            told += deliveries.len();
            let wrong = deliveries.iter().any(|delivery| {
                let record = by_request.get(delivery["request_id"].as_str().unwrap_or_default());
                let attempts = record.map(|record| u64::from(record.attempts));
                delivery["state"] != "succeeded" || delivery["attempts"].as_u64() != attempts
            });
            if wrong || deliveries.len() != MOODS.len() {
                breaches.push(format!("the API says otherwise: {event}"));
            }
        }
        if told != self.deliveries.len() {
            breaches.push(format!("the API tells of {told} deliveries of {}", self.deliveries.len()));
        }
        breaches
    }

    fn attempts_by_delivery(&self) -> BTreeMap<i64, Vec<AttemptRow>> {
        let mut by_delivery: BTreeMap<i64, Vec<AttemptRow>> = BTreeMap::new();
        for attempt in &self.attempts {
            by_delivery.entry(attempt.delivery).or_default().push(attempt.clone());
        }
        by_delivery
    }

    /// Attempts by what a request says of itself: its request id and number.
    fn recorded(&self) -> HashMap<(&str, u32), &AttemptRow> {
        let ids: HashMap<i64, &str> =
            self.deliveries.iter().map(|delivery| (delivery.no, &*delivery.request_id)).collect();
        let named = self.attempts.iter().filter_map(|attempt| {
            let id = ids.get(&attempt.delivery)?;
            Some(((*id, attempt.attempt_no), attempt))
        });
        named.collect()
    }
}

fn is_taken(arrival: &Arrival) -> bool {
    matches!(arrival.answered, Some((_, 200)))
}

fn describe(arrival: &Arrival) -> String {
    let Arrival { subject, mood, request_id, attempt, answered, .. } = arrival;
    format!("{subject} at {mood}, {request_id} attempt {attempt}, answered {answered:?}")
}

fn rows<T>(store: &Connection, sql: &str, read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let mut statement = store.prepare(sql).expect("a statement");
    let rows = statement.query_map([], read).expect("it runs");
    rows.collect::<Result<_, _>>().expect("it reads")
}

#[cfg(test)]
mod tests;

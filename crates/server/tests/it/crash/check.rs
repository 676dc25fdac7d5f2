//! The rules that what was promised, what arrived and what is on record must keep, whatever was killed when.
//!
//! Each rule is a function that looks at the evidence and names what breaks it. The tests at the foot break
//! each rule and see it named.

mod record;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(super) use self::record::Sort;
use self::record::{AttemptRow, DeliveryRow};
use super::churn::Ledger;
use super::journal::{Entry, Kind, Said};
use super::receiver::{Arrival, MOODS, RESET};

/// An attempt's outcome on record.
const SUCCEEDED: i64 = 1;
const FAILED: i64 = 2;
const UNKNOWN: i64 = 3;
/// How a delivery can have ended.
const DELIVERED: i64 = 1;
const EXHAUSTED: i64 = 2;
const CANCELLED: i64 = 3;
/// How long a request may take to arrive whose first byte was written just before a change was answered.
const UNDER_WAY: Duration = Duration::from_secs(1);

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
    /// What was answered to those who change subscriptions, and their mailbox.
    pub(super) churn: Ledger,
    pub(super) churned_mailbox: String,
    /// What must never be in a store, or not in one that has nothing to do.
    pub(super) broken: Vec<String>,
}

impl Evidence {
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
            self.a_batch_is_all_or_nothing(),
            self.what_was_left_gets_nothing(),
            self.broken.clone(),
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
        for arrival in self.kept() {
            events.entry(&arrival.subject).or_default().insert(&arrival.event);
            moods.entry(&arrival.subject).or_default().insert(&arrival.mood);
        }
        let known: HashMap<_, _> = self.asked.iter().map(|entry| (&*entry.subject, entry.mailbox)).collect();
        let strange = self.kept().filter(|arrival| known.get(&*arrival.subject) != Some(&arrival.mailbox));
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
        let otherwise = self.deliveries.iter().filter(|delivery| match delivery.sort {
            Sort::Kept => delivery.state != DELIVERED,
            Sort::ByHand => ![DELIVERED, EXHAUSTED, CANCELLED].contains(&delivery.state),
            Sort::Churned => ![DELIVERED, CANCELLED].contains(&delivery.state),
        });
        let otherwise = otherwise.map(|delivery| format!("ended as it could not: {delivery:?}"));
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
            let is_delivered = delivery.state == DELIVERED;
            let agree = good == usize::from(is_delivered) && ends_well == is_delivered;
            let too_many = delivery.sort == Sort::ByHand && attempts.len() > 1;
            if attempts.len() != delivery.attempts as usize || !agree || too_many {
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
            let got = arrived.get(&place).copied();
            let is_right = match attempt.outcome {
                SUCCEEDED => attempt.status == Some(200) && got == Some(200),
                FAILED => matches!((attempt.status, got), (Some(500), Some(500)) | (None, Some(RESET))),
                _ => continue,
            };
            if !is_right {
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
                let state = record.map(|record| match record.state {
                    DELIVERED => "succeeded",
                    EXHAUSTED => "exhausted",
                    CANCELLED => "cancelled",
                    _ => "expired",
                });
                delivery["state"].as_str() != state || delivery["attempts"].as_u64() != attempts
            });
            let kept = deliveries.iter().filter(|delivery| {
                let record = by_request.get(delivery["request_id"].as_str().unwrap_or_default());
                record.is_some_and(|record| record.sort == Sort::Kept)
            });
            let expected = if event["mailbox_id"] == *self.churned_mailbox { 0 } else { MOODS.len() };
            if wrong || kept.count() != expected {
                breaches.push(format!("the API says otherwise: {event}"));
            }
        }
        if told != self.deliveries.len() {
            breaches.push(format!("the API tells of {told} deliveries of {}", self.deliveries.len()));
        }
        breaches
    }

    /// A batch that was cut off is there whole or not at all.
    fn a_batch_is_all_or_nothing(&self) -> Vec<String> {
        let arrived: HashSet<&str> = self.arrivals.iter().map(|arrival| &*arrival.subject).collect();
        let mut batches: BTreeMap<usize, Vec<(&str, bool)>> = BTreeMap::new();
        for entry in &self.asked {
            let Some(batch) = entry.batch else { continue };
            batches.entry(batch).or_default().push((&entry.subject, arrived.contains(&*entry.subject)));
        }
        let is_torn = |batch: &&Vec<(&str, bool)>| batch.iter().any(|(_, came)| *came != batch[0].1);
        batches.values().filter(is_torn).map(|batch| format!("a part of a batch: {batch:?}")).collect()
    }

    /// Where a subscription pointed before its URL was replaced or it was deleted, nothing comes once that
    /// is answered, whoever was killed since. And what was accepted for such subscriptions is an event.
    fn what_was_left_gets_nothing(&self) -> Vec<String> {
        let left: HashMap<&str, Instant> =
            self.churn.left.iter().map(|(name, since)| (&**name, *since)).collect();
        let late = self
            .arrivals
            .iter()
            .filter(|arrival| left.get(&*arrival.mood).is_some_and(|since| arrival.at > *since + UNDER_WAY));
        let late = late.map(|arrival| format!("after its end was answered: {}", describe(arrival)));
        let known: HashSet<&str> = self.events.iter().filter_map(|event| event["id"].as_str()).collect();
        let lost = self.churn.accepted.iter().filter(|id| !known.contains(&***id));
        late.chain(lost.map(|id| format!("accepted and not there: {id}"))).collect()
    }

    /// Arrivals at subscriptions that stay as they are.
    fn kept(&self) -> impl Iterator<Item = &Arrival> {
        self.arrivals.iter().filter(|arrival| MOODS.contains(&&*arrival.mood))
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

#[cfg(test)]
mod tests;

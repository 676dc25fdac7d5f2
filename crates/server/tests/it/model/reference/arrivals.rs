//! What happened at the receiver, and whether it should have.

use std::time::Duration;

use inkhook_server::domain::time::TimeMs;

use super::{BeforeProbe, End, Fate, Reference, Seen};
use crate::model::receiver::Arrival;
use crate::model::seen::Seen as Rows;
use crate::model::step::Answer;
use crate::model::{Breach, ensure};

/// The log's outcome of an attempt that nobody knows the end of.
const UNKNOWN: i64 = 3;

impl Reference {
    /// When each subscription may be sent to next, `i64::MAX` while it is paused: the holds that a run begins
    /// with. Those that begin during it are in force at its end.
    pub fn holds(&self) -> Vec<TimeMs> {
        let hold = |known: &super::Subscription| {
            if known.is_paused { TimeMs(i64::MAX) } else { known.not_before }
        };
        self.subscriptions.iter().map(hold).collect()
    }

    /// A request came.
    pub fn arrived(&mut self, arrival: Arrival, holds: &[TimeMs], rows: &Rows) -> Result<(), Breach> {
        let no = self.by_request.get(&arrival.request_id).copied();
        let no = no.ok_or_else(|| format!("a request that nobody asked for: {arrival:?}"))?;
        self.check_event(no, &arrival)?;
        self.check_settings(no, &arrival)?;
        self.check_time(no, &arrival, holds)?;
        self.check_repeat(no, &arrival, rows)?;
        let leased_until = self.leased_until(no, rows);
        self.arrivals.push(Seen { arrival, delivery: no, at: self.now, leased_until, state: Fate::Open });
        Ok(())
    }

    /// Promise 7, and the half of 6 that is seen here.
    fn check_event(&self, no: i64, arrival: &Arrival) -> Result<(), Breach> {
        let delivery = &self.deliveries[&no];
        ensure!(
            arrival.event_id == delivery.event.to_string(),
            "delivery {no} is of {} and came as {}",
            delivery.event,
            arrival.event_id
        );
        ensure!(arrival.body == delivery.payload, "delivery {no} came with another body");
        ensure!(arrival.subscription == delivery.subscription, "delivery {no} went to another subscription");
        Ok(())
    }

    /// Promises 4 and 5.
    fn check_settings(&self, no: i64, arrival: &Arrival) -> Result<(), Breach> {
        let delivery = &self.deliveries[&no];
        let known = &self.subscriptions[delivery.subscription];
        ensure!(known.is_active, "a request after its subscription was deleted: delivery {no}");
        ensure!(!delivery.is_cancelled, "a request of a delivery that was cancelled: {no}");
        ensure!(self.is_selected(delivery), "a request of a type that is not selected: delivery {no}");
        ensure!(arrival.url == known.url, "a request to the URL before last: delivery {no}");
        let token = known.token.as_ref().map(|token| format!("Bearer {token}"));
        ensure!(arrival.is_signed, "a request that the key in force did not sign: delivery {no}");
        ensure!(arrival.token == token, "a request with a token that was replaced: delivery {no}");
        Ok(())
    }

    fn check_time(&self, no: i64, arrival: &Arrival, holds: &[TimeMs]) -> Result<(), Breach> {
        let delivery = &self.deliveries[&no];
        let held_until = holds[delivery.subscription];
        ensure!(
            delivery.end.is_none() && !self.ended.contains_key(&no),
            "a request of a delivery that has ended: {no}"
        );
        ensure!(!delivery.is_expired(self.now), "a request after the event expired: delivery {no}");
        ensure!(
            delivery.is_manual || held_until <= self.now,
            "a request to a subscription that is held: delivery {no}, {arrival:?}"
        );
        // A probe need not wait for it.
        let is_failing = self.subscriptions[delivery.subscription].failures_in_a_row >= super::FAILING;
        let in_time = is_failing || delivery.earliest <= self.now;
        ensure!(in_time, "a retry before its time: delivery {no}");
        Ok(())
    }

    /// Two requests of one delivery: one after the other, unless the first one's lease is over; and the
    /// second says what it may be.
    fn check_repeat(&mut self, no: i64, arrival: &Arrival, rows: &Rows) -> Result<(), Breach> {
        let mut last = 0;
        for earlier in self.arrivals.iter().filter(|seen| seen.delivery == no) {
            last = last.max(earlier.arrival.attempt);
            match earlier.state {
                Fate::Answered(Answer::Good) => {
                    // It ended with that, unless the answer came too late.
                    let line = rows.log.get(&(no, earlier.arrival.attempt));
                    let was_lost = line.is_some() && self.deliveries[&no].maybe_received;
                    ensure!(was_lost, "delivery {no} came again after it was taken");
                }
                Fate::Open => {
                    ensure!(
                        earlier.leased_until <= self.now,
                        "two requests of delivery {no} at the same time"
                    );
                    self.deliveries.get_mut(&no).expect("it is known").maybe_received = true;
                }
                Fate::Answered(_) | Fate::Lost => {}
            }
        }
        ensure!(arrival.attempt > last, "attempt {} of delivery {no} after {last}", arrival.attempt);
        let lost = (1..arrival.attempt)
            .filter_map(|attempt| rows.log.get(&(no, attempt)))
            .any(|line| line.outcome == UNKNOWN);
        let delivery = self.deliveries.get_mut(&no).expect("it is known");
        delivery.maybe_received |= lost;
        ensure!(!(lost && delivery.is_manual), "what is sent by hand is sent once: delivery {no}");
        ensure!(
            arrival.says_duplicate == delivery.maybe_received,
            "delivery {no} says of a possible duplicate: {}",
            arrival.says_duplicate
        );
        Ok(())
    }

    /// A request was answered. `is_current`: its claim stands, so the delivery follows.
    pub fn answered(&mut self, arrival: usize, answer: Answer, is_current: bool) {
        let seen = &mut self.arrivals[arrival];
        seen.state = Fate::Answered(answer);
        let delivery = self.deliveries.get_mut(&seen.delivery).expect("it is known");
        let was_ended = self.ended.contains_key(&seen.delivery);
        if !is_current {
            // Known now, but the claim that took it over decides.
            delivery.maybe_received = true;
            return;
        }
        let known = &mut self.subscriptions[delivery.subscription];
        // What an earlier URL answered says nothing about the one that is in force now.
        let is_here = seen.arrival.url == known.url;
        let may_be_early = known.failures_in_a_row >= super::FAILING && self.now < delivery.latest;
        let came_back = is_here && answer == Answer::Good && known.failures_in_a_row >= super::FAILING;
        match answer {
            Answer::Good if is_here => known.failures_in_a_row = 0,
            // It asked for time, or somebody asked for the attempt: neither counts.
            Answer::Busy { .. } => {}
            _ if delivery.is_manual || !is_here => {}
            _ => known.failures_in_a_row += 1,
        }
        let mut hold_s = 0;
        match answer {
            Answer::Good => delivery.end = Some(End::Succeeded),
            Answer::Gone => known.is_paused |= is_here && known.is_active,
            Answer::Busy { wait_s } => {
                hold_s = wait_s;
                if is_here && !was_ended {
                    known.not_before = known.not_before.max(self.now.after(Duration::from_secs(wait_s)));
                }
            }
            Answer::Reset => delivery.maybe_received = true,
            Answer::Bad | Answer::Hold => {}
        }
        match answer {
            Answer::Good => {}
            _ if delivery.is_cancelled => {}
            Answer::Gone => delivery.end = Some(End::Exhausted),
            _ => {
                let (failures, earliest) = (delivery.failures, delivery.earliest);
                // Who asks for time has it from a probe ahead of its time, too.
                let latest = delivery.latest.max(self.now.after(Duration::from_secs(hold_s)));
                delivery.before_probe = may_be_early.then_some(BeforeProbe { failures, earliest, latest });
                delivery.fail(self.now, hold_s);
                // What was claimed before all was made due counts as having waited.
                let lease = super::TIMEOUT + super::LEASE_SKEW;
                if known.hurried_at.is_some_and(|at| seen.leased_until <= at.after(lease)) {
                    // Who was replaced may ask for time, and nobody waits for it.
                    let hold = Duration::from_secs(if is_here { hold_s } else { 0 });
                    delivery.earliest = delivery.earliest.min(self.now.after(hold));
                }
            }
        }
        if came_back {
            let subscription = delivery.subscription;
            self.hurry(subscription);
        }
    }

    /// A request was answered, and its sender was gone before it had read that.
    pub fn lost(&mut self, arrival: usize) {
        let seen = &mut self.arrivals[arrival];
        seen.state = Fate::Lost;
        self.deliveries.get_mut(&seen.delivery).expect("it is known").maybe_received = true;
    }
}

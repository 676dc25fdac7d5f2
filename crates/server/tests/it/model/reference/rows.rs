//! What the store's rows say, and whether they should.

use inkhook_server::domain::health::LEAST_DRAIN_PER_SECOND;
use inkhook_server::domain::time::TimeMs;

use super::{Delivery, End, FAILING, Fate, Reference, Subscription};
use crate::model::seen::{Ended, Held, Queued, Seen as Rows};
use crate::model::step::Answer;
use crate::model::{Breach, ensure};

const SUCCEEDED: i64 = 1;
const EXHAUSTED: i64 = 2;
const CANCELLED: i64 = 3;
const EXPIRED: i64 = 4;
/// The class of what was asked for by hand, and of what has not failed.
const MANUAL: i64 = 4;
const LIVE: i64 = 1;
/// What the slowest drain lets go at once: a fifth of a second's worth.
const BURST: usize = LEAST_DRAIN_PER_SECOND.div_ceil(5) as usize;

impl Reference {
    /// What holds whenever nothing moves.
    pub fn check_rows(&mut self, rows: &Rows, boot: i64) -> Result<(), Breach> {
        for (no, delivery) in &mut self.deliveries {
            let Some(before) = delivery.before_probe.take() else { continue };
            if rows.queued.get(no).is_some_and(|row| row.failures == before.failures) {
                delivery.failures = before.failures;
                (delivery.earliest, delivery.latest, delivery.end) = (before.earliest, before.latest, None);
            }
        }
        for (no, delivery) in &self.deliveries {
            match (rows.queued.get(no), rows.ended.get(no)) {
                (Some(queued), None) => self.check_queued(*no, queued, boot)?,
                (None, Some(ended)) => self.check_ended(*no, ended)?,
                (None, None) => return Err(format!("a delivery is nowhere: {no} {delivery:?}")),
                (Some(_), Some(_)) => return Err(format!("a delivery waits and has ended: {no}")),
            }
        }
        let known = |no: &&i64| !self.deliveries.contains_key(*no);
        let strange = rows.queued.keys().chain(rows.ended.keys()).find(known);
        ensure!(strange.is_none(), "a delivery that nobody asked for: {strange:?}");
        for (no, ended) in &rows.ended {
            let before = self.ended.insert(*no, ended.state).unwrap_or(ended.state);
            let is_kept = before == ended.state || (before, ended.state) == (CANCELLED, SUCCEEDED);
            ensure!(is_kept, "an end is an end: delivery {no} was {before} and is {}", ended.state);
        }
        self.check_turns(rows, boot)?;
        self.check_holds(rows)?;
        self.check_log(rows)
    }

    /// Whoever was taken first was first, whether a claim took it or its commit.
    fn check_turns(&self, rows: &Rows, boot: i64) -> Result<(), Breach> {
        let fresh = || rows.queued.iter().filter(|(_, row)| row.class == LIVE && row.attempts == 0);
        for (no, _) in fresh().filter(|(_, row)| row.boot == Some(boot) && row.claim_no == 1) {
            let taken = &self.deliveries[no];
            let is_before = |(before, row): &(&i64, &Queued)| {
                let waiting = &self.deliveries[before];
                let may_go = !waiting.is_cancelled && !waiting.is_expired(self.now);
                before < &no && row.claim_no == 0 && waiting.subscription == taken.subscription && may_go
            };
            let first = fresh().find(is_before);
            ensure!(first.is_none(), "delivery {no} was taken and an earlier one waits: {first:?}");
        }
        Ok(())
    }

    /// Nothing is held for longer than the receiver that is there asked for.
    fn check_holds(&self, rows: &Rows) -> Result<(), Breach> {
        for known in &self.subscriptions {
            let Some(held) = rows.held.get(&known.no) else { continue };
            let until = held.not_before;
            ensure!(
                until <= known.not_before.max(self.now),
                "subscription {} is held until {until}, and was to be until {}",
                known.no,
                known.not_before
            );
        }
        Ok(())
    }

    fn check_queued(&self, no: i64, queued: &Queued, boot: i64) -> Result<(), Breach> {
        let delivery = &self.deliveries[&no];
        ensure!(delivery.end.is_none(), "delivery {no} waits although it ended: {:?}", delivery.end);
        ensure!((queued.class == MANUAL) == delivery.is_manual, "delivery {no} has another class");
        if delivery.is_cancelled {
            return Ok(());
        }
        ensure!(
            queued.failures == delivery.failures,
            "delivery {no} failed {} times, on record {}",
            delivery.failures,
            queued.failures
        );
        if queued.boot == Some(boot) {
            return Ok(());
        }
        // Put back at once is as good as due: its time had come when it was claimed.
        let due = TimeMs(queued.due_ms);
        // So is what a probe ahead of its time left when its sender was lost.
        let is_failing = self.subscriptions[delivery.subscription].failures_in_a_row >= FAILING;
        let is_early = !is_failing && due < delivery.earliest && delivery.earliest > self.now;
        ensure!(!is_early, "delivery {no} is due at {due}, before {}", delivery.earliest);
        ensure!(due <= delivery.latest, "delivery {no} is due at {due}, after {}", delivery.latest);
        Ok(())
    }

    fn check_ended(&self, no: i64, ended: &Ended) -> Result<(), Breach> {
        let delivery = &self.deliveries[&no];
        let is_right = match ended.state {
            SUCCEEDED => delivery.end == Some(End::Succeeded),
            _ if delivery.end == Some(End::Succeeded) => false,
            CANCELLED => delivery.is_cancelled,
            _ if delivery.is_cancelled => false,
            EXHAUSTED if ended.reason.as_deref() == Some("lost") => {
                delivery.is_manual && delivery.end.is_none()
            }
            EXHAUSTED => delivery.end == Some(End::Exhausted),
            EXPIRED => delivery.end.is_none() && delivery.is_expired(self.now.max(delivery.latest)),
            _ => false,
        };
        ensure!(is_right, "delivery {no} ended as {ended:?} and should be {delivery:?}");
        Ok(())
    }

    /// What was answered is on record with that answer, and nothing else is.
    fn check_log(&self, rows: &Rows) -> Result<(), Breach> {
        let mut known = 0;
        for seen in &self.arrivals {
            let (place, answer) = match seen.state {
                Fate::Open => continue,
                Fate::Answered(answer) => ((seen.delivery, seen.arrival.attempt), Some(answer)),
                Fate::Lost => ((seen.delivery, seen.arrival.attempt), None),
            };
            let Some(line) = rows.log.get(&place) else {
                // The claim that follows a lost attempt writes it.
                let waits = rows.queued.get(&place.0).is_some_and(|queued| queued.boot.is_some());
                ensure!(answer.is_none() && waits, "an attempt is not on record: {place:?} {answer:?}");
                continue;
            };
            let expected = match answer {
                None => (3, None),
                Some(Answer::Good) => (1, Some(200)),
                Some(Answer::Bad) => (2, Some(500)),
                Some(Answer::Gone) => (2, Some(410)),
                Some(Answer::Busy { .. }) => (2, Some(429)),
                Some(Answer::Reset | Answer::Hold) => (2, None),
            };
            ensure!(
                (line.outcome, line.status) == expected,
                "attempt {place:?} was {answer:?}, on record {line:?}"
            );
            let path = format!("/{}/{}", seen.arrival.subscription, seen.arrival.url);
            ensure!(line.url.ends_with(&path), "attempt {place:?} went to {path}, on record {}", line.url);
            known += usize::from(answer.is_some());
        }
        let ended = rows.log.values().filter(|line| line.outcome != 3).count();
        ensure!(ended == known, "{ended} attempts are on record as answered, {known} were");
        Ok(())
    }

    /// When nothing more happens by itself: what is due was sent, what is failing was tried, what is leased is
    /// under way, and first attempts were made in the order in which their events were accepted.
    pub fn check_quiet(&self, rows: &Rows, boot: i64) -> Result<(), Breach> {
        for (no, queued) in &rows.queued {
            let delivery = &self.deliveries[no];
            let is_leased = queued.boot.is_some() && queued.due_ms > self.now.0;
            let is_open = |seen: &super::Seen| seen.delivery == *no && seen.state == Fate::Open;
            ensure!(
                !is_leased
                    || queued.boot != Some(boot)
                    || self.arrivals.iter().any(is_open)
                    // It may be leased ahead of the place that another one has.
                    || self.open_of(delivery.subscription) > 0,
                "delivery {no} is leased and nobody sends it: {queued:?}"
            );
            let (known, held) = self.standing_of(delivery, rows);
            let is_throttled = known.failures_in_a_row >= FAILING || held.is_some_and(|it| it.is_throttled());
            let may_go = self.may_go(delivery) && (delivery.is_manual || !is_throttled);
            let is_due = delivery.latest <= self.now && !is_leased;
            ensure!(
                !(may_go && is_due) || self.open_of(delivery.subscription) > 0,
                "delivery {no} is due and nothing was sent: {queued:?} {delivery:?}"
            );
            // Whichever waits may be what is tried.
            let is_probed = held.and_then(|it| it.probe_next).is_some_and(|next| next <= self.now);
            ensure!(
                !(self.may_go(delivery) && is_probed && !is_leased)
                    || self.open_of(delivery.subscription) > 0,
                "delivery {no} waits and its subscription was not tried: {queued:?} {held:?}"
            );
        }
        self.check_order(rows)
    }

    /// The same, a second after the last time: of what waited for a subscription to come back, a burst has
    /// left.
    pub fn check_drains(&self, rows: &Rows) -> Result<(), Breach> {
        for (no, queued) in &rows.queued {
            let delivery = &self.deliveries[no];
            let (_, held) = self.standing_of(delivery, rows);
            let Some(since) = held.and_then(|it| it.drain_since) else { continue };
            let waited = queued.due_ms <= self.now.0 || queued.claimed_ms.unwrap_or(0) <= since.0;
            if delivery.is_manual || queued.boot.is_some() || !waited || !self.may_go(delivery) {
                continue;
            }
            let left = self.arrivals.iter().filter(|seen| {
                seen.at == self.now && self.deliveries[&seen.delivery].subscription == delivery.subscription
            });
            ensure!(
                left.count() >= BURST || self.open_of(delivery.subscription) > 0,
                "delivery {no} waits longer than the rate has it: {queued:?} {held:?}"
            );
        }
        Ok(())
    }

    /// Its subscription, here and in the rows.
    fn standing_of(&self, delivery: &Delivery, rows: &Rows) -> (&Subscription, Option<Held>) {
        let known = &self.subscriptions[delivery.subscription];
        (known, rows.held.get(&known.no).copied())
    }

    /// Nothing but its time, and its subscription's health, keeps it.
    fn may_go(&self, delivery: &Delivery) -> bool {
        let known = &self.subscriptions[delivery.subscription];
        let is_held = known.is_paused || known.not_before > self.now;
        self.is_selected(delivery) && !delivery.is_cancelled && (delivery.is_manual || !is_held)
    }

    fn check_order(&self, rows: &Rows) -> Result<(), Breach> {
        for (no, queued) in &rows.queued {
            let delivery = &self.deliveries[no];
            if queued.class != LIVE || queued.claim_no > 0 || delivery.is_cancelled {
                continue;
            }
            let overtakes = |seen: &&super::Seen| {
                let other = &self.deliveries[&seen.delivery];
                seen.delivery > *no && other.subscription == delivery.subscription && !other.is_manual
            };
            let first = self.arrivals.iter().find(overtakes);
            ensure!(first.is_none(), "delivery {no} waits and was overtaken by {first:?}");
        }
        Ok(())
    }

    /// When all has been given time: everything has ended, and well where nothing was against it.
    pub fn check_end(&self, rows: &Rows) -> Result<(), Breach> {
        for (no, delivery) in &self.deliveries {
            let Some(ended) = rows.ended.get(no) else {
                return Err(format!("delivery {no} never ended: {delivery:?}"));
            };
            let is_explained = ended.state != EXHAUSTED || delivery.end.is_some() || delivery.is_manual;
            ensure!(is_explained, "delivery {no} ended in vain: {ended:?} {delivery:?}");
        }
        Ok(())
    }
}

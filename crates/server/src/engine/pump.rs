//! The pump: claim, send, settle, until told to stop.
//!
//! Soft stop: nothing more is claimed, what is under way goes on. Hard stop: attempts are cut off and
//! their leases released. On a crash the leases end by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Parts;
use super::confirmed::Confirmed;
use super::context::with_body;
use super::first_byte::FirstByte;
use crate::deliver::classify;
use crate::deliver::prepare::prepare;
use crate::deliver::send::{Before, Permission, send};
use crate::domain::attempt::Outcome;
use crate::domain::delivery::{Claimed, Class, Leased};
use crate::domain::retry::JITTER;
use crate::domain::slots::{self, AHEAD_FOR, SLOW_AFTER, Slot, Slots};
use crate::domain::time::TimeMs;
use crate::record::decide::{Circumstances, decide};
use crate::store::claim::{ClaimRequest, Followed, LEASE_SKEW};
use crate::store::error::StoreError;
use crate::store::failpoint::{self, Place};
use crate::store::hand_over::HandedOver;
use crate::store::settle::Settlement;

/// How often an attempt is prepared anew because its subscription keeps changing, before it is put back.
const MAX_RETARGETS: usize = 5;
/// How long the pump waits after a claim that failed.
const CLAIM_ERROR_WAIT: Duration = Duration::from_secs(1);
/// How long a stop waits for the transactions that are under way.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// The claiming loop and the attempts that it started. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pump {
    parts: Arc<Parts>,
    slots: Slots,
    /// Attempts that were started and are not recorded yet.
    under_way: Arc<AtomicUsize>,
    /// Those of them that wait for a place.
    waiting: Arc<AtomicUsize>,
    /// Rung when one has been recorded, or begins to wait.
    ended: Arc<Notify>,
    attempts: TaskTracker,
    cut_off: CancellationToken,
}

/// What one look at the queue came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Attempts started.
    pub started: usize,
    /// When something else becomes due, if anything waits.
    pub next_due: Option<TimeMs>,
}

impl Pump {
    /// A pump that has not claimed anything. `cut_off` ends the attempts under way.
    #[must_use]
    pub fn new(parts: Parts, cut_off: CancellationToken) -> Self {
        let slots = Slots::new(parts.settings.bounds);
        Self {
            parts: Arc::new(parts),
            slots,
            under_way: Arc::default(),
            waiting: Arc::default(),
            ended: Arc::default(),
            attempts: TaskTracker::new(),
            cut_off,
        }
    }

    /// [`Pump::run`], after this.
    pub async fn run_after(self, before: impl Future<Output = ()>, soft: CancellationToken) {
        tokio::select! {
            () = soft.cancelled() => {}
            () = before => {}
        }
        self.run(soft).await;
    }

    /// Claims until the soft stop, then waits for what is under way.
    pub async fn run(self, soft: CancellationToken) {
        let mut bell = self.parts.bells.queued.listen();
        let mut handed = self.take_seat();
        'claim: while !soft.is_cancelled() {
            let wait =
                match handed.start_beside(self.turn_of(true), |leased| self.start_all(leased, true)).await {
                    Ok(turn) => self.wait_until(turn.next_due),
                    Err(StoreError::Closed) => break,
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "claiming failed");
                        CLAIM_ERROR_WAIT
                    }
                };
            let mut wait = std::pin::pin!(pause(wait));
            loop {
                tokio::select! {
                    biased;
                    // What was handed over is not looked for.
                    Some(leased) = handed.next() => self.start_all(leased, true),
                    () = soft.cancelled() => break 'claim,
                    () = bell.rung() => break,
                    () = self.slots.freed() => break,
                    () = &mut wait => break,
                }
            }
        }
        self.slots.close();
        tokio::select! {
            () = self.parts.store.leave_seat() => {}
            // Where nothing can be committed there is nothing to be brought.
            () = pause(LEAVE_LIMIT) => {}
        }
        handed.close();
        while let Some(leased) = handed.next().await {
            self.start_all(leased, false);
        }
        self.attempts.close();
        self.attempts.wait().await;
    }

    /// Who may start an attempt.
    #[must_use]
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Lends the store this pump's slots: from now on deliveries may be handed over with their commit.
    #[must_use]
    pub fn take_seat(&self) -> HandedOver {
        self.parts.store.take_seat(self.slots.clone(), self.parts.settings.attempt_timeout)
    }

    /// Looks at the queue once and starts what it may.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn turn(&self) -> Result<Turn, StoreError> {
        self.turn_of(false).await
    }

    /// The same by who has the seat: what an attempt's end makes room for may be handed over.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn turn_seated(&self) -> Result<Turn, StoreError> {
        self.turn_of(true).await
    }

    /// Starts what commits have handed over until now; how many that were.
    pub fn start_handed(&self, handed: &mut HandedOver) -> usize {
        let mut started = 0;
        while let Some(leased) = handed.ready() {
            started += leased.len();
            self.start_all(leased, true);
        }
        started
    }

    async fn turn_of(&self, seated: bool) -> Result<Turn, StoreError> {
        let metrics = self.parts.store.metrics();
        metrics.turn(self.parts.clock.schedule());
        let in_use = self.slots.in_use();
        metrics.in_flight.set(i64::try_from(in_use.fast + in_use.slow).unwrap_or(i64::MAX));
        if self.slots.exhausted() || self.parts.store.is_clock_off() {
            return Ok(Turn { started: 0, next_due: None });
        }
        let request = ClaimRequest {
            now: self.parts.clock.schedule(),
            slots: self.slots.clone(),
            timeout: self.parts.settings.attempt_timeout,
        };
        let claims = self.parts.store.claim_due(request).await?;
        if claims.ended_manual {
            self.parts.bells.ended.ring();
        }
        let started = claims.claimed.len();
        self.start_all(claims.claimed, seated);
        Ok(Turn { started, next_due: claims.next_due })
    }

    /// Starts what was claimed, whoever claimed it. `seated`: what an attempt's end makes room for may be
    /// handed over.
    fn start_all(&self, leased: Vec<Leased>, seated: bool) {
        for Leased { claimed, slot } in leased {
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let pump = self.clone();
            self.attempts.spawn(async move {
                let (under_way, ended) = (pump.under_way.clone(), pump.ended.clone());
                pump.attempt(claimed, slot, seated).await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                ended.notify_one();
            });
        }
    }

    /// Turns until nothing is due and nothing is under way: tests turn the loop by hand with this.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn run_until_idle(&self) -> Result<(), StoreError> {
        loop {
            // Asked first: what ends during the turn may leave something that the turn did not see.
            let idle = self.under_way() == 0;
            let turn = self.turn().await?;
            let more = turn.next_due.is_some_and(|due| due <= self.parts.clock.schedule());
            if turn.started == 0 && !more {
                if idle {
                    return Ok(());
                }
                self.ended.notified().await;
            }
        }
    }

    /// The same with what commits hand over meanwhile.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn run_seated_until_idle(&self, handed: &mut HandedOver) -> Result<(), StoreError> {
        loop {
            self.start_handed(handed);
            let idle = self.under_way() == 0;
            let turn = self.turn_of(true).await?;
            let more = turn.next_due.is_some_and(|due| due <= self.parts.clock.schedule());
            if turn.started == 0 && !more {
                if idle {
                    return Ok(());
                }
                tokio::select! {
                    Some(leased) = handed.next() => self.start_all(leased, true),
                    () = self.ended.notified() => {}
                }
            }
        }
    }

    /// Attempts that were begun and are not recorded yet.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    /// How many of these are leased ahead, and wait for a place.
    #[must_use]
    pub fn ahead(&self) -> usize {
        // Whoever has got a place may not have noticed; what is leased may not have been begun.
        self.waiting.load(Ordering::SeqCst).min(self.slots.ahead())
    }

    /// Resolves once an attempt has been recorded, or has begun to wait for a place, since the last call.
    pub async fn freed(&self) {
        self.ended.notified().await;
    }

    fn wait_until(&self, due: Option<TimeMs>) -> Duration {
        let poll = self.parts.settings.poll.mul_f64(self.parts.entropy.jitter(JITTER));
        due.map_or(poll, |due| due.since(self.parts.clock.schedule()).min(poll))
    }

    /// One claim, from here to its settle.
    async fn attempt(self, claimed: Claimed, mut slot: Slot, seated: bool) {
        let manual = claimed.class == Class::Manual;
        if !self.begins_in_time(&mut slot).await {
            return self.give_back(&claimed, slot).await;
        }
        let started_at = self.parts.clock.wall();
        failpoint::reach(Place::BeforeSend);
        let (claimed, outcome) = match with_body(&self.parts, claimed, &mut slot, &self.cut_off).await {
            Ok(claimed) => self.send_watched(claimed, &mut slot).await,
            Err((claimed, outcome)) => (claimed, outcome),
        };
        failpoint::reach(Place::BeforeSettle);
        slot.learn(&outcome);
        let settlement = self.decide(&claimed, outcome, started_at);
        // The receiver has answered: its place is free for another attempt while this one is recorded. With a
        // seat the store hands over what waits for it.
        let subscription = slot.subscription();
        let next = if seated {
            slot.free().then_some(subscription)
        } else {
            drop(slot);
            None
        };
        let followed = match self.parts.store.settle_and_claim(settlement, next).await {
            Ok((_, followed)) => followed,
            Err(error) => {
                // The lease will end, and the next claim writes the attempt as unknown.
                tracing::error!(error = &error as &dyn std::error::Error, "an attempt could not be recorded");
                Followed::default()
            }
        };
        if manual || followed.ended_manual {
            self.parts.bells.ended.ring();
        }
        if followed.more {
            self.parts.bells.queued.ring();
        }
    }

    /// Whether an attempt has its place, or gets it soon enough.
    async fn begins_in_time(&self, slot: &mut Slot) -> bool {
        if !slot.is_ahead() {
            return true;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.ended.notify_one();
        let begins = tokio::select! {
            begins = slot.begin() => Some(begins),
            () = pause(AHEAD_FOR) => None,
        };
        let begins = begins.unwrap_or_else(|| slot.give_up());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        begins
    }

    /// Puts back what was leased ahead and has not begun. Until the store has it again nothing fresh of its
    /// subscription begins.
    async fn give_back(self, claimed: &Claimed, slot: Slot) {
        let settlement = self.decide(claimed, Outcome::Changed, self.parts.clock.wall());
        if let Err(error) = self.parts.store.settle(settlement).await {
            tracing::error!(error = &error as &dyn std::error::Error, "a delivery could not be given back");
        }
        drop(slot);
        self.parts.bells.queued.ring();
    }

    fn decide(&self, claimed: &Claimed, outcome: Outcome, started_at: TimeMs) -> Settlement {
        let around = Circumstances {
            schedule: claimed.target.retry_schedule.as_ref().unwrap_or(&self.parts.settings.retry_schedule),
            now: self.parts.clock.schedule(),
            started_at,
            jitter: self.parts.entropy.jitter(JITTER),
            attempt_id: self.parts.entropy.uuid_at(self.parts.clock.wall()),
        };
        decide(claimed, outcome, around)
    }

    /// Sends, and moves the attempt to the slow share when it has had no answer for a while.
    async fn send_watched(&self, claimed: Claimed, slot: &mut Slot) -> (Claimed, Outcome) {
        let mut sent = std::pin::pin!(self.send_current(claimed, slot.turn()));
        tokio::select! {
            done = &mut sent => return done,
            () = pause(SLOW_AFTER) => slot.slow_down(),
        }
        sent.await
    }

    /// Sends with the subscription's settings as they are when the first byte is written.
    async fn send_current(&self, mut claimed: Claimed, turn: Option<Arc<slots::Turn>>) -> (Claimed, Outcome) {
        for _ in 0..MAX_RETARGETS {
            let outcome = self.send_once(&claimed, turn.clone()).await;
            if !matches!(outcome, Outcome::Changed) {
                return (claimed, outcome);
            }
            match self.parts.store.retarget(claimed.clone()).await {
                Ok(Some(current)) => claimed = current,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a subscription could not be read"
                    );
                    break;
                }
            }
        }
        (claimed, Outcome::Changed)
    }

    async fn send_once(&self, claimed: &Claimed, turn: Option<Arc<slots::Turn>>) -> Outcome {
        let parts = &self.parts;
        let Some(deadline) = self.deadline(claimed) else { return Outcome::LeaseOver };
        let trace = parts.entropy.uuid();
        let wall = parts.clock.wall();
        let request = match prepare(claimed, parts.egress.policy(), wall, deadline, trace) {
            Ok(request) => request,
            Err(error) => return Outcome::Made(classify::not_sendable(error.to_string(), wall)),
        };
        let generations = parts.generations.clone();
        let clock = parts.clock.clone();
        let (subscription, generation) = (claimed.target.subscription, claimed.target.generation);
        let (lease_until, expires_at) = (claimed.lease_until, claimed.expires_at);
        let confirmed = Confirmed::of(claimed, &self.parts);
        let still = confirmed.clone();
        let first_byte = FirstByte::expected(&clock, lease_until);
        let may_write = move |write: &mut dyn FnMut()| {
            let now = clock.schedule();
            let asked = first_byte.asked(&clock);
            if now >= lease_until {
                return Permission::LeaseOver;
            }
            // Another node may have changed the subscription, or taken the delivery over.
            if still.as_ref().is_some_and(|still| !still.is_fresh()) {
                return Permission::Changed;
            }
            // Put back like one whose subscription changed; the next claim ends it.
            if expires_at.is_some_and(|expires_at| expires_at <= now) {
                return Permission::Changed;
            }
            if generations.write_if_unchanged(subscription, generation, write) {
                asked.written(&clock);
                Permission::Granted
            } else {
                Permission::Changed
            }
        };
        let keep = parts.settings.keep_inside_bodies;
        let before = Before { turn, confirm: confirmed.map(Confirmed::question) };
        send(&parts.egress, request, may_write, before, &parts.clock, &self.cut_off, keep).await
    }

    /// The attempt's timeout, or what is left of the lease without the skew, whichever is shorter.
    fn deadline(&self, claimed: &Claimed) -> Option<Duration> {
        let left = claimed.lease_until.since(self.parts.clock.schedule()).checked_sub(LEASE_SKEW)?;
        let limit = match claimed.class {
            Class::Manual => self.parts.settings.manual_timeout.min(claimed.target.timeout),
            _ => claimed.target.timeout,
        };
        Some(limit.min(left)).filter(|deadline| !deadline.is_zero())
    }
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait, always beside a bell")]
pub(super) async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}

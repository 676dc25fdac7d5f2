//! The pump: claim, send, settle, until told to stop.
//!
//! Soft stop: nothing more is claimed, what is under way goes on. Hard stop: attempts are cut off and
//! their leases released. On a crash the leases end by themselves.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Parts;
use super::failpoint::{self, Place};
use super::slots::{Slot, Slots};
use crate::deliver::classify;
use crate::deliver::prepare::prepare;
use crate::deliver::send::{Permission, send};
use crate::domain::attempt::Outcome;
use crate::domain::delivery::{Claimed, Class};
use crate::domain::retry::JITTER;
use crate::domain::time::TimeMs;
use crate::record::decide::{Circumstances, decide};
use crate::store::claim::{ClaimRequest, LEASE_SKEW};
use crate::store::error::StoreError;

/// How often an attempt is prepared anew because its subscription keeps changing, before it is put back.
const MAX_RETARGETS: usize = 5;
/// How long the pump waits after a claim that failed.
const CLAIM_ERROR_WAIT: Duration = Duration::from_secs(1);

/// The claiming loop and the attempts that it started. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pump {
    parts: Parts,
    slots: Slots,
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
        let slots = Slots::new(parts.settings.max_in_flight, parts.settings.max_in_flight_per_subscription);
        Self { parts, slots, attempts: TaskTracker::new(), cut_off }
    }

    /// Claims until the soft stop, then waits for what is under way.
    pub async fn run(self, soft: CancellationToken) {
        let mut bell = self.parts.bells.queued.listen();
        while !soft.is_cancelled() {
            let wait = match self.turn().await {
                Ok(turn) => self.wait_until(turn.next_due),
                Err(StoreError::Closed) => break,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "claiming failed");
                    CLAIM_ERROR_WAIT
                }
            };
            tokio::select! {
                () = soft.cancelled() => break,
                () = bell.rung() => {}
                () = self.slots.freed() => {}
                () = pause(wait) => {}
            }
        }
        self.attempts.close();
        self.attempts.wait().await;
    }

    /// Looks at the queue once and starts what it may.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn turn(&self) -> Result<Turn, StoreError> {
        let free = self.slots.free();
        if free == 0 {
            return Ok(Turn { started: 0, next_due: None });
        }
        let settings = &self.parts.settings;
        let claims = self
            .parts
            .store
            .claim_due(ClaimRequest {
                now: self.parts.clock.schedule(),
                free,
                first_bound: self.slots.first_bound(),
                free_by_subscription: self.slots.free_by_subscription(),
                timeout: settings.attempt_timeout,
            })
            .await?;
        if claims.ended_manual {
            self.parts.bells.ended.ring();
        }
        let started = claims.claimed.len();
        for claimed in claims.claimed {
            let slot = self.slots.take(claimed.target.subscription);
            self.attempts.spawn(self.clone().attempt(claimed, slot));
        }
        Ok(Turn { started, next_due: claims.next_due })
    }

    /// Turns until nothing is due and nothing is under way: tests turn the loop by hand with this.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn run_until_idle(&self) -> Result<(), StoreError> {
        loop {
            let turn = self.turn().await?;
            let more = turn.next_due.is_some_and(|due| due <= self.parts.clock.schedule());
            if turn.started == 0 && !more {
                if self.slots.idle() {
                    return Ok(());
                }
                self.slots.freed().await;
            }
        }
    }

    /// Attempts that were begun and have not ended.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.attempts.len()
    }

    /// Resolves once an attempt has ended since the last call.
    pub async fn freed(&self) {
        self.slots.freed().await;
    }

    fn wait_until(&self, due: Option<TimeMs>) -> Duration {
        let poll = self.parts.settings.poll.mul_f64(self.parts.entropy.jitter(JITTER));
        due.map_or(poll, |due| due.since(self.parts.clock.schedule()).min(poll))
    }

    /// One claim, from here to its settle.
    async fn attempt(self, claimed: Claimed, slot: Slot) {
        let manual = claimed.class == Class::Manual;
        let started_at = self.parts.clock.wall();
        failpoint::reach(Place::BeforeSend);
        let (claimed, outcome) = self.send_current(claimed).await;
        failpoint::reach(Place::BeforeSettle);
        slot.learn(&outcome);
        let around = Circumstances {
            schedule: &self.parts.settings.retry_schedule,
            now: self.parts.clock.schedule(),
            started_at,
            jitter: self.parts.entropy.jitter(JITTER),
            attempt_id: self.parts.entropy.uuid_at(self.parts.clock.wall()),
        };
        let settlement = decide(&claimed, outcome, around);
        if let Err(error) = self.parts.store.settle(settlement).await {
            // The lease will end, and the next claim writes the attempt as unknown.
            tracing::error!(error = &error as &dyn std::error::Error, "an attempt could not be recorded");
        }
        if manual {
            self.parts.bells.ended.ring();
        }
        drop(slot);
    }

    /// Sends with the subscription's settings as they are when the first byte is written.
    async fn send_current(&self, mut claimed: Claimed) -> (Claimed, Outcome) {
        for _ in 0..MAX_RETARGETS {
            let outcome = self.send_once(&claimed).await;
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

    async fn send_once(&self, claimed: &Claimed) -> Outcome {
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
        let may_write = move |write: &mut dyn FnMut()| {
            let now = clock.schedule();
            if now >= lease_until {
                return Permission::LeaseOver;
            }
            // Put back like one whose subscription changed; the next claim ends it.
            if expires_at.is_some_and(|expires_at| expires_at <= now) {
                return Permission::Changed;
            }
            if generations.write_if_unchanged(subscription, generation, write) {
                Permission::Granted
            } else {
                Permission::Changed
            }
        };
        let keep = parts.settings.keep_inside_bodies;
        send(&parts.egress, request, may_write, &parts.clock, &self.cut_off, keep).await
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
async fn pause(wait: Duration) {
    tokio::time::sleep(wait).await;
}

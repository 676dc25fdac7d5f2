//! The loop that sends operational events.
//!
//! Beside the pump and independent of it: an organisation has one attempt under way at most, all of them
//! together [`MAX_UNDER_WAY`], and organisations are served in turn. One whose URL failed rests for a while
//! that doubles, whatever it has waiting, so that a dead URL costs the others a place for one attempt now
//! and then. Rests are forgotten at a restart; what waits is in the table.
//!
//! Soft stop: nothing more is claimed, what is under way goes on. Hard stop: it is cut off.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Parts;
use super::confirmed::Confirmed;
use crate::deliver::classify;
use crate::deliver::prepare::prepare_alert;
use crate::deliver::send::{Before, Permission, send};
use crate::domain::alert::ClaimedAlert;
use crate::domain::attempt::{Outcome, Verdict};
use crate::domain::number::OrganizationNo;
use crate::domain::retry::JITTER;
use crate::domain::time::TimeMs;
use crate::record::alert::decide;
use crate::store::alerts::DueAlerts;
use crate::store::error::StoreError;

/// Attempts under way at the same time.
pub const MAX_UNDER_WAY: usize = 8;
/// A whole attempt.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// An organisation rests after a failure: this long, and twice as long after each further one, up to
/// [`LONGEST_REST`].
pub const FIRST_REST: Duration = Duration::from_secs(5);
/// See [`FIRST_REST`].
pub const LONGEST_REST: Duration = Duration::from_mins(5);
/// An organisation whose key does not open is looked at again after this.
const UNREADABLE_REST: Duration = Duration::from_mins(1);
/// A rest that has been over for so long is forgotten, and with it how often it was doubled.
const REST_REMEMBERED: Duration = Duration::from_hours(1);
/// Looks for work at least this often.
const POLL: Duration = Duration::from_secs(2);

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Alerts {
    parts: Arc<Parts>,
    state: Arc<Mutex<State>>,
    freed: Arc<Notify>,
    attempts: TaskTracker,
    cut_off: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    /// The organisation up to which this round has come.
    at: Option<OrganizationNo>,
    /// This round has found something, so that another may.
    found: bool,
    under_way: HashSet<OrganizationNo>,
    resting: HashMap<OrganizationNo, Rest>,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: TimeMs,
    length: Duration,
}

/// What one look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Attempts started.
    pub started: usize,
    /// There may be more to start now.
    pub more: bool,
}

impl Alerts {
    /// Nothing is under way. `cut_off` ends the attempts.
    #[must_use]
    pub fn new(parts: Parts, cut_off: CancellationToken) -> Self {
        let state = Arc::default();
        Self { parts: Arc::new(parts), state, freed: Arc::default(), attempts: TaskTracker::new(), cut_off }
    }

    /// Sends until the soft stop, then waits for what is under way.
    pub async fn run(self, soft: CancellationToken) {
        while !soft.is_cancelled() {
            match self.turn().await {
                Ok(Turn { more: true, .. }) => continue,
                Ok(_) => {}
                Err(StoreError::Closed) => break,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "operational events failed");
                }
            }
            tokio::select! {
                () = soft.cancelled() => break,
                () = self.freed.notified() => {}
                () = pause() => {}
            }
        }
        self.attempts.close();
        self.attempts.wait().await;
    }

    /// Looks once and starts what it may. Not to be called twice at once.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn turn(&self) -> Result<Turn, StoreError> {
        let now = self.parts.clock.schedule();
        let (at, but, free) = self.lock().begin(now);
        if free == 0 || self.parts.store.is_clock_off() {
            return Ok(Turn { started: 0, more: false });
        }
        let due = self.parts.store.due_alerts(now, at, but, free).await?;
        let more = self.lock().go_on(&due);
        if due.organizations.is_empty() {
            return Ok(Turn { started: 0, more });
        }
        let claims = self.parts.store.claim_alerts(now, due.organizations, TIMEOUT).await?;
        for organization in claims.unreadable {
            self.lock().resting.insert(organization, Rest::new(now, UNREADABLE_REST));
        }
        let started = claims.claimed.len();
        for claimed in claims.claimed {
            self.lock().under_way.insert(claimed.organization);
            self.attempts.spawn(self.clone().attempt(claimed));
        }
        Ok(Turn { started, more })
    }

    /// Turns until nothing is due and nothing is under way: tests turn the loop by hand with this.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn run_until_idle(&self) -> Result<(), StoreError> {
        loop {
            // Asked before the look: what ends during it was left out by it.
            let is_idle = self.lock().under_way.is_empty();
            let turn = self.turn().await?;
            if turn.started == 0 && !turn.more {
                if is_idle {
                    return Ok(());
                }
                self.freed.notified().await;
            }
        }
    }

    /// One claim, from here to its settle.
    async fn attempt(self, claimed: ClaimedAlert) {
        let outcome = self.send(&claimed).await;
        let parts = &self.parts;
        let now = parts.clock.schedule();
        let jitter = parts.entropy.jitter(JITTER);
        if let Some(settlement) = decide(&claimed, &outcome, &parts.settings.retry_schedule, now, jitter)
            && let Err(error) = parts.store.settle_alert(settlement).await
        {
            // The lease will end, and it is sent again.
            tracing::error!(error = &error as &dyn std::error::Error, "an alert could not be settled");
        }
        self.lock().end(claimed.organization, &outcome, now);
        self.freed.notify_one();
    }

    /// Sends if the organisation's URL and key are, when the first byte is written, what they were.
    async fn send(&self, claimed: &ClaimedAlert) -> Outcome {
        let parts = &self.parts;
        let wall = parts.clock.wall();
        let trace = parts.entropy.uuid();
        let request = match prepare_alert(claimed, parts.egress.policy(), wall, TIMEOUT, trace) {
            Ok(request) => request,
            Err(error) => return Outcome::Made(classify::not_sendable(error.to_string(), wall)),
        };
        let (generations, clock) = (parts.generations.clone(), parts.clock.clone());
        let (organization, generation) = (claimed.organization, claimed.generation);
        let lease_until = claimed.lease_until;
        let confirmed = Confirmed::of_alert(claimed, parts);
        let still = confirmed.clone();
        let may_write = move |write: &mut dyn FnMut()| {
            if clock.schedule() >= lease_until {
                Permission::LeaseOver
            } else if still.as_ref().is_some_and(|still| !still.is_fresh()) {
                Permission::Changed
            } else if generations.write_alert_if_unchanged(organization, generation, write) {
                Permission::Granted
            } else {
                Permission::Changed
            }
        };
        let before = Before { turn: None, confirm: confirmed.map(Confirmed::question) };
        send(&parts.egress, request, may_write, before, &parts.clock, &self.cut_off, false).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where to begin, whom to leave out, and how many may be started.
    fn begin(&mut self, now: TimeMs) -> (Option<OrganizationNo>, HashSet<OrganizationNo>, usize) {
        self.resting.retain(|_, rest| now < rest.until.after(REST_REMEMBERED));
        let resting = self.resting.iter().filter(|(_, rest)| now < rest.until);
        let mut but: HashSet<_> = resting.map(|(organization, _)| *organization).collect();
        but.extend(&self.under_way);
        (self.at, but, MAX_UNDER_WAY.saturating_sub(self.under_way.len()))
    }

    /// Notes how far the round has come; whether to look again at once.
    fn go_on(&mut self, due: &DueAlerts) -> bool {
        self.found |= !due.organizations.is_empty();
        let is_over = due.go_on_after.is_none();
        self.at = due.go_on_after;
        if is_over { std::mem::take(&mut self.found) } else { true }
    }

    fn end(&mut self, organization: OrganizationNo, outcome: &Outcome, now: TimeMs) {
        self.under_way.remove(&organization);
        match outcome {
            Outcome::Made(attempt) if attempt.verdict == Verdict::Failure => {
                let before = self.resting.get(&organization).map(|rest| rest.length * 2);
                let length = before.unwrap_or(FIRST_REST).min(LONGEST_REST);
                self.resting.insert(organization, Rest::new(now, length));
            }
            Outcome::Made(_) => {
                self.resting.remove(&organization);
            }
            _ => {}
        }
    }
}

impl Rest {
    fn new(now: TimeMs, length: Duration) -> Self {
        Self { until: now.after(length), length }
    }
}

#[expect(clippy::disallowed_methods, reason = "a loop's wait, beside its own signals")]
async fn pause() {
    tokio::time::sleep(POLL).await;
}

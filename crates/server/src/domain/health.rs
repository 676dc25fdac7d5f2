//! How a subscription's receiver does, and what follows from it: a state machine of values.
//!
//! ```text
//!            5 failures in a row            a probe fails, 5 days after the first failure
//!  healthy ───────────────────────> failing ─────────────────────────────────────────────> paused
//!     ^  <─────────────────────────                                                          │
//!     │         one success                   by hand and 410 pause from anywhere            │
//!     └──────────────────────────────────────────────────────────────────────────────────────┘
//!                                      resume, or another URL
//! ```
//!
//! While it fails, one delivery at a time is tried, a *probe*, with waits between that double from
//! [`FIRST_PROBE_WAIT`] to [`LONGEST_PROBE_WAIT`]; the rest waits and uses up none of its attempts. When it
//! comes back, what waits does not come at once: the subscription *drains*, at up to twice the rate of the
//! last minute in which it did well and at least [`LEAST_DRAIN_PER_SECOND`]. As that minute is counted on
//! while it drains, the rate doubles with each minute that goes well.
//!
//! What counts: a success heals, whoever asked for the attempt, but lifts no pause. An attempt made by hand
//! that fails is noted and counts for nothing: it is the caller's curiosity, and no probe. A receiver that
//! asks for time (429 or 503 with `Retry-After`) is obeyed, and is not failing. An attempt of unknown outcome
//! says nothing.

use std::time::Duration;

use super::number::Seq;
use super::subscription::PauseReason;
use super::time::TimeMs;

/// Failures in a row that make a subscription failing.
pub const FAILURES_TO_FAILING: u32 = 5;
/// Between becoming failing and the first probe.
pub const FIRST_PROBE_WAIT: Duration = Duration::from_secs(5);
/// Between two probes at most.
pub const LONGEST_PROBE_WAIT: Duration = Duration::from_mins(5);
/// A probe that fails so long after the first failure since the last success is the last one.
pub const FAILING_TO_PAUSED: Duration = Duration::from_hours(5 * 24);
/// The slowest that a subscription drains.
pub const LEAST_DRAIN_PER_SECOND: u32 = 10;
/// Over what a rate is measured.
pub const MINUTE: Duration = Duration::from_mins(1);

/// The moment of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Schedule time: what waits are counted in.
    pub schedule: TimeMs,
    /// Wall time: what is shown, and what claims are dated with.
    pub wall: TimeMs,
    /// The newest acceptance number.
    pub last_seq: Seq,
}

/// A subscription's health. Made anew by each transition, never changed in place by anybody else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// It is probed.
    pub is_failing: bool,
    /// It is held; over failing, which it may be as well.
    pub is_paused: bool,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// The first of them, schedule time.
    pub first_failure_at: Option<TimeMs>,
    /// Wall time.
    pub last_success_at: Option<TimeMs>,
    /// Wall time.
    pub last_failure_at: Option<TimeMs>,
    /// When to probe, while it is failing.
    pub probe: Probe,
    /// How fast it does when it does well.
    pub pace: Pace,
    /// What waited when it came back, if some of it still does.
    pub drain: Option<Drain>,
}

/// The rhythm of probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Probe {
    /// Probes that failed.
    pub step: u32,
    /// Not before this schedule time, unless an event comes.
    pub next_at: TimeMs,
}

/// Successes by the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// When the minute that is counted began, schedule time.
    pub minute_at: TimeMs,
    /// Successes in it.
    pub good: u32,
    /// Successes in the last whole minute that had any.
    pub last_good: u32,
}

/// What waited when a subscription came back: it is due, whatever its rows say, but not all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Whatever was tried last at this time or before, wall time.
    pub since: TimeMs,
    /// Whatever was accepted up to here and has not been tried.
    pub until: Seq,
}

/// What somebody may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// Healthy became failing.
    Failing {
        /// Failures in a row.
        failures: u32,
    },
    /// Failing became healthy.
    Recovered {
        /// Deliveries a second at which what waits begins to come.
        drain_per_second: u32,
    },
    /// It is held from now on.
    Paused(PauseReason),
}

/// A failed attempt, as far as health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// One of the many.
    Counted,
    /// The one that is tried while the subscription is failing.
    Probe,
    /// The receiver said when to come again.
    AskedForTime,
    /// Somebody asked for the attempt.
    ByHand,
    /// 410.
    Gone,
}

impl Health {
    /// An attempt succeeded.
    #[must_use]
    pub fn succeeded(mut self, now: Moment) -> (Self, Option<Transition>) {
        self.last_success_at = Some(now.wall);
        (self.consecutive_failures, self.first_failure_at) = (0, None);
        let recovered = self.is_failing && !self.is_paused;
        if self.is_failing {
            (self.is_failing, self.probe) = (false, Probe::default());
        }
        if recovered {
            self.begin_drain(now);
        }
        self.pace.count(now.schedule);
        let drain_per_second = self.drain_per_second();
        (self, recovered.then_some(Transition::Recovered { drain_per_second }))
    }

    /// An attempt failed.
    #[must_use]
    pub fn failed(mut self, failure: Failure, now: Moment) -> (Self, Option<Transition>) {
        self.last_failure_at = Some(now.wall);
        if matches!(failure, Failure::AskedForTime | Failure::ByHand) {
            return (self, None);
        }
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        let first = *self.first_failure_at.get_or_insert(now.schedule);
        let transition = match failure {
            _ if self.is_paused => None,
            Failure::Gone => Some(self.pause(PauseReason::Gone)),
            Failure::Probe if self.is_failing => {
                if now.schedule.since(first) >= FAILING_TO_PAUSED {
                    Some(self.pause(PauseReason::Failing))
                } else {
                    self.probe.step = self.probe.step.saturating_add(1);
                    self.probe.next_at = now.schedule.after(probe_wait(self.probe.step));
                    None
                }
            }
            _ if self.is_failing || self.consecutive_failures < FAILURES_TO_FAILING => None,
            _ => {
                (self.is_failing, self.drain) = (true, None);
                self.probe = Probe { step: 0, next_at: now.schedule.after(probe_wait(0)) };
                Some(Transition::Failing { failures: self.consecutive_failures })
            }
        };
        (self, transition)
    }

    /// Somebody pauses it.
    #[must_use]
    pub fn paused_by_hand(mut self) -> (Self, Option<Transition>) {
        let transition = (!self.is_paused).then(|| self.pause(PauseReason::ByHand));
        (self, transition)
    }

    /// Somebody says that it works again. Paused, or waiting because the receiver asked for time, it begins
    /// anew and drains. Failing, it is probed at once, and its days of failures go on: a word is no success.
    #[must_use]
    pub fn resumed(mut self, now: Moment) -> Self {
        if self.is_failing && !self.is_paused {
            self.probe = Probe { step: 0, next_at: TimeMs::ZERO };
            return self;
        }
        self.begin_anew(now);
        self
    }

    /// It has another URL, about which nothing is known: neither failures nor a rate that it can take.
    #[must_use]
    pub fn moved(mut self, now: Moment) -> Self {
        self.pace = Pace::default();
        self.begin_anew(now);
        self
    }

    /// What waited has been claimed.
    #[must_use]
    pub fn drained(mut self) -> Self {
        self.drain = None;
        self
    }

    /// At which rate what waits may go out now.
    #[must_use]
    pub fn drain_per_second(&self) -> u32 {
        let seconds = u32::try_from(MINUTE.as_secs()).unwrap_or(u32::MAX);
        self.pace.last_good.saturating_mul(2).div_ceil(seconds).max(LEAST_DRAIN_PER_SECOND)
    }

    /// Nothing but successes, and nothing that waits: an attempt like the last one changes nothing but times.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.is_failing && !self.is_paused && self.consecutive_failures == 0 && self.drain.is_none()
    }

    fn pause(&mut self, reason: PauseReason) -> Transition {
        (self.is_paused, self.drain) = (true, None);
        Transition::Paused(reason)
    }

    fn begin_anew(&mut self, now: Moment) {
        (self.is_failing, self.is_paused, self.probe) = (false, false, Probe::default());
        (self.consecutive_failures, self.first_failure_at) = (0, None);
        self.begin_drain(now);
    }

    fn begin_drain(&mut self, now: Moment) {
        self.pace = Pace { minute_at: now.schedule, good: 0, last_good: self.pace.best() };
        self.drain = Some(Drain { since: now.wall, until: now.last_seq });
    }
}

impl Pace {
    /// One more success.
    fn count(&mut self, now: TimeMs) {
        if now.since(self.minute_at) >= MINUTE {
            if self.good > 0 {
                self.last_good = self.good;
            }
            (self.minute_at, self.good) = (now, 0);
        }
        self.good = self.good.saturating_add(1);
    }

    /// The minute that the failures cut short says at least as much as it got to.
    fn best(self) -> u32 {
        self.last_good.max(self.good)
    }
}

/// How long to wait after so many probes that failed.
fn probe_wait(step: u32) -> Duration {
    // Shifted further, the factor would not fit; by then the bound has long been reached.
    FIRST_PROBE_WAIT.saturating_mul(1 << step.min(16)).min(LONGEST_PROBE_WAIT)
}

#[cfg(test)]
mod tests;

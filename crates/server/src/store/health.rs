//! Subscriptions' health in the store: what settles make of it, and what claims may take because of it.
//!
//! The rules are [`crate::domain::health`]'s; here they meet rows. A failure is written with its attempt. A
//! success of a subscription about which nothing else is to be said is counted in memory ([`memory`]) and
//! written once a second, so that on a busy day most attempts cost no statement here. A crash forgets a
//! second of `last_success_at` and of the rate, and nothing that decides anything: every change of state is
//! in the transaction of its attempt.
//!
//! While a subscription is failing its claims are probes ([`probe`]); after it came back what waits goes out
//! at a rate ([`drain`]). Neither touches the rows that wait.

mod drain;
mod memory;
mod probe;
mod transitions;

use std::time::Duration;

pub(super) use drain::Allowance;
pub(super) use memory::Memory;
pub(super) use probe::{Ahead as ProbeAhead, claim_probe, look_ahead};
pub(super) use transitions::{News, noted};

use super::error::StoreError;
use super::queue::QueueRow;
use super::settle::{Next, Settlement};
use super::writer::Tx;
use super::{heads, rows};
use crate::domain::attempt::Recorded;
use crate::domain::delivery::{Class, End};
use crate::domain::health::{Drain, Failure, Health, Moment, Pace, Probe, Transition};
use crate::domain::number::{DeliveryNo, OrganizationNo, Seq, SubscriptionNo, UrlNo};
use crate::domain::subscription::{HealthView, PauseReason};
use crate::domain::time::TimeMs;
use crate::store::sql::many::{Holds, Many};
use crate::store::sql::{self, Row, params};

/// Successes of a subscription that nothing else is to be said about are written this often at most.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// What a claim must know before it takes anything that nobody asked for by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Whatever is due.
    Open,
    /// One probe at a time.
    Failing,
    /// What waited goes out at a rate: what was tried last at this time, wall clock, or before.
    Draining(TimeMs),
}

impl Standing {
    /// The time of a claim that is made now. One that is made after a drain began is never taken for one that
    /// was made before, however coarse the clock.
    pub(super) fn claimed_at(self, now: TimeMs) -> TimeMs {
        match self {
            Self::Draining(since) => now.max(TimeMs(since.0 + 1)),
            Self::Open | Self::Failing => now,
        }
    }
}

/// A subscription's health with what its row knows besides.
#[derive(Debug, Clone)]
struct Entry {
    organization: OrganizationNo,
    /// What is said is said of the receiver at this URL.
    url: UrlNo,
    health: Health,
    /// The latest probe: delivery and claim. Under way while the queue's row says so.
    probe: Option<(DeliveryNo, u32)>,
    /// Events accepted up to here are no news.
    seen: Seq,
    /// When the row was written last by this process, schedule time.
    written_at: TimeMs,
    /// Successes that were counted since.
    counted: u32,
    /// Which version of the row this is, on a server.
    version: Option<i64>,
}

/// A subscription's health in its row `s`.
macro_rules! health_columns {
    () => {
        "s.paused_ms, s.health, s.consecutive_failures, s.first_failure_ms, s.last_success_ms, s.last_failure_ms,
    s.probe_step, s.probe_next_ms, s.probe_delivery, s.probe_claim, s.probe_seen, s.pace_minute_ms, s.pace_good,
    s.pace_last_good, s.drain_since_ms, s.drain_until"
    };
}
pub(super) use health_columns;

const READ: &str = concat!(
    "SELECT s.organization_id, s.url AS url_no, ",
    health_columns!(),
    ", /*lite*/ NULL /*end*/ /*pg CAST(CAST(s.xmin AS TEXT) AS BIGINT) */ AS version
    FROM subscriptions s WHERE s.no = $1 AND s.status = 'active' /*pg FOR NO KEY UPDATE */"
);
static WRITE: Many = Many {
    one: "UPDATE subscriptions SET health = $2, consecutive_failures = $3, first_failure_ms = $4,
    last_success_ms = $5, last_failure_ms = $6, probe_step = $7, probe_next_ms = $8, probe_delivery = $9,
    probe_claim = $10, probe_seen = $11, pace_minute_ms = $12, pace_good = $13, pace_last_good = $14,
    drain_since_ms = $15, drain_until = $16 WHERE no = $1",
    all: "UPDATE subscriptions s SET health = w.health, consecutive_failures = w.consecutive_failures, first_failure_ms = w.first_failure_ms, last_success_ms = w.last_success_ms, last_failure_ms = w.last_failure_ms, probe_step = w.probe_step, probe_next_ms = w.probe_next_ms, probe_delivery = w.probe_delivery, probe_claim = w.probe_claim, probe_seen = w.probe_seen, pace_minute_ms = w.pace_minute_ms, pace_good = w.pace_good, pace_last_good = w.pace_last_good, drain_since_ms = w.drain_since_ms, drain_until = w.drain_until FROM (SELECT DISTINCT ON (no) * FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS SMALLINT[]), CAST($3 AS BIGINT[]), CAST($4 AS BIGINT[]), CAST($5 AS BIGINT[]), CAST($6 AS BIGINT[]), CAST($7 AS BIGINT[]), CAST($8 AS BIGINT[]), CAST($9 AS BIGINT[]), CAST($10 AS BIGINT[]), CAST($11 AS BIGINT[]), CAST($12 AS BIGINT[]), CAST($13 AS BIGINT[]), CAST($14 AS BIGINT[]), CAST($15 AS BIGINT[]), CAST($16 AS BIGINT[])) WITH ORDINALITY AS g (no, health, consecutive_failures, first_failure_ms, last_success_ms, last_failure_ms, probe_step, probe_next_ms, probe_delivery, probe_claim, probe_seen, pace_minute_ms, pace_good, pace_last_good, drain_since_ms, drain_until, n) ORDER BY no, n DESC) w WHERE s.no = w.no",
    columns: &[
        Holds::Int8,
        Holds::Int2,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
        Holds::Int8,
    ],
};
const PAUSE: &str = "UPDATE subscriptions SET paused_ms = $2, pause_reason = $3, generation = generation + 1
    WHERE no = $1 AND status = 'active' AND paused_ms IS NULL";
const GENERATION: &str = "SELECT generation FROM subscriptions WHERE no = $1";

const HEALTHY: i64 = 1;
const FAILING: i64 = 2;

/// What an attempt that has been settled says about its subscription.
pub(super) fn settled(tx: &mut Tx<'_>, row: &QueueRow, settlement: &Settlement) -> Result<(), StoreError> {
    let now = moment(tx);
    let succeeded = settlement.attempt.as_ref().map(|attempt| attempt.recorded) == Some(Recorded::Succeeded);
    if succeeded && tx.context.health.count_success(row.subscription, row.claimed_url, now) {
        return Ok(());
    }
    if tx.is_shared() && !tx.memory.is_held_alone(row.subscription) {
        // What another node has written of it since the group was put together makes this more than a count.
        return Err(StoreError::Statement(sql::Error::Overtaken));
    }
    let Some(mut entry) = load(tx, row.subscription)? else { return Ok(()) };
    let was_probe = entry.probe == Some((row.no, settlement.claim_no));
    if was_probe {
        // Whatever came of it, it is over, and what came meanwhile waits for the next.
        (entry.probe, entry.seen) = (None, now.last_seq);
    }
    // What was sent elsewhere says nothing about the receiver that the subscription has now.
    let failure = failure(row.class, was_probe, settlement);
    let (after, transition) = match (succeeded, failure) {
        _ if row.claimed_url != Some(entry.url) => (entry.health.clone(), None),
        (true, _) => entry.health.clone().succeeded(now),
        (false, Some(failure)) => entry.health.clone().failed(failure, now),
        (false, None) => (entry.health.clone(), None),
    };
    if after == entry.health && !was_probe {
        return Ok(());
    }
    let counted = after.consecutive_failures > entry.health.consecutive_failures;
    entry.health = after;
    if transition.is_some_and(|transition| matches!(transition, Transition::Failing { .. })) {
        entry.seen = now.last_seq;
    }
    write(tx, row.subscription, &mut entry)?;
    follow(tx, row.subscription, &entry, transition)?;
    if entry.health.is_failing && was_probe {
        // Without a verdict, or with a receiver that asks for time, it is over too soon to wait again.
        let look = if counted { entry.health.probe.next_at } else { TimeMs::ZERO };
        heads::set_automatic(tx, row.subscription, look)?;
    }
    tx.context.health.remember(row.subscription, entry);
    Ok(())
}

/// What kind of failure it was; `None` when it was none, or nobody knows.
fn failure(class: Class, was_probe: bool, settlement: &Settlement) -> Option<Failure> {
    let attempt = settlement.attempt.as_ref()?;
    if attempt.recorded != Recorded::Failed {
        return None;
    }
    Some(match settlement.next {
        Next::End(End::Gone) => Failure::Gone,
        _ if class == Class::Manual => Failure::ByHand,
        _ if settlement.hold_until.is_some() => Failure::AskedForTime,
        _ if was_probe => Failure::Probe,
        _ => Failure::Counted,
    })
}

/// What a change of state means for the queue, and who hears of it.
fn follow(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    entry: &Entry,
    transition: Option<Transition>,
) -> Result<(), StoreError> {
    let Some(transition) = transition else { return Ok(()) };
    match transition {
        Transition::Failing { .. } => heads::set_automatic(tx, subscription, entry.health.probe.next_at)?,
        Transition::Recovered { .. } => heads::open_all(tx, subscription)?,
        Transition::Paused(reason) => pause(tx, subscription, reason)?,
    }
    noted(tx, entry.organization, subscription, News::Health(transition))
}

/// Nothing more is sent until somebody says otherwise.
fn pause(tx: &mut Tx<'_>, subscription: SubscriptionNo, reason: PauseReason) -> Result<(), StoreError> {
    let reason = Some(reason).filter(|reason| *reason != PauseReason::Failing).map(PauseReason::as_str);
    if tx.run(PAUSE, params![subscription.0, tx.context.clock.wall().0, reason])? > 0
        && let Some(generation) = rows::scalar(tx, GENERATION, params![subscription.0])?
    {
        tx.raise_generation(subscription, generation);
    }
    Ok(())
}

/// Before its row says that somebody pauses it.
pub(super) fn paused_by_hand(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    let Some(mut entry) = load(tx, subscription)? else { return Ok(()) };
    let (health, transition) = entry.health.clone().paused_by_hand();
    entry.health = health;
    write(tx, subscription, &mut entry)?;
    if let Some(transition) = transition {
        noted(tx, entry.organization, subscription, News::Health(transition))?;
    }
    forget(tx, subscription);
    Ok(())
}

/// Before its row says that somebody resumes it; how it stands then.
pub(super) fn resumed(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<HealthView, StoreError> {
    let now = moment(tx);
    begun_anew(tx, subscription, |health| health.resumed(now))
}

/// Before its row says that it has another URL and nothing holds it; how it stands then.
pub(super) fn moved(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<HealthView, StoreError> {
    let now = moment(tx);
    begun_anew(tx, subscription, |health| health.moved(now))
}

fn begun_anew(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    change: impl FnOnce(Health) -> Health,
) -> Result<HealthView, StoreError> {
    let Some(mut entry) = load(tx, subscription)? else { return Ok(HealthView::default()) };
    entry.health = change(entry.health);
    write(tx, subscription, &mut entry)?;
    forget(tx, subscription);
    Ok(view(&entry.health))
}

/// What this process remembers of it is no longer so.
pub(super) fn forget(tx: &mut Tx<'_>, subscription: SubscriptionNo) {
    tx.context.health.forget(subscription);
}

fn moment(tx: &mut Tx<'_>) -> Moment {
    let clock = &tx.context.clock;
    Moment { schedule: clock.schedule(), wall: clock.wall(), last_seq: tx.newest_seq() }
}

/// As it is now, counted successes included; `None` when it is deleted.
fn load(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<Option<Entry>, StoreError> {
    if let Some(known) = tx.context.health.find(subscription) {
        return Ok(Some(known));
    }
    rows::optional(tx, READ, params![subscription.0], read_entry)
}

fn read_entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    let probe = row.get::<_, Option<i64>>("probe_delivery")?.map(DeliveryNo);
    Ok(Entry {
        organization: OrganizationNo(row.get("organization_id")?),
        url: UrlNo(row.get("url_no")?),
        health: read(row)?,
        probe: probe.zip(row.get("probe_claim")?),
        seen: Seq(row.get("probe_seen")?),
        written_at: TimeMs::ZERO,
        counted: 0,
        version: row.get("version")?,
    })
}

/// A row of many that were read ahead on a server, under a lock that keeps it as it is.
pub(super) fn read_ahead(
    memory: &Memory,
    subscription: SubscriptionNo,
    row: &Row<'_>,
) -> Result<(), StoreError> {
    if row.get::<_, String>("status")? != "active" {
        memory.forget(subscription);
    } else if !memory.is_still(subscription, row.get("version")?) {
        memory.replace(subscription, read_entry(row)?);
    }
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Health, StoreError> {
    let since = rows::optional_time(row, "drain_since_ms")?;
    let until = row.get::<_, Option<i64>>("drain_until")?.map(Seq);
    Ok(Health {
        is_failing: row.get::<_, i64>("health")? == FAILING,
        is_paused: rows::optional_time(row, "paused_ms")?.is_some(),
        consecutive_failures: row.get("consecutive_failures")?,
        first_failure_at: rows::optional_time(row, "first_failure_ms")?,
        last_success_at: rows::optional_time(row, "last_success_ms")?,
        last_failure_at: rows::optional_time(row, "last_failure_ms")?,
        probe: Probe { step: row.get("probe_step")?, next_at: rows::time(row, "probe_next_ms")? },
        pace: Pace {
            minute_at: rows::time(row, "pace_minute_ms")?,
            good: row.get("pace_good")?,
            last_good: row.get("pace_last_good")?,
        },
        drain: since.zip(until).map(|(since, until)| Drain { since, until }),
    })
}

fn write(tx: &mut Tx<'_>, subscription: SubscriptionNo, entry: &mut Entry) -> Result<(), StoreError> {
    let health = &entry.health;
    let ms = |time: Option<TimeMs>| time.map(|time| time.0);
    tx.write(
        &WRITE,
        params![
            subscription.0,
            if health.is_failing { FAILING } else { HEALTHY },
            health.consecutive_failures,
            ms(health.first_failure_at),
            ms(health.last_success_at),
            ms(health.last_failure_at),
            health.probe.step,
            health.probe.next_at.0,
            entry.probe.map(|(delivery, _)| delivery.0),
            entry.probe.map(|(_, claim_no)| claim_no),
            entry.seen.0,
            health.pace.minute_at.0,
            health.pace.good,
            health.pace.last_good,
            health.drain.map(|drain| drain.since.0),
            health.drain.map(|drain| drain.until.0)
        ],
    )?;
    (entry.written_at, entry.counted) = (tx.context.clock.schedule(), 0);
    entry.version = tx.context.health.version();
    tx.memory.stands(subscription, standing(health.is_failing, health.drain.map(|drain| drain.since)));
    Ok(())
}

fn view(health: &Health) -> HealthView {
    HealthView {
        is_failing: health.is_failing,
        consecutive_failures: health.consecutive_failures,
        last_success_at: health.last_success_at,
        last_failure_at: health.last_failure_at,
    }
}

/// What is shown of a subscription's row.
pub(super) fn read_view(row: &Row<'_>) -> Result<HealthView, StoreError> {
    Ok(HealthView {
        is_failing: row.get::<_, i64>("health")? == FAILING,
        consecutive_failures: row.get("consecutive_failures")?,
        last_success_at: rows::optional_time(row, "last_success_ms")?,
        last_failure_at: rows::optional_time(row, "last_failure_ms")?,
    })
}

/// What a claim must know of a subscription's row.
pub(super) fn read_standing(row: &Row<'_>) -> Result<Standing, StoreError> {
    let is_failing = row.get::<_, i64>("health")? == FAILING;
    Ok(standing(is_failing, rows::optional_time(row, "drain_since_ms")?))
}

fn standing(is_failing: bool, draining_since: Option<TimeMs>) -> Standing {
    match (is_failing, draining_since) {
        (true, _) => Standing::Failing,
        (false, Some(since)) => Standing::Draining(since),
        (false, None) => Standing::Open,
    }
}

#[cfg(test)]
mod tests;

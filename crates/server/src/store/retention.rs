//! Retention: history that is old enough is deleted, in chunks of at most 5 ms behind everything that waits
//! for the writer.
//!
//! *Lines of the attempt log* are in the order of their number as they are in the order of time, so each
//! organisation's are walked from its oldest, by an index that its lists use, and the walk ends at the first
//! young one.
//!
//! *An event goes with its deliveries*, and not before the last of them ended long enough ago: so a delivery
//! with an old number that ended lately stays, and its event with it, and no list ever shows a delivery
//! without its event. Each organisation's events are walked by their index, too, from the place that the walk
//! had come to, up to the first young one. An old event that must stay is noted with the time to look again
//! and passed, so that it is looked at once a day and not at every walk, and never hides those after it.
//!
//! *What is needed*: [`still_needed`] is the one place that knows. A delivery that has not ended is never
//! deleted, nor its event.
//!
//! *On a server* whole days go at once ([`days`]) where nobody keeps them any longer; the walk is for the rest: what
//! is kept for a shorter time than others keep theirs, and what stayed of the days that went.
//!
//! Each organisation has a place of its own, so that one which keeps its history for ten years does not hold
//! up, or get scanned for, one that keeps it for a day.

mod days;

use std::time::Duration;

use super::accept::DedupeKind;
use super::cancel::Tidied;
use super::error::StoreError;
use super::locks::Task;
use super::writer::Tx;
use super::{Store, context, rows};
use crate::domain::metrics::Swept;
use crate::domain::number::{DELIVERIES_PER_SEQ, OrganizationNo, Seq};
use crate::domain::retention::Retention;
use crate::domain::time::TimeMs;
use crate::store::sql::{Connection, params};

/// Events, or lines of the log, that one chunk looks at: 3.7 ms at 37 µs each, measured with the commit.
pub const CHUNK_ROWS: usize = 100;
/// A chunk begins nothing more after this. Together with the last event's 40 deliveries it stays below 5 ms.
const CHUNK_WORK: Duration = Duration::from_millis(2);
/// An old event that must stay is looked at again after this.
pub const LOOK_AGAIN: Duration = Duration::from_hours(24);

const NEXT_WITH_EVENTS: &str = "SELECT min(organization_id) FROM events WHERE organization_id > $1";
const NEXT_WITH_ATTEMPTS: &str = "SELECT min(organization_id) FROM attempts WHERE organization_id > $1";
const OLDEST_ATTEMPT: &str = "SELECT created_ms FROM attempts WHERE organization_id = $1 ORDER BY no LIMIT 1";
const ATTEMPTS: &str = "SELECT no, created_ms, delivery, attempt_no FROM attempts WHERE organization_id = $1
    ORDER BY no LIMIT $2";
const REMOVE_ATTEMPT: &str = "DELETE FROM attempts WHERE no = $1";
/// With the last line about it.
const REMOVE_CALL: &str = "DELETE FROM calls WHERE no = $1 AND attempts = $2";
const PLACE: &str = "SELECT after_seq FROM retention_places WHERE organization_id = $1";
const SET_PLACE: &str = "INSERT INTO retention_places (organization_id, after_seq) VALUES ($1, $2)
    ON CONFLICT (organization_id) DO UPDATE SET after_seq = excluded.after_seq";
const EVENTS: &str = "SELECT seq, id, accepted_ms FROM events WHERE organization_id = $1 AND seq > $2
    ORDER BY seq LIMIT $3";
const EVENT_ID: &str = "SELECT id FROM events WHERE seq = $1";
const QUEUED: &str = "SELECT 1 FROM queue WHERE no BETWEEN $1 AND $2 AND event_seq = $3
    UNION ALL SELECT 1 FROM parked WHERE no BETWEEN $1 AND $2 AND event_seq = $3
    UNION ALL SELECT 1 FROM queue WHERE event_seq = $3 AND class IN (3, 4) LIMIT 1";
const LAST_END: &str = "SELECT max(ended_ms) FROM (
    SELECT ended_ms FROM deliveries WHERE no BETWEEN $1 AND $2 AND event_seq = $3
    UNION ALL SELECT ended_ms FROM deliveries WHERE event_seq = $3 AND class IN (3, 4)) ended";
const REMOVE_DELIVERIES: &str = "DELETE FROM deliveries WHERE no BETWEEN $1 AND $2 AND event_seq = $3";
const REMOVE_REPEATED: &str = "DELETE FROM deliveries WHERE event_seq = $1 AND class IN (3, 4)";
const REMOVE_EVENT: &str = "DELETE FROM events WHERE seq = $1";
const REMOVE_ID: &str = "DELETE FROM dedupe WHERE organization_id = $1 AND kind = $2 AND key = $3";
const NOTE: &str = "INSERT INTO retention_late (event_seq, organization_id, look_ms) VALUES ($1, $2, $3)
    ON CONFLICT (event_seq) DO UPDATE SET look_ms = excluded.look_ms";
const NOTED: &str = "SELECT event_seq, organization_id FROM retention_late WHERE look_ms <= $1
    ORDER BY look_ms, event_seq LIMIT $2";
const UNNOTE: &str = "DELETE FROM retention_late WHERE event_seq = $1";

/// What a chunk removed.
#[derive(Debug, Clone, Copy, Default)]
struct Removed {
    events: usize,
    deliveries: usize,
}

impl Store {
    /// The first organisation after this one that has any history, itself deleted or not.
    pub async fn organization_with_history(
        &self,
        after: OrganizationNo,
    ) -> Result<Option<OrganizationNo>, StoreError> {
        self.read(move |connection| {
            let next = |sql| rows::scalar::<Option<i64>>(connection, sql, params![after.0]);
            let (events, attempts) = (next(NEXT_WITH_EVENTS)?.flatten(), next(NEXT_WITH_ATTEMPTS)?.flatten());
            Ok(events.into_iter().chain(attempts).min().map(OrganizationNo))
        })
        .await
    }

    /// Removes one chunk of an organisation's attempts that are not younger than `cutoff`.
    pub async fn expire_attempts_chunk(
        &self,
        organization: OrganizationNo,
        cutoff: TimeMs,
    ) -> Result<Tidied, StoreError> {
        let oldest = self
            .read(move |connection| rows::scalar::<i64>(connection, OLDEST_ATTEMPT, params![organization.0]));
        if oldest.await?.is_none_or(|oldest| oldest > cutoff.0) {
            return Ok(Tidied::Nothing);
        }
        let (tidied, removed) = self.writer.tidy(move |tx| expire_attempts(tx, organization, cutoff)).await?;
        self.metrics.sweep(Swept::Attempts, removed);
        Ok(tidied)
    }

    /// Removes one chunk of an organisation's events that were accepted, and whose deliveries ended, not
    /// after `cutoff`; those that must stay are noted.
    pub async fn expire_events_chunk(
        &self,
        organization: OrganizationNo,
        cutoff: TimeMs,
    ) -> Result<Tidied, StoreError> {
        let oldest = self.read(move |connection| {
            let after = place(connection, organization)?;
            rows::optional(connection, EVENTS, params![organization.0, after, 1], |row| {
                Ok(row.get::<_, i64>("accepted_ms")?)
            })
        });
        if oldest.await?.is_none_or(|oldest| oldest > cutoff.0) {
            return Ok(Tidied::Nothing);
        }
        let (tidied, removed) = self.writer.tidy(move |tx| expire_events(tx, organization, cutoff)).await?;
        self.count_removed(removed);
        Ok(tidied)
    }

    /// Looks at one chunk of the events that were still needed when they grew old.
    pub async fn expire_late_chunk(&self, retention: &Retention, now: TimeMs) -> Result<Tidied, StoreError> {
        let due =
            self.read(move |connection| rows::optional(connection, NOTED, params![now.0, 1], |_| Ok(())));
        if due.await?.is_none() {
            return Ok(Tidied::Nothing);
        }
        let retention = retention.clone();
        let (tidied, removed) = self.writer.tidy(move |tx| expire_late(tx, &retention, now)).await?;
        self.count_removed(removed);
        Ok(tidied)
    }

    fn count_removed(&self, removed: Removed) {
        self.metrics.sweep(Swept::Events, removed.events);
        self.metrics.sweep(Swept::Deliveries, removed.deliveries);
    }
}

/// Whether something that has not ended needs the event: a row of the queue, made with it, by hand or by a
/// recovery, or parked behind another of its conversation.
pub(super) fn still_needed(connection: &Connection, event: Seq) -> Result<bool, StoreError> {
    let (first, last) = deliveries_of(event);
    Ok(rows::scalar::<i64>(connection, QUEUED, params![first, last, event.0])?.is_some())
}

/// The numbers that an event's own deliveries have.
fn deliveries_of(event: Seq) -> (i64, i64) {
    (event.0 * DELIVERIES_PER_SEQ, event.0 * DELIVERIES_PER_SEQ + DELIVERIES_PER_SEQ - 1)
}

fn place(connection: &Connection, organization: OrganizationNo) -> Result<i64, StoreError> {
    Ok(rows::scalar(connection, PLACE, params![organization.0])?.unwrap_or(0))
}

fn expire_attempts(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    cutoff: TimeMs,
) -> Result<(Tidied, usize), StoreError> {
    if !tx.takes(Task::Retention)? {
        return Ok((Tidied::Nothing, 0));
    }
    let began = tx.context.clock.monotonic();
    let found = rows::all(tx, ATTEMPTS, params![organization.0, CHUNK_ROWS], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
    })?;
    let mut removed = 0;
    for (no, created_ms, delivery, attempt_no) in &found {
        if *created_ms > cutoff.0 {
            return Ok((Tidied::Nothing, removed));
        }
        removed += tx.run(REMOVE_ATTEMPT, params![no])?;
        if *delivery < 0 {
            tx.run(REMOVE_CALL, params![-delivery, attempt_no])?;
        }
        if is_over(tx, began) {
            break;
        }
    }
    Ok((if found.is_empty() { Tidied::Nothing } else { Tidied::More }, removed))
}

fn expire_events(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    cutoff: TimeMs,
) -> Result<(Tidied, Removed), StoreError> {
    if !tx.takes(Task::Retention)? {
        return Ok((Tidied::Nothing, Removed::default()));
    }
    let began = tx.context.clock.monotonic();
    let mut after = place(tx, organization)?;
    let found = rows::all(tx, EVENTS, params![organization.0, after, CHUNK_ROWS], |row| {
        Ok((Seq(row.get("seq")?), row.get::<_, [u8; 16]>("id")?, row.get::<_, i64>("accepted_ms")?))
    })?;
    let has_context = has_context(tx, found.iter().map(|(event, ..)| *event))?;
    let (mut removed, mut tidied) = (Removed::default(), Tidied::More);
    for (event, id, accepted_ms) in &found {
        if *accepted_ms > cutoff.0 {
            tidied = Tidied::Nothing;
            break;
        }
        expire(tx, organization, (*event, *id), (cutoff, has_context), &mut removed)?;
        after = event.0;
        if is_over(tx, began) {
            break;
        }
    }
    tx.run(SET_PLACE, params![organization.0, after])?;
    Ok((if found.is_empty() { Tidied::Nothing } else { tidied }, removed))
}

fn expire_late(tx: &mut Tx<'_>, retention: &Retention, now: TimeMs) -> Result<(Tidied, Removed), StoreError> {
    if !tx.takes(Task::Retention)? {
        return Ok((Tidied::Nothing, Removed::default()));
    }
    let began = tx.context.clock.monotonic();
    let found = rows::all(tx, NOTED, params![now.0, CHUNK_ROWS], |row| {
        Ok((Seq(row.get(0)?), OrganizationNo(row.get(1)?)))
    })?;
    let has_context = has_context(tx, found.iter().map(|(event, _)| *event))?;
    let mut removed = Removed::default();
    for (event, organization) in &found {
        match rows::scalar(tx, EVENT_ID, params![event.0])? {
            Some(id) => {
                let cutoff = retention.cutoff(*organization, now);
                expire(tx, *organization, (*event, id), (cutoff, has_context), &mut removed)?;
            }
            None => {
                tx.run(UNNOTE, params![event.0])?;
            }
        }
        if is_over(tx, began) {
            break;
        }
    }
    Ok((if found.is_empty() { Tidied::Nothing } else { Tidied::More }, removed))
}

/// Removes an old event with all that hangs on it, or notes when to look at it again.
fn expire(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    (event, id): (Seq, [u8; 16]),
    (cutoff, has_context): (TimeMs, bool),
    removed: &mut Removed,
) -> Result<(), StoreError> {
    let (first, last) = deliveries_of(event);
    let ended = rows::scalar::<Option<i64>>(tx, LAST_END, params![first, last, event.0])?.flatten();
    if ended.is_some_and(|ended| ended > cutoff.0) || still_needed(tx, event)? {
        let look = tx.context.clock.schedule().min(tx.context.clock.wall()).after(LOOK_AGAIN);
        tx.run(NOTE, params![event.0, organization.0, look.0])?;
        return Ok(());
    }
    removed.deliveries += tx.run(REMOVE_DELIVERIES, params![first, last, event.0])?;
    removed.deliveries += tx.run(REMOVE_REPEATED, params![event.0])?;
    tx.run(REMOVE_ID, params![organization.0, DedupeKind::EventId as i64, &id[..]])?;
    tx.run(UNNOTE, params![event.0])?;
    if has_context {
        context::forget(tx, event)?;
    }
    removed.events += tx.run(REMOVE_EVENT, params![event.0])?;
    Ok(())
}

/// Whether contexts find any of these events, or go with one: asked once for all of them.
fn has_context(tx: &Tx<'_>, events: impl Iterator<Item = Seq> + Clone) -> Result<bool, StoreError> {
    match (events.clone().min(), events.max()) {
        (Some(first), Some(last)) => context::has_any(tx, first, last),
        _ => Ok(false),
    }
}

fn is_over(tx: &Tx<'_>, began: Duration) -> bool {
    tx.context.clock.monotonic().saturating_sub(began) >= CHUNK_WORK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    /// Every statement that a walk repeats reads by an index or a key and never sorts.
    #[test]
    fn no_statement_reads_more_than_it_returns() {
        let id = [0_u8; 16];
        let plans = [
            plan::of(OLDEST_ATTEMPT, params![1]),
            plan::of(ATTEMPTS, params![1, 1]),
            plan::of(EVENTS, params![1, 1, 1]),
            plan::of(QUEUED, params![1, 1, 1]),
            plan::of(REMOVE_CALL, params![1, 1]),
            plan::of(REMOVE_DELIVERIES, params![1, 1, 1]),
            plan::of(REMOVE_REPEATED, params![1]),
            plan::of(REMOVE_ID, params![1, 1, &id[..]]),
            plan::of(NOTED, params![1, 1]),
        ];
        for plan in &plans {
            plan::assert_bounded(plan);
        }
        for (sql, params) in
            [(NEXT_WITH_EVENTS, params![1]), (NEXT_WITH_ATTEMPTS, params![1]), (LAST_END, params![1, 1, 1])]
        {
            let plan = plan::of(sql, params);
            assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{plan:#?}");
            let reads_all = |step: &String| step.starts_with("SCAN") && !step.contains("subquery");
            assert!(!plan.iter().any(reads_all), "{sql}: {plan:#?}");
        }
    }
}

//! Recover jobs: events of a window delivered once more to one subscription.
//!
//! A job is a row with a cursor. Each chunk walks on over the events of the subscription's owners, makes
//! deliveries of class *recover* for those that are wanted, and moves the cursor, in one transaction behind
//! everything that waits for the writer. So a crash loses nothing and repeats nothing, and a job goes on
//! where it was when the next process begins. At most [`MAX_QUEUED`] of its deliveries wait at any time,
//! whatever the window holds: the rest follows as they are sent.
//!
//! What a job makes has an acceptance number of its own, like a replay: any number of recoveries of the same
//! event have room, none is cancelled by what happened to its type before, and the order by conversation
//! does not know of them.

mod scan;

use inkhook_wire::event::EventType;
use inkhook_wire::id::SubscriptionId;
use uuid::Uuid;

pub use scan::{Count, MAX_COUNTED};

use self::scan::Target;
use super::accept::{MAX_FAN_OUT, NewDelivery, enqueue};
use super::error::StoreError;
use super::writer::{Hold, Tx};
use super::{Store, rows};
use crate::domain::caller::Scope;
use crate::domain::delivery::Class;
use crate::domain::number::{DeliveryNo, Seq, SubscriptionNo};
use crate::domain::recover::{Job, JobId, JobState, Recover, Which};
use crate::domain::time::TimeMs;
use crate::store::locks::Task;
use crate::store::sql::{Connection, Row, params};

/// Events that one chunk looks at: a few milliseconds at most.
pub const CHUNK_EVENTS: usize = 100;
/// Deliveries of a subscription's jobs that wait at the same time at most.
pub const MAX_QUEUED: usize = 1_000;
/// Deliveries that go under one acceptance number.
const PER_SEQ: usize = MAX_FAN_OUT;
/// Jobs of a subscription that are remembered.
pub const KEPT_JOBS: usize = 20;

/// What became of a new job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartRecover {
    /// It runs.
    Started(Job),
    /// The subscription is not there, or not for this scope to know.
    NotFound,
    /// Another one of the subscription is running.
    Running(JobId),
}

/// What a chunk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It got on.
    Advanced,
    /// As much as may wait is waiting.
    Full,
    /// It has ended.
    Ended,
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT j.*, s.id AS subscription_id FROM recover_jobs j
            JOIN subscriptions s ON s.no = j.subscription AND s.status = 'active' WHERE ",
            $condition
        )
    };
}

const ADD: &str = "INSERT INTO recover_jobs (id, organization_id, subscription, which, since_ms, until_ms,
    state, after_seq, last_seq, created_ms, updated_ms) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $9)";
const RUNNING: &str = "SELECT id FROM recover_jobs WHERE subscription = $1 AND state = 1";
const FORGET: &str = "DELETE FROM recover_jobs WHERE subscription = $1 AND state <> 1 AND no <=
    (SELECT no FROM recover_jobs WHERE subscription = $1 ORDER BY no DESC LIMIT 1 OFFSET $2)";
const ONE: &str =
    select!("j.id = $1 AND s.id = $2 AND j.organization_id = $3 AND (s.identity_id = $4 OR $4 IS NULL)");
const LIST: &str = select!("j.subscription = $1 ORDER BY j.no DESC");
const NEXT_RUNNING: &str = "SELECT no, subscription, which, since_ms, until_ms, after_seq, last_seq
    FROM recover_jobs WHERE state = 1 AND subscription > $1 ORDER BY subscription LIMIT 1";
const QUEUED: &str =
    "SELECT count(*) FROM (SELECT 1 FROM queue WHERE subscription = $1 AND class = 3 LIMIT $2) few";
const ADVANCE: &str =
    "UPDATE recover_jobs SET after_seq = $2, examined = examined + $3, queued = queued + $4,
    updated_ms = $5 WHERE no = $1";
const END: &str = "UPDATE recover_jobs SET state = $2, updated_ms = $3, ended_ms = $3
    WHERE subscription = $1 AND state = 1";

impl Store {
    /// Begins a job.
    pub async fn start_recover(
        &self,
        scope: Scope,
        id: SubscriptionId,
        recover: Recover,
    ) -> Result<StartRecover, StoreError> {
        self.change(move |tx| start(tx, scope, id, recover)).await
    }

    /// How many deliveries such a job would make now. `None`: the subscription is not there.
    pub async fn count_recover(
        &self,
        scope: Scope,
        id: SubscriptionId,
        recover: Recover,
        now: TimeMs,
    ) -> Result<Option<Count>, StoreError> {
        scan::count(self, scope, id, recover, now).await
    }

    /// A subscription's jobs, newest first. `None`: the subscription is not there.
    pub async fn recover_jobs(
        &self,
        scope: Scope,
        id: SubscriptionId,
    ) -> Result<Option<Vec<Job>>, StoreError> {
        self.read(move |connection| {
            let Some(target) = Target::of(connection, scope, id)? else { return Ok(None) };
            rows::all(connection, LIST, params![target.no.0], read).map(Some)
        })
        .await
    }

    /// One job.
    pub async fn recover_job(
        &self,
        scope: Scope,
        subscription: SubscriptionId,
        id: JobId,
    ) -> Result<Option<Job>, StoreError> {
        self.read(move |connection| find(connection, scope, subscription, id)).await
    }

    /// Ends a job that runs; what it has queued stays queued. The job as it is then, or as it had ended.
    pub async fn cancel_recover(
        &self,
        scope: Scope,
        subscription: SubscriptionId,
        id: JobId,
    ) -> Result<Option<Job>, StoreError> {
        self.change(move |tx| {
            let Some(job) = find(tx, scope, subscription, id)? else { return Ok(None) };
            if job.state != JobState::Running {
                return Ok(Some(job));
            }
            let Some(target) = Target::of(tx, scope, subscription)? else { return Ok(None) };
            end(tx, target.no, JobState::Cancelled)?;
            find(tx, scope, subscription, id)
        })
        .await
    }

    /// One chunk of the first running job whose subscription comes after this one: which that was and what
    /// it came to. `None`: there is none.
    pub async fn recover_chunk(
        &self,
        after: SubscriptionNo,
    ) -> Result<Option<(SubscriptionNo, Progress)>, StoreError> {
        self.writer.tidy(move |tx| chunk(tx, after)).await
    }

    /// Gives the job of the first subscription after this one up, because what it met cannot be read.
    pub async fn fail_recover(&self, after: SubscriptionNo) -> Result<Option<SubscriptionNo>, StoreError> {
        self.change(move |tx| {
            let Some(running) = next_running(tx, after)? else { return Ok(None) };
            end(tx, running.subscription, JobState::Failed)?;
            Ok(Some(running.subscription))
        })
        .await
    }
}

fn start(
    tx: &mut Tx<'_>,
    scope: Scope,
    id: SubscriptionId,
    recover: Recover,
) -> Result<StartRecover, StoreError> {
    let Some(target) = tx.held(Hold::Alone, |tx| Target::of(tx, scope, id), |target| target.no)? else {
        return Ok(StartRecover::NotFound);
    };
    let running = rows::optional(tx, RUNNING, params![target.no.0], |row| Ok(JobId(rows::id(row, "id")?)))?;
    if let Some(running) = running {
        return Ok(StartRecover::Running(running));
    }
    let now = tx.context.clock.wall();
    let job = tx.context.entropy.uuid_at(now);
    let (after, last) = scan::range(tx, target.organization, recover, tx.last_seq()?)?;
    tx.run(
        ADD,
        params![
            job.as_bytes(),
            target.organization.0,
            target.no.0,
            recover.which.code(),
            recover.since.0,
            recover.until.0,
            after.0,
            last.0,
            now.0
        ],
    )?;
    tx.run(FORGET, params![target.no.0, KEPT_JOBS])?;
    let started = find(tx, scope, id, JobId(job))?;
    Ok(started.map_or(StartRecover::NotFound, StartRecover::Started))
}

/// The subscription is gone: its job ends with it.
pub(super) fn cancel_of(tx: &Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    end(tx, subscription, JobState::Cancelled)
}

fn end(tx: &Tx<'_>, subscription: SubscriptionNo, state: JobState) -> Result<(), StoreError> {
    tx.run(END, params![subscription.0, state.code(), tx.context.clock.wall().0])?;
    Ok(())
}

/// A running job, as a chunk needs it.
struct Running {
    no: i64,
    subscription: SubscriptionNo,
    recover: Recover,
    after: Seq,
    last: Seq,
}

fn next_running(tx: &Tx<'_>, after: SubscriptionNo) -> Result<Option<Running>, StoreError> {
    rows::optional(tx, NEXT_RUNNING, params![after.0], |row| {
        Ok(Running {
            no: row.get("no")?,
            subscription: SubscriptionNo(row.get("subscription")?),
            recover: read_recover(row)?,
            after: Seq(row.get("after_seq")?),
            last: Seq(row.get("last_seq")?),
        })
    })
}

fn chunk(tx: &mut Tx<'_>, after: SubscriptionNo) -> Result<Option<(SubscriptionNo, Progress)>, StoreError> {
    if !tx.takes(Task::Recover)? {
        return Ok(None);
    }
    let Some(job) = tx.held(Hold::Alone, |tx| next_running(tx, after), |job| job.subscription)? else {
        return Ok(None);
    };
    let subscription = job.subscription;
    let Some(target) = Target::load(tx, subscription)? else {
        end(tx, subscription, JobState::Cancelled)?;
        return Ok(Some((subscription, Progress::Ended)));
    };
    let queued: usize = rows::scalar(tx, QUEUED, params![subscription.0, MAX_QUEUED])?.unwrap_or(0);
    if queued + CHUNK_EVENTS > MAX_QUEUED {
        return Ok(Some((subscription, Progress::Full)));
    }
    let now = tx.context.clock.wall();
    let events = scan::events(tx, &target, job.after, job.last, CHUNK_EVENTS)?;
    let mut numbers = Numbers::default();
    let mut made = 0;
    for event in &events {
        if !scan::is_wanted(tx, &target, job.recover, now, event)? {
            continue;
        }
        let delivery = NewDelivery {
            no: numbers.next(tx)?,
            organization: target.organization,
            subscription,
            event: event.seq,
            event_type: event.event_type,
            class: Class::Recover,
            expires_at: event.expires_at,
        };
        enqueue(tx, &delivery, now)?;
        made += 1;
    }
    tx.count_rows(events.len());
    let reached = events.last().map_or(job.last, |event| event.seq);
    tx.run(ADVANCE, params![job.no, reached.0, events.len(), made, now.0])?;
    if events.len() == CHUNK_EVENTS {
        return Ok(Some((subscription, Progress::Advanced)));
    }
    end(tx, subscription, JobState::Completed)?;
    Ok(Some((subscription, Progress::Ended)))
}

/// Delivery numbers of a chunk, under fresh acceptance numbers.
#[derive(Default)]
struct Numbers {
    current: Option<(Seq, usize)>,
}

impl Numbers {
    fn next(&mut self, tx: &mut Tx<'_>) -> Result<DeliveryNo, StoreError> {
        let room = self.current.filter(|(_, position)| *position < PER_SEQ);
        let (seq, position) = match room {
            Some(room) => room,
            None => (tx.next_seq()?, 0),
        };
        self.current = Some((seq, position + 1));
        Ok(DeliveryNo::new(seq, position))
    }
}

fn find(
    connection: &Connection,
    scope: Scope,
    subscription: SubscriptionId,
    id: JobId,
) -> Result<Option<Job>, StoreError> {
    let identity = scope.identity.map(|id| id.as_uuid().into_bytes());
    let (job, subscription) = (id.0.into_bytes(), subscription.as_uuid().into_bytes());
    rows::optional(connection, ONE, params![job, subscription, scope.organization.0, identity], read)
}

fn read_recover(row: &Row<'_>) -> Result<Recover, StoreError> {
    let which = Which::from_code(row.get("which")?).ok_or(StoreError::Corrupt("what a job recovers"))?;
    Ok(Recover { which, since: rows::time(row, "since_ms")?, until: rows::time(row, "until_ms")? })
}

fn read(row: &Row<'_>) -> Result<Job, StoreError> {
    let id: Uuid = rows::id(row, "id")?;
    Ok(Job {
        id: JobId(id),
        subscription_id: rows::id(row, "subscription_id")?,
        recover: read_recover(row)?,
        state: JobState::from_code(row.get("state")?).ok_or(StoreError::Corrupt("a job's state"))?,
        examined: row.get("examined")?,
        queued: row.get("queued")?,
        created_at: rows::time(row, "created_ms")?,
        updated_at: rows::time(row, "updated_ms")?,
        ended_at: rows::optional_time(row, "ended_ms")?,
    })
}

/// An event on a job's way.
struct Candidate {
    seq: Seq,
    event_type: EventType,
    identity: Uuid,
    accepted_at: TimeMs,
    expires_at: Option<TimeMs>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn every_statement_goes_by_an_index() {
        for (sql, params) in
            [(RUNNING, 1), (FORGET, 2), (ONE, 4), (LIST, 1), (NEXT_RUNNING, 1), (END, 3), (ADVANCE, 5)]
        {
            plan::assert_bounded(&plan::of(sql, rusqlite::params_from_iter(vec![0; params])));
        }
        let queued = plan::of(QUEUED, [0, 0]);
        assert!(
            queued
                .iter()
                .any(|step| step.contains("COVERING INDEX queue_by_due (subscription=? AND class=?)"))
        );
    }
}

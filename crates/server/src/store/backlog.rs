//! How much each organisation has queued, and the limit on it.
//!
//! Counted in memory by the writer: what a committed group queued and ended is added and taken away, so the
//! question costs a look into a map. What was queued before this process began is counted by the janitor, a
//! chunk a transaction, in the order of the queue's key: rows beyond the place that the count has come to
//! are neither added nor taken away, so that the sum is exact when it arrives. Until then it is too low,
//! never too high, and a start does not wait for it.
//!
//! Bytes are an estimate: each delivery brings its row, each event its payload once, and a delivery that
//! ends takes the mean of its organisation with it. It is exact for events of one size, and exact again
//! whenever the queue is empty.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cancel::Tidied;
use super::error::StoreError;
use super::writer::Tx;
use super::{Store, rows};
use crate::domain::number::{DELIVERIES_PER_SEQ, DeliveryNo, OrganizationNo, Seq};
use crate::store::sql::params;

/// What a queued delivery takes on disk besides its event: its row and its places in the indices.
pub(super) const ROW_BYTES: i64 = 200;
/// Rows that one chunk of the count looks at: 2.5 ms at 5 µs for a row and its event, measured with the commit.
pub const CHUNK_ROWS: usize = 500;

/// What one organisation may have queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacklogLimit {
    /// Deliveries that have not ended.
    pub deliveries: u64,
    /// Bytes of them and their events.
    pub bytes: u64,
}

impl Default for BacklogLimit {
    fn default() -> Self {
        Self { deliveries: 10_000_000, bytes: 20 * 1024 * 1024 * 1024 }
    }
}

/// What a group did to one organisation's backlog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) rows_in: i64,
    pub(super) bytes_in: i64,
    pub(super) rows_out: i64,
}

impl Change {
    pub(super) fn add(&mut self, other: Self) {
        self.rows_in += other.rows_in;
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.rows_out += other.rows_out;
    }
}

/// The counts. Written by the writer, read by whoever publishes.
#[derive(Debug)]
pub(super) struct Backlog {
    limit: BacklogLimit,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    organizations: HashMap<OrganizationNo, Queued>,
    /// An organisation's own limit on deliveries.
    own_limits: HashMap<OrganizationNo, u64>,
    total: i64,
    counted_to: DeliveryNo,
    counted_from: DeliveryNo,
}

#[derive(Debug, Clone, Copy, Default)]
struct Queued {
    rows: i64,
    bytes: i64,
}

impl Queued {
    fn apply(&mut self, change: Change) {
        self.rows += change.rows_in;
        self.bytes = self.bytes.saturating_add(change.bytes_in);
        if change.rows_out >= self.rows {
            *self = Self::default();
        } else {
            let share = i128::from(self.bytes) * i128::from(change.rows_out) / i128::from(self.rows);
            self.bytes -= i64::try_from(share).unwrap_or(self.bytes);
            self.rows -= change.rows_out;
        }
    }
}

impl Backlog {
    /// Nothing is counted yet; rows after `last` are counted as they come.
    pub(super) fn new(limit: BacklogLimit, last: Seq) -> Self {
        let state = State {
            organizations: HashMap::new(),
            own_limits: HashMap::new(),
            total: 0,
            counted_to: DeliveryNo(0),
            counted_from: end_of(last),
        };
        Self { limit, state: Mutex::new(state) }
    }

    /// Whether the organisation may have more.
    pub(super) fn check(&self, organization: OrganizationNo) -> Result<(), StoreError> {
        let state = self.lock();
        let Some(queued) = state.organizations.get(&organization) else { return Ok(()) };
        let own = state.own_limits.get(&organization);
        let deliveries = own.copied().unwrap_or(self.limit.deliveries);
        if u64::try_from(queued.rows).unwrap_or(0) >= deliveries {
            return Err(StoreError::TooManyQueued(deliveries));
        }
        if u64::try_from(queued.bytes).unwrap_or(0) >= self.limit.bytes {
            return Err(StoreError::TooMuchQueued(self.limit.bytes));
        }
        Ok(())
    }

    /// What is known to be queued for an organisation: deliveries, and bytes as estimated.
    pub(super) fn of(&self, organization: OrganizationNo) -> (u64, u64) {
        let queued = self.lock().organizations.get(&organization).copied().unwrap_or_default();
        (u64::try_from(queued.rows).unwrap_or(0), u64::try_from(queued.bytes).unwrap_or(0))
    }

    pub(super) fn set_own_limit(&self, organization: OrganizationNo, deliveries: Option<u64>) {
        let mut state = self.lock();
        match deliveries {
            Some(deliveries) => state.own_limits.insert(organization, deliveries),
            None => state.own_limits.remove(&organization),
        };
    }

    /// How far the count of earlier rows has come, and where it ends.
    pub(super) fn counted(&self) -> (DeliveryNo, DeliveryNo) {
        let state = self.lock();
        (state.counted_to, state.counted_from)
    }

    /// What a committed group did; the total after it.
    pub(super) fn apply(&self, counted_to: DeliveryNo, changes: Vec<(OrganizationNo, Change)>) -> i64 {
        let mut state = self.lock();
        state.counted_to = counted_to;
        for (organization, change) in changes {
            let queued = state.organizations.entry(organization).or_default();
            let before = queued.rows;
            queued.apply(change);
            let after = queued.rows;
            if after == 0 {
                state.organizations.remove(&organization);
            }
            state.total += after - before;
        }
        state.total
    }

    /// What all nodes together have queued, as the database says. An organisation's bytes follow its rows.
    fn set(&self, counted: &[(OrganizationNo, i64)]) -> i64 {
        let mut state = self.lock();
        let known = std::mem::take(&mut state.organizations);
        state.total = 0;
        for (organization, rows) in counted {
            let (before, after) = (known.get(organization).copied().unwrap_or_default(), *rows);
            let mean = if before.rows > 0 { before.bytes / before.rows } else { ROW_BYTES + ASSUMED_BYTES };
            state
                .organizations
                .insert(*organization, Queued { rows: after, bytes: mean.saturating_mul(after) });
            state.total += after;
        }
        state.total
    }

    /// Nobody counts what was there before: [`Backlog::set`] says it.
    pub(super) fn is_told(&self) {
        let mut state = self.lock();
        state.counted_to = state.counted_from;
    }

    /// Nobody knows what the last group did: everything is counted again.
    pub(super) fn start_over(&self, last: Seq) {
        let mut state = self.lock();
        state.organizations.clear();
        (state.total, state.counted_to, state.counted_from) = (0, DeliveryNo(0), end_of(last));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last delivery that an acceptance number can have.
fn end_of(seq: Seq) -> DeliveryNo {
    DeliveryNo(seq.0.saturating_add(1).saturating_mul(DELIVERIES_PER_SEQ) - 1)
}

/// What an event is taken to weigh before any was seen.
const ASSUMED_BYTES: i64 = 1_024;

const COUNT_ALL: &str = "SELECT organization_id, count(*) FROM
    (SELECT organization_id FROM queue UNION ALL SELECT organization_id FROM parked) waiting
    GROUP BY organization_id";
/// [`COUNT_ALL`] reads whole tables, which sessions avoid otherwise.
const READ_IT_ALL: &str = "SET LOCAL enable_seqscan = on";
const CHUNK: &str = "SELECT q.no, q.organization_id,
    coalesce(length(e.payload) / CASE WHEN e.fan_out > 1 THEN e.fan_out ELSE 1 END, 0) AS share_bytes
    FROM queue q LEFT JOIN events e ON e.seq = q.event_seq
    WHERE q.no > $1 AND q.no <= $2 ORDER BY q.no LIMIT $3";

impl Store {
    /// Counts one chunk of what was queued before this process began.
    pub async fn count_backlog_chunk(&self) -> Result<Tidied, StoreError> {
        let (place, end) = self.writer.backlog().counted();
        if place >= end {
            return Ok(Tidied::Nothing);
        }
        self.writer.tidy(count).await
    }

    /// Counts what all nodes together have queued; each counts only its own changes in between.
    ///
    /// # Errors
    /// The database could not be asked, or takes too long to count: then what is known stays.
    pub async fn recount_backlog(&self) -> Result<(), StoreError> {
        let counted = self.read(|connection| {
            if connection.file().is_none() {
                connection.run(READ_IT_ALL, &[])?;
            }
            rows::all(connection, COUNT_ALL, &[], |row| Ok((OrganizationNo(row.get(0)?), row.get(1)?)))
        });
        let total = self.writer.backlog().set(&counted.await?);
        self.metrics.queued.set(total);
        Ok(())
    }

    /// What an organisation is known to have queued: deliveries, and bytes as estimated.
    #[must_use]
    pub fn backlog(&self, organization: OrganizationNo) -> (u64, u64) {
        self.writer.backlog().of(organization)
    }

    /// Gives an organisation a limit of its own on queued deliveries, or takes it away.
    pub fn limit_backlog(&self, organization: OrganizationNo, deliveries: Option<u64>) {
        self.writer.backlog().set_own_limit(organization, deliveries);
    }
}

fn count(tx: &mut Tx<'_>) -> Result<Tidied, StoreError> {
    let from = tx.tally.counted_to();
    let end = tx.tally.counted_from();
    let found = rows::all(tx, CHUNK, params![from.0, end.0, CHUNK_ROWS], |row| {
        let change = Change { rows_in: 1, bytes_in: row.get::<_, i64>(2)? + ROW_BYTES, rows_out: 0 };
        Ok((DeliveryNo(row.get(0)?), OrganizationNo(row.get(1)?), change))
    })?;
    let full = found.len() == CHUNK_ROWS;
    let up_to = found.last().filter(|_| full).map_or(end, |(no, ..)| *no);
    tx.tally
        .counted(up_to, found.into_iter().map(|(_, organization, change)| (organization, change)).collect());
    Ok(if full { Tidied::More } else { Tidied::Nothing })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    const ACME: OrganizationNo = OrganizationNo(1);

    fn backlog(deliveries: u64, bytes: u64) -> Backlog {
        Backlog::new(BacklogLimit { deliveries, bytes }, Seq(9))
    }

    fn change(rows_in: i64, bytes_in: i64, rows_out: i64) -> Vec<(OrganizationNo, Change)> {
        vec![(ACME, Change { rows_in, bytes_in, rows_out })]
    }

    #[test]
    fn a_delivery_that_ends_takes_the_mean_with_it_and_the_last_one_the_rest() {
        let backlog = backlog(10, 1_000);
        backlog.apply(DeliveryNo(0), change(3, 900, 0));
        backlog.apply(DeliveryNo(0), change(0, 0, 1));
        assert_eq!(backlog.of(ACME), (2, 600));
        assert_eq!(backlog.apply(DeliveryNo(0), change(0, 0, 2)), 0);
        assert_eq!(backlog.of(ACME), (0, 0));
    }

    #[test]
    fn one_below_each_limit_is_taken_and_at_the_limit_nothing_is() {
        let backlog = backlog(3, 1_000);
        backlog.apply(DeliveryNo(0), change(2, 999, 0));
        assert!(backlog.check(ACME).is_ok());
        backlog.apply(DeliveryNo(0), change(0, 1, 0));
        assert!(matches!(backlog.check(ACME), Err(StoreError::TooMuchQueued(1_000))));
        backlog.apply(DeliveryNo(0), change(1, 0, 0));
        assert!(matches!(backlog.check(ACME), Err(StoreError::TooManyQueued(3))));
        assert!(backlog.check(OrganizationNo(2)).is_ok(), "another organisation");
        backlog.set_own_limit(ACME, Some(4));
        assert!(matches!(backlog.check(ACME), Err(StoreError::TooMuchQueued(_))));
        backlog.start_over(Seq(9));
        assert!(backlog.check(ACME).is_ok());
        assert_eq!(backlog.counted(), (DeliveryNo(0), DeliveryNo(639)));
    }

    #[test]
    fn the_count_walks_the_queue_by_its_key() {
        plan::assert_bounded(&plan::of(CHUNK, params![0, 100, CHUNK_ROWS]));
    }
}

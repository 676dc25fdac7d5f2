//! What one group of operations adds up to: told to the metrics and to the backlog's counts after its
//! commit, forgotten when it is rolled back.

use std::cell::{Cell, RefCell};

use super::backlog::{Backlog, Change};
use crate::domain::attempt::Recorded;
use crate::domain::delivery::End;
use crate::domain::metrics::Metrics;
use crate::domain::number::{DeliveryNo, OrganizationNo};

/// See the module. Every statement that adds or removes a row of the queue says so here.
#[derive(Debug)]
pub(super) struct Tally {
    accepted: Cell<u64>,
    attempts: [Cell<u64>; 3],
    ended: [Cell<u64>; 4],
    retries: Cell<u64>,
    changes: RefCell<Vec<(OrganizationNo, Change)>>,
    counted_to: Cell<DeliveryNo>,
    counted_from: DeliveryNo,
}

impl Tally {
    /// For a group that begins now.
    pub(super) fn new(backlog: &Backlog) -> Self {
        let (counted_to, counted_from) = backlog.counted();
        Self {
            accepted: Cell::default(),
            attempts: Default::default(),
            ended: Default::default(),
            retries: Cell::default(),
            changes: RefCell::default(),
            counted_to: Cell::new(counted_to),
            counted_from,
        }
    }

    /// An event was stored; `payload_bytes` counts as backlog when it has deliveries.
    pub(super) fn accepted(&self, organization: OrganizationNo, fan_out: usize, payload_bytes: usize) {
        raise(&self.accepted, 1);
        if fan_out > 0 {
            let bytes_in = i64::try_from(payload_bytes).unwrap_or(i64::MAX);
            self.change(organization, Change { bytes_in, ..Change::default() });
        }
    }

    /// A delivery was queued.
    pub(super) fn queued(&self, organization: OrganizationNo) {
        self.change(organization, Change { rows_in: 1, bytes_in: super::backlog::ROW_BYTES, rows_out: 0 });
    }

    /// A delivery has left the queue.
    pub(super) fn ended(&self, organization: OrganizationNo, no: DeliveryNo, end: End) {
        let state = usize::try_from(end.code() - 1).unwrap_or(0);
        raise(&self.ended[state.min(3)], 1);
        // What had not been counted yet is not there to be counted any more.
        if no <= self.counted_to.get() || no > self.counted_from {
            self.change(organization, Change { rows_out: 1, ..Change::default() });
        }
    }

    /// An attempt was logged.
    pub(super) fn attempt(&self, recorded: Recorded) {
        let outcome = usize::try_from(recorded.code() - 1).unwrap_or(0);
        raise(&self.attempts[outcome.min(2)], 1);
    }

    /// A delivery failed and was put back.
    pub(super) fn retried(&self) {
        raise(&self.retries, 1);
    }

    /// Rows that were there before this process began have been counted, up to this one.
    pub(super) fn counted(&self, up_to: DeliveryNo, found: Vec<(OrganizationNo, Change)>) {
        self.counted_to.set(up_to);
        for (organization, change) in found {
            self.change(organization, change);
        }
    }

    /// Where the count of earlier rows is.
    pub(super) fn counted_to(&self) -> DeliveryNo {
        self.counted_to.get()
    }

    /// Rows above this one were queued by this process and are counted as they come.
    pub(super) fn counted_from(&self) -> DeliveryNo {
        self.counted_from
    }

    /// It was committed.
    pub(super) fn apply(self, metrics: &Metrics, backlog: &Backlog) {
        metrics.accepted.add(self.accepted.get());
        metrics.retries.add(self.retries.get());
        metrics.attempts.iter().zip(&self.attempts).for_each(|(counter, count)| counter.add(count.get()));
        metrics.ended.iter().zip(&self.ended).for_each(|(counter, count)| counter.add(count.get()));
        let total = backlog.apply(self.counted_to.get(), self.changes.into_inner());
        metrics.queued.set(total);
    }

    /// Neighbours are mostly of the same organisation.
    fn change(&self, organization: OrganizationNo, change: Change) {
        let mut changes = self.changes.borrow_mut();
        match changes.last_mut() {
            Some((last, sum)) if *last == organization => sum.add(change),
            _ => changes.push((organization, change)),
        }
    }
}

fn raise(cell: &Cell<u64>, by: u64) {
    cell.set(cell.get() + by);
}

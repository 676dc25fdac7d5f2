//! What a writer does first: it finds the last number given out, and frees what earlier processes held.

use rusqlite::params;

use super::{Kind, Op, Tx};
use crate::store::error::StoreError;
use crate::store::faults::Bug;
use crate::store::{cancel, settle};

// The last lines: a number may have been given out and never written, or its rows may be gone. Given out
// again, it would count as accepted before the type was selected, and its deliveries as cancelled; or before
// the order was turned on, and its delivery as nothing to wait for.
pub(super) const LAST_SEQ: &str = "SELECT max(
        (SELECT coalesce(max(seq), 0) FROM events),
        (SELECT coalesce(max(no), 0) / 64 FROM queue),
        (SELECT coalesce(max(no), 0) / 64 FROM deliveries),
        (SELECT coalesce(max(since_seq), 0) FROM subscription_types),
        (SELECT coalesce(max(ordering_since_seq), 0) FROM subscriptions WHERE ordering_since_seq IS NOT NULL))";

/// Leases of earlier processes are free: the lock on the directory proves that their owner is gone.
/// `boot` stays, so that the next claim writes the attempt that was lost.
const FREE_LEASES: &str = "UPDATE queue SET due_ms = 0 WHERE boot IS NOT NULL AND boot <> $1";
const FREE_HEADS: &str = "INSERT INTO queue_heads (subscription, class, due_ms)
    SELECT DISTINCT subscription, class, 0 FROM queue WHERE boot IS NOT NULL AND boot <> $1
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = 0";

/// The first operation of every start.
pub(super) struct FreeLeases;

impl Op for FreeLeases {
    fn kind(&self) -> Kind {
        Kind::Change
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let boot = tx.context.boot;
        if tx.context.faults.has(Bug::LeaseKept) {
            return Ok(());
        }
        tx.run(FREE_HEADS, params![boot])?;
        if tx.run(FREE_LEASES, params![boot])? > 0 {
            cancel::start_over(tx)?;
        }
        settle::close_left_open(tx)
    }

    fn finish(self: Box<Self>, _: Result<(), StoreError>) {}
}

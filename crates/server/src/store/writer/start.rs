//! What a writer does first: it frees what earlier processes held.

use super::{Kind, Op, Tx};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::faults::Bug;
use crate::store::sql::params;
use crate::store::{cancel, settle};

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
        // On a server another node may be at work: leases end by themselves.
        if tx.is_shared() {
            return Ok(());
        }
        let boot = tx.context.boot;
        if tx.context.faults.has(Bug::LeaseKept) {
            return Ok(());
        }
        tx.run(FREE_HEADS, params![boot])?;
        if tx.run(FREE_LEASES, params![boot])? > 0 {
            cancel::start_over(tx)?;
        }
        settle::close_left_open(tx, TimeMs::NEVER)
    }

    fn finish(self: Box<Self>, _: Result<(), StoreError>) {}
}

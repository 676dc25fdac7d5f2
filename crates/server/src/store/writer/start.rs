//! What a writer does first: it frees what earlier processes held.

use super::{Hold, Kind, Op, Tx};
use crate::domain::number::SubscriptionNo;
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::faults::Bug;
use crate::store::sql::params;
use crate::store::{cancel, locks, nodes, rows, settle};

/// Leases of earlier processes are free: the lock on the directory proves that their owner is gone.
/// `boot` stays, so that the next claim writes the attempt that was lost.
const FREE_LEASES: &str = "UPDATE queue SET due_ms = 0 WHERE boot IS NOT NULL AND boot <> $1";
const FREE_HEADS: &str = "INSERT INTO queue_heads (subscription, class, due_ms)
    SELECT DISTINCT subscription, class, 0 FROM queue WHERE boot IS NOT NULL AND boot <> $1
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = 0";
/// On a server other nodes have leases, too: only those of the process that had this directory are free.
const LEASES_OF: &str = "SELECT DISTINCT subscription FROM queue WHERE boot = $1";
const FREE_LEASES_OF: &str = "UPDATE queue SET due_ms = 0 WHERE boot = $1";
const FREE_HEADS_OF: &str = "INSERT INTO queue_heads (subscription, class, due_ms)
    SELECT DISTINCT subscription, class, 0 FROM queue WHERE boot = $1
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = 0";

/// The first operation of every start.
pub(super) struct FreeLeases {
    /// Who had the data directory before.
    pub(super) earlier: Option<i64>,
}

impl Op for FreeLeases {
    fn kind(&self) -> Kind {
        Kind::Change
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        if tx.context.faults.has(Bug::LeaseKept) {
            return Ok(());
        }
        if tx.is_shared() {
            return self.earlier.map_or(Ok(()), |earlier| free_leases_of(tx, earlier));
        }
        let boot = tx.context.boot;
        tx.run(FREE_HEADS, params![boot])?;
        if tx.run(FREE_LEASES, params![boot])? > 0 {
            cancel::start_over(tx)?;
        }
        settle::close_left_open(tx, TimeMs::NEVER).map(drop)
    }

    fn finish(self: Box<Self>, _: Result<(), StoreError>) {}
}

/// That process counts no more: nobody waits for it, nor shares the bounds with it.
fn free_leases_of(tx: &mut Tx<'_>, boot: i64) -> Result<(), StoreError> {
    tx.run(nodes::GONE, params![boot])?;
    let mut subscriptions = rows::all(tx, LEASES_OF, params![boot], |row| Ok(SubscriptionNo(row.get(0)?)))?;
    // As everybody takes them.
    subscriptions.sort_by_key(|subscription| locks::bucket(*subscription));
    subscriptions.iter().try_for_each(|subscription| tx.hold(*subscription, Hold::Alone))?;
    tx.run(FREE_HEADS_OF, params![boot])?;
    if tx.run(FREE_LEASES_OF, params![boot])? > 0 {
        cancel::start_over(tx)?;
    }
    settle::close_left_open_of(tx, boot).map(drop)
}

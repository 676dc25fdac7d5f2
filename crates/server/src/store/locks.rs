//! Locks on subscriptions, for the time of a transaction.
//!
//! Whoever adds to a subscription's queue holds it together with others; whoever changes it, raises its queue's
//! heads or decides about its health holds it alone. On a file there is one writer, and nothing to hold.
//!
//! They are advisory locks on one of [`BUCKETS`] numbers, so that a group that touches thousands of subscriptions
//! holds no more locks than the server has room for. They are taken in the order of the numbers wherever it is
//! known beforehand what will be needed; where it is not, two nodes can wait for each other, which the server
//! ends after a second: the group is run again.

use super::error::StoreError;
use super::sql::{Connection, params};
use super::writer::Hold;
use crate::domain::number::SubscriptionNo;

/// Numbers that subscriptions share.
pub(super) const BUCKETS: i64 = 256;
/// Sets these locks apart from others: "inkh".
pub(super) const CLASS: i32 = 0x696e_6b68;

/// Sets apart the locks of what one node at a time does.
pub(super) const TASKS: i32 = CLASS + 1;

const SHARE: &str = "SELECT CAST(pg_advisory_xact_lock_shared($1, $2) AS TEXT)";
const OWN: &str = "SELECT CAST(pg_advisory_xact_lock($1, $2) AS TEXT)";

/// The number that a subscription's lock is on.
pub(super) fn bucket(subscription: SubscriptionNo) -> i32 {
    i32::try_from(subscription.0.rem_euclid(BUCKETS)).unwrap_or(0)
}

/// Takes a subscription's lock. What was read of it before may be out of date.
pub(super) fn take(
    connection: &Connection,
    subscription: SubscriptionNo,
    hold: Hold,
) -> Result<(), StoreError> {
    if connection.file().is_none() {
        let sql = if hold == Hold::Alone { OWN } else { SHARE };
        connection.run(sql, params![CLASS, bucket(subscription)])?;
    }
    Ok(())
}

/// What one node at a time does, and the others leave to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Writing what deletes and narrowed types cancelled.
    Cancel = 1,
    /// Keeping conversations in order.
    Order = 2,
    /// Recover jobs.
    Recover = 3,
    /// Ending what was held too long.
    Held = 4,
    /// Forgetting what was remembered for a time.
    Forget = 5,
    /// Deleting history.
    Retention = 6,
    /// Looking at the queue's heads.
    Sweep = 7,
    /// Conversations of mailboxes.
    Conversations = 8,
    /// Signing up.
    SignUp = 9,
    /// Putting earlier events where contexts find them.
    Contexts = 10,
}

/// Waits for a task until it is this transaction's: for what is counted before it is added to.
pub(super) fn wait_for_task(connection: &Connection, task: Task) -> Result<(), StoreError> {
    if connection.file().is_none() {
        connection.run(OWN, params![TASKS, task as i32])?;
    }
    Ok(())
}

const TRY: &str = "SELECT pg_try_advisory_xact_lock($1, $2)";

/// Takes a task until the end of the transaction; false when another node is at it.
pub(super) fn take_task(connection: &Connection, task: Task) -> Result<bool, StoreError> {
    if connection.file().is_some() {
        return Ok(true);
    }
    Ok(connection.scalar(TRY, params![TASKS, task as i32])?.unwrap_or(false))
}

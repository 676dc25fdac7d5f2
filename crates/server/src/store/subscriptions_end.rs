//! Ending the subscriptions of an owner that goes away, in the transaction in which it goes.
//!
//! For each: deleted, its generation raised so that no attempt under way writes its first byte, nothing
//! queued is due any more, and a note for the janitor, who cancels the rest. The cost does not depend on
//! how much is queued.

use rusqlite::params;
use uuid::Uuid;

use super::error::StoreError;
use super::writer::Tx;
use super::{cancel, heads, rows};
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::domain::time::TimeMs;

const OF_IDENTITY: &str =
    "SELECT no, generation FROM subscriptions WHERE identity_id = $1 AND status = 'active'";
const OF_OWNER: &str = "SELECT no, generation FROM subscriptions WHERE owner_id = $1 AND status = 'active'";
const OF_ORGANIZATION: &str =
    "SELECT no, generation FROM subscriptions WHERE organization_id = $1 AND status = 'active'";
const END: &str = "UPDATE subscriptions
    SET status = 'deleted', generation = $2, deleted_ms = $3, updated_ms = $3 WHERE no = $1";

/// Ends those of an identity, whatever their selector.
pub(super) fn of_identity(tx: &mut Tx<'_>, identity: Uuid, now: TimeMs) -> Result<(), StoreError> {
    end_all(tx, OF_IDENTITY, params![identity.as_bytes()], now)
}

/// Ends those attached to one mailbox or phone number.
pub(super) fn of_owner(tx: &mut Tx<'_>, owner: Uuid, now: TimeMs) -> Result<(), StoreError> {
    end_all(tx, OF_OWNER, params![owner.as_bytes()], now)
}

/// Ends those of an organisation.
pub(super) fn of_organization(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    now: TimeMs,
) -> Result<(), StoreError> {
    end_all(tx, OF_ORGANIZATION, params![organization.0], now)
}

fn end_all(
    tx: &mut Tx<'_>,
    sql: &'static str,
    params: impl rusqlite::Params,
    now: TimeMs,
) -> Result<(), StoreError> {
    let found = rows::all(tx, sql, params, |row| {
        Ok((SubscriptionNo(row.get("no")?), row.get::<_, i64>("generation")?))
    })?;
    for (subscription, generation) in found {
        let generation = generation + 1;
        tx.run(END, params![subscription.0, generation, now.0])?;
        heads::remove_all(tx, subscription)?;
        cancel::note(tx, subscription)?;
        tx.raise_generation(subscription, u64::try_from(generation).unwrap_or(u64::MAX));
    }
    Ok(())
}

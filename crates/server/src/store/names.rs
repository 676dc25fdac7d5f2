//! Global names that were in use lately: they stay their organisation's for a while, so that nobody else
//! takes over what is still written in other people's address books.

use super::error::StoreError;
use super::rows;
use super::writer::Tx;
use crate::domain::names::RESERVED;
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;
use crate::store::sql::params;

/// What kind of name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    Handle,
    Address,
    Number,
}

impl NameKind {
    fn code(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Address => "address",
            Self::Number => "number",
        }
    }
}

const OF_OTHERS: &str = "SELECT 1 FROM reserved_names
    WHERE kind = $1 AND name = $2 AND organization_id <> $3 AND until_ms > $4";
const RESERVE: &str = "INSERT INTO reserved_names (kind, name, organization_id, until_ms)
    VALUES ($1, $2, $3, $4) ON CONFLICT (kind, name)
    DO UPDATE SET organization_id = excluded.organization_id, until_ms = excluded.until_ms";

/// Whether the name is reserved for another organisation.
pub(super) fn reserved_by_others(
    tx: &Tx<'_>,
    kind: NameKind,
    name: &str,
    organization: OrganizationNo,
    now: TimeMs,
) -> Result<bool, StoreError> {
    let found: Option<i64> = rows::scalar(tx, OF_OTHERS, params![kind.code(), name, organization.0, now.0])?;
    Ok(found.is_some())
}

/// Keeps a name that is given up for its organisation.
pub(super) fn reserve(
    tx: &Tx<'_>,
    kind: NameKind,
    name: &str,
    organization: OrganizationNo,
    now: TimeMs,
) -> Result<(), StoreError> {
    tx.run(RESERVE, params![kind.code(), name, organization.0, now.after(RESERVED).0])?;
    Ok(())
}

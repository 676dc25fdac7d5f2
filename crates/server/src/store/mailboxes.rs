//! Mailboxes: made and deleted with their identity only.

use inkhook_wire::id::{IdentityId, MailboxId};
use uuid::Uuid;

use super::error::StoreError;
use super::names::{self, NameKind};
use super::sql::{Connection, Row, params};
use super::writer::Tx;
use super::{Store, rows};
use crate::domain::caller::Scope;
use crate::domain::identity::{FilterMode, Mailbox, Settings};
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;

/// A change of a mailbox; `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct MailboxChange {
    /// How its contact rules are to be read.
    pub filter_mode: Option<FilterMode>,
    /// Settings to add or replace; null takes one away.
    pub settings: Settings,
}

const COLUMNS: &str = "id AS mailbox_id, identity_id, address, filter_mode AS mailbox_filter_mode,
    settings AS mailbox_settings, created_ms AS mailbox_created_ms, updated_ms AS mailbox_updated_ms
    FROM mailboxes WHERE organization_id = $1 AND (identity_id = $2 OR $2 IS NULL)";
const TAKEN: &str = "SELECT 1 FROM mailboxes WHERE address = $1";
const ADD: &str = "INSERT INTO mailboxes (id, organization_id, identity_id, address, filter_mode, settings,
    created_ms, updated_ms) VALUES ($1, $2, $3, $4, 'blacklist', '{}', $5, $5)";
const CHANGE: &str = "UPDATE mailboxes SET filter_mode = $2, settings = $3, updated_ms = $4 WHERE id = $1";

impl Store {
    /// The mailboxes that the scope can see, oldest first.
    pub async fn mailboxes(&self, scope: Scope) -> Result<Vec<Mailbox>, StoreError> {
        self.read(move |connection| {
            let identity = scope.identity.map(IdentityId::as_uuid);
            let params = params![scope.organization.0, identity.as_ref().map(Uuid::as_bytes)];
            rows::all(
                connection,
                &format!("SELECT {COLUMNS} ORDER BY created_ms, /*lite*/ rowid /*end*/ /*pg id */"),
                params,
                read,
            )
        })
        .await
    }

    /// One mailbox by its address, if the scope can see it.
    pub async fn mailbox(&self, scope: Scope, address: String) -> Result<Option<Mailbox>, StoreError> {
        self.read(move |connection| by_address(connection, scope, &address)).await
    }

    /// Changes a mailbox; `None` when it is not there.
    pub async fn change_mailbox(
        &self,
        scope: Scope,
        address: String,
        change: MailboxChange,
    ) -> Result<Option<Mailbox>, StoreError> {
        self.change(move |tx| {
            let Some(found) = by_address(tx, scope, &address)? else { return Ok(None) };
            let row = found.id.as_uuid();
            let filter_mode = change.filter_mode.unwrap_or(found.filter_mode).name();
            let settings = rows::json(&rows::merged(found.settings, &change.settings));
            let now = tx.context.clock.wall();
            tx.run(CHANGE, params![row.as_bytes(), filter_mode, settings, now.0])?;
            by_address(tx, scope, &address)
        })
        .await
    }
}

/// Whether an address is in use, or reserved for another organisation.
pub(super) fn taken(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    address: &str,
    now: TimeMs,
) -> Result<bool, StoreError> {
    Ok(rows::scalar::<i64>(tx, TAKEN, params![address])?.is_some()
        || names::reserved_by_others(tx, NameKind::Address, address, organization, now)?)
}

/// Adds an identity's mailbox.
pub(super) fn add(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    identity: IdentityId,
    id: MailboxId,
    address: &str,
    now: TimeMs,
) -> Result<(), StoreError> {
    let (id, identity) = (id.as_uuid(), identity.as_uuid());
    tx.run(ADD, params![id.as_bytes(), organization.0, identity.as_bytes(), address, now.0])?;
    Ok(())
}

fn by_address(connection: &Connection, scope: Scope, address: &str) -> Result<Option<Mailbox>, StoreError> {
    let identity = scope.identity.map(IdentityId::as_uuid);
    let params = params![scope.organization.0, identity.as_ref().map(Uuid::as_bytes), address];
    Ok(rows::all(connection, &format!("SELECT {COLUMNS} AND address = $3"), params, read)?.pop())
}

fn read(row: &Row<'_>) -> Result<Mailbox, StoreError> {
    let identity = rows::id(row, "identity_id")?;
    read_joined(row, identity)?.ok_or(StoreError::Corrupt("a mailbox"))
}

/// Reads a mailbox that a statement joined to its identity.
pub(super) fn read_joined(row: &Row<'_>, identity_id: IdentityId) -> Result<Option<Mailbox>, StoreError> {
    let Some(id) = rows::optional_id(row, "mailbox_id")? else { return Ok(None) };
    let filter_mode: String = row.get("mailbox_filter_mode")?;
    Ok(Some(Mailbox {
        id,
        identity_id,
        address: row.get("address")?,
        filter_mode: FilterMode::parse(&filter_mode).ok_or(StoreError::Corrupt("a filter mode"))?,
        settings: rows::settings(row, "mailbox_settings")?,
        created_at: rows::time(row, "mailbox_created_ms")?,
        updated_at: rows::time(row, "mailbox_updated_ms")?,
    }))
}

//! Identities. Each is made with its mailbox in one transaction, and deleted with everything that hangs
//! on it in one.

use inkhook_wire::id::{IdentityId, MailboxId, OrganizationId};
use uuid::Uuid;

use super::error::StoreError;
use super::names::{self, NameKind};
use super::phone_numbers::{self, AddNumber, NewPhoneNumber};
use super::sql::{Connection, Row, params};
use super::writer::Tx;
use super::{
    Store, api_keys, call_rules, conversations, mailboxes, rows, signing_keys, signups, subscriptions,
};
use crate::domain::caller::Scope;
use crate::domain::identity::{FilterMode, Identity, IdentityStatus, Settings};
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;

/// An identity to be made.
#[derive(Debug, Clone)]
pub struct NewIdentity {
    /// Whose it will be.
    pub organization: OrganizationNo,
    /// Its handle, in the form of [`crate::domain::names::handle`].
    pub handle: String,
    /// What people see; the handle when left out.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it can be reached over iMessage.
    pub imessage_enabled: bool,
    /// What else the client set.
    pub settings: Settings,
    /// The address of its mailbox, lower case.
    pub address: String,
    /// Its phone number, when it is to have one from the start.
    pub phone_number: Option<NewPhoneNumber>,
}

/// What became of making an identity.
#[derive(Debug, Clone, PartialEq)]
pub enum CreateIdentity {
    /// Made.
    Created(Box<Identity>),
    /// The handle is taken, or reserved for another organisation.
    HandleTaken,
    /// The address is taken, or reserved for another organisation.
    AddressTaken,
    /// Its phone number could not be made.
    Number(AddNumber),
}

/// A change of an identity; `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct IdentityChange {
    /// A new handle.
    pub handle: Option<String>,
    /// What people see.
    pub display_name: Option<Option<String>>,
    /// What it is for.
    pub description: Option<Option<String>>,
    /// Whether it is paused.
    pub status: Option<IdentityStatus>,
    /// Whether it can be reached over iMessage.
    pub imessage_enabled: Option<bool>,
    /// Settings to add or replace; null takes one away.
    pub settings: Settings,
    /// How its mailbox's contact rules are to be read.
    pub mail_filter_mode: Option<FilterMode>,
    /// How its number's contact rules are to be read.
    pub phone_filter_mode: Option<FilterMode>,
    /// Whether one of the settings is about a phone number, so that there must be one.
    pub needs_phone_number: bool,
}

/// What became of changing an identity.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangeIdentity {
    /// Changed; this is how it is now.
    Changed(Box<Identity>),
    /// Not there for this scope.
    NotFound,
    /// The new handle is taken, or reserved for another organisation.
    HandleTaken,
    /// It has no phone number.
    NoPhoneNumber,
}

const COLUMNS: &str = "i.id, o.id AS organization_id, i.handle, i.display_name, i.description, i.status,
    i.imessage_enabled, i.settings, i.signing_key_created_ms, i.next_key_created_ms, i.next_key_from_ms, i.created_ms, i.updated_ms,
    m.id AS mailbox_id, m.address, m.filter_mode AS mailbox_filter_mode, m.settings AS mailbox_settings,
    m.created_ms AS mailbox_created_ms, m.updated_ms AS mailbox_updated_ms,
    n.id AS number_id, n.number, n.type, n.state, n.incoming_call_action, n.client_websocket_url,
    n.incoming_call_webhook_url, n.incoming_call_fallback_url, n.incoming_call_default_action,
    n.incoming_call_timeout_ms, n.filter_mode AS number_filter_mode, n.settings AS number_settings,
    n.created_ms AS number_created_ms, n.updated_ms AS number_updated_ms
    FROM identities i JOIN organizations o ON o.no = i.organization_id
    LEFT JOIN mailboxes m ON m.identity_id = i.id LEFT JOIN phone_numbers n ON n.identity_id = i.id
    WHERE i.organization_id = $1 AND (i.id = $2 OR $2 IS NULL)";
const HANDLE_TAKEN: &str = "SELECT 1 FROM identities WHERE handle = $1";
const ADD: &str = "INSERT INTO identities (id, organization_id, handle, display_name, description, status,
    imessage_enabled, settings, created_ms, updated_ms)
    VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, $8, $8)";
const CHANGE: &str = "UPDATE identities SET handle = $2, display_name = $3, description = $4, status = $5,
    imessage_enabled = $6, settings = $7, updated_ms = $8 WHERE id = $1";
const MAIL_FILTER: &str =
    "UPDATE mailboxes SET filter_mode = $2, updated_ms = $3 WHERE identity_id = $1 AND filter_mode <> $2";
const PHONE_FILTER: &str =
    "UPDATE phone_numbers SET filter_mode = $2, updated_ms = $3 WHERE identity_id = $1 AND filter_mode <> $2";
const REMOVE: &str = "DELETE FROM identities WHERE id = $1";
// The number's calls are as those of a new number.
const HAND_OVER: [&str; 3] = [
    // Its keys are sealed for the organisation that it leaves.
    "UPDATE identities SET organization_id = $2, signing_key = NULL, signing_key_created_ms = NULL, next_key = NULL,
    next_key_created_ms = NULL, next_key_from_ms = NULL, updated_ms = $3 WHERE id = $1",
    "UPDATE mailboxes SET organization_id = $2, updated_ms = $3 WHERE identity_id = $1",
    "UPDATE phone_numbers SET organization_id = $2, incoming_call_action = 'auto_reject', client_websocket_url = NULL,
    incoming_call_webhook_url = NULL, incoming_call_fallback_url = NULL, incoming_call_default_action = 'reject',
    incoming_call_timeout_ms = NULL, settings = '{}', updated_ms = $3 WHERE identity_id = $1",
];

impl Store {
    /// Makes an identity and its mailbox.
    pub async fn create_identity(&self, new: NewIdentity) -> Result<CreateIdentity, StoreError> {
        self.change(move |tx| create(tx, &new)).await
    }

    /// The identities that the scope can see, oldest first.
    pub async fn identities(&self, scope: Scope) -> Result<Vec<Identity>, StoreError> {
        self.read(move |connection| all(connection, scope)).await
    }

    /// One identity by its handle, if the scope can see it.
    pub async fn identity(&self, scope: Scope, handle: String) -> Result<Option<Identity>, StoreError> {
        self.read(move |connection| by_handle(connection, scope, &handle)).await
    }

    /// Changes an identity.
    pub async fn change_identity(
        &self,
        scope: Scope,
        handle: String,
        change: IdentityChange,
    ) -> Result<ChangeIdentity, StoreError> {
        self.change(move |tx| {
            let Some(found) = by_handle(tx, scope, &handle)? else { return Ok(ChangeIdentity::NotFound) };
            self::change(tx, scope, &found, &change)
        })
        .await
    }

    /// Deletes an identity with its mailbox, number, keys and subscriptions; false when it is not there.
    pub async fn delete_identity(&self, scope: Scope, handle: String) -> Result<bool, StoreError> {
        self.change(move |tx| {
            let Some(found) = by_handle(tx, scope, &handle)? else { return Ok(false) };
            if signups::reject(tx, found.id)? {
                return Ok(true);
            }
            // While that was waited for, it may have moved.
            let Some(found) = hold(tx, scope, &handle)? else { return Ok(false) };
            delete(tx, scope.organization, &found)?;
            Ok(true)
        })
        .await
    }
}

/// Makes an identity inside a transaction.
pub(super) fn create(tx: &mut Tx<'_>, new: &NewIdentity) -> Result<CreateIdentity, StoreError> {
    let now = tx.context.clock.wall();
    if handle_taken(tx, new.organization, &new.handle, now)? {
        return Ok(CreateIdentity::HandleTaken);
    }
    if mailboxes::taken(tx, new.organization, &new.address, now)? {
        return Ok(CreateIdentity::AddressTaken);
    }
    let number = match &new.phone_number {
        Some(wanted) => match phone_numbers::choose(tx, new.organization, wanted, now)? {
            Ok(number) => Some((wanted, number)),
            Err(refused) => return Ok(CreateIdentity::Number(refused)),
        },
        None => None,
    };
    let id = IdentityId::from(tx.context.entropy.uuid());
    let row = id.as_uuid();
    let params = params![
        row.as_bytes(),
        new.organization.0,
        new.handle,
        new.display_name.as_ref().unwrap_or(&new.handle),
        new.description,
        new.imessage_enabled,
        rows::json(&new.settings),
        now.0,
    ];
    tx.run(ADD, params)?;
    tx.forget_names();
    let mailbox = MailboxId::from(tx.context.entropy.uuid());
    mailboxes::add(tx, new.organization, id, mailbox, &new.address, now)?;
    if let Some((wanted, number)) = number {
        phone_numbers::add(tx, new.organization, id, wanted, &number, now)?;
    }
    let scope = Scope { organization: new.organization, identity: Some(id) };
    let made = by_handle(tx, scope, &new.handle)?;
    Ok(CreateIdentity::Created(Box::new(made.ok_or(StoreError::Corrupt("an identity just made"))?)))
}

/// Whether a handle is in use, or reserved for another organisation.
pub(super) fn handle_taken(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    handle: &str,
    now: TimeMs,
) -> Result<bool, StoreError> {
    Ok(rows::scalar::<i64>(tx, HANDLE_TAKEN, params![handle])?.is_some()
        || names::reserved_by_others(tx, NameKind::Handle, handle, organization, now)?)
}

fn change(
    tx: &mut Tx<'_>,
    scope: Scope,
    found: &Identity,
    change: &IdentityChange,
) -> Result<ChangeIdentity, StoreError> {
    let now = tx.context.clock.wall();
    if change.needs_phone_number && found.phone_number.is_none() {
        return Ok(ChangeIdentity::NoPhoneNumber);
    }
    let handle = change.handle.as_ref().unwrap_or(&found.handle);
    if *handle != found.handle {
        if handle_taken(tx, scope.organization, handle, now)? {
            return Ok(ChangeIdentity::HandleTaken);
        }
        names::reserve(tx, NameKind::Handle, &found.handle, scope.organization, now)?;
    }
    let row = found.id.as_uuid();
    let params = params![
        row.as_bytes(),
        handle,
        change.display_name.as_ref().unwrap_or(&found.display_name),
        change.description.as_ref().unwrap_or(&found.description),
        change.status.unwrap_or(found.status).name(),
        change.imessage_enabled.unwrap_or(found.imessage_enabled),
        rows::json(&rows::merged(found.settings.clone(), &change.settings)),
        now.0,
    ];
    tx.run(CHANGE, params)?;
    tx.forget_names();
    for (sql, mode) in [(MAIL_FILTER, change.mail_filter_mode), (PHONE_FILTER, change.phone_filter_mode)] {
        if let Some(mode) = mode {
            tx.run(sql, params![row.as_bytes(), mode.name(), now.0])?;
        }
    }
    let changed = by_handle(tx, scope, handle)?;
    Ok(ChangeIdentity::Changed(Box::new(changed.ok_or(StoreError::Corrupt("an identity just changed"))?)))
}

/// Ends everything that hangs on an identity, in the transaction that removes it. The names of one that nobody
/// has vouched for are free at once: whoever signs up must not be able to keep names from others.
pub(super) fn delete(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    identity: &Identity,
) -> Result<(), StoreError> {
    let now = tx.context.clock.wall();
    let id = identity.id.as_uuid();
    subscriptions::lock_identity(tx, identity.id)?;
    subscriptions::delete_of_identity(tx, organization, identity.id)?;
    api_keys::revoke_of_identity(tx, id, now)?;
    let mut given_up = vec![(NameKind::Handle, &identity.handle)];
    if let Some(mailbox) = &identity.mailbox {
        given_up.push((NameKind::Address, &mailbox.address));
        conversations::forget_later(tx, mailbox.id.as_uuid())?;
    }
    if let Some(number) = &identity.phone_number {
        given_up.push((NameKind::Number, &number.number));
    }
    if !signups::is_unclaimed(tx, identity.id)? {
        for (kind, name) in given_up {
            names::reserve(tx, kind, name, organization, now)?;
        }
    }
    tx.run(REMOVE, params![id.as_bytes()])?;
    tx.forget_names();
    Ok(())
}

/// One identity of a scope, which nobody moves or deletes until the end of the transaction.
pub(super) fn hold(tx: &Tx<'_>, scope: Scope, handle: &str) -> Result<Option<Identity>, StoreError> {
    let Some(found) = by_handle(tx, scope, handle)? else { return Ok(None) };
    if !tx.is_shared() {
        return Ok(Some(found));
    }
    subscriptions::lock_identity(tx, found.id)?;
    by_handle(tx, scope, handle)
}

/// Moves an identity with its mailbox and number to another organisation. What the one that it leaves had set up
/// for it ends: subscriptions, its signing key, and who is asked about its calls. Events that came stay where they
/// came to. Its keys are the caller's to move.
pub(super) fn hand_over(
    tx: &mut Tx<'_>,
    identity: IdentityId,
    from: OrganizationNo,
    to: OrganizationNo,
) -> Result<(), StoreError> {
    // Before anything is read of it: another node may be giving it a subscription.
    subscriptions::lock_identity(tx, identity)?;
    subscriptions::delete_of_identity(tx, from, identity)?;
    call_rules::forget(tx, identity)?;
    let (id, now) = (identity.as_uuid(), tx.context.clock.wall());
    for sql in HAND_OVER {
        tx.run(sql, params![id.as_bytes(), to.0, now.0])?;
    }
    tx.forget_names();
    Ok(())
}

/// Every identity of a scope, oldest first.
pub(super) fn all(connection: &Connection, scope: Scope) -> Result<Vec<Identity>, StoreError> {
    let identity = scope.identity.map(IdentityId::as_uuid);
    let params = params![scope.organization.0, identity.as_ref().map(Uuid::as_bytes)];
    rows::all(
        connection,
        &format!("SELECT {COLUMNS} ORDER BY i.created_ms, /*lite*/ i.rowid /*end*/ /*pg i.id */"),
        params,
        read,
    )
}

/// One identity of a scope.
pub(super) fn by_handle(
    connection: &Connection,
    scope: Scope,
    handle: &str,
) -> Result<Option<Identity>, StoreError> {
    let identity = scope.identity.map(IdentityId::as_uuid);
    let params = params![scope.organization.0, identity.as_ref().map(Uuid::as_bytes), handle];
    Ok(rows::all(connection, &format!("SELECT {COLUMNS} AND i.handle = $3"), params, read)?.pop())
}

fn read(row: &Row<'_>) -> Result<Identity, StoreError> {
    let status: String = row.get("status")?;
    let id: IdentityId = rows::id(row, "id")?;
    Ok(Identity {
        id,
        organization_id: rows::id::<OrganizationId>(row, "organization_id")?,
        handle: row.get("handle")?,
        display_name: row.get("display_name")?,
        description: row.get("description")?,
        status: IdentityStatus::parse(&status).ok_or(StoreError::Corrupt("an identity's status"))?,
        imessage_enabled: row.get("imessage_enabled")?,
        settings: rows::settings(row, "settings")?,
        signing_key: signing_keys::read_dates(row, signing_keys::KEY_DATES)?,
        created_at: rows::time(row, "created_ms")?,
        updated_at: rows::time(row, "updated_ms")?,
        mailbox: mailboxes::read_joined(row, id)?,
        phone_number: phone_numbers::read_joined(row, id)?,
    })
}

//! Phone numbers: at most one an identity, each unique on the server.
//!
//! Numbers of the range that is set aside for fiction (area code, 555, 0100 to 0199) are free to take;
//! any other number only by the organisation that the operator gave it to.

use inkhook_wire::id::{IdentityId, PhoneNumberId};
use uuid::Uuid;

use super::error::StoreError;
use super::names::{self, NameKind};
use super::sql::{Connection, Row, params};
use super::writer::Tx;
use super::{Store, call_rules, rows, signing_keys, subscriptions};
use crate::domain::call::RuleChange;
use crate::domain::caller::Scope;
use crate::domain::identity::{FilterMode, IncomingCall, NumberKind, PhoneNumber, Settings};
use crate::domain::number::OrganizationNo;
use crate::domain::owner::Owner;
use crate::domain::phone_number::{self, AreaCode};
use crate::domain::time::TimeMs;

/// A number to be made.
#[derive(Debug, Clone)]
pub struct NewPhoneNumber {
    /// This one, E.164; any free one when left out.
    pub number: Option<String>,
    /// What kind.
    pub kind: NumberKind,
    /// Of this US state.
    pub state: Option<String>,
    /// What happens to incoming calls.
    pub incoming_call: IncomingCall,
    /// What else the client set.
    pub settings: Settings,
}

/// What became of making a number.
#[derive(Debug, Clone, PartialEq)]
pub enum AddNumber {
    /// Made.
    Added(Box<PhoneNumber>),
    /// There is no such identity for this scope.
    IdentityNotFound,
    /// The identity has one.
    HasOne,
    /// The number is taken, or reserved for another organisation.
    Taken,
    /// No number of the kind that was asked for is free.
    NoneFree,
    /// The number is not this organisation's to take.
    NotAllowed,
}

/// A change of a number; `None` keeps what is there.
#[derive(Debug, Clone, Default)]
pub struct NumberChange {
    /// What is said of its calls.
    pub call: RuleChange,
    /// How its contact rules are to be read.
    pub filter_mode: Option<FilterMode>,
    /// Settings to add or replace; null takes one away.
    pub settings: Settings,
}

/// What became of changing a number.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangeNumber {
    /// Changed; this is how it is now.
    Changed(Box<PhoneNumber>),
    /// Not there for this scope.
    NotFound,
    /// The rule for incoming calls needs something that is not there.
    Incomplete(phone_number::Incomplete),
}

const COLUMNS: &str = "id AS number_id, identity_id, number, type, state, incoming_call_action,
    client_websocket_url, incoming_call_webhook_url, incoming_call_fallback_url,
    incoming_call_default_action, incoming_call_timeout_ms, filter_mode AS number_filter_mode,
    settings AS number_settings, created_ms AS number_created_ms, updated_ms AS number_updated_ms
    FROM phone_numbers WHERE organization_id = $1 AND (identity_id = $2 OR $2 IS NULL)";
const TAKEN: &str = "SELECT 1 FROM phone_numbers WHERE number = $1";
const ALLOWED: &str = "SELECT 1 FROM allowed_numbers WHERE number = $1 AND organization_id = $2";
const ALLOW: &str = "INSERT INTO allowed_numbers (number, organization_id) VALUES ($1, $2)
    ON CONFLICT (number) DO UPDATE SET organization_id = excluded.organization_id";
const IN_USE: &str = "SELECT number FROM phone_numbers WHERE number BETWEEN $1 AND $2
    UNION SELECT name FROM reserved_names WHERE kind = 'number' AND name BETWEEN $1 AND $2 AND until_ms > $3";
const HAS_ONE: &str = "SELECT 1 FROM phone_numbers WHERE identity_id = $1";
const ADD: &str = "INSERT INTO phone_numbers (id, organization_id, identity_id, number, type, state,
    incoming_call_action, client_websocket_url, incoming_call_webhook_url, incoming_call_fallback_url,
    incoming_call_default_action, incoming_call_timeout_ms, filter_mode, settings, created_ms, updated_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'blacklist', $13, $14, $14)";
const CHANGE: &str = "UPDATE phone_numbers SET incoming_call_action = $2, client_websocket_url = $3,
    incoming_call_webhook_url = $4, incoming_call_fallback_url = $5, incoming_call_default_action = $6,
    incoming_call_timeout_ms = $7, filter_mode = $8, settings = $9, updated_ms = $10 WHERE id = $1";
const REMOVE: &str = "DELETE FROM phone_numbers WHERE id = $1";

impl Store {
    /// Makes a number for the identity with this handle.
    pub async fn create_phone_number(
        &self,
        scope: Scope,
        handle: String,
        new: NewPhoneNumber,
    ) -> Result<AddNumber, StoreError> {
        self.change(move |tx| {
            let Some(identity) = super::identities::hold(tx, scope, &handle)? else {
                return Ok(AddNumber::IdentityNotFound);
            };
            let row = identity.id.as_uuid();
            if rows::scalar::<i64>(tx, HAS_ONE, params![row.as_bytes()])?.is_some() {
                return Ok(AddNumber::HasOne);
            }
            let now = tx.context.clock.wall();
            let number = match choose(tx, scope.organization, &new, now)? {
                Ok(number) => number,
                Err(refused) => return Ok(refused),
            };
            // What the identity said of its calls before it had a number is what the number says of them.
            let before = call_rules::take(tx, identity.id)?;
            let new = before.map_or_else(
                || new.clone(),
                |(incoming_call, settings)| NewPhoneNumber { incoming_call, settings, ..new.clone() },
            );
            let id = add(tx, scope.organization, identity.id, &new, &number, now)?;
            let made = by_id(tx, scope, id)?.ok_or(StoreError::Corrupt("a number just made"))?;
            Ok(AddNumber::Added(Box::new(made)))
        })
        .await
    }

    /// The numbers that the scope can see, oldest first.
    pub async fn phone_numbers(&self, scope: Scope) -> Result<Vec<PhoneNumber>, StoreError> {
        self.read(move |connection| {
            let identity = scope.identity.map(IdentityId::as_uuid);
            let params = params![scope.organization.0, identity.as_ref().map(Uuid::as_bytes)];
            let sql = format!("SELECT {COLUMNS} ORDER BY created_ms, /*lite*/ rowid /*end*/ /*pg id */");
            rows::all(connection, &sql, params, read)
        })
        .await
    }

    /// One number, if the scope can see it.
    pub async fn phone_number(
        &self,
        scope: Scope,
        id: PhoneNumberId,
    ) -> Result<Option<PhoneNumber>, StoreError> {
        self.read(move |connection| by_id(connection, scope, id)).await
    }

    /// Changes a number.
    pub async fn change_phone_number(
        &self,
        scope: Scope,
        id: PhoneNumberId,
        change: NumberChange,
    ) -> Result<ChangeNumber, StoreError> {
        self.change(move |tx| {
            let Some(found) = hold(tx, scope, id)? else { return Ok(ChangeNumber::NotFound) };
            self::change(tx, scope, found, &change)
        })
        .await
    }

    /// Deletes a number and the subscriptions attached to it; false when it is not there.
    pub async fn delete_phone_number(&self, scope: Scope, id: PhoneNumberId) -> Result<bool, StoreError> {
        self.change(move |tx| {
            let Some(found) = by_id(tx, scope, id)? else { return Ok(false) };
            delete(tx, scope.organization, &found)?;
            Ok(true)
        })
        .await
    }

    /// Deletes the number of the identity with this handle; false when either is not there.
    pub async fn delete_phone_number_of(&self, scope: Scope, handle: String) -> Result<bool, StoreError> {
        self.change(move |tx| {
            let found = super::identities::by_handle(tx, scope, &handle)?;
            let Some(number) = found.and_then(|identity| identity.phone_number) else { return Ok(false) };
            delete(tx, scope.organization, &number)?;
            Ok(true)
        })
        .await
    }

    /// Lets an organisation take a number outside the free range.
    pub async fn allow_number(&self, organization: OrganizationNo, number: String) -> Result<(), StoreError> {
        self.change(move |tx| {
            tx.run(ALLOW, params![number, organization.0])?;
            Ok(())
        })
        .await
    }
}

/// Finds a number to give out, or says why there is none. Writes nothing.
pub(super) fn choose(
    tx: &Tx<'_>,
    organization: OrganizationNo,
    wanted: &NewPhoneNumber,
    now: TimeMs,
) -> Result<Result<String, AddNumber>, StoreError> {
    let Some(number) = &wanted.number else {
        let free = any_free(tx, wanted, now)?;
        return Ok(free.ok_or(AddNumber::NoneFree));
    };
    if !phone_number::is_free_to_take(number)
        && rows::scalar::<i64>(tx, ALLOWED, params![number, organization.0])?.is_none()
    {
        return Ok(Err(AddNumber::NotAllowed));
    }
    let taken = rows::scalar::<i64>(tx, TAKEN, params![number])?.is_some()
        || names::reserved_by_others(tx, NameKind::Number, number, organization, now)?;
    Ok(if taken { Err(AddNumber::Taken) } else { Ok(number.clone()) })
}

/// Looks through the area codes from a random one on, one statement each, until one has a free number.
fn any_free(tx: &Tx<'_>, wanted: &NewPhoneNumber, now: TimeMs) -> Result<Option<String>, StoreError> {
    let codes = AreaCode::of(wanted.kind, wanted.state.as_deref());
    let [high, low, first] = tx.context.entropy.bytes::<3>();
    let start = usize::from(u16::from_be_bytes([high, low]));
    let first = first % AreaCode::NUMBERS;
    for step in 0..codes.len() {
        let code = codes[(start + step) % codes.len()];
        let params = params![code.number(0), code.number(AreaCode::NUMBERS - 1), now.0];
        let used = rows::all(tx, IN_USE, params, |row| Ok(row.get::<_, String>(0)?))?;
        let mut numbers = (0..AreaCode::NUMBERS).map(|n| code.number((first + n) % AreaCode::NUMBERS));
        if let Some(free) = numbers.find(|number| !used.contains(number)) {
            return Ok(Some(free));
        }
    }
    Ok(None)
}

/// Adds a number that was chosen in the same transaction.
pub(super) fn add(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    identity: IdentityId,
    new: &NewPhoneNumber,
    number: &str,
    now: TimeMs,
) -> Result<PhoneNumberId, StoreError> {
    let id = PhoneNumberId::from(tx.context.entropy.uuid());
    let (row, identity) = (id.as_uuid(), identity.as_uuid());
    let params = params![
        row.as_bytes(),
        organization.0,
        identity.as_bytes(),
        number,
        new.kind.name(),
        new.state,
        new.incoming_call.action.name(),
        new.incoming_call.client_websocket_url,
        new.incoming_call.webhook_url,
        new.incoming_call.fallback_url,
        new.incoming_call.default_action.name(),
        new.incoming_call.timeout_ms,
        rows::json(&new.settings),
        now.0,
    ];
    tx.run(ADD, params)?;
    tx.forget_names();
    if new.incoming_call.names_somebody() {
        signing_keys::mint_if_none(tx, organization, identity)?;
    }
    Ok(id)
}

/// Changes a number that was found in the same transaction.
pub(super) fn change(
    tx: &mut Tx<'_>,
    scope: Scope,
    found: PhoneNumber,
    change: &NumberChange,
) -> Result<ChangeNumber, StoreError> {
    let call = change.call.applied(found.incoming_call);
    if let Err(incomplete) = phone_number::check(&call) {
        return Ok(ChangeNumber::Incomplete(incomplete));
    }
    let row = found.id.as_uuid();
    let params = params![
        row.as_bytes(),
        call.action.name(),
        call.client_websocket_url,
        call.webhook_url,
        call.fallback_url,
        call.default_action.name(),
        call.timeout_ms,
        change.filter_mode.unwrap_or(found.filter_mode).name(),
        rows::json(&rows::merged(found.settings, &change.settings)),
        tx.context.clock.wall().0,
    ];
    tx.run(CHANGE, params)?;
    if call.names_somebody() {
        // Whoever is asked about a call must be able to tell who asks.
        signing_keys::mint_if_none(tx, scope.organization, found.identity_id.as_uuid())?;
    }
    let changed = by_id(tx, scope, found.id)?.ok_or(StoreError::Corrupt("a number just changed"))?;
    Ok(ChangeNumber::Changed(Box::new(changed)))
}

fn delete(tx: &mut Tx<'_>, organization: OrganizationNo, number: &PhoneNumber) -> Result<(), StoreError> {
    let now = tx.context.clock.wall();
    let id = number.id.as_uuid();
    subscriptions::delete_of_owner(tx, Owner::PhoneNumber(number.id))?;
    names::reserve(tx, NameKind::Number, &number.number, organization, now)?;
    tx.run(REMOVE, params![id.as_bytes()])?;
    tx.forget_names();
    Ok(())
}

/// The number of an identity, if it has one.
pub(super) fn of_identity(
    connection: &Connection,
    scope: Scope,
    identity: IdentityId,
) -> Result<Option<PhoneNumber>, StoreError> {
    let own = Scope { identity: Some(identity), ..scope };
    let identity = identity.as_uuid();
    let params = params![own.organization.0, identity.as_bytes()];
    Ok(rows::all(connection, &format!("SELECT {COLUMNS}"), params, read)?.pop())
}

/// One number of a scope, which does not move with its identity until the end of the transaction.
fn hold(tx: &Tx<'_>, scope: Scope, id: PhoneNumberId) -> Result<Option<PhoneNumber>, StoreError> {
    let Some(found) = by_id(tx, scope, id)? else { return Ok(None) };
    if !tx.is_shared() {
        return Ok(Some(found));
    }
    subscriptions::lock_identity(tx, found.identity_id)?;
    by_id(tx, scope, id)
}

fn by_id(
    connection: &Connection,
    scope: Scope,
    id: PhoneNumberId,
) -> Result<Option<PhoneNumber>, StoreError> {
    let identity = scope.identity.map(IdentityId::as_uuid);
    let id = id.as_uuid();
    let params = params![scope.organization.0, identity.as_ref().map(Uuid::as_bytes), id.as_bytes()];
    Ok(rows::all(connection, &format!("SELECT {COLUMNS} AND id = $3"), params, read)?.pop())
}

fn read(row: &Row<'_>) -> Result<PhoneNumber, StoreError> {
    let identity = rows::id(row, "identity_id")?;
    read_joined(row, identity)?.ok_or(StoreError::Corrupt("a phone number"))
}

/// Reads a number that a statement joined to its identity.
pub(super) fn read_joined(row: &Row<'_>, identity_id: IdentityId) -> Result<Option<PhoneNumber>, StoreError> {
    let Some(id) = rows::optional_id(row, "number_id")? else { return Ok(None) };
    let kind: String = row.get("type")?;
    let filter_mode: String = row.get("number_filter_mode")?;
    Ok(Some(PhoneNumber {
        id,
        identity_id,
        number: row.get("number")?,
        kind: NumberKind::parse(&kind).ok_or(StoreError::Corrupt("a kind of number"))?,
        state: row.get("state")?,
        incoming_call: call_rules::read_rule(row)?,
        filter_mode: FilterMode::parse(&filter_mode).ok_or(StoreError::Corrupt("a filter mode"))?,
        settings: rows::settings(row, "number_settings")?,
        created_at: rows::time(row, "number_created_ms")?,
        updated_at: rows::time(row, "number_updated_ms")?,
    }))
}

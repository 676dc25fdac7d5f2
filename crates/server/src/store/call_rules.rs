//! What an identity says of its incoming calls: one record, whichever way it is asked for.
//!
//! With a number it is in the number's own row, so that the number's fields and this record cannot differ. Without
//! one it waits in a table of its own until the identity gets a number, and goes with the identity.

use inkhook_wire::id::IdentityId;

use super::error::StoreError;
use super::phone_numbers::{self, ChangeNumber, NumberChange};
use super::sql::{Connection, Row, params};
use super::writer::Tx;
use super::{Store, rows, signing_keys, subscriptions};
use crate::domain::call::RuleChange;
use crate::domain::caller::Scope;
use crate::domain::identity::{CallAction, DefaultAction, IncomingCall, Settings};
use crate::domain::phone_number::{self, Incomplete};

/// The record.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRule {
    /// Whose it is.
    pub identity_id: IdentityId,
    /// What happens to calls.
    pub rule: IncomingCall,
    /// What else the client set.
    pub settings: Settings,
}

/// What became of looking for one.
#[derive(Debug, Clone, PartialEq)]
pub enum FindRule {
    /// This is it.
    Found(Box<CallRule>),
    /// The identity has no number and has said nothing.
    NotSet,
    /// There is no such identity for this scope.
    IdentityNotFound,
}

/// What became of setting one.
#[derive(Debug, Clone, PartialEq)]
pub enum SetRule {
    /// Set; this is how it is now.
    Set(Box<CallRule>),
    /// There is no such identity for this scope.
    IdentityNotFound,
    /// It needs something that is not there.
    Incomplete(Incomplete),
}

const IDENTITY: &str =
    "SELECT 1 FROM identities WHERE organization_id = $1 AND id = $2 AND (id = $3 OR $3 IS NULL)";
const FIND: &str = "SELECT incoming_call_action, client_websocket_url, incoming_call_webhook_url,
    incoming_call_fallback_url, incoming_call_default_action, incoming_call_timeout_ms, settings
    FROM call_rules WHERE identity_id = $1";
const SET: &str = "INSERT INTO call_rules (identity_id, incoming_call_action, client_websocket_url,
    incoming_call_webhook_url, incoming_call_fallback_url, incoming_call_default_action,
    incoming_call_timeout_ms, settings) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (identity_id) DO UPDATE SET incoming_call_action = excluded.incoming_call_action,
    client_websocket_url = excluded.client_websocket_url,
    incoming_call_webhook_url = excluded.incoming_call_webhook_url,
    incoming_call_fallback_url = excluded.incoming_call_fallback_url,
    incoming_call_default_action = excluded.incoming_call_default_action,
    incoming_call_timeout_ms = excluded.incoming_call_timeout_ms, settings = excluded.settings";
const REMOVE: &str = "DELETE FROM call_rules WHERE identity_id = $1";

impl Store {
    /// The record of an identity.
    pub async fn call_rule(&self, scope: Scope, identity: IdentityId) -> Result<FindRule, StoreError> {
        self.read(move |connection| {
            if !is_there(connection, scope, identity)? {
                return Ok(FindRule::IdentityNotFound);
            }
            if let Some(number) = phone_numbers::of_identity(connection, scope, identity)? {
                let rule = number.incoming_call;
                let settings = number.settings;
                return Ok(FindRule::Found(Box::new(CallRule { identity_id: identity, rule, settings })));
            }
            let found = find(connection, identity)?;
            Ok(found.map_or(FindRule::NotSet, |(rule, settings)| {
                FindRule::Found(Box::new(CallRule { identity_id: identity, rule, settings }))
            }))
        })
        .await
    }

    /// Sets the record of an identity, or what the change names of it; `settings` to add or replace, null takes
    /// one away.
    pub async fn set_call_rule(
        &self,
        scope: Scope,
        identity: IdentityId,
        change: RuleChange,
        settings: Settings,
    ) -> Result<SetRule, StoreError> {
        self.change(move |tx| set(tx, scope, identity, &change, &settings)).await
    }
}

fn set(
    tx: &mut Tx<'_>,
    scope: Scope,
    identity: IdentityId,
    change: &RuleChange,
    settings: &Settings,
) -> Result<SetRule, StoreError> {
    // Held before it is looked for: another node may have it move just now.
    subscriptions::lock_identity(tx, identity)?;
    if !is_there(tx, scope, identity)? {
        return Ok(SetRule::IdentityNotFound);
    }
    if let Some(number) = phone_numbers::of_identity(tx, scope, identity)? {
        let change = NumberChange { call: change.clone(), settings: settings.clone(), filter_mode: None };
        return Ok(match phone_numbers::change(tx, scope, number, &change)? {
            ChangeNumber::Changed(number) => {
                let (rule, settings) = (number.incoming_call, number.settings);
                SetRule::Set(Box::new(CallRule { identity_id: identity, rule, settings }))
            }
            ChangeNumber::NotFound => SetRule::IdentityNotFound,
            ChangeNumber::Incomplete(lacks) => SetRule::Incomplete(lacks),
        });
    }
    let (rule, known) = find(tx, identity)?.unwrap_or_default();
    let (rule, settings) = (change.applied(rule), rows::merged(known, settings));
    if let Err(lacks) = phone_number::check(&rule) {
        return Ok(SetRule::Incomplete(lacks));
    }
    let row = identity.as_uuid();
    let params = params![
        row.as_bytes(),
        rule.action.name(),
        rule.client_websocket_url,
        rule.webhook_url,
        rule.fallback_url,
        rule.default_action.name(),
        rule.timeout_ms,
        rows::json(&settings),
    ];
    tx.run(SET, params)?;
    if rule.names_somebody() {
        signing_keys::mint_if_none(tx, scope.organization, row)?;
    }
    Ok(SetRule::Set(Box::new(CallRule { identity_id: identity, rule, settings })))
}

/// Takes the record away from an identity that is about to get a number.
pub(super) fn take(
    tx: &Tx<'_>,
    identity: IdentityId,
) -> Result<Option<(IncomingCall, Settings)>, StoreError> {
    let found = find(tx, identity)?;
    if found.is_some() {
        forget(tx, identity)?;
    }
    Ok(found)
}

/// Removes the record of an identity that has no number.
pub(super) fn forget(tx: &Tx<'_>, identity: IdentityId) -> Result<(), StoreError> {
    tx.run(REMOVE, params![identity.as_uuid().as_bytes()])?;
    Ok(())
}

fn is_there(connection: &Connection, scope: Scope, identity: IdentityId) -> Result<bool, StoreError> {
    let (own, identity) = (scope.identity.map(IdentityId::as_uuid), identity.as_uuid());
    let own = own.as_ref().map(uuid::Uuid::as_bytes);
    let params = params![scope.organization.0, identity.as_bytes(), own];
    Ok(rows::scalar::<i64>(connection, IDENTITY, params)?.is_some())
}

fn find(
    connection: &Connection,
    identity: IdentityId,
) -> Result<Option<(IncomingCall, Settings)>, StoreError> {
    rows::optional(connection, FIND, params![identity.as_uuid().as_bytes()], |row| {
        Ok((read_rule(row)?, rows::settings(row, "settings")?))
    })
}

/// Reads the columns that a number and this record have in common.
pub(super) fn read_rule(row: &Row<'_>) -> Result<IncomingCall, StoreError> {
    let action: String = row.get("incoming_call_action")?;
    let default_action: String = row.get("incoming_call_default_action")?;
    let default_action = DefaultAction::parse(&default_action);
    Ok(IncomingCall {
        action: CallAction::parse(&action).ok_or(StoreError::Corrupt("a call action"))?,
        client_websocket_url: row.get("client_websocket_url")?,
        webhook_url: row.get("incoming_call_webhook_url")?,
        fallback_url: row.get("incoming_call_fallback_url")?,
        default_action: default_action.ok_or(StoreError::Corrupt("a default action"))?,
        timeout_ms: row.get("incoming_call_timeout_ms")?,
    })
}

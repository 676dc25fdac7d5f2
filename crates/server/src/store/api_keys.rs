//! API keys: found by an HMAC of their text, so that the database never holds one.

use std::sync::atomic::Ordering;

use inkhook_wire::id::{ApiKeyId, IdentityId, OrganizationId};
use uuid::Uuid;

use super::error::StoreError;
use super::sql::{Connection, Params, Row, params};
use super::writer::Tx;
use super::{Store, rows, signups};
use crate::domain::api_key::{self, KeyScope};
use crate::domain::caller::Scope;
use crate::domain::number::OrganizationNo;
use crate::domain::secret::Secret;
use crate::domain::time::TimeMs;

/// What is known about a key; never its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public id.
    pub id: ApiKeyId,
    /// The organisation it belongs to; an operator key belongs to none.
    pub organization: Option<(OrganizationNo, OrganizationId)>,
    /// What it may do.
    pub scope: KeyScope,
    /// An agent key's identity.
    pub identity: Option<IdentityId>,
    /// Whether a person took responsibility for it; false for some agent keys only.
    pub claimed: bool,
    /// What people call it.
    pub label: String,
    /// What it is for.
    pub description: Option<String>,
    /// The beginning of its id.
    pub display_prefix: String,
    /// The end of its text.
    pub last4: String,
    /// Who made it: a key's id, or `operator`.
    pub created_by: String,
    /// `human` or `agent`.
    pub creator_type: String,
    /// When it was made.
    pub created_at: TimeMs,
    /// When it was changed last.
    pub updated_at: TimeMs,
    /// When it was used last, to the minute.
    pub last_used_at: Option<TimeMs>,
    /// From when on it is refused.
    pub expires_at: Option<TimeMs>,
    /// Since when it is refused.
    pub revoked_at: Option<TimeMs>,
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// The organisation; `None` for an operator key and only then.
    pub organization: Option<OrganizationNo>,
    /// What it may do.
    pub scope: KeyScope,
    /// An agent key's identity.
    pub identity: Option<IdentityId>,
    /// Whether a person took responsibility for it.
    pub claimed: bool,
    /// What people call it.
    pub label: String,
    /// What it is for.
    pub description: Option<String>,
    /// Who makes it.
    pub created_by: String,
    /// From when on it is refused.
    pub expires_at: Option<TimeMs>,
    /// Its text, when the operator chose one.
    pub text: Option<Secret>,
}

/// What became of making a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MintKey {
    /// Made. The text is told this once.
    Minted(Box<ApiKey>, Secret),
    /// There is no such identity in the organisation.
    IdentityNotFound,
    /// Nobody has vouched for the identity yet: a claimed key would go with it after a while.
    Unclaimed,
    /// Another key has the text that was chosen.
    Taken,
}

const COLUMNS: &str = "k.id, k.organization_id, o.id AS organization, k.scope, k.identity_id, k.claimed,
    k.label, k.description, k.display_prefix, k.last4, k.created_by, k.creator_type, k.created_ms,
    k.updated_ms, k.last_used_ms, k.expires_ms, k.revoked_ms
    FROM api_keys k LEFT JOIN organizations o ON o.no = k.organization_id";
const BY_MAC: &str = "WHERE k.mac = $1 AND k.revoked_ms IS NULL";
const BY_ID: &str = "WHERE k.id = $1";
const VISIBLE: &str = "WHERE k.organization_id = $1 AND (k.identity_id = $2 OR $2 IS NULL)";
const ADD: &str = "INSERT INTO api_keys (id, organization_id, scope, identity_id, claimed, label,
    description, mac, display_prefix, last4, created_by, creator_type, created_ms, updated_ms, expires_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $14, $12, $12, $13)";
const MAC_TAKEN: &str = "SELECT 1 FROM api_keys WHERE mac = $1";
const IDENTITY: &str = "SELECT 1 FROM identities WHERE id = $1 AND organization_id = $2";
const REVOKE: &str = "UPDATE api_keys
    SET updated_ms = CASE WHEN revoked_ms IS NULL THEN $3 ELSE updated_ms END, revoked_ms = coalesce(revoked_ms, $3)
    WHERE id = $1 AND organization_id = $2";
const REVOKE_OF_IDENTITY: &str = "UPDATE api_keys SET revoked_ms = $2, updated_ms = $2
    WHERE identity_id = $1 AND revoked_ms IS NULL";
const CLAIM_OF_IDENTITY: &str = "UPDATE api_keys SET claimed = 1, organization_id = $2, updated_ms = $3
    WHERE identity_id = $1";
const NOTE_USE: &str =
    "UPDATE api_keys SET last_used_ms = $2 WHERE id = $1 AND coalesce(last_used_ms, 0) < $2";

impl Store {
    /// The key with this text, unless it is revoked. Expiry is for the caller to judge.
    pub async fn find_key(&self, mac: [u8; 32]) -> Result<Option<ApiKey>, StoreError> {
        self.read(move |connection| {
            let found = select(connection, BY_MAC, params![mac])?.pop();
            // An agent key without its identity is of no use to anybody.
            Ok(found.filter(|key| key.scope != KeyScope::Agent || key.identity.is_some()))
        })
        .await
    }

    /// The key with this id, whoever it belongs to: for a key that asks about itself.
    pub async fn key_by_id(&self, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        self.read(move |connection| Ok(select(connection, BY_ID, params![id.as_uuid().as_bytes()])?.pop()))
            .await
    }

    /// The keys that the scope can see, newest first, revoked ones included.
    pub async fn api_keys(&self, scope: Scope) -> Result<Vec<ApiKey>, StoreError> {
        self.read(move |connection| {
            let identity = scope.identity.map(IdentityId::as_uuid);
            let identity = identity.as_ref().map(Uuid::as_bytes);
            select(
                connection,
                &format!("{VISIBLE} ORDER BY k.created_ms DESC, /*lite*/ k.rowid /*end*/ /*pg k.id */ DESC"),
                params![scope.organization.0, identity],
            )
        })
        .await
    }

    /// One key, if the scope can see it.
    pub async fn api_key(&self, scope: Scope, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        self.read(move |connection| {
            let identity = scope.identity.map(IdentityId::as_uuid);
            let identity = identity.as_ref().map(Uuid::as_bytes);
            let id = id.as_uuid();
            let params = params![scope.organization.0, identity, id.as_bytes()];
            Ok(select(connection, &format!("{VISIBLE} AND k.id = $3"), params)?.pop())
        })
        .await
    }

    /// Makes a key.
    pub async fn mint_key(&self, new: NewApiKey) -> Result<MintKey, StoreError> {
        self.change(move |tx| mint(tx, &new)).await
    }

    /// Refuses a key from now on; false when the organisation has no such key. Twice is once.
    pub async fn revoke_key(&self, organization: OrganizationNo, id: ApiKeyId) -> Result<bool, StoreError> {
        self.change(move |tx| {
            let now = tx.context.clock.wall();
            let found = tx.run(REVOKE, params![id.as_uuid().as_bytes(), organization.0, now.0])? > 0;
            if found {
                tx.forget_keys();
            }
            Ok(found)
        })
        .await
    }

    /// Writes down, when nothing else is to be written, that a key was used. Nobody waits for it.
    pub fn note_key_use(&self, id: ApiKeyId, at: TimeMs) {
        self.writer.tidy_unattended(move |tx| {
            tx.run(NOTE_USE, params![id.as_uuid().as_bytes(), at.0])?;
            Ok(())
        });
    }

    /// Raised by every commit after which a key that was found earlier may be wrong.
    #[must_use]
    pub fn keys_epoch(&self) -> u64 {
        self.writer.keys_epoch().load(Ordering::SeqCst)
    }

    /// The value by which [`Store::find_key`] finds a key.
    #[must_use]
    pub fn key_mac(&self, text: &str) -> [u8; 32] {
        self.sealer().api_key_mac(text)
    }
}

/// Makes a key inside a transaction.
pub(super) fn mint(tx: &mut Tx<'_>, new: &NewApiKey) -> Result<MintKey, StoreError> {
    let identity = new.identity.map(IdentityId::as_uuid);
    let identity = identity.as_ref().map(Uuid::as_bytes);
    let organization = new.organization.map(|no| no.0);
    if identity.is_some() && rows::scalar::<i64>(tx, IDENTITY, params![identity, organization])?.is_none() {
        return Ok(MintKey::IdentityNotFound);
    }
    if let Some(identity) = new.identity.filter(|_| new.claimed)
        && signups::is_unclaimed(tx, identity)?
    {
        return Ok(MintKey::Unclaimed);
    }
    let entropy = &tx.context.entropy;
    let id = ApiKeyId::from(entropy.uuid());
    let text = new.text.clone().unwrap_or_else(|| api_key::generate(entropy, id));
    let mac = tx.context.sealer.api_key_mac(text.expose());
    if rows::scalar::<i64>(tx, MAC_TAKEN, params![mac])?.is_some() {
        return Ok(MintKey::Taken);
    }
    let now = tx.context.clock.wall();
    let row = id.as_uuid();
    let params = params![
        row.as_bytes(),
        organization,
        new.scope.name(),
        identity,
        new.claimed,
        new.label,
        new.description,
        mac,
        api_key::display_prefix(id),
        api_key::last4(&text),
        new.created_by,
        now.0,
        new.expires_at.map(|at| at.0),
        // Nobody has vouched for a key that is not claimed: the agent made it.
        if new.claimed { "human" } else { "agent" },
    ];
    tx.run(ADD, params)?;
    let key = select(tx, BY_ID, params![row.as_bytes()])?.pop();
    let key = key.ok_or(StoreError::Corrupt("a key that was just made"))?;
    Ok(MintKey::Minted(Box::new(key), text))
}

/// Refuses every key of an identity from this commit on.
pub(super) fn revoke_of_identity(tx: &mut Tx<'_>, identity: Uuid, now: TimeMs) -> Result<(), StoreError> {
    tx.run(REVOKE_OF_IDENTITY, params![identity.as_bytes(), now.0])?;
    tx.forget_keys();
    Ok(())
}

/// From this commit on the keys of an identity are claimed, and of this organisation.
pub(super) fn claim_of_identity(
    tx: &mut Tx<'_>,
    identity: Uuid,
    organization: OrganizationNo,
    now: TimeMs,
) -> Result<(), StoreError> {
    tx.run(CLAIM_OF_IDENTITY, params![identity.as_bytes(), organization.0, now.0])?;
    tx.forget_keys();
    Ok(())
}

fn select(connection: &Connection, condition: &str, params: Params<'_>) -> Result<Vec<ApiKey>, StoreError> {
    rows::all(connection, &format!("SELECT {COLUMNS} {condition}"), params, read)
}

fn read(row: &Row<'_>) -> Result<ApiKey, StoreError> {
    let no: Option<i64> = row.get("organization_id")?;
    let scope: String = row.get("scope")?;
    Ok(ApiKey {
        id: rows::id(row, "id")?,
        organization: no.map(OrganizationNo).zip(rows::optional_id(row, "organization")?),
        scope: KeyScope::parse(&scope).ok_or(StoreError::Corrupt("an API key's scope"))?,
        identity: rows::optional_id(row, "identity_id")?,
        claimed: row.get("claimed")?,
        label: row.get("label")?,
        description: row.get("description")?,
        display_prefix: row.get("display_prefix")?,
        last4: row.get("last4")?,
        created_by: row.get("created_by")?,
        creator_type: row.get("creator_type")?,
        created_at: rows::time(row, "created_ms")?,
        updated_at: rows::time(row, "updated_ms")?,
        last_used_at: rows::optional_time(row, "last_used_ms")?,
        expires_at: rows::optional_time(row, "expires_ms")?,
        revoked_at: rows::optional_time(row, "revoked_ms")?,
    })
}

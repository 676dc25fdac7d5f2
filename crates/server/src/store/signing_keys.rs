//! Signing keys: an identity's own, and the organisation's as the fallback for identities without one.
//!
//! A key is told when it is made and never again; at rest it is sealed. A rotation replaces at once: in the
//! same transaction every subscription that the key signs for gets a new generation, so that an attempt
//! prepared with the old key is prepared anew before its first byte.

use inkhook_wire::id::IdentityId;
use inkhook_wire::sign::SigningKey;
use uuid::Uuid;

use super::error::StoreError;
use super::seal::Place;
use super::sql::{Params, params};
use super::writer::Tx;
use super::{Store, identities, organization_settings, rows};
use crate::domain::caller::Scope;
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::domain::secret::Secret;
use crate::domain::time::TimeMs;

/// A key that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSigningKey {
    /// The key, told this once.
    pub key: Secret,
    /// When it was made: now.
    pub created_at: TimeMs,
}

/// Whether there is a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SigningKeyStatus {
    /// It is there.
    pub configured: bool,
    /// Since when.
    pub created_at: Option<TimeMs>,
}

const SET_IDENTITY: &str =
    "UPDATE identities SET signing_key = $2, signing_key_created_ms = $3 WHERE id = $1";
const SET_ORGANIZATION: &str =
    "UPDATE organizations SET signing_key = $2, signing_key_created_ms = $3 WHERE no = $1";
const RAISE_IDENTITY: &str = "UPDATE subscriptions SET generation = generation + 1
    WHERE identity_id = $1 AND status = 'active' RETURNING no, generation";
const RAISE_ORGANIZATION: &str = "UPDATE subscriptions SET generation = generation + 1
    WHERE organization_id = $1 AND status = 'active'
    AND identity_id IN (SELECT id FROM identities WHERE organization_id = $1 AND signing_key IS NULL)
    RETURNING no, generation";
const HAS_KEY: &str = "SELECT i.signing_key IS NOT NULL OR o.signing_key IS NOT NULL
    FROM identities i JOIN organizations o ON o.no = i.organization_id WHERE i.id = $1";
const ORGANIZATION_HAS_KEY: &str = "SELECT signing_key IS NOT NULL FROM organizations WHERE no = $1";
const OF_IDENTITY: &str = "SELECT signing_key_created_ms FROM identities
    WHERE organization_id = $1 AND id = $2 AND signing_key IS NOT NULL";
const OF_ORGANIZATION: &str = "SELECT max(created_ms) FROM (
    SELECT signing_key_created_ms AS created_ms FROM organizations WHERE no = $1 AND signing_key IS NOT NULL
    UNION ALL
    SELECT signing_key_created_ms FROM identities WHERE organization_id = $1 AND signing_key IS NOT NULL) keys";

impl Store {
    /// Makes or replaces the key of the identity with this handle; `None` when it is not there.
    pub async fn rotate_identity_key(
        &self,
        scope: Scope,
        handle: String,
    ) -> Result<Option<NewSigningKey>, StoreError> {
        self.change(move |tx| {
            let Some(identity) = identities::by_handle(tx, scope, &handle)? else { return Ok(None) };
            rotate_identity(tx, scope.organization, identity.id.as_uuid()).map(Some)
        })
        .await
    }

    /// Makes or replaces the scope's own key: the identity's for an agent, else the organisation's.
    pub async fn rotate_own_key(&self, scope: Scope) -> Result<NewSigningKey, StoreError> {
        self.change(move |tx| match scope.identity {
            Some(identity) => rotate_identity(tx, scope.organization, identity.as_uuid()),
            None => rotate_organization(tx, scope.organization),
        })
        .await
    }

    /// Whether the identity with this handle has its own key; `None` when it is not there.
    pub async fn identity_key_status(
        &self,
        scope: Scope,
        handle: String,
    ) -> Result<Option<SigningKeyStatus>, StoreError> {
        let identity = self.identity(scope, handle).await?;
        Ok(identity.map(|identity| status(identity.signing_key_created_at)))
    }

    /// Whether the scope has a key: an agent's own identity, else the organisation or any identity of it.
    pub async fn own_key_status(&self, scope: Scope) -> Result<SigningKeyStatus, StoreError> {
        self.read(move |connection| {
            let created: Option<Option<i64>> = match scope.identity.map(IdentityId::as_uuid) {
                Some(id) => {
                    rows::scalar(connection, OF_IDENTITY, params![scope.organization.0, id.as_bytes()])?
                }
                None => rows::scalar(connection, OF_ORGANIZATION, params![scope.organization.0])?,
            };
            Ok(status(created.flatten().map(TimeMs)))
        })
        .await
    }
}

fn status(created_at: Option<TimeMs>) -> SigningKeyStatus {
    SigningKeyStatus { configured: created_at.is_some(), created_at }
}

/// Makes the identity's key when neither it nor its organisation has one: nothing is ever sent unsigned.
pub(super) fn mint_if_none(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    identity: Uuid,
) -> Result<Option<NewSigningKey>, StoreError> {
    match rows::scalar::<bool>(tx, HAS_KEY, params![identity.as_bytes()])? {
        Some(false) => rotate_identity(tx, organization, identity).map(Some),
        _ => Ok(None),
    }
}

/// Makes the organisation's key when it has none: operational events are signed with it.
pub(super) fn mint_organization_if_none(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
) -> Result<Option<NewSigningKey>, StoreError> {
    match rows::scalar::<bool>(tx, ORGANIZATION_HAS_KEY, params![organization.0])? {
        Some(false) => rotate_organization(tx, organization).map(Some),
        _ => Ok(None),
    }
}

fn rotate_identity(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    identity: Uuid,
) -> Result<NewSigningKey, StoreError> {
    let (new, sealed) = make(tx, Place::identity_key(organization, identity))?;
    tx.run(SET_IDENTITY, params![identity.as_bytes(), sealed, new.created_at.0])?;
    raise(tx, RAISE_IDENTITY, params![identity.as_bytes()])?;
    Ok(new)
}

fn rotate_organization(tx: &mut Tx<'_>, organization: OrganizationNo) -> Result<NewSigningKey, StoreError> {
    let (new, sealed) = make(tx, Place::organization_key(organization))?;
    tx.run(SET_ORGANIZATION, params![organization.0, sealed, new.created_at.0])?;
    organization_settings::raise_alerts(tx, organization)?;
    raise(tx, RAISE_ORGANIZATION, params![organization.0])?;
    Ok(new)
}

fn make(tx: &Tx<'_>, place: Place) -> Result<(NewSigningKey, Vec<u8>), StoreError> {
    let context = tx.context;
    let key = SigningKey::from_random_bytes(context.entropy.bytes());
    let key = Secret::new(key.secret().to_owned());
    let sealed = context.sealer.seal(&context.entropy, place, &key)?;
    Ok((NewSigningKey { key, created_at: context.clock.wall() }, sealed))
}

fn raise(tx: &mut Tx<'_>, sql: &'static str, params: Params<'_>) -> Result<(), StoreError> {
    let raised = rows::all(tx, sql, params, |row| {
        Ok((SubscriptionNo(row.get("no")?), row.get::<_, i64>("generation")?))
    })?;
    for (subscription, generation) in raised {
        tx.raise_generation(subscription, u64::try_from(generation).unwrap_or(u64::MAX));
    }
    Ok(())
}

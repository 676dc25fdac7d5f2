//! Signing keys: an identity's own, the organisation's as the fallback for identities without one, and the
//! organisation's key pair, whose public half verifies.
//!
//! A key is told when it is made and never again; at rest it is sealed. A new one replaces the old at once, or is to
//! follow it at a time. Either way, in the same transaction every subscription that it signs for gets a new
//! generation, so that an attempt prepared with the old state is prepared anew before its first byte. When its
//! time has come nothing needs to be written: whoever signs picks by the time ([`Signer`]).
//!
//! [`Signer`]: crate::domain::signing::Signer

use std::time::Duration;

use inkhook_wire::id::{IdentityId, OrganizationId};
use inkhook_wire::sign::SigningKey;
use inkhook_wire::sign::asymmetric::{PublicKey, SecretKey};
use uuid::Uuid;

use super::error::StoreError;
use super::seal::{Place, Sealer};
use super::sql::{Connection, Params, Row, ToSql, params};
use super::writer::Tx;
use super::{Store, identities, organization_settings, rows};
use crate::domain::caller::Scope;
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::domain::secret::Secret;
use crate::domain::signing::{KeyDates, PUBLISHED_AFTER, SigningKeyStatus};
use crate::domain::time::TimeMs;

/// A key that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSigningKey {
    /// The key, told this once.
    pub key: Secret,
    /// When it was made: now.
    pub created_at: TimeMs,
    /// When it begins to sign; `None`: it does.
    pub pending_from: Option<TimeMs>,
}

/// A public key of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedKey {
    /// What receivers verify with.
    pub key: PublicKey,
    /// When it was made.
    pub created_at: TimeMs,
    /// From when it signs, or the one before it did.
    pub from: TimeMs,
}

/// The public keys of an organisation as they are now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PublishedKeys {
    /// The one whose secret half signs.
    pub current: Option<PublishedKey>,
    /// The one that is to sign.
    pub pending: Option<PublishedKey>,
    /// The one that signed until lately.
    pub former: Option<PublishedKey>,
}

const READ_IDENTITY: &str = "SELECT signing_key, signing_key_created_ms, next_key, next_key_created_ms,
    next_key_from_ms FROM identities WHERE id = $1 /*pg FOR NO KEY UPDATE */";
const READ_ORGANIZATION: &str = "SELECT signing_key, signing_key_created_ms, next_key, next_key_created_ms,
    next_key_from_ms FROM organizations WHERE no = $1 /*pg FOR NO KEY UPDATE */";
macro_rules! pair {
    ($lock:literal) => {
        concat!(
            "SELECT asymmetric_key, asymmetric_key_created_ms, next_asymmetric_key, next_asymmetric_key_created_ms,
    next_asymmetric_key_from_ms FROM organizations WHERE no = $1",
            $lock
        )
    };
}
const READ_PAIR: &str = pair!(" /*pg FOR NO KEY UPDATE */");
const PUBLISHED_PAIR: &str = pair!("");
const WRITE_IDENTITY: &str =
    "UPDATE identities SET signing_key = $2, signing_key_created_ms = $3, next_key = $4,
    next_key_created_ms = $5, next_key_from_ms = $6 WHERE id = $1";
const WRITE_ORGANIZATION: &str = "UPDATE organizations SET signing_key = $2, signing_key_created_ms = $3,
    next_key = $4, next_key_created_ms = $5, next_key_from_ms = $6 WHERE no = $1";
const WRITE_PAIR: &str = "UPDATE organizations SET asymmetric_key = $2, asymmetric_key_created_ms = $3,
    next_asymmetric_key = $4, next_asymmetric_key_created_ms = $5, next_asymmetric_key_from_ms = $6 WHERE no = $1";
const RAISE_IDENTITY: &str = "UPDATE subscriptions SET generation = generation + 1
    WHERE identity_id = $1 AND status = 'active' RETURNING no, generation";
const RAISE_ORGANIZATION: &str = "UPDATE subscriptions SET generation = generation + 1
    WHERE organization_id = $1 AND status = 'active'
    AND identity_id IN (SELECT id FROM identities WHERE organization_id = $1 AND signing_key IS NULL)
    RETURNING no, generation";
const RAISE_ALL: &str = "UPDATE subscriptions SET generation = generation + 1
    WHERE organization_id = $1 AND status = 'active' RETURNING no, generation";
const HAS_KEY: &str = "SELECT i.signing_key IS NOT NULL OR o.signing_key IS NOT NULL
    FROM identities i JOIN organizations o ON o.no = i.organization_id WHERE i.id = $1";
const ORGANIZATION_HAS_KEY: &str = "SELECT signing_key IS NOT NULL FROM organizations WHERE no = $1";
/// Of all of them: when the newest that signs was made, and when the first that is pending begins.
const NEWEST: &str = "SELECT
        max(CASE WHEN next_key_from_ms <= $3 THEN next_key_created_ms ELSE signing_key_created_ms END),
        min(CASE WHEN next_key_from_ms > $3 THEN next_key_from_ms END)
    FROM (SELECT signing_key_created_ms, next_key_created_ms, next_key_from_ms FROM identities
            WHERE organization_id = $1 AND (id = $2 OR $2 IS NULL)
        UNION ALL SELECT signing_key_created_ms, next_key_created_ms, next_key_from_ms FROM organizations
            WHERE no = $1 AND $2 IS NULL) keys";
const BY_ID: &str = "SELECT no FROM organizations WHERE id = $1";

/// The columns of [`read_dates`], as they are called in both tables.
pub(super) const KEY_DATES: [&str; 3] = ["signing_key_created_ms", "next_key_created_ms", "next_key_from_ms"];

impl Store {
    /// Makes the next key of the identity with this handle, which signs after so long; `None` when it is not there.
    pub async fn rotate_identity_key(
        &self,
        scope: Scope,
        handle: String,
        activate_after: Duration,
    ) -> Result<Option<NewSigningKey>, StoreError> {
        self.change(move |tx| {
            let Some(identity) = identities::hold(tx, scope, &handle)? else { return Ok(None) };
            let whose = Whose::Identity(scope.organization, identity.id.as_uuid());
            whose.rotate(tx, activate_after).map(Some)
        })
        .await
    }

    /// Makes the next key of the scope's own, which signs after so long: the identity's for an agent, else the
    /// organisation's.
    pub async fn rotate_own_key(
        &self,
        scope: Scope,
        activate_after: Duration,
    ) -> Result<NewSigningKey, StoreError> {
        let whose = match scope.identity {
            Some(identity) => Whose::Identity(scope.organization, identity.as_uuid()),
            None => Whose::Organization(scope.organization),
        };
        self.change(move |tx| whose.rotate(tx, activate_after)).await
    }

    /// The keys of the identity with this handle; `None` when it is not there.
    pub async fn identity_key_dates(
        &self,
        scope: Scope,
        handle: String,
    ) -> Result<Option<KeyDates>, StoreError> {
        Ok(self.identity(scope, handle).await?.map(|identity| identity.signing_key))
    }

    /// The scope's keys as they are then: an agent's own identity's, else those of the organisation and of all its
    /// identities, the newest of which counts.
    pub async fn own_key_status(&self, scope: Scope, now: TimeMs) -> Result<SigningKeyStatus, StoreError> {
        self.read(move |connection| {
            let own = scope.identity.map(IdentityId::as_uuid);
            let params = params![scope.organization.0, own.as_ref().map(Uuid::as_bytes), now.0];
            let status = rows::optional(connection, NEWEST, params, |row| {
                let (created, pending): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
                let (created_at, pending_from) = (created.map(TimeMs), pending.map(TimeMs));
                Ok(SigningKeyStatus { created_at, pending_from })
            })?;
            Ok(status.unwrap_or_default())
        })
        .await
    }

    /// Makes the organisation's next key pair, whose secret half signs after so long.
    pub async fn rotate_key_pair(
        &self,
        organization: OrganizationNo,
        activate_after: Duration,
    ) -> Result<PublishedKeys, StoreError> {
        let sealer = self.sealer.clone();
        self.change(move |tx| {
            Whose::Pair(organization).rotate(tx, activate_after)?;
            let now = tx.context.clock.wall();
            published(tx, &sealer, organization, now)
        })
        .await
    }

    /// From now on there are no signatures that a public key verifies.
    pub async fn remove_key_pair(&self, organization: OrganizationNo) -> Result<(), StoreError> {
        self.change(move |tx| {
            let whose = Whose::Pair(organization);
            match whose.hold(tx)? {
                Some(Kept { key: Some(_), .. }) => whose.write(tx, &Kept::default()),
                _ => Ok(()),
            }
        })
        .await
    }

    /// The organisation's public keys as they are then.
    pub async fn public_keys(
        &self,
        organization: OrganizationNo,
        now: TimeMs,
    ) -> Result<PublishedKeys, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |connection| published(connection, &sealer, organization, now)).await
    }

    /// The same by the organisation's id; an organisation that is not there has none.
    pub async fn public_keys_of(
        &self,
        organization: OrganizationId,
        now: TimeMs,
    ) -> Result<PublishedKeys, StoreError> {
        let sealer = self.sealer.clone();
        self.read(move |connection| {
            let id = organization.as_uuid();
            match rows::scalar(connection, BY_ID, params![id.as_bytes()])?.map(OrganizationNo) {
                Some(organization) => published(connection, &sealer, organization, now),
                None => Ok(PublishedKeys::default()),
            }
        })
        .await
    }
}

/// The dates of a key and of the one that follows, from the columns that hold them.
pub(super) fn read_dates(row: &Row<'_>, [created, next, from]: [&str; 3]) -> Result<KeyDates, StoreError> {
    let next = rows::optional_time(row, next)?.zip(rows::optional_time(row, from)?);
    Ok(KeyDates { created_at: rows::optional_time(row, created)?, next })
}

/// Makes the identity's key when neither it nor its organisation has one: nothing is ever sent unsigned.
pub(super) fn mint_if_none(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
    identity: Uuid,
) -> Result<Option<NewSigningKey>, StoreError> {
    let lacks_one = |tx: &Tx<'_>| -> Result<bool, StoreError> {
        Ok(rows::scalar::<bool>(tx, HAS_KEY, params![identity.as_bytes()])? == Some(false))
    };
    let whose = Whose::Identity(organization, identity);
    // Another node may make it just now: whoever holds the row sees what came of that.
    if lacks_one(tx)? && whose.hold(tx)?.is_some() && lacks_one(tx)? {
        return whose.rotate(tx, Duration::ZERO).map(Some);
    }
    Ok(None)
}

/// Makes the organisation's key when it has none: operational events are signed with it.
pub(super) fn mint_organization_if_none(
    tx: &mut Tx<'_>,
    organization: OrganizationNo,
) -> Result<Option<NewSigningKey>, StoreError> {
    let whose = Whose::Organization(organization);
    match whose.hold(tx)? {
        Some(Kept { key: None, .. }) => whose.rotate(tx, Duration::ZERO).map(Some),
        _ => Ok(None),
    }
}

fn published(
    connection: &Connection,
    sealer: &Sealer,
    organization: OrganizationNo,
    now: TimeMs,
) -> Result<PublishedKeys, StoreError> {
    let whose = Whose::Pair(organization);
    let [place, next_place] = whose.places();
    let Some(kept) = whose.read(connection, PUBLISHED_PAIR)? else { return Ok(PublishedKeys::default()) };
    let open = |key: Option<SealedKey>, place: Place, from: TimeMs| -> Result<_, StoreError> {
        let Some(SealedKey { sealed, created_at }) = key else { return Ok(None) };
        let key = sealer.open_pair(place, &sealed)?.public_key();
        Ok(Some(PublishedKey { key, created_at, from }))
    };
    let (next, from) = match kept.next {
        Some((next, from)) => (Some(next), from),
        None => (None, TimeMs::NEVER),
    };
    let first = open(kept.key, place, TimeMs::ZERO)?;
    let next = open(next, next_place, from)?;
    Ok(if from > now {
        PublishedKeys { current: first, pending: next, former: None }
    } else {
        let is_late = now > from.after(PUBLISHED_AFTER);
        PublishedKeys { current: next, pending: None, former: first.filter(|_| !is_late) }
    })
}

/// Whose key, and of which kind.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Identity(OrganizationNo, Uuid),
    Organization(OrganizationNo),
    Pair(OrganizationNo),
}

/// A key as it is stored.
struct SealedKey {
    sealed: Vec<u8>,
    created_at: TimeMs,
}

/// What is stored of somebody's keys.
#[derive(Default)]
struct Kept {
    key: Option<SealedKey>,
    /// The one that follows, and when it begins.
    next: Option<(SealedKey, TimeMs)>,
}

impl Whose {
    fn organization(self) -> OrganizationNo {
        match self {
            Self::Identity(organization, _) | Self::Organization(organization) | Self::Pair(organization) => {
                organization
            }
        }
    }

    /// Where the key is sealed, and the one that follows.
    fn places(self) -> [Place; 2] {
        match self {
            Self::Identity(organization, id) => {
                [Place::identity_key(organization, id), Place::next_identity_key(organization, id)]
            }
            Self::Organization(organization) => {
                [Place::organization_key(organization), Place::next_organization_key(organization)]
            }
            Self::Pair(organization) => {
                [Place::asymmetric_key(organization), Place::next_asymmetric_key(organization)]
            }
        }
    }

    /// A new key, as it is told.
    fn make(self, tx: &Tx<'_>) -> Secret {
        let random = tx.context.entropy.bytes();
        Secret::new(match self {
            Self::Identity(..) | Self::Organization(_) => {
                SigningKey::from_random_bytes(random).secret().to_owned()
            }
            Self::Pair(_) => SecretKey::from_random_bytes(random).secret(),
        })
    }

    /// Makes a key. With nothing that signs until then it begins at once: nothing is ever sent unsigned.
    fn rotate(self, tx: &mut Tx<'_>, activate_after: Duration) -> Result<NewSigningKey, StoreError> {
        let now = tx.context.clock.wall();
        let kept = self.hold(tx)?.unwrap_or_default();
        let signs_until_then = kept.key.is_some() || kept.next.is_some() || self.has_fallback(tx)?;
        let from = Some(now.after(activate_after)).filter(|_| !activate_after.is_zero() && signs_until_then);
        let key = self.make(tx);
        let [place, next_place] = self.places();
        let sealed = |place: Place| -> Result<SealedKey, StoreError> {
            let sealed = tx.context.sealer.seal(&tx.context.entropy, place, &key)?;
            Ok(SealedKey { sealed, created_at: now })
        };
        let after = match from {
            None => Kept { key: Some(sealed(place)?), next: None },
            Some(from) => {
                Kept { key: self.in_force(tx, kept, now)?, next: Some((sealed(next_place)?, from)) }
            }
        };
        self.write(tx, &after)?;
        Ok(NewSigningKey { key, created_at: now, pending_from: from })
    }

    /// What signs until another takes its place: a key that has followed is sealed for its new place.
    fn in_force(self, tx: &Tx<'_>, kept: Kept, now: TimeMs) -> Result<Option<SealedKey>, StoreError> {
        let context = tx.context;
        let [place, next_place] = self.places();
        match kept.next {
            Some((next, from)) if from <= now => {
                let key = context.sealer.open(next_place, &next.sealed)?;
                Ok(Some(SealedKey { sealed: context.sealer.seal(&context.entropy, place, &key)?, ..next }))
            }
            _ => Ok(kept.key),
        }
    }

    /// Whether another's key signs for whoever has none.
    fn has_fallback(self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        match self {
            Self::Identity(organization, _) => {
                let has = rows::scalar::<bool>(tx, ORGANIZATION_HAS_KEY, params![organization.0])?;
                Ok(has.unwrap_or_default())
            }
            Self::Organization(_) | Self::Pair(_) => Ok(false),
        }
    }

    /// What is stored, which nobody else changes until the end of the transaction.
    fn hold(self, tx: &Tx<'_>) -> Result<Option<Kept>, StoreError> {
        self.read(
            tx,
            match self {
                Self::Identity(..) => READ_IDENTITY,
                Self::Organization(_) => READ_ORGANIZATION,
                Self::Pair(_) => READ_PAIR,
            },
        )
    }

    fn read(self, connection: &Connection, sql: &str) -> Result<Option<Kept>, StoreError> {
        self.with_row(|row| {
            rows::optional(connection, sql, params![row], |row| {
                let key = |at: usize| -> Result<Option<SealedKey>, StoreError> {
                    let sealed: Option<Vec<u8>> = row.get(at)?;
                    let created: Option<i64> = row.get(at + 1)?;
                    Ok(sealed
                        .zip(created)
                        .map(|(sealed, created)| SealedKey { sealed, created_at: TimeMs(created) }))
                };
                let from: Option<i64> = row.get(4)?;
                Ok(Kept { key: key(0)?, next: key(2)?.zip(from.map(TimeMs)) })
            })
        })
    }

    /// Writes the keys, and has everything prepared anew that they sign.
    fn write(self, tx: &mut Tx<'_>, kept: &Kept) -> Result<(), StoreError> {
        let sql = match self {
            Self::Identity(..) => WRITE_IDENTITY,
            Self::Organization(_) => WRITE_ORGANIZATION,
            Self::Pair(_) => WRITE_PAIR,
        };
        let (key, next) = (kept.key.as_ref(), kept.next.as_ref());
        let created = |key: &SealedKey| key.created_at.0;
        self.with_row(|row| {
            tx.run(
                sql,
                params![
                    row,
                    key.map(|key| &key.sealed),
                    key.map(created),
                    next.map(|(key, _)| &key.sealed),
                    next.map(|(key, _)| created(key)),
                    next.map(|(_, from)| from.0)
                ],
            )
        })?;
        let organization = self.organization();
        match self {
            Self::Identity(_, identity) => raise(tx, RAISE_IDENTITY, params![identity.as_bytes()]),
            Self::Organization(_) => {
                organization_settings::raise_alerts(tx, organization)?;
                raise(tx, RAISE_ORGANIZATION, params![organization.0])
            }
            Self::Pair(_) => {
                organization_settings::raise_alerts(tx, organization)?;
                raise(tx, RAISE_ALL, params![organization.0])
            }
        }
    }

    /// Calls with the key of the row as a parameter.
    fn with_row<T>(self, with: impl FnOnce(&dyn ToSql) -> T) -> T {
        match self {
            Self::Identity(_, identity) => with(identity.as_bytes()),
            Self::Organization(organization) | Self::Pair(organization) => with(&organization.0),
        }
    }
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

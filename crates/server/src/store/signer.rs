//! What signs for a subscription, a call or an operational event, read with whatever else is read of it.

use std::sync::Arc;

use inkhook_wire::sign::SigningKey;
use uuid::Uuid;

use super::error::StoreError;
use super::rows;
use super::seal::{Place, Sealer};
use super::sql::Row;
use crate::domain::number::OrganizationNo;
use crate::domain::signing::{KeyPair, Signer};
use crate::domain::time::TimeMs;

/// What is read of the organisation `o`.
macro_rules! organization_signer {
    () => {
        "o.signing_key AS organization_key, o.next_key AS organization_next_key,
    o.next_key_from_ms AS organization_next_from_ms, o.asymmetric_key, o.next_asymmetric_key,
    o.next_asymmetric_key_from_ms"
    };
}
pub(super) use organization_signer;

/// What is read of the identity `i` and its organisation `o`.
macro_rules! identity_signer {
    () => {
        concat!(
            "i.signing_key AS identity_key, i.next_key AS identity_next_key, i.next_key_from_ms AS identity_next_from_ms, ",
            $crate::store::signer::organization_signer!()
        )
    };
}
pub(super) use identity_signer;

/// A key and the one that follows it.
struct Kept {
    key: Option<SigningKey>,
    next: Option<(TimeMs, SigningKey)>,
}

/// The identity's own keys, or its organisation's as long as it has none; `None` without any.
///
/// # Errors
/// One of them does not open.
pub(super) fn of_identity(
    sealer: &Sealer,
    row: &Row<'_>,
    organization: OrganizationNo,
    identity: Uuid,
) -> Result<Option<Signer>, StoreError> {
    let places =
        [Place::identity_key(organization, identity), Place::next_identity_key(organization, identity)];
    let columns = ["identity_key", "identity_next_key", "identity_next_from_ms"];
    let Kept { key, next } = Kept::read(sealer, row, columns, places)?;
    let signer = match key {
        Some(own) => Some(Signer::new(own)),
        None => own_of_organization(sealer, row, organization)?,
    };
    let signer = signer.map(|signer| match next {
        Some((from, next)) => signer.then(from, next),
        None => signer,
    });
    signer.map(|signer| with_asymmetric(signer, sealer, row, organization)).transpose()
}

/// The organisation's keys; `None` without any.
///
/// # Errors
/// One of them does not open.
pub(super) fn of_organization(
    sealer: &Sealer,
    row: &Row<'_>,
    organization: OrganizationNo,
) -> Result<Option<Signer>, StoreError> {
    let signer = own_of_organization(sealer, row, organization)?;
    signer.map(|signer| with_asymmetric(signer, sealer, row, organization)).transpose()
}

fn own_of_organization(
    sealer: &Sealer,
    row: &Row<'_>,
    organization: OrganizationNo,
) -> Result<Option<Signer>, StoreError> {
    let places = [Place::organization_key(organization), Place::next_organization_key(organization)];
    let columns = ["organization_key", "organization_next_key", "organization_next_from_ms"];
    let Kept { key, next } = Kept::read(sealer, row, columns, places)?;
    let signer = key.map(Signer::new);
    Ok(match next {
        Some((from, next)) => signer.map(|signer| signer.then(from, next)),
        None => signer,
    })
}

fn with_asymmetric(
    mut signer: Signer,
    sealer: &Sealer,
    row: &Row<'_>,
    organization: OrganizationNo,
) -> Result<Signer, StoreError> {
    let key: Option<Vec<u8>> = row.get("asymmetric_key")?;
    if let Some(key) = key {
        let key = sealer.open(Place::asymmetric_key(organization), &key)?;
        signer = signer.then_asymmetric(TimeMs::ZERO, Arc::new(KeyPair::new(key)));
    }
    let next: Option<Vec<u8>> = row.get("next_asymmetric_key")?;
    if let Some(next) = next {
        let next = sealer.open(Place::next_asymmetric_key(organization), &next)?;
        let from = rows::time(row, "next_asymmetric_key_from_ms")?;
        signer = signer.then_asymmetric(from, Arc::new(KeyPair::new(next)));
    }
    Ok(signer)
}

impl Kept {
    /// From the columns of the key, of the next, and of when that begins.
    fn read(
        sealer: &Sealer,
        row: &Row<'_>,
        columns: [&str; 3],
        places: [Place; 2],
    ) -> Result<Self, StoreError> {
        let [key_column, next_column, from_column] = columns;
        let [place, next_place] = places;
        let open = |column: &str, place: Place| -> Result<Option<SigningKey>, StoreError> {
            let sealed: Option<Vec<u8>> = row.get(column)?;
            let key = sealed.map(|sealed| sealer.open(place, &sealed)).transpose()?;
            Ok(key.map(|key| SigningKey::new(key.expose())))
        };
        let next = match open(next_column, next_place)? {
            Some(next) => Some((rows::time(row, from_column)?, next)),
            None => None,
        };
        Ok(Self { key: open(key_column, place)?, next })
    }
}

//! Organisations: the tenants. Everything else belongs to exactly one.

use inkhook_wire::id::OrganizationId;

use super::api_keys::{self, MintKey, NewApiKey};
use super::error::StoreError;
use super::writer::Tx;
use super::{Store, identities, rows};
use crate::domain::api_key::KeyScope;
use crate::domain::caller::Scope;
use crate::domain::number::OrganizationNo;
use crate::domain::secret::Secret;
use crate::domain::time::TimeMs;
use crate::store::sql::{Row, params};

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its small number inside.
    pub no: OrganizationNo,
    /// Its public name.
    pub id: OrganizationId,
    /// What people call it; unique on this server.
    pub name: String,
    /// When it was made.
    pub created_at: TimeMs,
}

/// What became of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateOrganization {
    /// Made.
    Created(Organization),
    /// Another one has this name.
    NameTaken,
}

/// What became of the first start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bootstrap {
    /// The store was empty: there are an organisation and its admin key now. The key is told this once.
    Made(Organization, Secret),
    /// There was an organisation already.
    NotEmpty,
}

const BY_NAME: &str = "SELECT no, id, name, created_ms FROM organizations WHERE name = $1";
const BY_ID: &str = "SELECT no, id, name, created_ms FROM organizations WHERE id = $1";
const ALL: &str = "SELECT no, id, name, created_ms FROM organizations ORDER BY no";
const ANY: &str = "SELECT 1 FROM organizations UNION ALL SELECT 1 FROM api_keys LIMIT 1";
const REMOVE: &str = "DELETE FROM organizations WHERE no = $1";
const ADD: &str = "INSERT INTO organizations (id, name, created_ms) VALUES ($1, $2, $3) RETURNING no";

impl Store {
    /// Makes an organisation.
    pub async fn create_organization(&self, name: String) -> Result<CreateOrganization, StoreError> {
        self.change(move |tx| {
            if name_taken(tx, &name)? {
                return Ok(CreateOrganization::NameTaken);
            }
            create(tx, &name).map(CreateOrganization::Created)
        })
        .await
    }

    /// On an empty store: makes an organisation with this name and an admin key of it, whose text is `key`
    /// when the operator chose one. On any other: nothing.
    pub async fn bootstrap(&self, name: String, key: Option<Secret>) -> Result<Bootstrap, StoreError> {
        self.change(move |tx| {
            if rows::scalar::<i64>(tx, ANY, &[])?.is_some() {
                return Ok(Bootstrap::NotEmpty);
            }
            let organization = create(tx, &name)?;
            let new = NewApiKey {
                organization: Some(organization.no),
                scope: KeyScope::Admin,
                identity: None,
                claimed: true,
                label: "first admin key".into(),
                description: None,
                created_by: "bootstrap".into(),
                expires_at: None,
                text: key.clone(),
            };
            match api_keys::mint(tx, &new)? {
                MintKey::Minted(_, text) => Ok(Bootstrap::Made(organization, text)),
                _ => Err(StoreError::Corrupt("keys without an organisation")),
            }
        })
        .await
    }

    /// Deletes an organisation with everything that is its own; false when it is not there. What it sent
    /// stays until retention takes it. Its names stay reserved.
    pub async fn delete_organization(&self, id: OrganizationId) -> Result<bool, StoreError> {
        self.change(move |tx| {
            let Some(found) = rows::optional(tx, BY_ID, params![id.as_uuid().as_bytes()], read)? else {
                return Ok(false);
            };
            let scope = Scope { organization: found.no, identity: None };
            for identity in identities::all(tx, scope)? {
                identities::delete(tx, found.no, &identity)?;
            }
            remove(tx, found.no)?;
            Ok(true)
        })
        .await
    }

    /// Every organisation, oldest first.
    pub async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.read(|connection| rows::all(connection, ALL, &[], read)).await
    }

    /// The organisation with this id.
    pub async fn organization(&self, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
        self.read(move |connection| rows::optional(connection, BY_ID, params![id.as_uuid().as_bytes()], read))
            .await
    }
}

/// Removes an organisation whose identities are gone.
pub(super) fn remove(tx: &mut Tx<'_>, no: OrganizationNo) -> Result<(), StoreError> {
    tx.run(REMOVE, params![no.0])?;
    tx.raise_alerts(no, u64::MAX);
    tx.forget_keys();
    tx.forget_contacts(no);
    Ok(())
}

/// Whether an organisation has this name.
pub(super) fn name_taken(tx: &Tx<'_>, name: &str) -> Result<bool, StoreError> {
    Ok(rows::optional(tx, BY_NAME, params![name], read)?.is_some())
}

/// Makes an organisation inside a transaction; its name must be free.
pub(super) fn create(tx: &Tx<'_>, name: &str) -> Result<Organization, StoreError> {
    let now = tx.context.clock.wall();
    let id = OrganizationId::from(tx.context.entropy.uuid());
    let no = OrganizationNo(tx.insert(ADD, params![id.as_uuid().as_bytes(), name, now.0])?);
    Ok(Organization { no, id, name: name.to_owned(), created_at: now })
}

pub(super) fn read(row: &Row<'_>) -> Result<Organization, StoreError> {
    Ok(Organization {
        no: OrganizationNo(row.get("no")?),
        id: rows::id(row, "id")?,
        name: row.get("name")?,
        created_at: rows::time(row, "created_ms")?,
    })
}

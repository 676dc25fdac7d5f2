//! Organisations: the tenants. Everything else belongs to exactly one.

use inkhook_wire::id::OrganizationId;
use rusqlite::{Row, params};

use super::error::StoreError;
use super::{Store, rows};
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;

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

const BY_NAME: &str = "SELECT no, id, name, created_ms FROM organizations WHERE name = $1";
const BY_ID: &str = "SELECT no, id, name, created_ms FROM organizations WHERE id = $1";
const ALL: &str = "SELECT no, id, name, created_ms FROM organizations ORDER BY no";
const ADD: &str = "INSERT INTO organizations (id, name, created_ms) VALUES ($1, $2, $3)";

impl Store {
    /// Makes an organisation.
    pub async fn create_organization(&self, name: String) -> Result<CreateOrganization, StoreError> {
        self.change(move |tx| {
            if rows::optional(tx, BY_NAME, params![name], read)?.is_some() {
                return Ok(CreateOrganization::NameTaken);
            }
            let now = tx.context.clock.wall();
            let id = OrganizationId::from(tx.context.entropy.uuid());
            tx.run(ADD, params![id.as_uuid().as_bytes(), name, now.0])?;
            Ok(CreateOrganization::Created(Organization {
                no: OrganizationNo(tx.last_insert_rowid()),
                id,
                name: name.clone(),
                created_at: now,
            }))
        })
        .await
    }

    /// Every organisation, oldest first.
    pub async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.read(|connection| rows::all(connection, ALL, [], read)).await
    }

    /// The organisation with this id.
    pub async fn organization(&self, id: OrganizationId) -> Result<Option<Organization>, StoreError> {
        self.read(move |connection| rows::optional(connection, BY_ID, params![id.as_uuid().as_bytes()], read))
            .await
    }
}

fn read(row: &Row<'_>) -> Result<Organization, StoreError> {
    Ok(Organization {
        no: OrganizationNo(row.get("no")?),
        id: rows::id(row, "id")?,
        name: row.get("name")?,
        created_at: rows::time(row, "created_ms")?,
    })
}

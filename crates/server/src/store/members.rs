//! Members: the people who belong to an organisation, by their mail address.
//!
//! Only the operator adds one. An organisation that could name its members itself could name anybody, and would
//! see, and take, the agents that sign up under their address.

use super::error::StoreError;
use super::{Store, rows};
use crate::domain::number::OrganizationNo;
use crate::store::sql::{Connection, params};

const ADD: &str = "INSERT INTO members (organization_id, email, created_ms) VALUES ($1, $2, $3)
    ON CONFLICT (organization_id, email) DO NOTHING";
const REMOVE: &str = "DELETE FROM members WHERE organization_id = $1 AND email = $2";
const OF_ORGANIZATION: &str = "SELECT email FROM members WHERE organization_id = $1 ORDER BY email";
const OLDEST: &str = "SELECT organization_id FROM members WHERE email = $1
    ORDER BY created_ms, organization_id LIMIT 1";

impl Store {
    /// Makes whoever has this address a member; false: they were one. The address is in the form of
    /// [`crate::domain::signup::human_email`].
    pub async fn add_member(&self, organization: OrganizationNo, email: String) -> Result<bool, StoreError> {
        self.change(move |tx| add(tx, organization, &email, tx.context.clock.wall().0)).await
    }

    /// They are no member any longer; false: they were none.
    pub async fn remove_member(
        &self,
        organization: OrganizationNo,
        email: String,
    ) -> Result<bool, StoreError> {
        self.change(move |tx| Ok(tx.run(REMOVE, params![organization.0, email])? > 0)).await
    }

    /// The members' addresses, in their order.
    pub async fn members(&self, organization: OrganizationNo) -> Result<Vec<String>, StoreError> {
        self.read(move |connection| {
            rows::all(
                connection,
                OF_ORGANIZATION,
                params![organization.0],
                |row| Ok(row.get::<_, String>(0)?),
            )
        })
        .await
    }
}

/// Adds a member inside a transaction; false: they were one.
pub(super) fn add(
    connection: &Connection,
    organization: OrganizationNo,
    email: &str,
    now_ms: i64,
) -> Result<bool, StoreError> {
    Ok(connection.run(ADD, params![organization.0, email, now_ms])? > 0)
}

/// The organisation that somebody has been a member of for longest.
pub(super) fn organization_of(
    connection: &Connection,
    email: &str,
) -> Result<Option<OrganizationNo>, StoreError> {
    Ok(rows::scalar(connection, OLDEST, params![email])?.map(OrganizationNo))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn a_humans_organisation_is_found_by_an_index() {
        plan::assert_bounded(&plan::of(OLDEST, ["ana@example.com"]));
    }
}

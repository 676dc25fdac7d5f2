//! What an organisation sets for itself: where operational events go, how long history is kept, its limits.
//!
//! Another `alerts_url` raises the organisation's alerts generation, in the row and, after the commit, in
//! memory: an operational event that was about to be sent to the old one is not. Another rate makes the API
//! look its keys up again. Nothing is ever sent unsigned: with the first `alerts_url` comes a signing key.

use std::collections::HashMap;

use super::error::StoreError;
use super::organizations::{self, Organization};
use super::writer::Tx;
use super::{Store, rows, signing_keys};
use crate::domain::number::OrganizationNo;
use crate::domain::organization::{OrganizationChange, OrganizationSettings};
use crate::domain::secret::Secret;
use crate::store::sql::{Connection, Row, params};

/// An organisation with what it sets for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationView {
    /// What it is.
    pub organization: Organization,
    /// What it wants.
    pub settings: OrganizationSettings,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchedOrganization {
    /// As it is now.
    pub view: OrganizationView,
    /// The organisation's signing key, when this change made it: there is no other way to read it.
    pub signing_key: Option<Secret>,
}

const FIND: &str =
    "SELECT no, id, name, created_ms, alerts_url, retention_days, publish_per_second, max_queued
    FROM organizations WHERE no = $1";
const WRITE: &str = "UPDATE organizations SET alerts_url = $2, retention_days = $3, publish_per_second = $4,
    max_queued = $5 WHERE no = $1";
const RAISE: &str = "UPDATE organizations SET alerts_generation = alerts_generation + 1 WHERE no = $1
    RETURNING alerts_generation";
const OWN_DAYS: &str = "SELECT no, retention_days FROM organizations WHERE retention_days IS NOT NULL";
const OWN_LIMITS: &str = "SELECT no, max_queued FROM organizations WHERE max_queued IS NOT NULL";
const RATE: &str = "SELECT publish_per_second FROM organizations WHERE no = $1";

impl Store {
    /// The organisation with this number.
    pub async fn organization_view(
        &self,
        organization: OrganizationNo,
    ) -> Result<Option<OrganizationView>, StoreError> {
        self.read(move |connection| find(connection, organization)).await
    }

    /// Events that the organisation may publish in a second; `None`: as many as the server takes.
    pub async fn publish_per_second(&self, organization: OrganizationNo) -> Result<Option<u32>, StoreError> {
        self.read(move |connection| {
            Ok(rows::scalar::<Option<u32>>(connection, RATE, params![organization.0])?.flatten())
        })
        .await
    }

    /// Changes what is given; `None` when the organisation is gone. A change that leaves everything as it is
    /// writes nothing.
    pub async fn patch_organization(
        &self,
        organization: OrganizationNo,
        change: OrganizationChange,
    ) -> Result<Option<PatchedOrganization>, StoreError> {
        let patched = self.change(move |tx| patch(tx, organization, &change)).await?;
        if let Some(patched) = &patched {
            self.limit_backlog(organization, patched.view.settings.max_queued.map(u64::from));
        }
        Ok(patched)
    }

    /// Days for which organisations keep their history that do not keep it as long as everybody.
    pub async fn own_retention_days(&self) -> Result<HashMap<OrganizationNo, u32>, StoreError> {
        self.read(|connection| {
            let own = rows::all(connection, OWN_DAYS, &[], |row| {
                Ok((OrganizationNo(row.get(0)?), row.get::<_, u32>(1)?))
            })?;
            Ok(own.into_iter().collect())
        })
        .await
    }
}

/// What organisations set as their own limits on queued deliveries.
pub(super) fn own_limits(connection: &Connection) -> Result<Vec<(OrganizationNo, u64)>, StoreError> {
    rows::all(connection, OWN_LIMITS, &[], |row| Ok((OrganizationNo(row.get(0)?), row.get(1)?)))
}

fn patch(
    tx: &mut Tx<'_>,
    no: OrganizationNo,
    change: &OrganizationChange,
) -> Result<Option<PatchedOrganization>, StoreError> {
    let Some(OrganizationView { organization, settings: before }) = find(tx, no)? else { return Ok(None) };
    let after = change.clone().applied(before.clone());
    let mut signing_key = None;
    if after != before {
        let OrganizationSettings { alerts_url, retention_days, publish_per_second, max_queued } = &after;
        tx.run(WRITE, params![no.0, alerts_url, retention_days, publish_per_second, max_queued])?;
    }
    if after.alerts_url != before.alerts_url {
        raise_alerts(tx, no)?;
        if after.alerts_url.is_some() {
            signing_key = signing_keys::mint_organization_if_none(tx, no)?.map(|new| new.key);
        }
    }
    if after.publish_per_second != before.publish_per_second {
        tx.forget_keys();
    }
    let view = OrganizationView { organization, settings: after };
    Ok(Some(PatchedOrganization { view, signing_key }))
}

/// From the commit on, no operational event is sent that was prepared before it.
pub(super) fn raise_alerts(tx: &mut Tx<'_>, organization: OrganizationNo) -> Result<(), StoreError> {
    if let Some(generation) = rows::scalar(tx, RAISE, params![organization.0])? {
        tx.raise_alerts(organization, generation);
    }
    Ok(())
}

fn find(connection: &Connection, no: OrganizationNo) -> Result<Option<OrganizationView>, StoreError> {
    rows::optional(connection, FIND, params![no.0], read)
}

fn read(row: &Row<'_>) -> Result<OrganizationView, StoreError> {
    Ok(OrganizationView {
        organization: organizations::read(row)?,
        settings: OrganizationSettings {
            alerts_url: row.get("alerts_url")?,
            retention_days: row.get("retention_days")?,
            publish_per_second: row.get("publish_per_second")?,
            max_queued: row.get("max_queued")?,
        },
    })
}

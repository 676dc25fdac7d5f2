//! Claiming operational events: one of each organisation at a time, organisations in turn.
//!
//! Looking is a read and costs two seeks for each organisation that has something waiting, however much
//! that is; only when something is due is there anything to write.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use inkhook_wire::id::{EventId, OrganizationId, SubscriptionId};
use uuid::Uuid;

use super::settle::end_waiting;
use crate::domain::alert::{AlertData, AlertDetail, AlertKind, AlertPayload, ClaimedAlert};
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;
use crate::store::claim::LEASE_SKEW;
use crate::store::error::StoreError;
use crate::store::signer::{self, organization_signer};
use crate::store::sql::{Connection, Row, params};
use crate::store::writer::Tx;
use crate::store::{Store, rows};

/// Organisations with something waiting that one look visits.
pub const ORGANIZATIONS_LOOKED_AT: usize = 256;

/// Who has an operational event that is due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueAlerts {
    /// These, at most as many as were asked for.
    pub organizations: Vec<OrganizationNo>,
    /// The look ended here; there are more organisations with something waiting.
    pub go_on_after: Option<OrganizationNo>,
}

/// What a claim took.
#[derive(Debug, Clone, Default)]
pub struct AlertClaims {
    /// Leased to the caller, one of each organisation.
    pub claimed: Vec<ClaimedAlert>,
    /// Their signing key does not open: nothing is ever sent unsigned.
    pub unreadable: Vec<OrganizationNo>,
}

const NEXT_ORGANIZATION: &str = "SELECT organization_id FROM alerts WHERE state = 1 AND organization_id > $1
    ORDER BY organization_id LIMIT 1";
const FIRST_DUE: &str =
    "SELECT 1 FROM alerts WHERE state = 1 AND organization_id = $1 AND due_ms <= $2 LIMIT 1";
const TARGET: &str = concat!(
    "SELECT o.id, o.alerts_url, o.alerts_generation, ",
    organization_signer!(),
    " FROM organizations o WHERE o.no = $1"
);
const FIRST: &str = "SELECT * FROM alerts
    WHERE state = 1 AND organization_id = $1 AND due_ms <= $2 ORDER BY due_ms LIMIT 1 /*pg FOR UPDATE SKIP LOCKED */";
const LEASE: &str = "UPDATE alerts SET due_ms = $2, claim_no = claim_no + 1, attempts = attempts + 1,
    maybe_received = 1 WHERE no = $1";
const STANDS: &str = "SELECT 1 FROM alerts a JOIN organizations o ON o.no = a.organization_id
    WHERE a.no = $1 AND a.claim_no = $2 AND a.state = 1 AND o.alerts_generation = $3";
const WRITE_BODY: &str = "UPDATE alerts SET payload = $2, opens_ms = $3 WHERE no = $1";

impl Store {
    /// Who has an operational event that is due: `most` organisations at most, in the order of their numbers
    /// and beginning after this one, without those in `but`.
    pub async fn due_alerts(
        &self,
        now: TimeMs,
        after: Option<OrganizationNo>,
        but: HashSet<OrganizationNo>,
        most: usize,
    ) -> Result<DueAlerts, StoreError> {
        self.read(move |connection| look(connection, now, after, &but, most)).await
    }

    /// Whether a claim still stands, as the database has it: nobody else has claimed it since, and the organisation's
    /// URL and key are what they were.
    ///
    /// # Errors
    /// The database could not be asked: then nobody knows, and nothing may be sent.
    pub async fn alert_stands(&self, claimed: &ClaimedAlert) -> Result<bool, StoreError> {
        let (no, claim_no, generation) = (claimed.no, claimed.claim_no, claimed.generation);
        self.read(move |connection| {
            Ok(rows::scalar::<i64>(connection, STANDS, params![no, claim_no, generation])?.is_some())
        })
        .await
    }

    /// Leases the next operational event of each of these organisations, for an attempt that takes as long
    /// as this at most. Ends what waits for an organisation that no longer wants to hear of it.
    pub async fn claim_alerts(
        &self,
        now: TimeMs,
        organizations: Vec<OrganizationNo>,
        timeout: Duration,
    ) -> Result<AlertClaims, StoreError> {
        self.change(move |tx| {
            let mut claims = AlertClaims::default();
            for organization in &organizations {
                match claim(tx, now, *organization, timeout) {
                    Ok(claimed) => claims.claimed.extend(claimed),
                    Err(error @ (StoreError::Seal(_) | StoreError::Corrupt(_))) => {
                        tracing::error!(organization = organization.0, %error, "an alert cannot be sent");
                        claims.unreadable.push(*organization);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(claims)
        })
        .await
    }
}

fn look(
    connection: &Connection,
    now: TimeMs,
    after: Option<OrganizationNo>,
    but: &HashSet<OrganizationNo>,
    most: usize,
) -> Result<DueAlerts, StoreError> {
    let mut due = DueAlerts::default();
    let mut at = after.unwrap_or(OrganizationNo(0));
    for visited in 0.. {
        let next = rows::scalar::<i64>(connection, NEXT_ORGANIZATION, params![at.0])?.map(OrganizationNo);
        let Some(next) = next else { break };
        if visited == ORGANIZATIONS_LOOKED_AT || due.organizations.len() == most {
            due.go_on_after = Some(at);
            break;
        }
        at = next;
        let is_due = || rows::scalar::<i64>(connection, FIRST_DUE, params![next.0, now.0]);
        if !but.contains(&next) && is_due()?.is_some() {
            due.organizations.push(next);
        }
    }
    Ok(due)
}

fn claim(
    tx: &Tx<'_>,
    now: TimeMs,
    organization: OrganizationNo,
    timeout: Duration,
) -> Result<Option<ClaimedAlert>, StoreError> {
    // An organisation that is gone has taken everything along.
    let target = rows::optional(tx, TARGET, params![organization.0], |row| {
        let url: Option<String> = row.get("alerts_url")?;
        // Without a URL nobody signs anything.
        let signer = match &url {
            Some(_) => signer::of_organization(&tx.context.sealer, row, organization)?,
            None => None,
        };
        Ok((rows::id::<OrganizationId>(row, "id")?, url, row.get("alerts_generation")?, signer))
    })?;
    let Some((organization_id, url, generation, signer)) = target else { return Ok(None) };
    let Some(url) = url else {
        end_waiting(tx, organization)?;
        return Ok(None);
    };
    let signer = signer.ok_or(StoreError::Corrupt("alerts without a signing key"))?;
    let row = rows::optional(tx, FIRST, params![organization.0, now.0], |row| {
        Ok((read(row)?, body(row, organization_id)?, row.get::<_, bool>("maybe_received")?))
    })?;
    let Some((alert, (payload, is_new), maybe_received)) = row else { return Ok(None) };
    if is_new {
        tx.run(WRITE_BODY, params![alert.no, &payload[..], now.0])?;
    }
    let lease_until = now.after(timeout).after(LEASE_SKEW);
    tx.run(LEASE, params![alert.no, lease_until.0])?;
    Ok(Some(ClaimedAlert {
        no: alert.no,
        claim_no: alert.claim_no + 1,
        claimed_at: now,
        lease_until,
        id: alert.id.into(),
        request_id: alert.id.into(),
        attempt_no: alert.attempts + 1,
        failures: alert.failures,
        maybe_received,
        organization,
        generation,
        url,
        signer: Arc::new(signer),
        payload,
    }))
}

struct Alert {
    no: i64,
    id: Uuid,
    claim_no: u32,
    attempts: u32,
    failures: u32,
}

fn read(row: &Row<'_>) -> Result<Alert, StoreError> {
    Ok(Alert {
        no: row.get("no")?,
        id: rows::id(row, "id")?,
        claim_no: row.get("claim_no")?,
        attempts: row.get("attempts")?,
        failures: row.get("failures")?,
    })
}

/// The body, and whether it had to be made.
fn body(row: &Row<'_>, organization_id: OrganizationId) -> Result<(Bytes, bool), StoreError> {
    if let Some(payload) = row.get::<_, Option<Vec<u8>>>("payload")? {
        return Ok((Bytes::from(payload), false));
    }
    let corrupt = || StoreError::Corrupt("an alert");
    let detail: String = row.get("detail")?;
    let detail: AlertDetail = serde_json::from_str(&detail).map_err(|_| corrupt())?;
    let url: String = row.get("url")?;
    let payload = AlertPayload {
        id: rows::id::<EventId>(row, "id")?,
        event_type: AlertKind::from_code(row.get("kind")?).ok_or_else(corrupt)?.as_str(),
        timestamp: rows::time(row, "happened_ms")?,
        data: AlertData {
            organization_id,
            subscription_id: rows::id::<SubscriptionId>(row, "subscription_id")?,
            url: &url,
            count: row.get("count")?,
            detail: &detail,
        },
    };
    Ok((serde_json::to_vec(&payload).map_err(|_| corrupt())?.into(), true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn a_look_and_a_claim_seek() {
        for (sql, params) in [
            (NEXT_ORGANIZATION, params![1]),
            (FIRST_DUE, params![1, 1]),
            (FIRST, params![1, 1]),
            (super::super::NEWEST, params![1, 1]),
            (super::super::WAITING, params![1, 1]),
        ] {
            let plan = plan::of(&sql.replace('$', "?"), params);
            assert!(
                plan.iter().any(|step| step.contains("USING") && step.contains("INDEX alerts_")),
                "{plan:#?}"
            );
            let inner: Vec<_> = plan.into_iter().filter(|step| !step.starts_with("SCAN (subquery")).collect();
            plan::assert_bounded(&inner);
        }
    }
}

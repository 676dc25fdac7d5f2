//! Reading what an organisation was told, or is about to be.

use inkhook_wire::id::{EventId, SubscriptionId};

use crate::domain::alert::{AlertDetail, AlertKind};
use crate::domain::number::OrganizationNo;
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Row, params};
use crate::store::{Store, rows};

/// An operational event.
#[derive(Debug, Clone)]
pub struct AlertView {
    /// Its id.
    pub id: EventId,
    /// What it is about.
    pub kind: AlertKind,
    /// Which subscription.
    pub subscription_id: SubscriptionId,
    /// Where that pointed.
    pub url: String,
    /// How often it happened since the one before.
    pub count: u32,
    /// Of the newest time.
    pub detail: AlertDetail,
    /// That time.
    pub happened_at: TimeMs,
    /// `waiting`, `sent` or `dropped`.
    pub state: &'static str,
    /// Attempts to send it.
    pub attempts: u32,
    /// When it was sent or dropped.
    pub ended_at: Option<TimeMs>,
}

const LIST: &str = "SELECT * FROM alerts WHERE organization_id = $1 ORDER BY no DESC LIMIT $2";

impl Store {
    /// The operational events of an organisation that are kept, newest first.
    pub async fn alerts(
        &self,
        organization: OrganizationNo,
        limit: u32,
    ) -> Result<Vec<AlertView>, StoreError> {
        let list =
            move |connection: &Connection| rows::all(connection, LIST, params![organization.0, limit], read);
        self.read_old(list, |found| !found.is_empty()).await
    }
}

fn read(row: &Row<'_>) -> Result<AlertView, StoreError> {
    let corrupt = || StoreError::Corrupt("an alert");
    let detail: String = row.get("detail")?;
    Ok(AlertView {
        id: rows::id(row, "id")?,
        kind: AlertKind::from_code(row.get("kind")?).ok_or_else(corrupt)?,
        subscription_id: rows::id(row, "subscription_id")?,
        url: row.get("url")?,
        count: row.get("count")?,
        detail: serde_json::from_str(&detail).map_err(|_| corrupt())?,
        happened_at: rows::time(row, "happened_ms")?,
        state: match row.get("state")? {
            1 => "waiting",
            2 => "sent",
            3 => "dropped",
            _ => return Err(corrupt()),
        },
        attempts: row.get("attempts")?,
        ended_at: rows::optional_time(row, "ended_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn a_list_walks_an_index_from_its_newest_end() {
        let plan = plan::of(&LIST.replace('$', "?"), params![1, 50]);
        assert!(plan.iter().any(|step| step.contains("alerts_by_organization")), "{plan:#?}");
        plan::assert_bounded(&plan);
    }
}

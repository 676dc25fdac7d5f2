//! What came of a subscription's attempts lately, from the attempt log.
//!
//! Bounded: the newest [`MAX_ATTEMPTS`] attempts are counted at most, and [`MAX_QUEUED`] of what waits. Both are
//! read by an index that leads with the subscription, whatever else the server has.

use inkhook_wire::id::{IdentityId, SubscriptionId};

use super::error::StoreError;
use super::{Store, rows};
use crate::domain::attempt::Recorded;
use crate::domain::caller::Scope;
use crate::domain::number::SubscriptionNo;
use crate::domain::stats::AttemptStats;
use crate::domain::time::TimeMs;
use crate::store::sql::{Connection, params};

/// Attempts that are counted at most.
pub const MAX_ATTEMPTS: u32 = 10_000;
/// Waiting deliveries that are counted at most.
pub const MAX_QUEUED: u32 = 10_000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionStats {
    /// What was counted.
    pub attempts: AttemptStats,
    /// There were more attempts in the window: the oldest counted one was made then.
    pub cut_at: Option<TimeMs>,
    /// Deliveries that wait, those under way included; at most [`MAX_QUEUED`].
    pub queued: u32,
    /// There are more of them.
    pub more_queued: bool,
}

const FIND: &str = "SELECT no FROM subscriptions WHERE id = $1 AND organization_id = $2
    AND (identity_id = $3 OR $3 IS NULL) AND status = 'active'";
const NEWEST: &str = "SELECT outcome, duration_ms, created_ms FROM attempts WHERE subscription = $1
    ORDER BY no DESC LIMIT $2";
const QUEUED: &str = "SELECT count(*) FROM (SELECT 1 FROM queue WHERE subscription = $1 LIMIT $2) few";

impl Store {
    /// What came of the attempts that were recorded since then; `None` when the subscription is not there, or
    /// not for this scope to know.
    pub async fn subscription_stats(
        &self,
        scope: Scope,
        id: SubscriptionId,
        since: TimeMs,
    ) -> Result<Option<SubscriptionStats>, StoreError> {
        let find = move |connection: &Connection| {
            let visible = scope.identity.map(|id: IdentityId| id.as_uuid().into_bytes());
            let params = params![id.as_uuid().into_bytes(), scope.organization.0, visible];
            Ok(rows::scalar::<i64>(connection, FIND, params)?.map(SubscriptionNo))
        };
        // Whose it is, and whether it is there, is never old.
        let Some(subscription) = self.read(find).await? else { return Ok(None) };
        let count = move |connection: &Connection| count(connection, subscription, since);
        Ok(Some(self.read_old(count, |_| true).await?))
    }
}

fn count(
    connection: &Connection,
    subscription: SubscriptionNo,
    since: TimeMs,
) -> Result<SubscriptionStats, StoreError> {
    let (attempts, cut_at) = attempts(connection, subscription, since)?;
    let waiting: u32 =
        rows::scalar(connection, QUEUED, params![subscription.0, MAX_QUEUED + 1])?.unwrap_or(0);
    let more_queued = waiting > MAX_QUEUED;
    Ok(SubscriptionStats { attempts, cut_at, queued: waiting.min(MAX_QUEUED), more_queued })
}

/// From the newest backwards, to the first that is too old or too many.
fn attempts(
    connection: &Connection,
    subscription: SubscriptionNo,
    since: TimeMs,
) -> Result<(AttemptStats, Option<TimeMs>), StoreError> {
    let (mut stats, mut oldest, mut cut_at) = (AttemptStats::default(), since, None);
    connection.each(NEWEST, params![subscription.0, MAX_ATTEMPTS + 1], |row| {
        let created = rows::time(row, "created_ms")?;
        if created < since {
            return Ok(false);
        }
        if stats.total() == MAX_ATTEMPTS {
            cut_at = Some(oldest);
            return Ok(false);
        }
        let recorded = Recorded::from_code(row.get("outcome")?).ok_or(StoreError::Corrupt("an outcome"))?;
        stats.add(recorded, row.get("duration_ms")?);
        oldest = created;
        Ok(true)
    })?;
    Ok((stats, cut_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn attempts_and_queue_are_read_by_the_subscription() {
        for (sql, index) in [(NEWEST, "attempts_by_subscription"), (QUEUED, "queue_by_due")] {
            let plan = plan::of(&sql.replace('$', "?"), params![1, 1]);
            assert!(plan.iter().any(|step| step.contains(index)), "{plan:#?}");
            let inner: Vec<_> = plan.into_iter().filter(|step| !step.starts_with("SCAN (subquery")).collect();
            plan::assert_bounded(&inner);
        }
        let plan = plan::of(&FIND.replace('$', "?"), params![vec![0_u8; 16], 1, Option::<i64>::None]);
        plan::assert_bounded(&plan);
    }
}

//! What waits, for whom, since when and why: for the operator.
//!
//! Read from the queue heads, so that only subscriptions with something queued are looked at, a page at a
//! time. Counting stops at [`COUNTED`] rows a class: a longer queue is said to be longer, not counted.

mod change;

use inkhook_wire::id::{OrganizationId, RequestId, SubscriptionId};

use super::error::StoreError;
use super::sql::{Connection, Row, params};
use super::{Store, rows};
use crate::domain::delivery::Class;
use crate::domain::number::{DeliveryNo, OrganizationNo, SubscriptionNo};
use crate::domain::time::TimeMs;

pub use change::{Place, Step};

/// Rows of a class that are counted.
pub const COUNTED: u64 = 1_000;
/// Subscriptions of one page at most.
pub const MAX_PAGE: usize = 200;
/// Rows that one step of the search for a request id looks at.
const SEARCH_ROWS: usize = 10_000;

/// Which subscriptions to look at.
#[derive(Debug, Clone, Copy, Default)]
pub struct WaitingFilter {
    /// Of this organisation.
    pub organization: Option<OrganizationNo>,
    /// After this one, which the last page ended with.
    pub after: Option<SubscriptionId>,
    /// At most this many; [`MAX_PAGE`] if more.
    pub limit: usize,
}

/// What one subscription has waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Whose it is; `None` when the organisation is gone.
    pub organization: Option<(OrganizationId, String)>,
    /// Its id.
    pub subscription: SubscriptionId,
    /// Where it goes.
    pub url: String,
    /// Deliveries of each class that has any: [`COUNTED`] + 1 stands for more than [`COUNTED`].
    pub counts: Vec<(Class, u64)>,
    /// Attempts under way.
    pub in_flight: u64,
    /// When the oldest of those that were counted was queued.
    pub since: TimeMs,
    /// Why it waits.
    pub why: Why,
}

/// Why deliveries wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Held by hand, because the receiver answered 410, or because it failed for days: until it is resumed.
    Paused {
        /// `by_hand`, `gone` or `failing`.
        reason: String,
        /// Since then.
        since: TimeMs,
    },
    /// The receiver asked to be left alone until then.
    RetryAfter(TimeMs),
    /// Tried again then.
    DueAt(TimeMs),
    /// Its receiver fails: one delivery at a time is tried.
    Failing,
    /// It came back: what waited goes out at a rate.
    Draining,
    /// Due, and as many attempts as it may have are under way.
    InFlight,
    /// Due: taken as soon as the engine has a slot.
    Due,
}

const PAGE: &str = "SELECT DISTINCT subscription FROM queue_heads WHERE subscription > $1
    ORDER BY subscription LIMIT $2";
const PAGE_OF_ORGANIZATION: &str = "SELECT s.no FROM subscriptions s
    WHERE s.organization_id = $3 AND s.status = 'active' AND s.no > $1
    AND EXISTS (SELECT 1 FROM queue_heads h WHERE h.subscription = s.no) ORDER BY s.no LIMIT $2";
const SUBSCRIPTION: &str = "SELECT s.id, u.url, s.paused_ms, s.pause_reason, s.not_before_ms, s.health,
    s.drain_since_ms,
    o.id AS organization, o.name FROM subscriptions s JOIN urls u ON u.no = s.url
    LEFT JOIN organizations o ON o.no = s.organization_id WHERE s.no = $1 AND s.status = 'active'";
const QUEUED: &str = "SELECT count(*), count(boot), min(created_ms), min(due_ms) FROM
    (SELECT boot, created_ms, due_ms FROM queue WHERE subscription = $1 AND class = $2
    ORDER BY due_ms, no LIMIT $3) first";
const BY_ID: &str = "SELECT no, organization_id FROM subscriptions WHERE id = $1 AND status = 'active'";
const SEARCH: &str = "SELECT max(no) AS last, max(CASE WHEN request_id = $2 THEN no END) AS found
    FROM (SELECT no, request_id FROM queue WHERE no > $1 ORDER BY no LIMIT $3) next";

impl Store {
    /// What waits, a page of subscriptions in the order of their making.
    pub async fn waiting(&self, filter: WaitingFilter, now: TimeMs) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |connection| {
            let after = match filter.after {
                Some(id) => find(connection, id)?.map_or(i64::MAX, |(no, _)| no.0),
                None => 0,
            };
            let limit = filter.limit.min(MAX_PAGE);
            let number = |row: &Row<'_>| Ok(SubscriptionNo(row.get(0)?));
            let page = match filter.organization {
                None => rows::all(connection, PAGE, params![after, limit], number)?,
                Some(organization) => rows::all(
                    connection,
                    PAGE_OF_ORGANIZATION,
                    params![after, limit, organization.0],
                    number,
                )?,
            };
            let mut found = Vec::with_capacity(page.len());
            for no in page {
                found.extend(waiting(connection, no, now)?);
            }
            Ok(found)
        })
        .await
    }

    /// An active subscription, whosever it is.
    pub async fn any_subscription(
        &self,
        id: SubscriptionId,
    ) -> Result<Option<(SubscriptionNo, OrganizationNo)>, StoreError> {
        self.read(move |connection| find(connection, id)).await
    }

    /// The queued delivery with this request id. The queue has no index for it, because every delivery would
    /// pay for what is asked seldom and by hand: the search reads the queue by its key, in short steps.
    pub async fn queued_request(&self, id: RequestId) -> Result<Option<DeliveryNo>, StoreError> {
        let mut after = 0;
        loop {
            let step = self.read(move |connection| {
                let uuid = id.as_uuid();
                rows::optional(connection, SEARCH, params![after, uuid.as_bytes(), SEARCH_ROWS], |row| {
                    Ok((row.get::<_, Option<i64>>("last")?, row.get::<_, Option<i64>>("found")?))
                })
            });
            match step.await? {
                Some((_, Some(found))) => return Ok(Some(DeliveryNo(found))),
                Some((Some(last), None)) => after = last,
                _ => return Ok(None),
            }
        }
    }
}

fn find(
    connection: &Connection,
    id: SubscriptionId,
) -> Result<Option<(SubscriptionNo, OrganizationNo)>, StoreError> {
    rows::optional(connection, BY_ID, params![id.as_uuid().as_bytes()], |row| {
        Ok((SubscriptionNo(row.get(0)?), OrganizationNo(row.get(1)?)))
    })
}

/// What the rows of one class say.
struct Queued {
    class: Class,
    count: u64,
    in_flight: u64,
    since: i64,
    due: i64,
}

fn waiting(connection: &Connection, no: SubscriptionNo, now: TimeMs) -> Result<Option<Waiting>, StoreError> {
    let mut queued = Vec::new();
    for class in Class::ALL {
        let params = params![no.0, class.code(), COUNTED + 1];
        queued.extend(rows::optional(connection, QUEUED, params, |row| {
            let Some(since) = row.get::<_, Option<i64>>(2)? else { return Ok(None) };
            let (count, in_flight, due) = (row.get(0)?, row.get(1)?, row.get(3)?);
            Ok(Some(Queued { class, count, in_flight, since, due }))
        })?);
    }
    let queued: Vec<Queued> = queued.into_iter().flatten().collect();
    let Some(since) = queued.iter().map(|one| one.since).min() else { return Ok(None) };
    let in_flight = queued.iter().map(|one| one.in_flight).sum();
    let due = TimeMs(queued.iter().map(|one| one.due).min().unwrap_or(0));
    rows::optional(connection, SUBSCRIPTION, params![no.0], |row| {
        let held = rows::time(row, "not_before_ms")?;
        let why = match rows::optional_time(row, "paused_ms")? {
            Some(since) => {
                let reason: Option<String> = row.get("pause_reason")?;
                Why::Paused { reason: reason.unwrap_or_else(|| "failing".into()), since }
            }
            None if held > now => Why::RetryAfter(held),
            None if row.get::<_, i64>("health")? == 2 => Why::Failing,
            None if rows::optional_time(row, "drain_since_ms")?.is_some() => Why::Draining,
            None if in_flight > 0 => Why::InFlight,
            None if due > now => Why::DueAt(due),
            None => Why::Due,
        };
        let organization = rows::optional_id(row, "organization")?;
        Ok(Waiting {
            organization: organization.zip(row.get::<_, Option<String>>("name")?),
            subscription: rows::id(row, "id")?,
            url: row.get("url")?,
            counts: queued.iter().map(|one| (one.class, one.count)).collect(),
            in_flight,
            since: TimeMs(since),
            why,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn no_statement_reads_more_than_its_bound() {
        let id = [0_u8; 16];
        for plan in [
            plan::of(PAGE, params![0, 1]),
            plan::of(PAGE_OF_ORGANIZATION, params![0, 1, 1]),
            plan::of(QUEUED, params![1, 1, 1]),
            plan::of(SEARCH, params![0, &id[..], 1]),
        ] {
            let unbounded = |step: &&String| {
                step.starts_with("SCAN") && !step.contains("subquery") || step.contains("TEMP")
            };
            assert_eq!(plan.iter().find(unbounded), None, "{plan:#?}");
        }
    }
}

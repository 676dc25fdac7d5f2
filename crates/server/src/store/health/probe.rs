//! Probes: what a claim takes of a subscription that is failing.
//!
//! One at a time. Whether one is under way is what its lease in the queue says, so a crash changes nothing:
//! a lease that is over, or another process's, is no probe.
//!
//! Which delivery: one that was never tried, oldest first, else the one whose last try is longest ago, among
//! the [`WINDOW`] of each class that are due first. The queue is not sorted by last tries, and an index for
//! that would cost every insert for the sake of the few that fail. Within the window the choice is exact, and
//! whoever was just tried comes last; and as a failed try moves a delivery's due time out, the window moves
//! on through a longer backlog.

use super::{Entry, load, write};
use crate::domain::delivery::{Class, Leased};
use crate::domain::number::{DeliveryNo, Seq, SubscriptionNo};
use crate::domain::time::TimeMs;
use crate::store::claim::{self, ClaimRequest, Claims, Recipient, Row, Turn};
use crate::store::error::StoreError;
use crate::store::queue::{self, QueueRow};
use crate::store::sql::params;
use crate::store::writer::Tx;
use crate::store::{heads, rows};

/// Deliveries of a class among which a probe is chosen.
const WINDOW: usize = 64;
/// What waits while a subscription is failing.
const AUTOMATIC: [Class; 3] = [Class::Live, Class::Retry, Class::Recover];

const UNDER_WAY: &str = "SELECT due_ms FROM queue WHERE no = $1 AND claim_no = $2
    AND boot /*lite*/ = $3 /*end*/ /*pg IS NOT NULL AND CAST($3 AS BIGINT) IS NOT NULL */ AND due_ms > $4";
const NEWEST: &str = "SELECT no FROM queue WHERE subscription = $1 AND class = 1 AND due_ms = 0
    ORDER BY no DESC LIMIT 1";
const WAITING: &str = "SELECT * FROM queue WHERE subscription = $1 AND class = $2
    AND (boot IS NULL OR due_ms <= $3) ORDER BY due_ms, no LIMIT $4";

/// Takes the next probe, if it is time for one; or says that it only ended deliveries and there may be more.
pub(in crate::store) fn claim_probe(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    recipient: Recipient<'_>,
    claims: &mut Claims,
) -> Result<Turn, StoreError> {
    let subscription = recipient.target.subscription;
    let Some(mut entry) = load(tx, subscription)? else { return Ok(Turn::Drained) };
    if let Some(look) = wait(tx, subscription, &entry, request.now)? {
        heads::set_automatic(tx, subscription, look)?;
        return Ok(Turn::Drained);
    }
    let candidates = candidates(tx, subscription, request.now)?;
    if candidates.is_empty() {
        for class in AUTOMATIC {
            heads::raise(tx, subscription, class, TimeMs::ZERO)?;
        }
        return Ok(Turn::Drained);
    }
    for row in candidates {
        let due_at = row.due_at;
        match claim::claim_row(tx, request, row, recipient, claims)? {
            Row::Ended => continue,
            Row::Refused(full) => return Ok(Turn::Refused(full)),
            Row::Taken => {}
        }
        let Some(Leased { claimed, .. }) = claims.claimed.last_mut() else { break };
        claimed.is_probe = true;
        claimed.early_for = Some(due_at).filter(|due| *due > request.now);
        entry.probe = Some((claimed.delivery, claimed.claim_no));
        let lease_until = claimed.lease_until;
        write(tx, subscription, &mut entry)?;
        tx.context.health.remember(subscription, entry);
        heads::set_automatic(tx, subscription, lease_until)?;
        return Ok(Turn::Drained);
    }
    Ok(Turn::ToEnd)
}

/// Until when there is to be no probe, if so.
fn wait(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    entry: &Entry,
    now: TimeMs,
) -> Result<Option<TimeMs>, StoreError> {
    if let Some((delivery, claim_no)) = entry.probe {
        let params = params![delivery.0, claim_no, tx.context.boot, now.0];
        if let Some(lease_until) = rows::scalar(tx, UNDER_WAY, params)? {
            return Ok(Some(TimeMs(lease_until)));
        }
    }
    let next_at = entry.health.probe.next_at;
    if next_at <= now || has_news(tx, subscription, entry.seen)? {
        return Ok(None);
    }
    Ok(Some(next_at))
}

/// Whether an event has come since the last probe ended: somebody waits for it, so it is worth a try.
fn has_news(tx: &mut Tx<'_>, subscription: SubscriptionNo, seen: Seq) -> Result<bool, StoreError> {
    let newest = rows::scalar(tx, NEWEST, params![subscription.0])?.map(DeliveryNo);
    Ok(newest.is_some_and(|newest| newest.seq() > seen))
}

/// What may be tried, the best first. What is under way is left out.
fn candidates(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    now: TimeMs,
) -> Result<Vec<QueueRow>, StoreError> {
    let mut found: Vec<QueueRow> = Vec::new();
    for class in AUTOMATIC {
        let params = params![subscription.0, class.code(), now.0, WINDOW];
        found.extend(rows::all(tx, WAITING, params, queue::read)?);
        if found.first().is_some_and(|oldest| oldest.claimed_at.is_none()) {
            // Nothing is tried less recently than never.
            break;
        }
    }
    found.sort_by_key(|row| (row.claimed_at.unwrap_or(TimeMs::ZERO), row.no));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn a_probe_reads_no_backlog() {
        let nothing: [i64; 4] = [1; 4];
        for (sql, params) in [(UNDER_WAY, 4), (NEWEST, 1), (WAITING, 4)] {
            let plan = plan::of(sql, rusqlite::params_from_iter(&nothing[..params]));
            plan::assert_bounded(&plan);
        }
        let newest = plan::of(NEWEST, [1]);
        assert!(newest[0].contains("subscription=? AND class=? AND due_ms=?"), "{newest:#?}");
    }
}

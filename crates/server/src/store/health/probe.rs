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

use std::collections::HashMap;

use bytes::Bytes;
use inkhook_wire::id::EventId;

use super::{Entry, Standing, load, write};
use crate::domain::delivery::{Class, Leased};
use crate::domain::number::{DeliveryNo, Seq, SubscriptionNo};
use crate::domain::time::TimeMs;
use crate::store::claim::{self, ClaimRequest, Claims, Recipient, Row, Turn};
use crate::store::error::StoreError;
use crate::store::queue::{self, QueueRow};
use crate::store::sql::postgres::Ask;
use crate::store::sql::{Connection, Row as Stored, params};
use crate::store::target::{self, Target};
use crate::store::writer::Tx;
use crate::store::{heads, rows};

/// Deliveries of a class among which a probe is chosen.
const WINDOW: usize = 64;
/// What waits while a subscription is failing.
const AUTOMATIC: [Class; 3] = [Class::Live, Class::Retry, Class::Recover];

const UNDER_WAY: &str = "SELECT due_ms FROM queue WHERE no = $1 AND claim_no = $2
    AND /*lite*/ boot = $3 /*end*/ /*pg +boot IS NOT NULL AND CAST($3 AS BIGINT) IS NOT NULL */ AND due_ms > $4";
const NEWEST: &str = "SELECT no FROM queue WHERE subscription = $1 AND class = 1 AND due_ms = 0
    ORDER BY no DESC LIMIT 1";
const WAITING: &str = "SELECT * FROM queue WHERE subscription = $1 AND class = $2
    AND (boot IS NULL OR due_ms <= $3) ORDER BY due_ms, no LIMIT $4";

/// The same for many at once, on a server: of each the few that come first, in their order.
const ALL_UNDER_WAY: &str = "SELECT p.subscription, q.due_ms
    FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[])) AS p (subscription, no, claim_no),
    LATERAL (SELECT due_ms FROM queue WHERE no = p.no AND claim_no = p.claim_no AND +boot IS NOT NULL AND due_ms > $4
        LIMIT 1) q";
const ALL_NEWEST: &str = "SELECT s.no, q.no FROM unnest(CAST($1 AS BIGINT[])) AS s (no), LATERAL (
    SELECT no FROM queue WHERE subscription = s.no AND class = 1 AND due_ms = 0 ORDER BY no DESC LIMIT 1) q";
macro_rules! window {
    ($class:literal) => {
        concat!(
            "UNION ALL (SELECT * FROM queue WHERE subscription = s.no AND class = ",
            $class,
            " AND (boot IS NULL OR due_ms <= $2) AND NOT EXISTS (SELECT 1 FROM untried) ORDER BY due_ms, no LIMIT $3) "
        )
    };
}
/// Where something was never tried, nothing else is looked at. With the first of each comes what it is to send.
const ALL_WAITING: &str = concat!(
    "SELECT s.no AS whose, w.*, e.id AS event_id, e.payload FROM unnest(CAST($1 AS BIGINT[])) AS s (no), LATERAL (
        SELECT *, row_number() OVER (ORDER BY coalesce(claimed_ms, 0), no) AS place FROM (
            WITH untried AS (SELECT * FROM queue WHERE subscription = s.no AND class = 1 AND due_ms = 0
                AND claimed_ms IS NULL ORDER BY no LIMIT $4)
            SELECT * FROM untried ",
    window!("1"),
    window!("2"),
    window!("3"),
    ") all_classes ORDER BY place LIMIT $4) w
    LEFT JOIN LATERAL (SELECT id, payload FROM events WHERE seq = w.event_seq AND w.place = 1 LIMIT 1) e ON true ORDER BY s.no, w.place"
);
/// Candidates of each that are read ahead.
const CANDIDATES_AHEAD: i64 = 4;
/// Subscriptions for which a claim reads ahead.
const SUBSCRIPTIONS_AHEAD: usize = 256;

/// What was read ahead for a probe.
#[derive(Debug)]
pub(in crate::store) enum Ahead {
    /// There is to be none before this.
    Wait(TimeMs),
    /// It may be one of these, the best first.
    Candidates(Vec<QueueRow>),
}

/// Reads what [`claim_probe`] will look at for those of these that are failing, where each by itself would be several
/// round trips.
pub(in crate::store) fn look_ahead(
    tx: &mut Tx<'_>,
    subscriptions: &[SubscriptionNo],
    request: &ClaimRequest,
) -> Result<(), StoreError> {
    if !tx.is_shared() {
        return Ok(());
    }
    let mut entries: Vec<(SubscriptionNo, Entry)> = Vec::new();
    for no in subscriptions {
        let is_failing = match target::load(tx, *no, request.timeout)? {
            Target::Open { standing, held_until, .. } => {
                standing == Standing::Failing && held_until <= request.now
            }
            Target::Deleted | Target::Unreadable => false,
        };
        if is_failing && let Some(entry) = load(tx, *no)? {
            entries.push((*no, entry));
        }
    }
    entries.truncate(SUBSCRIPTIONS_AHEAD);
    if entries.is_empty() {
        return Ok(());
    }
    let in_queue = InQueue::of(tx, &entries, request.now)?;
    for (seq, id, payload) in in_queue.events {
        tx.memory.remember_event(seq, id, payload);
    }
    let mut candidates = in_queue.candidates;
    for (no, entry) in &entries {
        let news = in_queue.newest.get(no).is_some_and(|newest| newest.seq() > entry.seen);
        let wait = wait_of(entry, request.now, in_queue.under_way.get(no).copied(), || Ok(news))?;
        let ahead = match wait {
            Some(look) => Ahead::Wait(look),
            None => Ahead::Candidates(candidates.remove(no).unwrap_or_default()),
        };
        tx.memory.remember_probe(*no, ahead);
    }
    Ok(())
}

/// What the queue says of failing subscriptions.
#[derive(Default)]
struct InQueue {
    /// Until when a probe is under way.
    under_way: HashMap<SubscriptionNo, TimeMs>,
    /// The newest event that waits.
    newest: HashMap<SubscriptionNo, DeliveryNo>,
    /// What may be tried, the best first.
    candidates: HashMap<SubscriptionNo, Vec<QueueRow>>,
    /// What the first of them are to send.
    events: Vec<(Seq, EventId, Bytes)>,
}

impl InQueue {
    fn of(tx: &Tx<'_>, entries: &[(SubscriptionNo, Entry)], now: TimeMs) -> Result<Self, StoreError> {
        let Connection::Postgres(session) = &**tx else { return Ok(Self::default()) };
        let all: Vec<i64> = entries.iter().map(|(no, _)| no.0).collect();
        let probes = entries.iter().filter_map(|(no, entry)| entry.probe.map(|probe| (no.0, probe)));
        let (of, (deliveries, claims)): (Vec<i64>, (Vec<i64>, Vec<i64>)) =
            probes.map(|(no, (delivery, claim_no))| (no, (delivery.0, i64::from(claim_no)))).unzip();
        let window = i64::try_from(WINDOW).unwrap_or(i64::MAX);
        let [under_way, newest, waiting] = session.ask_all(&[
            Ask { sql: ALL_UNDER_WAY, params: &[&of, &deliveries, &claims, &now.0], needed: !of.is_empty() },
            Ask { sql: ALL_NEWEST, params: &[&all], needed: true },
            Ask { sql: ALL_WAITING, params: &[&all, &now.0, &window, &CANDIDATES_AHEAD], needed: true },
        ])?;
        let pair = |row: &tokio_postgres::Row| -> Result<(SubscriptionNo, i64), StoreError> {
            let row = Stored::Postgres(row);
            Ok((SubscriptionNo(row.get(0)?), row.get(1)?))
        };
        let mut found = Self::default();
        for row in &under_way {
            let (no, due) = pair(row)?;
            found.under_way.insert(no, TimeMs(due));
        }
        for row in &newest {
            let (no, delivery) = pair(row)?;
            found.newest.insert(no, DeliveryNo(delivery));
        }
        for row in &waiting {
            let row = Stored::Postgres(row);
            let candidate = queue::read(&row)?;
            if let Some(payload) = row.get::<_, Option<Vec<u8>>>("payload")? {
                found.events.push((candidate.event, rows::id(&row, "event_id")?, payload.into()));
            }
            found.candidates.entry(SubscriptionNo(row.get("whose")?)).or_default().push(candidate);
        }
        Ok(found)
    }
}

/// Takes the next probe, if it is time for one; or says that it only ended deliveries and there may be more.
pub(in crate::store) fn claim_probe(
    tx: &mut Tx<'_>,
    request: &ClaimRequest,
    recipient: Recipient<'_>,
    claims: &mut Claims,
) -> Result<Turn, StoreError> {
    let subscription = recipient.target.subscription;
    let Some(mut entry) = load(tx, subscription)? else { return Ok(Turn::Drained) };
    let ahead = match tx.memory.take_probe(subscription) {
        Some(ahead) => ahead,
        None => match wait(tx, subscription, &entry, request.now)? {
            Some(look) => Ahead::Wait(look),
            None => Ahead::Candidates(candidates(tx, subscription, request.now)?),
        },
    };
    let candidates = match ahead {
        Ahead::Wait(look) => {
            heads::set_automatic(tx, subscription, look)?;
            return Ok(Turn::Drained);
        }
        Ahead::Candidates(candidates) => candidates,
    };
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
        if tx.is_shared() {
            // Another class of it may be due in the same round.
            tx.memory.remember_probe(subscription, Ahead::Wait(lease_until));
        }
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
    let under_way = match entry.probe {
        Some((delivery, claim_no)) => {
            rows::scalar(tx, UNDER_WAY, params![delivery.0, claim_no, tx.context.boot, now.0])?.map(TimeMs)
        }
        None => None,
    };
    wait_of(entry, now, under_way, || has_news(tx, subscription, entry.seen))
}

/// The same from what is known: until when one is under way, and whether there are news.
fn wait_of(
    entry: &Entry,
    now: TimeMs,
    under_way: Option<TimeMs>,
    has_news: impl FnOnce() -> Result<bool, StoreError>,
) -> Result<Option<TimeMs>, StoreError> {
    let next_at = entry.health.probe.next_at;
    if under_way.is_none() && (next_at <= now || has_news()?) {
        return Ok(None);
    }
    Ok(Some(under_way.unwrap_or(next_at)))
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

//! Which events a recover job is about.
//!
//! The walk goes along the index of each owner whose events the subscription gets, so it meets rows of
//! these owners only. Whether a delivery exists is asked by the event's own numbers: what was made when it
//! was accepted lies side by side under the primary keys, and the rest under the indexes of what was made
//! later.

use std::collections::HashSet;

use inkhook_wire::event::EventType;
use inkhook_wire::id::SubscriptionId;
use uuid::Uuid;

use super::Candidate;
use crate::domain::caller::Scope;
use crate::domain::number::{DELIVERIES_PER_SEQ, OrganizationNo, Seq, SubscriptionNo};
use crate::domain::owner::{self, Owner};
use crate::domain::recover::{Recover, Which};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Row, params};
use crate::store::{Store, facts, rows};

/// Events that a dry run looks at; beyond, its count says "at least".
pub const MAX_COUNTED: usize = 100_000;
/// Of these, in one read: a few milliseconds at most.
const COUNT_CHUNK: usize = 500;
/// How far the clock may have been set back or forward without an event of the window being missed.
const CLOCK_STEPS_MS: i64 = 3_600_000;

/// What a dry run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Events looked at.
    pub examined: usize,
    /// Deliveries that would be made.
    pub count: usize,
    /// Every event of the window was looked at.
    pub is_complete: bool,
}

/// A subscription as it is now, as far as it decides what matches it.
pub(super) struct Target {
    pub(super) no: SubscriptionNo,
    pub(super) organization: OrganizationNo,
    identity: Uuid,
    /// Whose events it gets.
    owners: Vec<Uuid>,
    types: HashSet<EventType>,
}

const BY_ID: &str = "SELECT no, organization_id, identity_id, owner_kind, owner_id FROM subscriptions
    WHERE id = $1 AND organization_id = $2 AND (identity_id = $3 OR $3 IS NULL) AND status = 'active'";
const BY_NO: &str = "SELECT no, organization_id, identity_id, owner_kind, owner_id FROM subscriptions
    WHERE no = $1 AND status = 'active'";
const TYPES: &str = "SELECT event_type FROM subscription_types WHERE subscription = $1";
// The sign keeps the organisation out of the choice of an index: an owner is narrower.
const EVENTS: &str = "SELECT seq, event_type, identity_id, accepted_ms, expires_ms FROM events
    WHERE owner_id = $1 AND seq > $2 AND seq <= $3 AND +organization_id = $4 ORDER BY seq LIMIT $5";
const FIRST_FROM: &str = "SELECT seq, accepted_ms FROM events WHERE organization_id = $1 AND seq >= $2
    ORDER BY seq LIMIT 1";
const HAS_ANY: &str = "SELECT
    EXISTS (SELECT 1 FROM queue WHERE no BETWEEN CAST($1 AS BIGINT) * 64 AND CAST($1 AS BIGINT) * 64 + 63 AND subscription = $2 AND event_seq = $1)
    OR EXISTS (SELECT 1 FROM parked WHERE no BETWEEN CAST($1 AS BIGINT) * 64 AND CAST($1 AS BIGINT) * 64 + 63 AND subscription = $2)
    OR EXISTS (SELECT 1 FROM deliveries WHERE no BETWEEN CAST($1 AS BIGINT) * 64 AND CAST($1 AS BIGINT) * 64 + 63 AND subscription = $2
        AND event_seq = $1)
    OR EXISTS (SELECT 1 FROM queue WHERE event_seq = $1 AND class IN (3, 4) AND subscription = $2)
    OR EXISTS (SELECT 1 FROM deliveries WHERE event_seq = $1 AND class IN (3, 4) AND subscription = $2)";
const HAS_FAILED: &str = "SELECT
    (EXISTS (SELECT 1 FROM deliveries WHERE no BETWEEN CAST($1 AS BIGINT) * 64 AND CAST($1 AS BIGINT) * 64 + 63 AND subscription = $2
        AND event_seq = $1 AND state IN (2, 4))
    OR EXISTS (SELECT 1 FROM deliveries WHERE event_seq = $1 AND class IN (3, 4) AND subscription = $2
        AND state IN (2, 4)))
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE no BETWEEN CAST($1 AS BIGINT) * 64 AND CAST($1 AS BIGINT) * 64 + 63 AND subscription = $2
        AND event_seq = $1 AND state = 1)
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event_seq = $1 AND class IN (3, 4) AND subscription = $2
        AND state = 1)
    AND NOT EXISTS (SELECT 1 FROM queue WHERE no BETWEEN CAST($1 AS BIGINT) * 64 AND CAST($1 AS BIGINT) * 64 + 63 AND subscription = $2
        AND event_seq = $1)
    AND NOT EXISTS (SELECT 1 FROM queue WHERE event_seq = $1 AND class IN (3, 4) AND subscription = $2)";

impl Target {
    /// The subscription, if it is there and the scope can see it.
    pub(super) fn of(
        connection: &Connection,
        scope: Scope,
        id: SubscriptionId,
    ) -> Result<Option<Self>, StoreError> {
        let identity = scope.identity.map(|id| id.as_uuid().into_bytes());
        let params = params![id.as_uuid().into_bytes(), scope.organization.0, identity];
        Self::complete(connection, rows::optional(connection, BY_ID, params, read)?)
    }

    /// The same by its number.
    pub(super) fn load(connection: &Connection, no: SubscriptionNo) -> Result<Option<Self>, StoreError> {
        Self::complete(connection, rows::optional(connection, BY_NO, params![no.0], read)?)
    }

    fn complete(connection: &Connection, found: Option<(Self, Owner)>) -> Result<Option<Self>, StoreError> {
        let Some((mut target, owner)) = found else { return Ok(None) };
        target.owners.push(owner.uuid());
        if let Owner::Identity(_) = owner {
            let scope = Scope { organization: target.organization, identity: None };
            if let Some(facts) = facts::find(connection, scope, owner)? {
                target.owners.extend(facts.mailbox.map(|(id, _)| id.as_uuid()));
                target.owners.extend(facts.phone_number.map(|(id, _)| id.as_uuid()));
            }
        }
        let types =
            rows::all(connection, TYPES, params![target.no.0], |row| rows::event_type(row, "event_type"))?;
        target.types = types.into_iter().collect();
        Ok(Some(target))
    }
}

fn read(row: &Row<'_>) -> Result<(Target, Owner), StoreError> {
    let kind = owner::kind_from_code(row.get("owner_kind")?).ok_or(StoreError::Corrupt("an owner's kind"))?;
    let target = Target {
        no: SubscriptionNo(row.get("no")?),
        organization: OrganizationNo(row.get("organization_id")?),
        identity: rows::id(row, "identity_id")?,
        owners: Vec::new(),
        types: HashSet::new(),
    };
    Ok((target, Owner::new(kind, rows::id(row, "owner_id")?)))
}

/// Between which acceptance numbers the window lies: after the first, up to the second. A little too wide,
/// because the calendar may have been set while events came.
pub(super) fn range(
    connection: &Connection,
    organization: OrganizationNo,
    recover: Recover,
    newest: Seq,
) -> Result<(Seq, Seq), StoreError> {
    let since = TimeMs(recover.since.0.saturating_sub(CLOCK_STEPS_MS));
    let until = TimeMs(recover.until.0.saturating_add(CLOCK_STEPS_MS));
    let first = first_at(connection, organization, since, newest)?;
    let beyond = first_at(connection, organization, until, newest)?;
    Ok((Seq(first.0 - 1), Seq(beyond.0 - 1)))
}

/// The lowest number at or above which the organisation's events were accepted at `time` or later; by
/// halving, so that it costs a few look-ups however many there are.
fn first_at(
    connection: &Connection,
    organization: OrganizationNo,
    time: TimeMs,
    newest: Seq,
) -> Result<Seq, StoreError> {
    let (mut low, mut high) = (0, newest.0 + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = rows::optional(connection, FIRST_FROM, params![organization.0, middle], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })?;
        match found {
            Some((seq, accepted)) if accepted < time.0 => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(Seq(low.min(newest.0 + 1)))
}

/// The next events of the subscription's owners, in the order in which they were accepted.
pub(super) fn events(
    connection: &Connection,
    target: &Target,
    after: Seq,
    last: Seq,
    limit: usize,
) -> Result<Vec<Candidate>, StoreError> {
    let mut found = Vec::new();
    for owner in &target.owners {
        let params = params![owner.as_bytes(), after.0, last.0, target.organization.0, limit];
        found.extend(rows::all(connection, EVENTS, params, |row| {
            Ok(Candidate {
                seq: Seq(row.get("seq")?),
                event_type: rows::event_type(row, "event_type")?,
                identity: rows::id(row, "identity_id")?,
                accepted_at: rows::time(row, "accepted_ms")?,
                expires_at: rows::optional_time(row, "expires_ms")?,
            })
        })?);
    }
    found.sort_unstable_by_key(|candidate| candidate.seq);
    found.truncate(limit);
    Ok(found)
}

/// Whether a job delivers this event once more.
pub(super) fn is_wanted(
    connection: &Connection,
    target: &Target,
    recover: Recover,
    now: TimeMs,
    event: &Candidate,
) -> Result<bool, StoreError> {
    debug_assert_eq!(DELIVERIES_PER_SEQ, 64, "the statements above spell the number out");
    let matches = event.identity == target.identity
        && target.types.contains(&event.event_type)
        && (recover.since..=recover.until).contains(&event.accepted_at)
        && event.expires_at.is_none_or(|expires_at| expires_at > now);
    if !matches {
        return Ok(false);
    }
    let ask = |sql: &'static str| rows::scalar::<bool>(connection, sql, params![event.seq.0, target.no.0]);
    Ok(match recover.which {
        Which::All => true,
        Which::Missed => ask(HAS_ANY)? == Some(false),
        Which::Failed => ask(HAS_FAILED)? == Some(true),
    })
}

/// Counts in small reads, so that none holds the write-ahead log back.
pub(super) async fn count(
    store: &Store,
    scope: Scope,
    id: SubscriptionId,
    recover: Recover,
    now: TimeMs,
) -> Result<Option<Count>, StoreError> {
    let mut counter = Counter::default();
    while !counter.is_done() {
        let (place, limit) = (counter.place, counter.limit());
        let read =
            store.read(move |connection| count_chunk(connection, (scope, id), recover, now, place, limit));
        let Some(chunk) = read.await? else { return Ok(None) };
        counter.add(&chunk);
    }
    Ok(Some(counter.count))
}

/// A count that goes on over several reads.
#[derive(Default)]
struct Counter {
    count: Count,
    /// How far it has come, and where it ends.
    place: Option<(Seq, Seq)>,
}

impl Counter {
    fn is_done(&self) -> bool {
        self.count.is_complete || self.count.examined == MAX_COUNTED
    }

    fn limit(&self) -> usize {
        COUNT_CHUNK.min(MAX_COUNTED - self.count.examined)
    }

    fn add(&mut self, chunk: &CountChunk) {
        self.count.is_complete = chunk.examined < self.limit();
        self.count.examined += chunk.examined;
        self.count.count += chunk.count;
        self.place = Some(chunk.place);
    }
}

struct CountChunk {
    examined: usize,
    count: usize,
    place: (Seq, Seq),
}

const NEWEST: &str = "SELECT max(seq) FROM events";

fn count_chunk(
    connection: &Connection,
    (scope, id): (Scope, SubscriptionId),
    recover: Recover,
    now: TimeMs,
    place: Option<(Seq, Seq)>,
    limit: usize,
) -> Result<Option<CountChunk>, StoreError> {
    let Some(target) = Target::of(connection, scope, id)? else { return Ok(None) };
    let (after, last) = if let Some(place) = place {
        place
    } else {
        let newest = rows::scalar::<Option<i64>>(connection, NEWEST, &[])?.flatten().unwrap_or(0);
        range(connection, target.organization, recover, Seq(newest))?
    };
    let events = events(connection, &target, after, last, limit)?;
    let mut wanted = 0;
    for event in &events {
        wanted += usize::from(is_wanted(connection, &target, recover, now, event)?);
    }
    let after = events.last().map_or(last, |event| event.seq);
    Ok(Some(CountChunk { examined: events.len(), count: wanted, place: (after, last) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn every_statement_goes_by_an_index() {
        for (sql, params) in
            [(BY_ID, 3), (BY_NO, 1), (TYPES, 1), (EVENTS, 5), (FIRST_FROM, 2), (HAS_ANY, 2), (HAS_FAILED, 2)]
        {
            let plan = plan::of(sql, rusqlite::params_from_iter(vec![0; params]));
            plan::assert_bounded(
                &plan.into_iter().filter(|step| step != "SCAN CONSTANT ROW").collect::<Vec<_>>(),
            );
        }
        let events = plan::of(EVENTS, [0; 5]);
        assert!(events[0].contains("events_by_owner (owner_id=? AND seq>? AND seq<?)"), "{events:?}");
        for sql in [HAS_ANY, HAS_FAILED] {
            let plan = plan::of(sql, [0, 0]);
            for index in ["queue_by_event", "deliveries_by_event"] {
                assert!(plan.iter().any(|step| step.contains(index)), "{plan:#?}");
            }
        }
    }

    #[test]
    fn a_window_is_found_by_halving() {
        let connection = plan::database();
        let organization = OrganizationNo(1);
        let window = |since, until, newest| {
            let recover = Recover { which: Which::All, since: TimeMs(since), until: TimeMs(until) };
            range(&connection, organization, recover, Seq(newest)).expect("it reads")
        };
        assert_eq!(window(0, 10, 0), (Seq(-1), Seq(-1)), "nothing was accepted ever");
        // One event an hour, with numbers that others had in between.
        connection
            .execute_batch(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
                 INSERT INTO events SELECT i * 3, randomblob(16), 1 + (i % 2), 1, 1, x'', x'', i * 3600000, NULL,
                    0, x'' FROM n",
            )
            .unwrap();
        let hours = |hours: i64| hours * 3_600_000;
        // Every other event is another organisation's.
        let around = (Seq(18 * 3), Seq(40 * 3));
        assert_eq!(window(hours(20), hours(40), 300), around, "an hour more on either side");
        assert_eq!(window(0, hours(1_000), 300).1, Seq(300), "up to its newest");
        assert_eq!(window(0, hours(1_000), 200).1, Seq(200), "nothing that came after the job was made");
        let statements = || plan::STATEMENTS.get();
        let before = statements();
        window(hours(20), hours(40), 300);
        assert!(statements() - before <= 20, "{}", statements() - before);
    }

    #[test]
    fn a_dry_run_looks_at_so_many_events_and_one_more_is_said() {
        let connection = plan::database();
        connection
            .execute_batch(
                "INSERT INTO organizations (no, id, name, created_ms) VALUES (1, x'01', 'acme', 0);
                 INSERT INTO urls VALUES (1, 'https://example.com/');
                 INSERT INTO subscriptions (no, id, organization_id, identity_id, owner_kind, owner_id, url,
                    url_normalized, event_types, status, generation, created_ms, updated_ms)
                    VALUES (1, zeroblob(16), 1, zeroblob(16), 1, zeroblob(16), 1, '', '[]', 'active', 1, 0, 0);
                 INSERT INTO subscription_types VALUES (1, 1, 0);
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= 100000)
                 INSERT INTO events SELECT i, randomblob(16), 1, 1, 1, zeroblob(16), zeroblob(16), 5, NULL, 0, x''
                    FROM n",
            )
            .unwrap();
        let scope = (Scope { organization: OrganizationNo(1), identity: None }, Uuid::nil().into());
        let recover = Recover { which: Which::All, since: TimeMs(0), until: TimeMs(9) };
        let run = |newest: Option<Seq>| {
            let mut reader = Counter::default();
            if let Some(newest) = newest {
                reader.place = Some((Seq(0), newest));
            }
            while !reader.is_done() {
                let chunk = count_chunk(&connection, scope, recover, TimeMs(9), reader.place, reader.limit());
                reader.add(&chunk.unwrap().expect("it is there"));
            }
            reader.count
        };
        let all = Count { examined: MAX_COUNTED, count: MAX_COUNTED, is_complete: true };
        assert_eq!(run(None), Count { is_complete: false, ..all });
        assert_eq!(run(Some(Seq(1_000))), Count { examined: 1_000, count: 1_000, is_complete: true });
    }
}

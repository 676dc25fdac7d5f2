//! Reading ahead: what a group on a server will look at, locked and read in one round trip.
//!
//! The locks come first, so what is read after them stays so until the commit; then a block of acceptance numbers
//! is drawn ([`numbers`]). Which subscriptions an event concerns is known from the last time that such an event
//! came; whether that is still so is read under the locks, and a subscription that is new is locked and read in a
//! second round.
//!
//! [`numbers`]: super::numbers

use std::collections::HashMap;
use std::time::Duration;

use tokio_postgres::Row as ServerRow;

use super::Context;
use super::wants::{Hold, Publish, Repeat, Wants};
use crate::domain::number::{Seq, SubscriptionNo};
use crate::domain::owner;
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::facts::{Behind, keeps_context};
use crate::store::locks;
use crate::store::memory::{Match, Matches, Memory, Remembered};
use crate::store::rows;
use crate::store::sql::Row;
use crate::store::sql::postgres::{Ask, Session};
use crate::store::target;

/// Kinds of events whose subscriptions are remembered from one group to the next.
const MAX_KNOWN: usize = 20_000;
/// New subscriptions are locked and read in a second round; more rounds than this and the group fails.
const MAX_ROUNDS: usize = 4;

const LOCK: &str = "SELECT count(*) FROM unnest($2::int[], $3::bool[]) AS l (bucket, alone), LATERAL (
        SELECT pg_advisory_xact_lock($1, bucket) WHERE alone
        UNION ALL SELECT pg_advisory_xact_lock_shared($1, bucket) WHERE NOT alone) taken";
const DRAW: &str = "SELECT nextval('acceptance_numbers'), CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)";
const MATCHES: &str = concat!(
    "SELECT w.n, o.identity_id, ",
    keeps_context!("o.identity_id"),
    ", s.no,
        CASE s.ordering WHEN 'conversation' THEN s.ordering_since_seq END AS since
    FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::smallint[])
        WITH ORDINALITY AS w (organization, kind, owner, type, n)
    JOIN LATERAL (
        SELECT identity_id FROM mailboxes WHERE w.kind = 1 AND id = w.owner AND organization_id = w.organization
        UNION ALL SELECT identity_id FROM phone_numbers
            WHERE w.kind = 2 AND id = w.owner AND organization_id = w.organization
        UNION ALL SELECT id FROM identities
            WHERE w.kind = 3 AND id = w.owner AND organization_id = w.organization) o ON true
    LEFT JOIN LATERAL (
        SELECT s.no, s.ordering, s.ordering_since_seq FROM subscriptions s
        WHERE s.identity_id = o.identity_id AND s.status = 'active' AND s.owner_id IN (o.identity_id, w.owner)
            AND +s.organization_id = w.organization
            AND EXISTS (SELECT 1 FROM subscription_types t WHERE t.subscription = s.no AND t.event_type = w.type)
        ) s ON true
    ORDER BY w.n, s.no"
);
const REPEATS: &str = "SELECT w.n, d.request_hash, d.event_id
    FROM unnest($1::bigint[], $2::smallint[], $3::bytea[]) WITH ORDINALITY AS w (organization, kind, key, n)
    CROSS JOIN LATERAL (SELECT request_hash, event_id FROM dedupe WHERE organization_id = w.organization
        AND kind = w.kind AND key = w.key AND (expires_ms IS NULL OR expires_ms > $4) LIMIT 1) d";

/// The subscriptions that a kind of event concerned when it came last.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<Publish, Vec<SubscriptionNo>>);

impl Known {
    fn of(&self, publish: &Publish) -> &[SubscriptionNo] {
        self.0.get(publish).map_or(&[], Vec::as_slice)
    }

    fn learn(&mut self, publish: Publish, matches: &[Match]) {
        let found = matches.iter().map(|one| one.subscription);
        if self.of(&publish).iter().copied().eq(found.clone()) {
            return;
        }
        if self.0.len() >= MAX_KNOWN {
            self.0.clear();
        }
        self.0.insert(publish, found.collect());
    }
}

/// Begins a transaction and fills the memory with what its operations want.
pub(super) fn begin(
    session: &Session,
    wants: &Wants,
    known: &mut Known,
    memory: &mut Memory,
    context: &Context,
    timeout: Option<Duration>,
) -> Result<i64, StoreError> {
    let mut publishes = wants.publishes.clone();
    publishes.sort_by_key(|one| (one.organization, one.owner.uuid(), one.event_type.code()));
    publishes.dedup();
    let mut repeats = wants.repeats.clone();
    repeats.sort();
    repeats.dedup();
    let mut holds = wants.subscriptions.clone();
    for publish in &publishes {
        for no in known.of(publish) {
            let hold = if context.ordered.has(*no) { Hold::Alone } else { Hold::Shared };
            let held = holds.entry(*no).or_insert(hold);
            *held = hold.max(*held);
        }
    }
    let mut round: Vec<(SubscriptionNo, Hold)> = holds.into_iter().collect();
    let mut held: HashMap<SubscriptionNo, Hold> = HashMap::new();
    for number in 0..MAX_ROUNDS {
        held.extend(round.iter().copied());
        let asked = Asked {
            publishes: &publishes,
            repeats: if number == 0 { &repeats } else { &[] },
            round: &round,
            subscriptions: target::Asked::new(round.iter().map(|(no, _)| *no)),
        };
        let answers = asked.ask(session, number == 0, context.clock.wall())?;
        answers.remember(&asked, memory, timeout, context)?;
        let mut missing = Vec::new();
        for (publish, (_, matches)) in publishes.iter().zip(&answers.matches) {
            known.learn(*publish, matches);
            for one in matches {
                let hold = if one.since.is_some() { Hold::Alone } else { Hold::Shared };
                if held.get(&one.subscription).is_none_or(|held| *held < hold) {
                    missing.push((one.subscription, hold));
                }
            }
        }
        missing.sort();
        missing.dedup();
        if missing.is_empty() {
            let drawn = answers.drawn;
            for (publish, (behind, matches)) in publishes.iter().zip(answers.matches) {
                memory.remember_matches(*publish, behind, matches);
            }
            return Ok(drawn);
        }
        round = missing;
    }
    Err(StoreError::Statement(crate::store::sql::Error::Overtaken))
}

/// One round.
struct Asked<'a> {
    publishes: &'a [Publish],
    repeats: &'a [Repeat],
    round: &'a [(SubscriptionNo, Hold)],
    subscriptions: target::Asked,
}

/// What came back, beyond what goes into the memory as it is.
struct Answers {
    /// The first of a block of numbers.
    drawn: i64,
    /// The number of this transaction.
    transaction: i64,
    matches: Vec<Matches>,
    repeats: Vec<ServerRow>,
    subscriptions: target::Answers,
}

impl Asked<'_> {
    fn ask(&self, session: &Session, first: bool, now: TimeMs) -> Result<Answers, StoreError> {
        // Each bucket once, in order, as strictly as the strictest of its subscriptions wants.
        let mut buckets = std::collections::BTreeMap::new();
        for (subscription, hold) in self.round {
            let held = buckets.entry(locks::bucket(*subscription)).or_insert(*hold);
            *held = (*held).max(*hold);
        }
        let alone: Vec<bool> = buckets.values().map(|hold| *hold == Hold::Alone).collect();
        let buckets: Vec<i32> = buckets.into_keys().collect();
        let param = self.subscriptions.param();
        let [targets, selected, heads, live_waits] = self.subscriptions.questions(&param);
        let organizations: Vec<i64> = self.publishes.iter().map(|one| one.organization.0).collect();
        let kinds: Vec<i16> = self.publishes.iter().map(|one| kind(one.owner)).collect();
        let owners: Vec<_> = self.publishes.iter().map(|one| one.owner.uuid().into_bytes()).collect();
        let owners: Vec<&[u8]> = owners.iter().map(|id| &id[..]).collect();
        let types: Vec<i16> = self.publishes.iter().map(|one| code(one.event_type.code())).collect();
        let of: Vec<i64> = self.repeats.iter().map(|one| one.organization.0).collect();
        let sorts: Vec<i16> = self.repeats.iter().map(|one| code(one.kind as u16)).collect();
        let keys: Vec<&[u8]> = self.repeats.iter().map(|one| one.key.as_slice()).collect();
        let asks = [
            Ask { sql: LOCK, params: &[&locks::CLASS, &buckets, &alone], needed: !buckets.is_empty() },
            Ask { sql: DRAW, params: &[], needed: true },
            Ask {
                sql: MATCHES,
                params: &[&organizations, &kinds, &owners, &types],
                needed: !self.publishes.is_empty(),
            },
            Ask { sql: REPEATS, params: &[&of, &sorts, &keys, &now.0], needed: !self.repeats.is_empty() },
            targets,
            selected,
            heads,
            live_waits,
        ];
        if first {
            session.begin();
        }
        let [_, drawn, matches, repeats, targets, types, heads, live_waits] = session.ask_all(&asks)?;
        let drawn = drawn.first().ok_or(StoreError::Corrupt("a sequence without a number"))?;
        let drawn = Row::Postgres(drawn);
        Ok(Answers {
            drawn: drawn.get(0)?,
            transaction: drawn.get(1)?,
            matches: self.read_matches(&matches)?,
            repeats,
            subscriptions: [targets, types, heads, live_waits],
        })
    }

    fn read_matches(&self, found: &[ServerRow]) -> Result<Vec<Matches>, StoreError> {
        let mut matches = vec![(None, Vec::new()); self.publishes.len()];
        for row in found {
            let row = Row::Postgres(row);
            let place = usize::try_from(row.get::<_, i64>("n")? - 1).unwrap_or(usize::MAX);
            let Some((behind, matches)) = matches.get_mut(place) else { continue };
            let keeps_context = row.get("keeps_context")?;
            *behind = Some(Behind { identity: rows::id(&row, "identity_id")?, keeps_context });
            if let Some(no) = row.get::<_, Option<i64>>("no")? {
                let since = row.get::<_, Option<i64>>("since")?.map(Seq);
                matches.push(Match { subscription: SubscriptionNo(no), since });
            }
        }
        Ok(matches)
    }
}

impl Answers {
    fn remember(
        &self,
        asked: &Asked<'_>,
        memory: &mut Memory,
        timeout: Option<Duration>,
        context: &Context,
    ) -> Result<(), StoreError> {
        context.health.runs_as(self.transaction);
        let mut found: HashMap<usize, Remembered> = HashMap::new();
        for row in &self.repeats {
            let row = Row::Postgres(row);
            let place = usize::try_from(row.get::<_, i64>("n")? - 1).unwrap_or(usize::MAX);
            let remembered =
                Remembered { request_hash: row.get("request_hash")?, events: row.get("event_id")? };
            found.insert(place, remembered);
        }
        for (place, repeat) in asked.repeats.iter().enumerate() {
            memory.remember_repeat(repeat.clone(), found.remove(&place));
        }
        for (subscription, hold) in asked.round {
            memory.held(*subscription, *hold);
        }
        asked.subscriptions.remember(&self.subscriptions, memory, context, timeout)
    }
}

fn kind(owner: owner::Owner) -> i16 {
    i16::try_from(owner::kind_code(owner.kind())).unwrap_or(0)
}

fn code(code: u16) -> i16 {
    i16::try_from(code).unwrap_or(0)
}

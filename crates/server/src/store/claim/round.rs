//! In which order a claim serves those who have something due.

use std::collections::{HashMap, VecDeque};

use super::ClaimRequest;
use crate::domain::delivery::Class;
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::sql::postgres::Ask;
use crate::store::sql::{Connection, Row, params};
use crate::store::target::{self, Target};
use crate::store::writer::{Hold, Tx};
use crate::store::{heads, health, locks, rows};

/// Queue heads that one claim looks at, besides those of subscriptions that are full.
const HEADS: usize = 1_024;

// What is due at once, and what is due by the clock; each can begin anywhere, and then goes on from its start.
const AT_ONCE: &str = "SELECT subscription, class, due_ms FROM queue_heads
    WHERE due_ms = 0 AND subscription > $1 ORDER BY subscription LIMIT $2";
const BY_TIME: &str = "SELECT subscription, class, due_ms FROM queue_heads
    WHERE due_ms > 0 AND due_ms <= $1 AND (due_ms, subscription, class) > ($2, $3, $4)
    ORDER BY due_ms, subscription, class LIMIT $5";

/// Both in one, on a server, and held where nobody else holds them.
const TAKE_DUE: &str = "WITH due AS MATERIALIZED (
        (SELECT subscription, class, due_ms, part FROM (
            (SELECT subscription, class, due_ms, 1 AS part FROM queue_heads
                WHERE due_ms = 0 AND subscription > $1 ORDER BY subscription LIMIT $2)
            UNION ALL (SELECT subscription, class, due_ms, 2 FROM queue_heads
                WHERE due_ms = 0 AND subscription <= $1 ORDER BY subscription LIMIT $2)) at_once
            ORDER BY part, subscription LIMIT $2)
        UNION ALL (SELECT subscription, class, due_ms, part FROM (
            (SELECT subscription, class, due_ms, 3 AS part FROM queue_heads
                WHERE due_ms > 0 AND due_ms <= $3 AND (due_ms, subscription, class) > ($4, $5, $6)
                ORDER BY due_ms, subscription, class LIMIT $2)
            UNION ALL (SELECT subscription, class, due_ms, 4 FROM queue_heads
                WHERE due_ms > 0 AND due_ms <= $3 AND (due_ms, subscription, class) <= ($4, $5, $6)
                ORDER BY due_ms, subscription, class LIMIT $2)) by_time
            ORDER BY part, due_ms, subscription, class LIMIT $2))
    SELECT subscription, class, due_ms, pg_try_advisory_xact_lock($7, CAST(subscription % $8 AS INT)) AS taken
    FROM due ORDER BY part, due_ms, subscription, class";
const NEXT_HEAD: &str = "SELECT min(due_ms) FROM queue_heads WHERE due_ms > $1";

/// A place among the heads that are due by the clock.
type ByTime = (TimeMs, SubscriptionNo, Class);

/// After which heads the next claim goes on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct PlaceInHeads {
    at_once: Option<SubscriptionNo>,
    by_time: Option<ByTime>,
}

/// One round over those who have something due.
pub(super) struct Round {
    /// Whose turn it is, and what each of them has due.
    organizations: VecDeque<(OrganizationNo, VecDeque<(SubscriptionNo, Class)>)>,
    partial: bool,
    place: PlaceInHeads,
    /// On a server: when the first head was due that was not due yet.
    next: Option<TimeMs>,
    subscriptions: Vec<SubscriptionNo>,
}

impl Round {
    /// Everybody whose head is due, beginning where the last round ended.
    pub(super) fn of_due_heads(tx: &mut Tx<'_>, request: &ClaimRequest) -> Result<Self, StoreError> {
        // A full subscription must not hide one that comes after it.
        let limit = HEADS + request.slots.full_subscriptions() * Class::ALL.len();
        let found = if tx.is_shared() {
            Found::on_server(tx, request.now, limit)?
        } else {
            Found::in_file(tx, request.now, limit)?
        };
        let mut subscriptions: Vec<_> = found.due.iter().map(|(subscription, _)| *subscription).collect();
        subscriptions.dedup();
        target::load_ahead(tx, &subscriptions, request.timeout)?;
        health::look_ahead(tx, &subscriptions, request)?;
        let Found { due, partial, place, next } = found;
        let mut round = Self { organizations: VecDeque::new(), partial, place, next, subscriptions };
        let mut places: HashMap<OrganizationNo, usize> = HashMap::new();
        for (subscription, class) in due {
            // What cannot be read belongs to nobody; its turn tidies it up.
            let organization = match target::load(tx, subscription, request.timeout)? {
                Target::Open { target, .. } => target.organization,
                Target::Deleted | Target::Unreadable => OrganizationNo(0),
            };
            let place = *places.entry(organization).or_insert_with(|| {
                round.organizations.push_back((organization, VecDeque::new()));
                round.organizations.len() - 1
            });
            round.organizations[place].1.push_back((subscription, class));
        }
        Ok(round)
    }

    /// How many have something due.
    pub(super) fn heads(&self) -> usize {
        self.organizations.iter().map(|(_, waiting)| waiting.len()).sum()
    }

    /// Whether there are more than one claim looks at.
    pub(super) fn is_partial(&self) -> bool {
        self.partial
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<(SubscriptionNo, Class)> {
        loop {
            let (organization, mut waiting) = self.organizations.pop_front()?;
            if let Some(next) = waiting.pop_front() {
                self.organizations.push_back((organization, waiting));
                self.place.at_once = Some(next.0);
                return Some(next);
            }
        }
    }

    /// It has more: after the others of its organisation it is its turn again.
    pub(super) fn again(&mut self, subscription: SubscriptionNo, class: Class) {
        // The organisation that was served last is at the end.
        if let Some((_, waiting)) = self.organizations.back_mut() {
            waiting.push_back((subscription, class));
        }
    }

    /// When something else becomes due, now that the round has changed the heads of those it served.
    pub(super) fn next_due(&self, tx: &mut Tx<'_>, now: TimeMs) -> Result<Option<TimeMs>, StoreError> {
        if !tx.is_shared() {
            return Ok(rows::scalar::<Option<i64>>(tx, NEXT_HEAD, params![now.0])?.flatten().map(TimeMs));
        }
        let mut next = self.next;
        for subscription in &self.subscriptions {
            let heads = heads::of(tx, *subscription)?;
            let due = Class::ALL.into_iter().filter_map(|class| heads.get(class)).filter(|due| *due > now);
            next = due.chain(next).min();
        }
        Ok(next)
    }

    /// Where the next round begins: after whoever was served last.
    pub(super) fn place(&self) -> PlaceInHeads {
        self.place
    }
}

/// The heads that are due.
struct Found {
    /// In the order in which they are served.
    due: Vec<(SubscriptionNo, Class)>,
    /// There are more.
    partial: bool,
    /// Where the next round begins.
    place: PlaceInHeads,
    /// When the first of the others is due, if that was asked.
    next: Option<TimeMs>,
}

impl Found {
    fn in_file(tx: &mut Tx<'_>, now: TimeMs, limit: usize) -> Result<Self, StoreError> {
        let mut place = tx.memory.place_in_heads();
        let at_once = at_once(tx, place.at_once, limit)?;
        let by_time = by_time(tx, now, place.by_time, limit)?;
        let cut = by_time.len() >= limit;
        place.by_time = by_time.last().copied().filter(|_| cut);
        let partial = cut || at_once.len() >= limit;
        let by_time = by_time.into_iter().map(|(_, subscription, class)| (subscription, class));
        Ok(Self { due: at_once.into_iter().chain(by_time).collect(), partial, place, next: None })
    }

    /// All of it in one round trip. Only those that nobody else holds just now are taken, and they are held then.
    /// When that is none of them, the next claim waits for one, which only a transaction may that holds nothing yet.
    fn on_server(tx: &mut Tx<'_>, now: TimeMs, limit: usize) -> Result<Self, StoreError> {
        let Connection::Postgres(session) = &**tx else { return Err(StoreError::Closed) };
        let mut place = tx.memory.place_in_heads();
        let after = place.at_once.map_or(0, |after| after.0);
        let from = place.by_time.map_or((0, 0, 0), |(due, no, class)| (due.0, no.0, class.code()));
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let class = i16::try_from(from.2).unwrap_or(0);
        let [heads, next] = session.ask_all(&[
            Ask {
                sql: TAKE_DUE,
                params: &[&after, &most, &now.0, &from.0, &from.1, &class, &locks::CLASS, &locks::BUCKETS],
                needed: true,
            },
            Ask { sql: NEXT_HEAD, params: &[&now.0], needed: true },
        ])?;
        let next = next.first().map(|row| Row::Postgres(row).get::<_, Option<i64>>(0)).transpose()?.flatten();
        let (mut all, mut parts) = (Vec::new(), [0; 2]);
        let mut last = None;
        for row in &heads {
            let row = Row::Postgres(row);
            let found = head(&row)?;
            let is_by_time = found.0 > TimeMs::ZERO;
            parts[usize::from(is_by_time)] += 1;
            last = Some(found).filter(|_| is_by_time).or(last);
            all.push((found.1, found.2, row.get::<_, bool>("taken")?));
        }
        place.by_time = last.filter(|_| parts[1] >= limit);
        let mut due: Vec<_> = all.iter().filter(|one| one.2).map(|one| (one.0, one.1)).collect();
        let may_wait = tx.memory.is_claim_starved() && !tx.memory.holds();
        tx.took(due.iter().map(|(subscription, _)| *subscription));
        if due.is_empty()
            && may_wait
            && let Some((first, class, _)) = all.first()
        {
            tx.hold(*first, Hold::Alone)?;
            due.push((*first, *class));
        }
        tx.memory.set_claim_starved(due.is_empty() && !all.is_empty());
        let partial = due.len() < all.len() || parts.iter().any(|part| *part >= limit);
        Ok(Self { due, partial, place, next: next.map(TimeMs) })
    }
}

fn at_once(
    tx: &Tx<'_>,
    after: Option<SubscriptionNo>,
    limit: usize,
) -> Result<Vec<(SubscriptionNo, Class)>, StoreError> {
    let from = |after: i64, limit: usize| rows::all(tx, AT_ONCE, params![after, limit], head);
    let mut due = from(after.map_or(0, |after| after.0), limit)?;
    if let Some(after) = after.filter(|_| due.len() < limit) {
        let rest = from(0, limit - due.len())?;
        due.extend(rest.into_iter().filter(|(_, subscription, _)| *subscription <= after));
    }
    Ok(due.into_iter().map(|(_, subscription, class)| (subscription, class)).collect())
}

fn by_time(tx: &Tx<'_>, now: TimeMs, after: Option<ByTime>, limit: usize) -> Result<Vec<ByTime>, StoreError> {
    let from = |(due, subscription, class): (i64, i64, i64), limit: usize| {
        rows::all(tx, BY_TIME, params![now.0, due, subscription, class, limit], head)
    };
    let Some((due, subscription, class)) = after else { return from((0, 0, 0), limit) };
    let mut found = from((due.0, subscription.0, class.code()), limit)?;
    if found.len() < limit {
        let place = |head: &ByTime| (head.0, head.1, head.2.code());
        let rest = from((0, 0, 0), limit - found.len())?;
        found.extend(rest.into_iter().filter(|head| place(head) <= (due, subscription, class.code())));
    }
    Ok(found)
}

fn head(row: &Row<'_>) -> Result<ByTime, StoreError> {
    Ok((rows::time(row, "due_ms")?, SubscriptionNo(row.get("subscription")?), class(row.get("class")?)?))
}

fn class(code: i64) -> Result<Class, StoreError> {
    Class::from_code(code).ok_or(StoreError::Corrupt("a queue head's class"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn looking_for_due_heads_reads_no_more_than_it_may() {
        plan::assert_bounded(&plan::of(AT_ONCE, [1, 1]));
        plan::assert_bounded(&plan::of(BY_TIME, [1, 1, 1, 1, 1]));
    }
}

//! In which order a claim serves those who have something due.

use std::collections::{HashMap, HashSet, VecDeque};

use super::ClaimRequest;
use crate::domain::delivery::Class;
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::rows;
use crate::store::sql::{Row, params};
use crate::store::target::{self, Target};
use crate::store::writer::Tx;

/// Queue heads that one claim looks at, besides those of subscriptions that are full.
const HEADS: usize = 1_024;

// What is due at once, and what is due by the clock; each can begin anywhere, and then goes on from its start.
const AT_ONCE: &str = "SELECT subscription, class, due_ms FROM queue_heads
    WHERE due_ms = 0 AND subscription > $1 ORDER BY subscription LIMIT $2";
const BY_TIME: &str = "SELECT subscription, class, due_ms FROM queue_heads
    WHERE due_ms > 0 AND due_ms <= $1 AND (due_ms, subscription, class) > ($2, $3, $4)
    ORDER BY due_ms, subscription, class LIMIT $5";

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
}

impl Round {
    /// Everybody whose head is due, beginning where the last round ended.
    pub(super) fn of_due_heads(tx: &mut Tx<'_>, request: &ClaimRequest) -> Result<Self, StoreError> {
        // A full subscription must not hide one that comes after it.
        let limit = HEADS + request.slots.full_subscriptions() * Class::ALL.len();
        let mut place = tx.memory.place_in_heads();
        let at_once = at_once(tx, place.at_once, limit)?;
        let by_time = by_time(tx, request.now, place.by_time, limit)?;
        let cut = by_time.len() >= limit;
        place.by_time = by_time.last().copied().filter(|_| cut);
        let partial = cut || at_once.len() >= limit;
        let due = at_once
            .into_iter()
            .chain(by_time.into_iter().map(|(_, subscription, class)| (subscription, class)));
        let (due, left) = held(tx, due.collect())?;
        let mut subscriptions: Vec<_> = due.iter().map(|(subscription, _)| *subscription).collect();
        subscriptions.dedup();
        target::load_ahead(tx, &subscriptions, request.timeout)?;
        let mut round = Self { organizations: VecDeque::new(), partial: partial || left, place };
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

    /// Where the next round begins: after whoever was served last.
    pub(super) fn place(&self) -> PlaceInHeads {
        self.place
    }
}

/// Those of which this node may take something now, and whether others were left out.
fn held(
    tx: &mut Tx<'_>,
    due: Vec<(SubscriptionNo, Class)>,
) -> Result<(Vec<(SubscriptionNo, Class)>, bool), StoreError> {
    if !tx.is_shared() || due.is_empty() {
        return Ok((due, false));
    }
    let mut subscriptions: Vec<SubscriptionNo> = due.iter().map(|(subscription, _)| *subscription).collect();
    subscriptions.dedup();
    let taken: HashSet<_> = tx.hold_some(&subscriptions)?.into_iter().collect();
    let all = due.len();
    let due: Vec<_> = due.into_iter().filter(|(subscription, _)| taken.contains(subscription)).collect();
    let left = due.len() < all;
    Ok((due, left))
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

//! In which order a claim serves those who have something due.

use std::collections::{HashMap, VecDeque};

use rusqlite::params;

use super::ClaimRequest;
use crate::domain::delivery::Class;
use crate::domain::number::{OrganizationNo, SubscriptionNo};
use crate::store::error::StoreError;
use crate::store::rows;
use crate::store::target::{self, Target};
use crate::store::writer::Tx;

/// Queue heads that one claim looks at, besides those of subscriptions that are full.
const HEADS: usize = 1_024;

// What is due at once, in two parts so that it can begin anywhere; then what is due by the clock.
const AT_ONCE: &str = "SELECT subscription, class FROM queue_heads WHERE due_ms = 0 AND subscription > $1
    ORDER BY subscription LIMIT $2";
const BY_TIME: &str = "SELECT subscription, class FROM queue_heads WHERE due_ms > 0 AND due_ms <= $1
    ORDER BY due_ms, subscription LIMIT $2";

/// One round over those who have something due.
pub(super) struct Round {
    /// Whose turn it is, and what each of them has due.
    organizations: VecDeque<(OrganizationNo, VecDeque<(SubscriptionNo, Class)>)>,
    partial: bool,
    last: Option<SubscriptionNo>,
}

impl Round {
    /// Everybody whose head is due, beginning after the subscription that was served last.
    pub(super) fn of_due_heads(tx: &mut Tx<'_>, request: &ClaimRequest) -> Result<Self, StoreError> {
        // A full subscription must not hide one that comes after it.
        let limit = HEADS + request.slots.full_subscriptions() * Class::ALL.len();
        let last = tx.memory.last_served().map_or(0, |last| last.0);
        let mut due = heads(tx, AT_ONCE, last, limit)?;
        if last > 0 && due.len() < limit {
            let rest = heads(tx, AT_ONCE, 0, limit - due.len())?;
            due.extend(rest.into_iter().filter(|(subscription, _)| subscription.0 <= last));
        }
        due.extend(heads(tx, BY_TIME, request.now.0, limit)?);
        let partial = due.len() >= limit;
        let mut round = Self { organizations: VecDeque::new(), partial, last: None };
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
                self.last = Some(next.0);
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

    /// After whom the next round begins.
    pub(super) fn last_served(&self) -> Option<SubscriptionNo> {
        self.last
    }
}

fn heads(
    tx: &Tx<'_>,
    sql: &'static str,
    from: i64,
    limit: usize,
) -> Result<Vec<(SubscriptionNo, Class)>, StoreError> {
    rows::all(tx, sql, params![from, limit], |row| Ok((SubscriptionNo(row.get(0)?), class(row.get(1)?)?)))
}

fn class(code: i64) -> Result<Class, StoreError> {
    Class::from_code(code).ok_or(StoreError::Corrupt("a queue head's class"))
}

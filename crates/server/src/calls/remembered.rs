//! Calls that were put lately: whoever puts one again gets the same decision, also while it is being made.
//!
//! In memory, of this process: on a node that has not seen the call it is asked about anew.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use inkhook_wire::id::PhoneNumberId;
use tokio::sync::watch;
use uuid::Uuid;

use crate::domain::call::{Call, Callee, Ruling};
use crate::domain::number::OrganizationNo;

/// For how long a call is known, from when it was first put.
pub(super) const REMEMBERED_FOR: Duration = Duration::from_mins(1);
/// Calls that are known at most; beyond, the oldest is forgotten.
const MAX_REMEMBERED: usize = 20_000;

type Key = (OrganizationNo, Uuid);

/// The calls, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    calls: HashMap<Key, Entry>,
    order: VecDeque<(Duration, Key)>,
}

#[derive(Debug)]
struct Entry {
    at: Duration,
    number: PhoneNumberId,
    remote: String,
    ruling: watch::Receiver<Option<Ruling>>,
}

/// What is known of a call.
#[derive(Debug)]
pub(super) enum Known {
    /// Its decision, or where it will be told.
    Same(watch::Receiver<Option<Ruling>>),
    /// Its id is that of another one.
    Another,
    /// Nothing.
    Not,
}

impl Remembered {
    pub(super) fn find(&mut self, now: Duration, callee: &Callee, call: &Call) -> Known {
        while let Some((at, _)) = self.order.front()
            && *at + REMEMBERED_FOR <= now
        {
            self.forget_oldest();
        }
        match self.calls.get(&(callee.organization, call.id)) {
            // Nobody is there any more who could decide it.
            Some(entry) if entry.ruling.has_changed().is_err() && entry.ruling.borrow().is_none() => {
                Known::Not
            }
            Some(entry) if entry.number != callee.number_id || entry.remote != call.remote => Known::Another,
            Some(entry) => Known::Same(entry.ruling.clone()),
            None => Known::Not,
        }
    }

    pub(super) fn add(
        &mut self,
        now: Duration,
        callee: &Callee,
        call: &Call,
        ruling: watch::Receiver<Option<Ruling>>,
    ) {
        if self.order.len() >= MAX_REMEMBERED {
            self.forget_oldest();
        }
        let key = (callee.organization, call.id);
        let entry = Entry { at: now, number: callee.number_id, remote: call.remote.clone(), ruling };
        self.calls.insert(key, entry);
        self.order.push_back((now, key));
    }

    fn forget_oldest(&mut self) {
        if let Some((at, key)) = self.order.pop_front()
            && self.calls.get(&key).is_some_and(|entry| entry.at == at)
        {
            self.calls.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use inkhook_wire::id::IdentityId;

    use super::*;
    use crate::domain::call::{DecidedBy, Verdict};
    use crate::domain::identity::IncomingCall;

    fn callee(organization: i64, number: u128) -> Callee {
        Callee {
            organization: OrganizationNo(organization),
            number_id: Uuid::from_u128(number).into(),
            number: "+12025550143".into(),
            identity: IdentityId::from(Uuid::from_u128(1)),
            rule: IncomingCall::default(),
            signer: None,
            agent: None,
            contact: None,
        }
    }

    fn call(id: u128, remote: &str) -> Call {
        Call { id: Uuid::from_u128(id), remote: remote.into() }
    }

    fn decided() -> watch::Receiver<Option<Ruling>> {
        let ruling = Ruling { verdict: Verdict::Reject, decided_by: DecidedBy::Webhook, reason: None };
        watch::Sender::new(Some(ruling)).subscribe()
    }

    #[test]
    fn a_call_is_known_for_a_minute_to_its_organisation() {
        let (mut remembered, acme, start) = (Remembered::default(), callee(1, 1), Duration::from_secs(9));
        let first = call(1, "+12025550178");
        remembered.add(start, &acme, &first, decided());
        let just = Duration::from_millis(9_000 + 59_999);
        assert!(matches!(remembered.find(just, &acme, &first), Known::Same(_)));
        assert!(matches!(remembered.find(just, &callee(2, 1), &first), Known::Not), "tenants never meet");
        assert!(matches!(remembered.find(just, &callee(1, 2), &first), Known::Another));
        assert!(matches!(remembered.find(just, &acme, &call(1, "+12025550179")), Known::Another));
        assert!(matches!(remembered.find(start + REMEMBERED_FOR, &acme, &first), Known::Not));
        assert!(remembered.calls.is_empty() && remembered.order.is_empty());
    }

    #[test]
    fn one_that_nobody_will_decide_is_not_known() {
        let (mut remembered, acme) = (Remembered::default(), callee(1, 1));
        let tell = watch::Sender::new(None);
        remembered.add(Duration::ZERO, &acme, &call(1, "a"), tell.subscribe());
        assert!(matches!(remembered.find(Duration::ZERO, &acme, &call(1, "a")), Known::Same(_)));
        drop(tell);
        assert!(matches!(remembered.find(Duration::ZERO, &acme, &call(1, "a")), Known::Not));
        let later = Duration::from_secs(30);
        remembered.add(later, &acme, &call(1, "a"), decided());
        let first_is_over = REMEMBERED_FOR;
        assert!(matches!(remembered.find(first_is_over, &acme, &call(1, "a")), Known::Same(_)));
    }

    #[test]
    fn one_past_the_bound_forgets_the_oldest() {
        let (mut remembered, acme) = (Remembered::default(), callee(1, 1));
        for id in 0..=MAX_REMEMBERED as u128 {
            remembered.add(Duration::ZERO, &acme, &call(id, "a"), decided());
        }
        assert_eq!((remembered.calls.len(), remembered.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(matches!(remembered.find(Duration::ZERO, &acme, &call(0, "a")), Known::Not));
        assert!(matches!(remembered.find(Duration::ZERO, &acme, &call(1, "a")), Known::Same(_)));
    }
}

//! What waits for the writer: bounded, and fair between organisations.
//!
//! Three kinds of work, served in this order: *control* (settles, claims, changes: bounded by the slots
//! and the API's rate limits), *admitted* work (publishes and mail: one bounded queue per organisation,
//! served round robin by bytes, so that a flood of one organisation delays nobody else), and *tidying*,
//! which only runs when nothing else waits.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::StoreError;
use super::writer::Op;
use crate::domain::number::OrganizationNo;

/// Bytes that one organisation may have waiting.
pub(super) const ORGANIZATION_BYTES: usize = 8 * 1024 * 1024;
/// Events that one organisation may have waiting; a batch counts each of its own.
pub(super) const ORGANIZATION_EVENTS: usize = 2_000;
/// Bytes that all organisations together may have waiting.
pub(super) const TOTAL_BYTES: usize = 64 * 1024 * 1024;
/// Operations that may go before tidying: a writer that never rests must not let history pile up.
const TIDY_AFTER: usize = 4_096;
/// What an organisation is given at each turn of the round.
const QUANTUM_BYTES: usize = 64 * 1024;

/// The queue in front of the writer.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    control: VecDeque<Box<dyn Op>>,
    tidying: VecDeque<Box<dyn Op>>,
    /// Operations that went before tidying that waits.
    since_tidying: usize,
    organizations: HashMap<OrganizationNo, Waiting>,
    round: VecDeque<OrganizationNo>,
    bytes: usize,
    closed: bool,
    /// The writer waits to be woken; a wake-up is a system call.
    sleeping: bool,
}

#[derive(Default)]
struct Waiting {
    operations: VecDeque<(usize, usize, Box<dyn Op>)>,
    events: usize,
    bytes: usize,
    credit: usize,
}

impl Inbox {
    /// Queues a settle, claim or change.
    pub(super) fn push_control(&self, op: Box<dyn Op>) {
        self.push(op, |state| &mut state.control);
    }

    /// Queues work that may wait for everything else.
    pub(super) fn push_tidying(&self, op: Box<dyn Op>) {
        self.push(op, |state| &mut state.tidying);
    }

    fn push(&self, op: Box<dyn Op>, queue: impl FnOnce(&mut State) -> &mut VecDeque<Box<dyn Op>>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            op.finish(Err(StoreError::Closed));
            return;
        }
        queue(&mut state).push_back(op);
        self.wake(state);
    }

    /// Queues a publish, or says why not: the organisation's queue is full, or all of them together are.
    pub(super) fn push_admitted(
        &self,
        organization: OrganizationNo,
        (events, bytes): (usize, usize),
        op: Box<dyn Op>,
    ) {
        let mut state = self.lock();
        let waiting = state.organizations.get(&organization);
        let full = waiting.is_some_and(|waiting| {
            waiting.events + events > ORGANIZATION_EVENTS || waiting.bytes + bytes > ORGANIZATION_BYTES
        });
        let refusal = if state.closed {
            Some(StoreError::Closed)
        } else if full {
            Some(StoreError::Busy)
        } else if state.bytes + bytes > TOTAL_BYTES {
            Some(StoreError::Overloaded)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            drop(state);
            op.finish(Err(refusal));
            return;
        }
        state.bytes += bytes;
        let waiting = state.organizations.entry(organization).or_default();
        let was_empty = waiting.operations.is_empty();
        waiting.bytes += bytes;
        waiting.events += events;
        waiting.operations.push_back((events, bytes, op));
        if was_empty {
            state.round.push_back(organization);
        }
        self.wake(state);
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let sleeping = std::mem::take(&mut state.sleeping);
        drop(state);
        if sleeping {
            self.filled.notify_one();
        }
    }

    /// Takes what is to be done next, if anything waits.
    pub(super) fn pop(&self) -> Option<(usize, Box<dyn Op>)> {
        let mut state = self.lock();
        if state.since_tidying >= TIDY_AFTER
            && let Some(op) = state.tidying.pop_front()
        {
            state.since_tidying = 0;
            return Some((0, op));
        }
        state.since_tidying = if state.tidying.is_empty() { 0 } else { state.since_tidying + 1 };
        if let Some(op) = state.control.pop_front() {
            return Some((0, op));
        }
        if let Some(admitted) = pop_round_robin(&mut state) {
            return Some(admitted);
        }
        state.tidying.pop_front().map(|op| (0, op))
    }

    /// Waits until something is queued; false when the inbox is closed and empty.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.lock();
        while state.is_empty() {
            if state.closed {
                return false;
            }
            state.sleeping = true;
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    /// Waits until something is queued, but not longer than `at_most`.
    pub(super) fn wait_at_most(&self, at_most: Duration) {
        let mut state = self.lock();
        if state.is_empty() && !state.closed {
            state.sleeping = true;
            drop(self.filled.wait_timeout(state, at_most));
        }
    }

    /// Accepts nothing more; what is queued is still served.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Publishes that wait, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.control.is_empty() && self.round.is_empty() && self.tidying.is_empty()
    }
}

fn pop_round_robin(state: &mut State) -> Option<(usize, Box<dyn Op>)> {
    loop {
        let organization = *state.round.front()?;
        let waiting = state.organizations.get_mut(&organization)?;
        let (_, bytes, _) = waiting.operations.front()?;
        let bytes = *bytes;
        if waiting.credit < bytes {
            waiting.credit += QUANTUM_BYTES;
            state.round.rotate_left(1);
            continue;
        }
        waiting.credit -= bytes;
        waiting.bytes -= bytes;
        state.bytes -= bytes;
        let popped = waiting.operations.pop_front().map(|(events, bytes, op)| {
            waiting.events -= events;
            (bytes, op)
        });
        if waiting.operations.is_empty() {
            state.organizations.remove(&organization);
            state.round.pop_front();
        }
        return popped;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::writer::{Kind, Tx};
    use super::*;

    struct Probe(mpsc::Sender<Result<(), StoreError>>);

    impl Op for Probe {
        fn kind(&self) -> Kind {
            Kind::Accept
        }
        fn run(&mut self, _: &mut Tx<'_>) -> Result<(), StoreError> {
            Ok(())
        }
        fn finish(self: Box<Self>, result: Result<(), StoreError>) {
            self.0.send(result).expect("the test listens");
        }
    }

    fn push(inbox: &Inbox, organization: i64, bytes: usize) -> mpsc::Receiver<Result<(), StoreError>> {
        let (sender, receiver) = mpsc::channel();
        inbox.push_admitted(OrganizationNo(organization), (1, bytes), Box::new(Probe(sender)));
        receiver
    }

    #[test]
    fn one_event_beyond_an_organisations_bound_is_busy_and_others_are_not() {
        let inbox = Inbox::default();
        let waiting: Vec<_> = (0..ORGANIZATION_EVENTS).map(|_| push(&inbox, 1, 1)).collect();
        assert!(waiting.iter().all(|answer| answer.try_recv().is_err()), "all of them wait");
        assert!(matches!(push(&inbox, 1, 1).try_recv(), Ok(Err(StoreError::Busy))));
        assert!(push(&inbox, 2, 1).try_recv().is_err(), "another organisation is admitted");
    }

    #[test]
    fn one_byte_beyond_an_organisations_bound_is_busy() {
        let inbox = Inbox::default();
        let _first = push(&inbox, 1, ORGANIZATION_BYTES);
        assert!(matches!(push(&inbox, 1, 1).try_recv(), Ok(Err(StoreError::Busy))));
    }

    #[test]
    fn one_byte_beyond_the_total_is_overload() {
        let inbox = Inbox::default();
        let full = TOTAL_BYTES / ORGANIZATION_BYTES;
        let _waiting: Vec<_> =
            (0..full).map(|n| push(&inbox, i64::try_from(n).unwrap(), ORGANIZATION_BYTES)).collect();
        assert!(matches!(push(&inbox, 99, 1).try_recv(), Ok(Err(StoreError::Overloaded))));
    }

    #[test]
    fn organisations_take_turns_by_bytes() {
        let inbox = Inbox::default();
        let _flood: Vec<_> = (0..100).map(|_| push(&inbox, 1, QUANTUM_BYTES)).collect();
        let small = push(&inbox, 2, 100);
        for _ in 0..3 {
            let (_, op) = inbox.pop().expect("something waits");
            op.finish(Ok(()));
        }
        assert!(matches!(small.try_recv(), Ok(Ok(()))), "the small one did not wait for the flood");
    }

    #[test]
    fn control_goes_before_publishes_and_tidying_after() {
        let inbox = Inbox::default();
        let (tidy, tidied) = mpsc::channel();
        let (settle, settled) = mpsc::channel();
        inbox.push_tidying(Box::new(Probe(tidy)));
        let accepted = push(&inbox, 1, 1);
        inbox.push_control(Box::new(Probe(settle)));
        for receiver in [&settled, &accepted, &tidied] {
            assert!(receiver.try_recv().is_err());
            inbox.pop().expect("something waits").1.finish(Ok(()));
            assert!(receiver.try_recv().is_ok());
        }
    }

    #[test]
    fn tidying_has_its_turn_after_so_many_others() {
        let inbox = Inbox::default();
        let (tidy, tidied) = mpsc::channel();
        let (settle, _settled) = mpsc::channel();
        inbox.push_tidying(Box::new(Probe(tidy)));
        (0..=TIDY_AFTER).for_each(|_| inbox.push_control(Box::new(Probe(settle.clone()))));
        for n in 0..=TIDY_AFTER {
            assert!(tidied.try_recv().is_err(), "{n}");
            inbox.pop().expect("something waits").1.finish(Ok(()));
        }
        assert!(tidied.try_recv().is_ok(), "one settle still waits");
    }

    #[test]
    fn a_closed_inbox_refuses() {
        let inbox = Inbox::default();
        inbox.close();
        assert!(matches!(push(&inbox, 1, 1).try_recv(), Ok(Err(StoreError::Closed))));
        assert!(!inbox.wait());
    }
}

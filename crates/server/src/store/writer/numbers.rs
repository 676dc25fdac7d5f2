//! Acceptance numbers: where they come from.
//!
//! Alone on a file, the writer counts. On a server that several nodes share, a transaction draws a block of
//! numbers from the database **after** it holds its subscriptions' locks, and what it does not use is never
//! used. So of two transactions that touch the same subscription, the later one has the greater numbers, on
//! whichever nodes they ran: "accepted before the type was selected" means the same to all of them.

use crate::domain::number::Seq;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, params};

/// Numbers that one draw gives: the sequence's increment.
const BLOCK: i64 = 1_024;
const DRAW: &str = "SELECT nextval('acceptance_numbers')";

// The last lines: a number may have been given out and never written, or its rows may be gone. Given out
// again, it would count as accepted before the type was selected, and its deliveries as cancelled; or before
// the order was turned on, and its delivery as nothing to wait for; or before contexts were asked for, and it would
// have none.
pub(super) const LAST_SEQ: &str = "SELECT coalesce(max(n), 0) FROM (SELECT max(seq) AS n FROM events
    UNION ALL SELECT max(no) / 64 FROM queue
    UNION ALL SELECT max(no) / 64 FROM deliveries
    UNION ALL SELECT max(since_seq) FROM subscription_types
    UNION ALL SELECT max(ordering_since_seq) FROM subscriptions WHERE ordering_since_seq IS NOT NULL
    UNION ALL SELECT max(context_since_seq) FROM subscriptions WHERE context_since_seq IS NOT NULL) x";

/// Where this connection's numbers come from, and the last one that was given out before, if that is known.
pub(super) fn of(connection: &Connection) -> Result<(Numbers, Seq), StoreError> {
    if connection.file().is_none() {
        let mut numbers = Numbers::drawn();
        let last = numbers.take(connection)?;
        return Ok((numbers, last));
    }
    let last: i64 = connection.scalar(LAST_SEQ, params![])?.unwrap_or(0);
    Ok((Numbers::after(last), Seq(last)))
}

/// See the module.
#[derive(Debug)]
pub(in crate::store) struct Numbers {
    next: i64,
    /// The first that is not ours; `None` when all are.
    end: Option<i64>,
}

impl Numbers {
    /// All numbers after this one.
    pub(super) fn after(last: i64) -> Self {
        Self { next: last + 1, end: None }
    }

    /// None yet: they are drawn.
    pub(super) fn drawn() -> Self {
        Self { next: 0, end: Some(0) }
    }

    /// A transaction begins, or has taken a lock: what was drawn before is no good after it.
    pub(super) fn begin(&mut self) {
        if let Some(end) = &mut self.end {
            *end = self.next;
        }
    }

    /// A block was drawn.
    pub(super) fn drew(&mut self, first: i64) {
        self.next = first;
        self.end = Some(first + BLOCK);
    }

    /// The next one.
    pub(super) fn take(&mut self, connection: &Connection) -> Result<Seq, StoreError> {
        self.draw(connection)?;
        let seq = self.next;
        self.next += 1;
        Ok(Seq(seq))
    }

    /// One that is not smaller than any that was given out before, and smaller than all that will be.
    pub(super) fn last(&mut self, connection: &Connection) -> Result<Seq, StoreError> {
        if self.end.is_none() {
            return Ok(Seq(self.next - 1));
        }
        self.take(connection)
    }

    /// The newest that is known here, for what need not be exact.
    pub(super) fn newest(&self) -> Seq {
        Seq(self.next - 1)
    }

    fn draw(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if self.end.is_some_and(|end| self.next >= end) {
            let first: Option<i64> = connection.scalar(DRAW, params![])?;
            self.next = first.ok_or(StoreError::Corrupt("a sequence without a number"))?;
            self.end = Some(self.next + BLOCK);
        }
        Ok(())
    }
}

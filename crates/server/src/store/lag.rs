//! How far behind the engine is: the age of the oldest delivery that is due and that nothing of its own
//! holds back.
//!
//! Found from the queue heads, which are in the order of their due time, so nothing that waits is scanned:
//! the heads that are due, except those of subscriptions that are paused, failing or held by a `Retry-After`,
//! and of each the first row. One that drains is left out, too: its rows say since when they are due, not that
//! its rate lets them through. A subscription with an attempt under way does not count either: it is being
//! served, and what makes the rest of it wait is its own bound. That is what keeps one dead URL, with four attempts
//! that hang and a million deliveries behind them, from making a node look ill. What is left waits for us
//! alone.
//!
//! At most [`HEADS`] heads are looked at, the earliest first, as a claim does; with more than that due at the
//! same moment the answer may be too low, but is never too high.

use std::collections::HashSet;
use std::time::Duration;

use super::error::StoreError;
use super::{Store, rows};
use crate::domain::time::TimeMs;
use crate::store::sql::{Connection, params};

/// Queue heads that are looked at.
pub const HEADS: usize = 1_024;

const LEASED: &str = "SELECT subscription FROM queue WHERE boot IS NOT NULL AND due_ms > $1";
const DUE_HEADS: &str = "SELECT h.subscription, h.class FROM queue_heads h
    JOIN subscriptions s ON s.no = h.subscription
    WHERE h.due_ms <= $1 AND s.status = 'active'
    AND (h.class = 4 OR (s.paused_ms IS NULL AND s.not_before_ms <= $1 AND s.health = 1
        AND s.drain_since_ms IS NULL))
    ORDER BY h.due_ms LIMIT $2";
const FIRST: &str = "SELECT CASE WHEN due_ms > created_ms THEN due_ms ELSE created_ms END FROM queue WHERE subscription = $1 AND class = $2
    AND due_ms <= $3 ORDER BY due_ms, no LIMIT 1";

impl Store {
    /// How long the oldest delivery has been due that nothing of its own holds back; `None` when there is
    /// none.
    pub async fn oldest_due(&self, now: TimeMs) -> Result<Option<Duration>, StoreError> {
        self.read(move |connection| oldest_due(connection, now)).await
    }
}

fn oldest_due(connection: &Connection, now: TimeMs) -> Result<Option<Duration>, StoreError> {
    let heads = rows::all(connection, DUE_HEADS, params![now.0, HEADS], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    if heads.is_empty() {
        return Ok(None);
    }
    let served = rows::all(connection, LEASED, params![now.0], |row| Ok(row.get::<_, i64>(0)?))?;
    let served: HashSet<i64> = served.into_iter().collect();
    let mut oldest: Option<i64> = None;
    for (subscription, class) in heads.into_iter().filter(|(subscription, _)| !served.contains(subscription))
    {
        let since: Option<i64> = rows::scalar(connection, FIRST, params![subscription, class, now.0])?;
        oldest = oldest.into_iter().chain(since).min();
    }
    Ok(oldest.map(|since| now.since(TimeMs(since))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn nothing_that_waits_is_scanned() {
        plan::assert_bounded(&plan::of(FIRST, params![1, 1, 1]));
        plan::assert_bounded(&plan::of(DUE_HEADS, params![1, 1]));
        let leased = plan::of(LEASED, params![1]);
        assert!(leased[0].contains("queue_leased"), "{leased:#?}");
    }
}

//! Nodes that share a database server: who is at work, what time it is there, and what memories must be dropped.
//!
//! A node that could not say for [`GONE_AFTER`] that it is there does not count any more: the others share the
//! bounds among themselves. Its leases are not touched; they end by themselves. Nothing here but the bounds is
//! needed for a promise to hold: locks, leases and fences do that.

use std::time::Duration;

use inkhook_wire::id::SubscriptionId;

use super::error::StoreError;
use super::sql::params;
use super::writer::Tx;
use super::{Store, partitions, rows, settle};
use crate::domain::delivery::Claimed;
use crate::domain::time::TimeMs;

/// A node that was not seen for so long does not count.
pub const GONE_AFTER: Duration = Duration::from_secs(5);
/// A node that was not seen for so long is struck off the list.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);
/// No attempt takes this long, leased ahead or not: one that began earlier has lost its process.
const LONGEST_ATTEMPT: Duration = Duration::from_mins(3);
/// A node whose clock differs by more from the database's neither claims nor is ready.
pub const CLOCK_BOUND: Duration = Duration::from_secs(2);

/// The server's time, as an expression.
macro_rules! server_time {
    () => {
        "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

const SERVER_TIME: &str = concat!("SELECT ", server_time!());
const SEEN: &str = "INSERT INTO nodes (boot, name, version, started_ms, seen_ms) VALUES ($1, $2, $3, $4, $4)
    ON CONFLICT (boot) DO UPDATE SET seen_ms = $4";
const FORGET: &str = "DELETE FROM nodes WHERE seen_ms < $1";
const LIVE: &str = "SELECT count(*) FROM nodes WHERE seen_ms >= $1";
// Who has committed its row is there for every count that begins later.
const JOINED: &str = concat!("SELECT ", server_time!(), " FROM nodes WHERE boot = $1");
const UNAWARE: &str = concat!(
    "SELECT count(*) FROM nodes WHERE boot <> $1 AND seen_ms <= $2 AND seen_ms >= ",
    server_time!(),
    " - $3"
);
pub(super) const GONE: &str = "DELETE FROM nodes WHERE boot = $1";
const EPOCHS: &str = "SELECT name, value FROM epochs";
pub(super) const RAISE_EPOCH: &str = "INSERT INTO epochs (name, value) VALUES ($1, 1)
    ON CONFLICT (name) DO UPDATE SET value = epochs.value + 1";
const STANDS: &str = "SELECT s.id FROM queue q JOIN subscriptions s ON s.no = q.subscription
    WHERE q.no = $1 AND q.claim_no = $2 AND coalesce(q.boot, 0) = $3 AND s.status = 'active' AND s.generation = $4";

/// What a node learns when it says that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Nodes that deliver; at least one.
    pub live: usize,
    /// How far this node's clock is ahead of the database's at least: its wall time or its schedule time, whichever
    /// is further away.
    pub offset_ms: i64,
    /// The same of its wall time alone.
    pub wall_offset_ms: i64,
    /// How long the question took: by so much the clock may be further away than is known.
    pub asked_for: Duration,
}

impl Beat {
    /// Whether the wall clock is known to be right, whatever schedule time is.
    #[must_use]
    pub fn is_wall_right(&self) -> bool {
        !self.is_vague() && Duration::from_millis(self.wall_offset_ms.unsigned_abs()) <= CLOCK_BOUND
    }

    /// Whether the clock is too far away; `None` when that is not known.
    #[must_use]
    pub fn is_clock_off(&self) -> Option<bool> {
        let is_off = Duration::from_millis(self.offset_ms.unsigned_abs()) > CLOCK_BOUND;
        (is_off || !self.is_vague()).then_some(is_off)
    }

    /// Whether the node may have been stopped in the middle of the question.
    fn is_vague(&self) -> bool {
        self.asked_for > CLOCK_BOUND
    }
}

/// What was raised when a node looked last.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Epochs {
    keys: i64,
    names: i64,
    contacts: i64,
}

impl Store {
    /// Whether other nodes may use the same database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Says that this node is at work, if it `delivers`, and learns who else is. Drops what others have made out of
    /// date, and sees to the tables of the days to come. Nothing where nobody else can be.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn beat(&self, name: String, delivers: bool) -> Result<Option<Beat>, StoreError> {
        let Some(shared) = &self.shared else { return Ok(None) };
        let (beat, epochs) = self.change(move |tx| beat(tx, &name, delivers)).await?;
        let mut known = shared.epochs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if epochs.keys != known.keys {
            self.writer.forget_keys();
        }
        if epochs.names != known.names {
            self.writer.forget_names();
        }
        if epochs.contacts != known.contacts {
            self.writer.contacts().forget_all();
        }
        *known = epochs;
        drop(known);
        if let Some(is_off) = beat.is_clock_off() {
            self.writer.seats().withhold(is_off);
        }
        Ok(Some(beat))
    }

    /// A time of the server's at which this node's first [`Store::beat`] had been stored; `None` before that.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn joined_at(&self) -> Result<Option<TimeMs>, StoreError> {
        let Some(shared) = &self.shared else { return Ok(None) };
        let boot = shared.boot;
        self.read(move |connection| Ok(rows::scalar(connection, JOINED, params![boot])?.map(TimeMs))).await
    }

    /// Whether every other node that is at work has counted the nodes after this time of the server's.
    ///
    /// # Errors
    /// The database could not be asked.
    pub async fn is_noticed(&self, joined_at: TimeMs) -> Result<bool, StoreError> {
        let Some(shared) = &self.shared else { return Ok(true) };
        let boot = shared.boot;
        let gone_after = i64::try_from(GONE_AFTER.as_millis()).unwrap_or(i64::MAX);
        let unaware = self.read(move |connection| {
            rows::scalar::<i64>(connection, UNAWARE, params![boot, joined_at.0, gone_after])
        });
        Ok(unaware.await? == Some(0))
    }

    /// Nothing is claimed until the next [`Store::beat`] has found this node's clock right.
    pub fn claim_nothing(&self) {
        self.writer.seats().withhold(true);
    }

    /// Whether this node's clock was too far from the database's when it looked last: nothing may be claimed.
    #[must_use]
    pub fn is_clock_off(&self) -> bool {
        self.writer.seats().is_withheld()
    }

    /// Says that this node's work has ended.
    ///
    /// # Errors
    /// The database could not be asked; the others find out by themselves.
    pub async fn leave(&self) -> Result<(), StoreError> {
        if self.is_shared() {
            self.change(|tx| tx.run(GONE, params![tx.context.boot])).await?;
        }
        Ok(())
    }

    /// Logs attempts as lost whose delivery ended while they were under way and whose node is gone; how many.
    ///
    /// # Errors
    /// The store could not be written.
    pub async fn close_left_open(&self) -> Result<usize, StoreError> {
        if !self.is_shared() {
            return Ok(0);
        }
        self.writer
            .tidy(|tx| {
                let until = tx.context.clock.wall().before(LONGEST_ATTEMPT);
                settle::close_left_open(tx, until)
            })
            .await
    }

    /// Whether a claim still stands, as the database has it: it is this node's, and its subscription is as it was.
    ///
    /// # Errors
    /// The database could not be asked: then nobody knows, and nothing may be sent.
    pub async fn stands(&self, claimed: &Claimed) -> Result<bool, StoreError> {
        let Some(shared) = &self.shared else { return Ok(true) };
        let (no, claim_no, boot) = (claimed.delivery.0, claimed.claim_no, shared.boot);
        let generation = claimed.target.generation;
        self.read(move |connection| {
            let params = params![no, claim_no, boot, generation];
            Ok(rows::optional(connection, STANDS, params, |row| rows::id::<SubscriptionId>(row, "id"))?
                .is_some())
        })
        .await
    }
}

fn beat(tx: &mut Tx<'_>, name: &str, delivers: bool) -> Result<(Beat, Epochs), StoreError> {
    let now = tx.context.clock.wall();
    let asked_at = tx.context.clock.monotonic();
    let before = (now, tx.context.clock.schedule());
    let there = TimeMs(rows::scalar(tx, SERVER_TIME, &[])?.ok_or(StoreError::Corrupt("the server's time"))?);
    let after = (tx.context.clock.wall(), tx.context.clock.schedule());
    let asked_for = tx.context.clock.monotonic().saturating_sub(asked_at);
    let wall_offset_ms = ahead_of(there, before.0, after.0);
    let schedule_offset_ms = ahead_of(there, before.1, after.1);
    let is_wall_further = wall_offset_ms.abs() > schedule_offset_ms.abs();
    let offset_ms = if is_wall_further { wall_offset_ms } else { schedule_offset_ms };
    if delivers {
        tx.run(SEEN, params![tx.context.boot, name, env!("CARGO_PKG_VERSION"), there.0])?;
    }
    tx.run(FORGET, params![there.before(FORGOTTEN_AFTER).0])?;
    let live: usize = rows::scalar(tx, LIVE, params![there.before(GONE_AFTER).0])?.unwrap_or(1);
    let mut epochs = Epochs::default();
    tx.each(EPOCHS, &[], |row| {
        match row.get::<_, String>("name")?.as_str() {
            "keys" => epochs.keys = row.get("value")?,
            "names" => epochs.names = row.get("value")?,
            "contacts" => epochs.contacts = row.get("value")?,
            _ => {}
        }
        Ok(true)
    })?;
    partitions::keep_up(tx, now)?;
    Ok((Beat { live: live.max(1), offset_ms, wall_offset_ms, asked_for }, epochs))
}

/// How far a clock is ahead of `there`, which was read between these two readings of it: what is certain of that.
fn ahead_of(there: TimeMs, before: TimeMs, after: TimeMs) -> i64 {
    if there < before { before.0 - there.0 } else { (after.0 - there.0).min(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_what_is_certain_of_it() {
        let ahead = |there| ahead_of(TimeMs(there), TimeMs(100), TimeMs(150));
        assert_eq!([90, 100, 120, 150, 170].map(ahead), [10, 0, 0, 0, -20]);
    }

    #[test]
    fn a_node_that_was_stopped_in_the_middle_of_the_question_knows_only_what_is_wrong() {
        let beat =
            |offset_ms, wall_offset_ms, asked_for| Beat { live: 1, offset_ms, wall_offset_ms, asked_for };
        let (soon, late) = (CLOCK_BOUND, CLOCK_BOUND + Duration::from_millis(1));
        let said = |beat: Beat| (beat.is_clock_off(), beat.is_wall_right());
        assert_eq!(said(beat(2_000, -2_000, soon)), (Some(false), true));
        assert_eq!(said(beat(-2_001, 0, soon)), (Some(true), true), "schedule time alone is off");
        assert_eq!(said(beat(2_001, 2_001, soon)), (Some(true), false));
        assert_eq!(said(beat(0, 0, late)), (None, false));
        assert_eq!(said(beat(2_001, 2_001, late)), (Some(true), false));
    }
}

//! Days: on a server, events, ended deliveries and attempts are kept in a table for each day.
//!
//! What divides them is their number, which grows with time: `(ms since 2024) << 17`, and a counter in the rest.
//! So whoever has a number finds its table, whoever lists the newest reads the newest table first, and a day that
//! is over is taken away whole.
//!
//! The numbers come from one sequence, which draws on from where it is; [`move_on`] moves it to the present, never
//! back. Tables are made [`AHEAD_DAYS`] days before they are needed, and the sequence is only moved on to days that
//! have theirs: a number without a table is never drawn. What was there before the first day has a table of its
//! own. What is copied from a file gets numbers of its days (`super::copy`), and [`lay`] makes their tables.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::error::StoreError;
use super::sql::{Connection, params};
use crate::domain::number::DELIVERIES_PER_SEQ;
use crate::domain::time::TimeMs;

/// 2024-01-01T00:00:00Z.
pub(super) const EPOCH_MS: i64 = 1_704_067_200_000;
/// Numbers of one millisecond. With those of a delivery, 64 to an event, they last until 2058.
const PER_MS_BITS: u32 = 17;
pub(super) const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// How many days have their tables before they come.
const AHEAD_DAYS: i64 = 3;
/// Numbers of one draw.
const BLOCK: i64 = 1_024;
/// The sequence is left where it is when it is less than this behind: 60 ms.
const SLACK: i64 = 8 << 20;

/// The tables, and how many of their numbers there are to each acceptance number.
const TABLES: [(&str, i64); 3] = [("events", 1), ("deliveries", DELIVERIES_PER_SEQ), ("attempts", 1)];

const LOCK: &str = "SELECT pg_advisory_xact_lock(7596548430949)";
const MOVE_ON: &str = "SELECT setval('acceptance_numbers', $1) FROM acceptance_numbers WHERE last_value < $2";
const IS_THERE: &str = "SELECT 1 FROM pg_class WHERE oid = to_regclass(CAST($1 AS TEXT))";
const PARTITIONS: &str = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = CAST($1 AS TEXT)::regclass";

/// The first acceptance number of a moment.
pub(super) fn first_of(time: TimeMs) -> i64 {
    (time.0 - EPOCH_MS).max(0) << PER_MS_BITS
}

/// A day, counted from 1970.
pub(super) fn day_of(time: TimeMs) -> i64 {
    time.0.div_euclid(DAY_MS)
}

/// How many numbers a day has.
pub(super) const PER_DAY: i64 = DAY_MS << PER_MS_BITS;

/// The moment at which a day begins.
pub(super) fn starts(day: i64) -> TimeMs {
    TimeMs(day * DAY_MS)
}

/// The table of a day, such as `events_20261125`.
fn name(table: &str, day: i64) -> Result<String, StoreError> {
    let timestamp =
        Timestamp::from_millisecond(starts(day).0).map_err(|_| StoreError::Corrupt("the time"))?;
    Ok(format!("{table}_{}", timestamp.strftime("%Y%m%d")))
}

/// Makes the tables of today and the days to come, in a transaction of the caller's.
pub(super) fn make(connection: &Connection, now: TimeMs) -> Result<(), StoreError> {
    connection.run(LOCK, params![])?;
    let today = day_of(now);
    for (table, per_seq) in TABLES {
        let there = partitions_of(connection, table)?;
        if there.is_empty() {
            attach_before(connection, table, per_seq, today)?;
        }
        for day in today..=today + AHEAD_DAYS {
            let name = name(table, day)?;
            if !there.contains(&name) {
                attach_day(connection, table, per_seq, &name, day)?;
            }
        }
    }
    Ok(())
}

/// Cuts tables that are empty anew, so that these days have theirs, too: those of events and their deliveries, and
/// those of attempts. In a transaction of the caller's, which knows that nobody uses them.
pub(super) fn lay(
    connection: &Connection,
    events: &BTreeSet<i64>,
    attempts: &BTreeSet<i64>,
    now: TimeMs,
) -> Result<(), StoreError> {
    connection.run(LOCK, params![])?;
    let today = day_of(now);
    for (table, per_seq) in TABLES {
        for one in partitions_of(connection, table)? {
            connection.run(&format!("DROP TABLE {one}"), &[])?;
        }
        let mut days = if table == "attempts" { attempts.clone() } else { events.clone() };
        days.extend(today..=today + AHEAD_DAYS);
        attach_before(connection, table, per_seq, days.first().copied().unwrap_or(today))?;
        for day in days {
            attach_day(connection, table, per_seq, &name(table, day)?, day)?;
        }
    }
    Ok(())
}

fn partitions_of(connection: &Connection, table: &str) -> Result<Vec<String>, StoreError> {
    let mut there = Vec::new();
    connection.each(PARTITIONS, params![table], |row| {
        there.push(row.get::<_, String>(0)?);
        Ok(true)
    })?;
    Ok(there)
}

/// The table of all that comes before a day.
fn attach_before(connection: &Connection, table: &str, per_seq: i64, day: i64) -> Result<(), StoreError> {
    let end = first_of(starts(day)) * per_seq;
    attach(connection, table, &format!("{table}_before"), &format!("MINVALUE) TO ({end}"))
}

fn attach_day(
    connection: &Connection,
    table: &str,
    per_seq: i64,
    name: &str,
    day: i64,
) -> Result<(), StoreError> {
    let (from, end) = (first_of(starts(day)) * per_seq, first_of(starts(day + 1)) * per_seq);
    attach(connection, table, name, &format!("{from}) TO ({end}"))
}

/// Made first and attached then: to make it in its place would keep everybody from the whole table meanwhile.
fn attach(connection: &Connection, table: &str, name: &str, bounds: &str) -> Result<(), StoreError> {
    connection
        .run(&format!("CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"), &[])?;
    connection
        .run(&format!("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({bounds})"), &[])?;
    Ok(())
}

/// Sees to it that the tables of the days to come are there, and that numbers are of the present.
pub(super) fn keep_up(connection: &Connection, now: TimeMs) -> Result<(), StoreError> {
    let last = name("events", day_of(now) + AHEAD_DAYS)?;
    if connection.scalar::<i64>(IS_THERE, params![last])?.is_none() {
        make(connection, now)?;
    }
    move_on(connection, now)
}

/// Moves the sequence beyond a number that is in use, if it is not there yet.
pub(super) fn move_past(connection: &Connection, used: i64) -> Result<(), StoreError> {
    // What is drawn next is a block after this.
    let block = used / BLOCK * BLOCK;
    connection.run(MOVE_ON, params![block.max(1), block])?;
    Ok(())
}

/// Moves the sequence to the present, if that is behind it.
pub(super) fn move_on(connection: &Connection, now: TimeMs) -> Result<(), StoreError> {
    let to = first_of(now);
    connection.run(MOVE_ON, params![to.max(1), to - SLACK])?;
    Ok(())
}

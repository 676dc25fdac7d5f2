//! Queue heads: one row per subscription and class says the earliest due time.
//!
//! A head may be too early, never too late. Accepting and settling lower it; only a claim raises it, after
//! it has looked. On one writer there is no race to lose; the order of the statements is what counts.
//!
//! On a server what is written is gathered. Whoever holds a subscription together with others may only lower its
//! heads; whoever holds it alone puts them to what they come to by the end of the transaction. No head is written
//! in both ways between two statements, so it does not matter in which order the two are.

use super::error::StoreError;
use super::faults::Bug;
use super::memory::Heads;
use super::rows;
use super::sql::many::{Holds, Many};
use super::writer::Tx;
use crate::domain::delivery::Class;
use crate::domain::number::SubscriptionNo;
use crate::domain::time::TimeMs;
use crate::store::sql::params;

static LOWER: Many = Many {
    one: "INSERT INTO queue_heads (subscription, class, due_ms) VALUES ($1, $2, $3)
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = excluded.due_ms
    WHERE excluded.due_ms < queue_heads.due_ms",
    all: "INSERT INTO queue_heads (subscription, class, due_ms) SELECT a, b, min(c)
    FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS SMALLINT[]), CAST($3 AS BIGINT[])) AS x (a, b, c)
    GROUP BY a, b ORDER BY a, b
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = excluded.due_ms
    WHERE excluded.due_ms < queue_heads.due_ms",
    columns: &[Holds::Int8, Holds::Int2, Holds::Int8],
};
/// What a head comes to, on a server: null is none. The last word counts. A file has [`SET`] and [`REMOVE`].
static PUT: Many = Many {
    one: "",
    all: "WITH w AS (
        SELECT DISTINCT ON (a, b) a, b, c FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS SMALLINT[]), CAST($3 AS BIGINT[]))
            WITH ORDINALITY AS g (a, b, c, n) ORDER BY a, b, n DESC),
    gone AS (DELETE FROM queue_heads h USING w WHERE h.subscription = w.a AND h.class = w.b AND w.c IS NULL)
    INSERT INTO queue_heads (subscription, class, due_ms) SELECT a, b, c FROM w WHERE c IS NOT NULL
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = excluded.due_ms",
    columns: &[Holds::Int8, Holds::Int2, Holds::Int8],
};
const SET: &str = "UPDATE queue_heads SET due_ms = $3 WHERE subscription = $1 AND class = $2";
const REMOVE: &str = "DELETE FROM queue_heads WHERE subscription = $1 AND class = $2";
const EARLIEST: &str = "SELECT min(due_ms) FROM queue WHERE subscription = $1 AND class = $2";
const OF_SUBSCRIPTION: &str = "SELECT class, due_ms FROM queue_heads WHERE subscription = $1";
const STORED: &str = "SELECT due_ms FROM queue_heads WHERE subscription = $1 AND class = $2";

/// A subscription's heads; from memory once they were read.
pub(super) fn of(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<Heads, StoreError> {
    if let Some(known) = tx.memory.heads(subscription) {
        return Ok(*known);
    }
    let mut heads = Heads::default();
    let found = rows::all(tx, OF_SUBSCRIPTION, params![subscription.0], |row| {
        let class = Class::from_code(row.get(0)?).ok_or(StoreError::Corrupt("a queue head's class"))?;
        Ok((class, TimeMs(row.get(1)?)))
    })?;
    for (class, due) in found {
        heads.set(class, Some(due));
    }
    tx.memory.remember_heads(subscription, heads);
    Ok(heads)
}

/// When the first of a class is due, as the queue has it.
pub(super) fn earliest(
    tx: &Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
) -> Result<Option<TimeMs>, StoreError> {
    let earliest: Option<Option<i64>> = rows::scalar(tx, EARLIEST, params![subscription.0, class.code()])?;
    Ok(earliest.flatten().map(TimeMs))
}

/// A head as the table has it.
pub(super) fn stored(
    tx: &Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
) -> Result<Option<TimeMs>, StoreError> {
    Ok(rows::scalar(tx, STORED, params![subscription.0, class.code()])?.map(TimeMs))
}

/// Writes a head that was missing or too late, whatever is remembered of it.
pub(super) fn put_right(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    due: TimeMs,
) -> Result<(), StoreError> {
    tx.write(&LOWER, params![subscription.0, class.code(), due.0])?;
    remember(tx, subscription, class, Some(due));
    Ok(())
}

/// Something is due at `due` at the latest.
pub(super) fn lower(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    due: TimeMs,
) -> Result<(), StoreError> {
    if of(tx, subscription)?.get(class).is_some_and(|head| head <= due) {
        return Ok(());
    }
    if tx.is_shared() && tx.memory.is_held_alone(subscription) {
        return put(tx, subscription, class, Some(due));
    }
    tx.write(&LOWER, params![subscription.0, class.code(), due.0])?;
    remember(tx, subscription, class, Some(due));
    Ok(())
}

/// Looks at the queue and says what it found; not earlier than `not_before`.
pub(super) fn raise(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    not_before: TimeMs,
) -> Result<(), StoreError> {
    let earliest: Option<Option<i64>> = rows::scalar(tx, EARLIEST, params![subscription.0, class.code()])?;
    let late = too_late(tx);
    let head = earliest.flatten().map(|due| TimeMs(due.max(not_before.0).saturating_add(late)));
    put(tx, subscription, class, head)
}

/// Look at this class then, whatever its rows say: something else than their due times decides.
pub(super) fn set(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    look: TimeMs,
) -> Result<(), StoreError> {
    if of(tx, subscription)?.get(class).is_some_and(|head| head != look) {
        put(tx, subscription, class, Some(look))?;
    }
    Ok(())
}

/// The same for all that nobody asked for by hand.
pub(super) fn set_automatic(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    look: TimeMs,
) -> Result<(), StoreError> {
    let automatic = Class::ALL.into_iter().filter(|class| *class != Class::Manual);
    automatic.into_iter().try_for_each(|class| set(tx, subscription, class, look))
}

/// Nothing of this subscription will ever be due again.
pub(super) fn remove_all(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    let heads = of(tx, subscription)?;
    let there = Class::ALL.into_iter().filter(|class| heads.get(*class).is_some());
    there.into_iter().try_for_each(|class| put(tx, subscription, class, None))
}

/// Whatever held this subscription back no longer does: look at once.
pub(super) fn open_all(tx: &mut Tx<'_>, subscription: SubscriptionNo) -> Result<(), StoreError> {
    Class::ALL.into_iter().try_for_each(|class| set(tx, subscription, class, TimeMs::ZERO))
}

/// Writes what a head comes to; the subscription is held alone. On a file it is there, or `head` is `None`.
fn put(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    class: Class,
    head: Option<TimeMs>,
) -> Result<(), StoreError> {
    if tx.is_shared() {
        debug_assert!(tx.memory.is_held_alone(subscription), "{subscription:?} is not held");
        tx.write(&PUT, params![subscription.0, class.code(), head.map(|due| due.0)])?;
    } else if let Some(due) = head {
        tx.run(SET, params![subscription.0, class.code(), due.0])?;
    } else {
        tx.run(REMOVE, params![subscription.0, class.code()])?;
    }
    remember(tx, subscription, class, head);
    Ok(())
}

fn remember(tx: &mut Tx<'_>, subscription: SubscriptionNo, class: Class, head: Option<TimeMs>) {
    if let Some(heads) = tx.memory.heads(subscription) {
        heads.set(class, head);
    }
}

/// What a bug adds, for the tests that must find it.
fn too_late(tx: &Tx<'_>) -> i64 {
    if tx.context.faults.has(Bug::HeadTooLate) { 60_000 } else { 0 }
}

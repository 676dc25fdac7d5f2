//! When a subscription begins to ask for contexts: what was accepted before is put where it is found.
//!
//! A row for each owner of the identity says how far that is, newest first; the janitor goes on with it, a chunk at a
//! time, and the row goes when the beginning is reached. It may put there what is there already. On a server an accept
//! may be under way that does not know of the subscription yet, so the newest end is gone over once more a little
//! later.

use std::time::Duration;

use inkhook_wire::event::EventType;
use inkhook_wire::id::IdentityId;

use super::{Connection, Holds, Many, Row, Seq, Store, StoreError, Tx, params, rows};
use crate::domain::context::{Said, keys};
use crate::domain::number::SubscriptionNo;
use crate::domain::time::TimeMs;
use crate::store::cancel::Tidied;
use crate::store::locks::Task;
use crate::store::partitions;

/// Events that one chunk looks at: a few milliseconds at most.
pub(super) const CHUNK_ROWS: usize = 100;
/// After this no accept is under way that began before the setting was there.
const ACCEPTED_BY: Duration = Duration::from_secs(10);
/// A number is drawn at most this long before then.
const DRAWN_BEFORE: Duration = Duration::from_mins(2);

const SINCE: &str = "UPDATE subscriptions SET context_since_seq = $2 WHERE no = $1";
const OTHER: &str = "SELECT 1 FROM subscriptions WHERE identity_id = $1 AND status = 'active'
    AND context_config <> '{}' AND no <> $2 LIMIT 1";
const NOTE: &str = "INSERT INTO context_histories (owner_id, identity_id)
    SELECT o.id, o.identity_id FROM (
        SELECT id, identity_id FROM mailboxes WHERE identity_id = $1
        UNION ALL SELECT id, identity_id FROM phone_numbers WHERE identity_id = $1
        UNION ALL SELECT id, id FROM identities WHERE id = $1) o WHERE true
    ON CONFLICT (owner_id) DO UPDATE SET before_seq = NULL, floor_seq = 0, look_ms = 0";
const NEXT: &str =
    "SELECT owner_id, identity_id, before_seq, floor_seq FROM context_histories WHERE look_ms <= $1
    ORDER BY owner_id LIMIT 1";
// The numbers are those of the types that say something. An event that was made for a test says nothing.
const CHUNK: &str = "SELECT e.seq, e.event_type, CASE WHEN e.event_type IN (1, 2, 3, 11, 12, 21, 23, 31)
        AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.no = e.seq * 64 AND d.class = 4)
        AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.no = e.seq * 64 AND q.class = 4) THEN e.payload END AS payload
    FROM events e WHERE e.owner_id = $1 AND e.seq < $2 AND e.seq >= $3 ORDER BY e.seq DESC LIMIT $4";
static ADD: Many = Many {
    one: "INSERT INTO context_items (event_seq, key)
    SELECT $1, $2 WHERE EXISTS (SELECT 1 FROM events WHERE seq = $1) ON CONFLICT DO NOTHING",
    all: "INSERT INTO context_items (event_seq, key)
    SELECT x.seq, x.key FROM unnest(CAST($1 AS BIGINT[]), CAST($2 AS BIGINT[])) AS x (seq, key)
    WHERE EXISTS (SELECT 1 FROM events e WHERE e.seq = x.seq) ON CONFLICT DO NOTHING",
    columns: &[Holds::Int8, Holds::Int8],
};
const MOVE: &str = "UPDATE context_histories SET before_seq = $2 WHERE owner_id = $1";
const AGAIN: &str = "UPDATE context_histories SET before_seq = NULL, floor_seq = $2, look_ms = $3
    WHERE owner_id = $1";
const REMOVE: &str = "DELETE FROM context_histories WHERE owner_id = $1";
const PLACE: &str =
    "SELECT owner_id, identity_id, before_seq, floor_seq FROM context_histories WHERE owner_id = $1";

/// A subscription asks for contexts now, or does not any more; see [`super`]. What is asked for counts from the next
/// delivery on.
pub(in crate::store) fn setting_changed(
    tx: &mut Tx<'_>,
    subscription: SubscriptionNo,
    identity: IdentityId,
    asks: bool,
) -> Result<(), StoreError> {
    if asks {
        let identity = identity.as_uuid();
        tx.run(SINCE, params![subscription.0, tx.last_seq()?.0])?;
        if rows::scalar::<i64>(tx, OTHER, params![identity.as_bytes(), subscription.0])?.is_none() {
            tx.run(NOTE, params![identity.as_bytes()])?;
        }
    }
    tx.memory.forget_identities();
    Ok(())
}

/// How far an owner's events are where they are found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    owner: [u8; 16],
    identity: IdentityId,
    before: Option<i64>,
    floor: i64,
}

impl Place {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            owner: row.get("owner_id")?,
            identity: rows::id(row, "identity_id")?,
            before: row.get("before_seq")?,
            floor: row.get("floor_seq")?,
        })
    }
}

/// A chunk that was looked at.
#[derive(Debug, Clone)]
struct Chunk {
    place: Place,
    /// Events, and the numbers under which each is found.
    found: Vec<(Seq, Vec<i64>)>,
}

impl Store {
    /// Puts one chunk of earlier events where contexts find them.
    ///
    /// # Errors
    /// The store could not be read or written.
    pub async fn context_history_chunk(&self, now: TimeMs) -> Result<Tidied, StoreError> {
        let Some(chunk) = self.read(move |connection| next(connection, now)).await? else {
            return Ok(Tidied::Nothing);
        };
        self.writer.tidy(move |tx| write(tx, &chunk)).await
    }
}

fn next(connection: &Connection, now: TimeMs) -> Result<Option<Chunk>, StoreError> {
    let Some(place) = rows::optional(connection, NEXT, params![now.0], Place::read)? else {
        return Ok(None);
    };
    let before = place.before.unwrap_or(i64::MAX);
    let params = params![&place.owner[..], before, place.floor, CHUNK_ROWS];
    let found = rows::all(connection, CHUNK, params, |row| {
        let payload: Option<Vec<u8>> = row.get("payload")?;
        // What a newer version knows more says nothing here.
        let event_type = EventType::from_code(row.get("event_type")?);
        let said =
            event_type.zip(payload.as_deref()).and_then(|(of_type, payload)| Said::read(of_type, payload));
        let keys = said.map_or_else(Vec::new, |said| keys::all(place.identity, &said));
        Ok((Seq(row.get("seq")?), keys))
    })?;
    Ok(Some(Chunk { place, found }))
}

fn write(tx: &mut Tx<'_>, chunk: &Chunk) -> Result<Tidied, StoreError> {
    let Chunk { place, found } = chunk;
    let owner = &place.owner[..];
    if !tx.takes(Task::Contexts)? {
        return Ok(Tidied::Nothing);
    }
    if rows::optional(tx, PLACE, params![owner], Place::read)?.as_ref() != Some(place) {
        // Begun anew meanwhile, or another node went on with it.
        return Ok(Tidied::More);
    }
    for (seq, keys) in found {
        for key in keys {
            tx.write(&ADD, params![seq.0, key])?;
        }
    }
    match found.last().filter(|_| found.len() == CHUNK_ROWS) {
        Some((last, _)) => tx.run(MOVE, params![owner, last.0])?,
        None if tx.is_shared() && place.floor == 0 => {
            let now = tx.context.clock.wall();
            let floor = partitions::first_of(now.before(DRAWN_BEFORE)).max(1);
            tx.run(AGAIN, params![owner, floor, now.after(ACCEPTED_BY).0])?
        }
        None => tx.run(REMOVE, params![owner])?,
    };
    Ok(Tidied::More)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::context::Class;
    use crate::store::rows::plan;

    #[test]
    fn every_statement_goes_by_an_index() {
        let id = [0_u8; 16];
        for plan in [
            plan::of(OTHER, params![&id[..], 1]),
            plan::of(CHUNK, params![&id[..], 1, 1, 1]),
            plan::of(PLACE, params![&id[..]]),
            plan::of(MOVE, params![&id[..], 1]),
            plan::of(REMOVE, params![&id[..]]),
        ] {
            plan::assert_bounded(&plan);
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_types_that_say_something() {
        let says = EventType::ALL.iter().filter(|it| Class::of_event(**it).is_some());
        let mut codes: Vec<u16> = says.map(|it| it.code()).collect();
        codes.sort_unstable();
        let listed: Vec<String> = codes.iter().map(ToString::to_string).collect();
        assert!(CHUNK.contains(&format!("IN ({})", listed.join(", "))), "{listed:?}");
    }
}

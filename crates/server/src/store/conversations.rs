//! Forgetting conversations: those of mailboxes that are gone, and references that nobody has used for as
//! long as history is kept.
//!
//! A reference that goes takes the participants of its thread along when it was the last one that led there.
//! Old references are found by walking the table, a chunk a read, once a day: an index on their time would
//! cost every mail that arrives more than this costs a day.

use uuid::Uuid;

use super::cancel::Tidied;
use super::error::StoreError;
use super::locks::Task;
use super::writer::Tx;
use super::{Store, rows};
use crate::domain::metrics::Swept;
use crate::domain::time::TimeMs;
use crate::store::sql::params;

/// References that one chunk removes: a few milliseconds at most.
pub const CHUNK_ROWS: usize = 100;
/// References that one step of the daily walk reads.
pub const WALK_ROWS: usize = 1_000;

const NOTE: &str = "INSERT INTO forgotten_mailboxes (mailbox_id) VALUES ($1) ON CONFLICT DO NOTHING";
const NOTED: &str = "SELECT mailbox_id FROM forgotten_mailboxes LIMIT 1";
const UNNOTE: &str = "DELETE FROM forgotten_mailboxes WHERE mailbox_id = $1";
const OF_MAILBOX: &str = "SELECT message_id, position, thread_id FROM mail_references WHERE mailbox_id = $1
    ORDER BY message_id, position LIMIT $2";
const WALK: &str = "SELECT mailbox_id, message_id, position, thread_id, seen_ms FROM mail_references
    WHERE (mailbox_id, message_id, position) > ($1, $2, $3)
    ORDER BY mailbox_id, message_id, position LIMIT $4";
const REMOVE: &str = "DELETE FROM mail_references WHERE mailbox_id = $1 AND message_id = $2 AND position = $3
    AND seen_ms <= $4";
const LEADS_THERE: &str = "SELECT 1 FROM mail_references WHERE thread_id = $1 LIMIT 1";
const REMOVE_PARTICIPANTS: &str = "DELETE FROM mail_participants WHERE thread_id = $1";

/// How far the daily walk has come. It begins at the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WalkPlace {
    mailbox: Vec<u8>,
    message_id: String,
    position: i64,
}

struct Reference {
    place: WalkPlace,
    thread: Uuid,
    seen_ms: i64,
}

/// The mailbox goes; its conversations follow when the writer has time.
pub(super) fn forget_later(tx: &Tx<'_>, mailbox: Uuid) -> Result<(), StoreError> {
    tx.run(NOTE, params![mailbox.as_bytes()])?;
    Ok(())
}

impl Store {
    /// Forgets one chunk of the conversations of mailboxes that are gone.
    pub async fn forget_mailbox_chunk(&self) -> Result<Tidied, StoreError> {
        if self.read(|connection| rows::optional(connection, NOTED, &[], |_| Ok(()))).await?.is_none() {
            return Ok(Tidied::Nothing);
        }
        let (tidied, removed) = self.writer.tidy(forget_mailbox).await?;
        self.metrics.sweep(Swept::Other, removed);
        Ok(tidied)
    }

    /// One step of the walk over all references: removes those not seen after `cutoff`. Where to go on;
    /// `None` at the end.
    pub async fn forget_references_step(
        &self,
        place: WalkPlace,
        cutoff: TimeMs,
    ) -> Result<Option<WalkPlace>, StoreError> {
        let found = self.read(move |connection| {
            let params = params![place.mailbox, place.message_id, place.position, WALK_ROWS];
            rows::all(connection, WALK, params, |row| {
                Ok(Reference {
                    place: WalkPlace { mailbox: row.get(0)?, message_id: row.get(1)?, position: row.get(2)? },
                    thread: rows::id(row, "thread_id")?,
                    seen_ms: row.get(4)?,
                })
            })
        });
        let mut found = found.await?;
        let next = found.last().filter(|_| found.len() == WALK_ROWS).map(|last| last.place.clone());
        found.retain(|reference| reference.seen_ms <= cutoff.0);
        while !found.is_empty() {
            let chunk = found.split_off(found.len().saturating_sub(CHUNK_ROWS));
            let removed = self.writer.tidy(move |tx| {
                let remove = |reference: &Reference| remove(tx, &reference.place, reference.thread, cutoff);
                chunk.iter().map(remove).sum::<Result<usize, _>>()
            });
            self.metrics.sweep(Swept::Other, removed.await?);
        }
        Ok(next)
    }
}

fn forget_mailbox(tx: &mut Tx<'_>) -> Result<(Tidied, usize), StoreError> {
    if !tx.takes(Task::Conversations)? {
        return Ok((Tidied::Nothing, 0));
    }
    let Some(mailbox) = rows::scalar::<Vec<u8>>(tx, NOTED, &[])? else { return Ok((Tidied::Nothing, 0)) };
    let found = rows::all(tx, OF_MAILBOX, params![mailbox, CHUNK_ROWS], |row| {
        let place = WalkPlace { mailbox: mailbox.clone(), message_id: row.get(0)?, position: row.get(1)? };
        Ok((place, rows::id(row, "thread_id")?))
    })?;
    if found.len() < CHUNK_ROWS {
        tx.run(UNNOTE, params![mailbox])?;
    }
    let removed = found.iter().map(|(place, thread)| remove(tx, place, *thread, TimeMs(i64::MAX)));
    Ok((Tidied::More, removed.sum::<Result<usize, _>>()?))
}

/// Removes a reference unless it was seen after `cutoff`, and the thread's participants with the last one.
fn remove(tx: &Tx<'_>, place: &WalkPlace, thread: Uuid, cutoff: TimeMs) -> Result<usize, StoreError> {
    let removed = tx.run(REMOVE, params![place.mailbox, place.message_id, place.position, cutoff.0])?;
    if removed > 0 && rows::scalar::<i64>(tx, LEADS_THERE, params![thread.as_bytes()])?.is_none() {
        return Ok(removed + tx.run(REMOVE_PARTICIPANTS, params![thread.as_bytes()])?);
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn no_statement_reads_more_than_it_returns() {
        let id = [0_u8; 16];
        plan::assert_bounded(&plan::of(OF_MAILBOX, params![&id[..], 1]));
        plan::assert_bounded(&plan::of(WALK, params![&id[..], "", 0, 1]));
        plan::assert_bounded(&plan::of(REMOVE, params![&id[..], "", 0, 0]));
        plan::assert_bounded(&plan::of(LEADS_THERE, params![&id[..]]));
        plan::assert_bounded(&plan::of(REMOVE_PARTICIPANTS, params![&id[..]]));
    }
}

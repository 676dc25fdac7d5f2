//! Those for whom nobody vouched in time go, with their names, and what was counted goes when it counts no more.

use super::claim::remove;
use super::{COLUMNS, read};
use crate::domain::metrics::Swept;
use crate::domain::signup::WINDOW;
use crate::domain::time::TimeMs;
use crate::store::cancel::Tidied;
use crate::store::error::StoreError;
use crate::store::locks::Task;
use crate::store::sql::params;
use crate::store::writer::Tx;
use crate::store::{Store, rows};

/// Sign-ups that one chunk deletes.
const CHUNK: usize = 10;
/// Counts that one chunk deletes.
const COUNTS: usize = 200;

const ANY: &str = "SELECT 1 FROM signups WHERE claimed_ms IS NULL AND expires_ms <= $1 LIMIT 1";
const ANY_COUNT: &str = "SELECT 1 FROM signup_counts WHERE created_ms <= $1 LIMIT 1";
const EXPIRED: &str = "WHERE s.claimed_ms IS NULL AND s.expires_ms <= $1 ORDER BY s.expires_ms LIMIT $2
    /*pg FOR UPDATE OF s SKIP LOCKED */";
const FORGET_COUNTS: &str = "DELETE FROM signup_counts WHERE identity_id IN
    (SELECT identity_id FROM signup_counts WHERE created_ms <= $1 ORDER BY created_ms LIMIT $2)";

impl Store {
    /// Deletes one chunk of what has expired.
    pub async fn expire_signups_chunk(&self, now: TimeMs) -> Result<Tidied, StoreError> {
        let counted_until = now.before(WINDOW);
        let any = self.read(move |connection| {
            Ok(rows::scalar::<i64>(connection, ANY, params![now.0])?.is_some()
                || rows::scalar::<i64>(connection, ANY_COUNT, params![counted_until.0])?.is_some())
        });
        if !any.await? {
            return Ok(Tidied::Nothing);
        }
        let (signups, counts) = self.writer.tidy(move |tx| expire(tx, now, counted_until)).await?;
        self.metrics.sweep(Swept::Other, signups + counts);
        Ok(if signups == CHUNK || counts == COUNTS { Tidied::More } else { Tidied::Nothing })
    }
}

fn expire(tx: &mut Tx<'_>, now: TimeMs, counted_until: TimeMs) -> Result<(usize, usize), StoreError> {
    if !tx.takes(Task::Forget)? {
        return Ok((0, 0));
    }
    let sql = format!("SELECT {COLUMNS} {EXPIRED}");
    let expired = rows::all(tx, &sql, params![now.0, CHUNK], read)?;
    for signup in &expired {
        remove(tx, signup)?;
    }
    let counts = tx.run(FORGET_COUNTS, params![counted_until.0, COUNTS])?;
    Ok((expired.len(), counts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::plan;

    #[test]
    fn what_has_expired_is_found_by_indexes() {
        plan::assert_bounded(&plan::of(ANY, [1]));
        plan::assert_bounded(&plan::of(ANY_COUNT, [1]));
        plan::assert_bounded(&plan::of(&format!("SELECT {COLUMNS} {EXPIRED}"), [1, 10]));
    }
}

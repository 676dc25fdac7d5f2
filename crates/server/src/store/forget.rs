//! Forgetting what was remembered only for a time: idempotency keys after a day, mails after a week, the names
//! of what was deleted after 90 days.

use super::cancel::Tidied;
use super::error::StoreError;
use super::locks::Task;
use super::{Store, rows};
use crate::domain::metrics::Swept;
use crate::domain::time::TimeMs;
use crate::store::sql::params;

/// Rows that one chunk removes: a few milliseconds at most.
pub const CHUNK_ROWS: usize = 200;

const EXPIRED: &str = "DELETE FROM dedupe WHERE (organization_id, kind, key) IN
    (SELECT organization_id, kind, key FROM dedupe WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2)";

const ENDED_NAMES: &str = "DELETE FROM reserved_names WHERE (kind, name) IN
    (SELECT kind, name FROM reserved_names WHERE until_ms <= $1 ORDER BY until_ms LIMIT $2)";
const ENDED_NAME: &str = "SELECT 1 FROM reserved_names WHERE until_ms <= $1 LIMIT 1";

impl Store {
    /// Removes one chunk of the names that are not reserved any longer.
    pub async fn forget_names_chunk(&self, now: TimeMs) -> Result<Tidied, StoreError> {
        let any = self.read(move |connection| rows::scalar::<i64>(connection, ENDED_NAME, params![now.0]));
        if any.await?.is_none() {
            return Ok(Tidied::Nothing);
        }
        let removed = self
            .writer
            .tidy(move |tx| {
                if tx.takes(Task::Forget)? { tx.run(ENDED_NAMES, params![now.0, CHUNK_ROWS]) } else { Ok(0) }
            })
            .await?;
        self.metrics.sweep(Swept::Other, removed);
        Ok(if removed == CHUNK_ROWS { Tidied::More } else { Tidied::Nothing })
    }

    /// Removes one chunk of what is remembered no longer. What is removed here was not recognised any more
    /// since it expired.
    pub async fn forget_chunk(&self, now: TimeMs) -> Result<Tidied, StoreError> {
        let removed =
            self.writer
                .tidy(move |tx| {
                    if tx.takes(Task::Forget)? { tx.run(EXPIRED, params![now.0, CHUNK_ROWS]) } else { Ok(0) }
                })
                .await?;
        self.metrics.sweep(Swept::Other, removed);
        Ok(if removed == CHUNK_ROWS { Tidied::More } else { Tidied::Nothing })
    }
}

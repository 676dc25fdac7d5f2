//! Forgetting what was remembered only for a time: idempotency keys after a day, mails after a week.

use rusqlite::params;

use super::Store;
use super::cancel::Tidied;
use super::error::StoreError;
use crate::domain::time::TimeMs;

/// Rows that one chunk removes: a few milliseconds at most.
pub const CHUNK_ROWS: usize = 200;

const EXPIRED: &str = "DELETE FROM dedupe WHERE (organization_id, kind, key) IN
    (SELECT organization_id, kind, key FROM dedupe WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2)";

impl Store {
    /// Removes one chunk of what is remembered no longer. What is removed here was not recognised any more
    /// since it expired.
    pub async fn forget_chunk(&self, now: TimeMs) -> Result<Tidied, StoreError> {
        let removed = self.writer.tidy(move |tx| tx.run(EXPIRED, params![now.0, CHUNK_ROWS])).await?;
        Ok(if removed == CHUNK_ROWS { Tidied::More } else { Tidied::Nothing })
    }
}

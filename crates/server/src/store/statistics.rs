//! What a server believes of tables that fill and drain.
//!
//! Plans are generic and kept, so they are as good as what the planner knew when they were made. A table that was vacuumed
//! while nothing was in it is believed to be empty until the server looks again, which may be a minute later: all ways to
//! find one row look alike then, also those that read everything that has come since, and all that is dead in it.
//! So a node looks sooner. To analyse a table makes all plans about it anew.

use super::Store;
use super::error::StoreError;
use super::sql::Trouble;
use super::sql::postgres::Role;
use super::sql::{self, params};

/// Rows that were written since a table was looked at last, after which it is no longer believed to be empty.
const WRITTEN: i64 = 1_000;
/// Fewer are as good as none.
const ROWS: i64 = 10;

const BELIEVED_EMPTY: &str = "SELECT s.relname FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
    WHERE s.relname IN ('queue', 'queue_heads', 'parked', 'dedupe', 'context_items')
        AND c.reltuples BETWEEN 0 AND CAST($1 AS BIGINT) AND s.n_mod_since_analyze >= $2";

impl Store {
    /// Has the server look again at tables that it believes to be empty and that are not; how many. A file's plans do not
    /// depend on what is in it.
    ///
    /// # Errors
    /// The server could not be asked.
    pub async fn refresh_statistics(&self) -> Result<usize, StoreError> {
        let Some(shared) = &self.shared else { return Ok(0) };
        let tables: Vec<String> = self
            .read(|connection| {
                super::rows::all(connection, BELIEVED_EMPTY, params![ROWS, WRITTEN], |row| Ok(row.get(0)?))
            })
            .await?;
        if tables.is_empty() {
            return Ok(0);
        }
        let client = shared.server.connect(Role::Keeper).await?;
        for table in &tables {
            // Names from the list above.
            match client.batch_execute(&format!("ANALYZE {table}")).await.map_err(sql::Error::from) {
                Ok(()) => {}
                Err(error) if matches!(error.trouble(), Trouble::Conflict | Trouble::Held) => {
                    tracing::debug!(table, "in use: looked at in the next round");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(tables.len())
    }
}

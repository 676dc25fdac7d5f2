//! A bell that other nodes hear.
//!
//! It carries no data and nothing depends on it: whoever hears it looks a little sooner. Nobody's own ringing comes
//! back to them.

use tokio::sync::mpsc;
use tokio_postgres::{Client, Notification};

use super::Store;
use super::error::StoreError;
use super::sql;
use super::sql::postgres::ANSWER_LIMIT;

const LISTEN: &str = "LISTEN inkhook";

/// See the module.
#[derive(Debug)]
pub struct RemoteBell {
    client: Client,
    heard: mpsc::Receiver<Notification>,
    boot: String,
}

impl Store {
    /// The bell of this database; nothing where nobody else could hear it.
    ///
    /// # Errors
    /// The database could not be reached.
    pub async fn remote_bell(&self) -> Result<Option<RemoteBell>, StoreError> {
        let Some(shared) = &self.shared else { return Ok(None) };
        let (client, heard) = shared.server.connect_to_listen().await?;
        client.batch_execute(LISTEN).await.map_err(sql::Error::from)?;
        Ok(Some(RemoteBell { client, heard, boot: shared.boot.to_string() }))
    }
}

impl RemoteBell {
    /// Rings it for the others.
    ///
    /// # Errors
    /// The database could not be reached.
    pub async fn ring(&self) -> Result<(), StoreError> {
        let boot = [&self.boot as _];
        let ring = self.client.execute("SELECT pg_notify('inkhook', $1)", &boot);
        // A server that says nothing any more is not waited for.
        let ring = tokio::time::timeout(ANSWER_LIMIT, ring).await.map_err(|_| StoreError::Away)?;
        Ok(ring.map(drop).map_err(sql::Error::from)?)
    }

    /// Resolves when another node has rung; `false` when nothing more can be heard.
    pub async fn rung(&mut self) -> bool {
        loop {
            match self.heard.recv().await {
                Some(ring) if ring.payload() == self.boot => {}
                Some(_) => return true,
                None => return false,
            }
        }
    }
}

//! Reading: a few connections that cannot write, used by the runtime's blocking threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::StoreError;
use super::migrate;

/// Reads that run at the same time at most; more wait their turn.
const CONNECTIONS: usize = 4;

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connections = (0..CONNECTIONS).map(|_| migrate::open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(connections)), permits: Arc::new(Semaphore::new(CONNECTIONS)) })
    }

    /// Runs `read` in one transaction, so that all its statements see the same state.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let idle = self.idle.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = lock(&idle).pop().ok_or(StoreError::Closed)?;
            let answer = transaction(&connection, read);
            lock(&idle).push(connection);
            answer
        });
        done.await.unwrap_or(Err(StoreError::Closed))
    }
}

fn transaction<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let answer = read(&transaction)?;
    transaction.rollback()?;
    Ok(answer)
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

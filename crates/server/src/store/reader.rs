//! Reading: a few connections that cannot write, used by the runtime's blocking threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::Semaphore;

use super::error::StoreError;
use super::keeper::Watch;
use super::migrate;

/// Reads that run at the same time at most; more wait their turn.
const CONNECTIONS: usize = 4;

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    watch: Watch,
}

impl Readers {
    pub(super) fn open(path: &Path, watch: Watch) -> Result<Self, StoreError> {
        let connections = (0..CONNECTIONS).map(|_| migrate::open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self {
            idle: Arc::new(Mutex::new(connections)),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            watch,
        })
    }

    /// Runs `read` in one transaction, so that all its statements see the same state. One that takes too
    /// long is cut off.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (idle, watch) = (self.idle.clone(), self.watch.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = lock(&idle).pop().ok_or(StoreError::Closed)?;
            let reading = watch.reading(&connection);
            let answer = transaction(&connection, read);
            drop(reading);
            lock(&idle).push(connection);
            answer
        });
        done.await.unwrap_or(Err(StoreError::Closed)).map_err(|error| match error {
            StoreError::Statement(error)
                if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
            {
                StoreError::TooSlow
            }
            error => error,
        })
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

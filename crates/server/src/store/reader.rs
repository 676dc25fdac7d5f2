//! Reading: a few connections that cannot write, used by the runtime's blocking threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::error::StoreError;
use super::keeper::Watch;
use super::migrate;
use super::sql::postgres::{Role, Server, Session};
use super::sql::{Connection, Trouble};

/// Reads that run at the same time at most; more wait their turn.
pub(super) const CONNECTIONS: usize = 4;
/// The same for what is read about incoming calls, which waits behind nothing else.
pub(super) const CALL_CONNECTIONS: usize = 2;
/// The same for contexts: however many deliveries want one, they hold up nobody else's reads.
pub(super) const CONTEXT_CONNECTIONS: usize = 2;

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    watch: Watch,
}

impl Readers {
    /// So many readers of a file.
    pub(super) fn open(path: &Path, watch: Watch, count: usize) -> Result<Self, StoreError> {
        let open = || Ok(migrate::open_reader(path)?.into());
        Ok(Self::new((0..count).map(|_| open()).collect::<Result<_, StoreError>>()?, watch))
    }

    /// So many readers of a server, or of its replica; each connects when it is first used.
    pub(super) fn connect(
        server: &Server,
        role: Role,
        watch: Watch,
        count: usize,
    ) -> Result<Self, StoreError> {
        let open = || Ok(Connection::Postgres(Box::new(Session::closed(server.clone(), role)?)));
        Ok(Self::new((0..count).map(|_| open()).collect::<Result<_, StoreError>>()?, watch))
    }

    fn new(connections: Vec<Connection>, watch: Watch) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self { idle: Arc::new(Mutex::new(connections)), permits, watch }
    }

    /// Runs `read` in one transaction, so that all its statements see the same state. One that takes too
    /// long is cut off.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run(read).await.map_err(|error| match error.trouble() {
            Some(Trouble::CutOff) => StoreError::TooSlow,
            // Who asks again is answered.
            Some(Trouble::Away | Trouble::Conflict | Trouble::Held) => StoreError::Away,
            _ => error,
        })
    }

    /// The same, with the error as it came. Whoever stops waiting leaves the connection to come back by itself.
    pub(super) async fn run<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (idle, watch) = (self.idle.clone(), self.watch.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = lock(&idle).pop().ok_or(StoreError::Closed)?;
            // A server cuts off by itself what takes too long.
            let reading = connection.file().map(|file| watch.reading(file));
            let answer = connection.snapshot(read);
            drop(reading);
            lock(&idle).push(connection);
            answer
        });
        done.await.unwrap_or(Err(StoreError::Closed))
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::metrics::Metrics;
    use crate::domain::time::{Clock, TimeMs};
    use crate::store::keeper::{DiskLimit, Keeper, READER_LIMIT};
    use crate::store::rows;

    const FOR_EVER: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_read_that_takes_too_long_is_cut_off_and_its_connection_is_good_afterwards() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.db");
        let writer = migrate::open_writer(&path).expect("opens");
        writer.execute_batch("CREATE TABLE t (a)").expect("it runs");
        let (clock, metrics) = (Clock::manual(TimeMs(1)), Arc::new(Metrics::default()));
        let watch = Watch::new(clock.clone(), metrics.clone());
        let keeper = Keeper::start(&path, DiskLimit::default(), watch.clone()).expect("starts");
        let readers = Readers::open(&path, watch, CONNECTIONS).expect("opens");
        let (began, begun) = tokio::sync::oneshot::channel();
        let slow = readers.read(move |connection| {
            began.send(()).expect("the test listens");
            rows::scalar::<i64>(connection, FOR_EVER, &[])
        });
        let time = async {
            begun.await.expect("it begins");
            clock.advance(READER_LIMIT);
        };
        let (slow, ()) =
            tokio::time::timeout(PATIENCE, async { tokio::join!(slow, time) }).await.expect("it is cut off");
        assert!(matches!(slow, Err(StoreError::TooSlow)), "{slow:?}");
        assert_eq!(metrics.readers_cut_off.get(), 1);
        for _ in 0..=CONNECTIONS {
            let count =
                readers.read(|connection| rows::scalar::<i64>(connection, "SELECT count(*) FROM t", &[]));
            assert_eq!(count.await.expect("it reads"), Some(0));
        }
        drop(keeper);
    }
}

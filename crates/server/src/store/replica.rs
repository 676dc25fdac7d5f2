//! Reading what may be a little old from a replica of the database server.
//!
//! Promises: what comes from the replica is at most the operator's bound old; every answer is judged by where the
//! very server that gave it had come to, in the transaction that gave it. A request never fails, and hardly waits,
//! because of the replica: whatever goes wrong there, the primary is asked. What is not found on the replica is
//! looked for on the primary, so that nothing is missing that was just accepted.
//!
//! Never here: anything that decides. Keys, subscriptions and settings are read from the primary, and so is what
//! somebody waits for.
//!
//! A thread ([`watch`]) asks the primary how far it is, and the replica whether it is there and where, many times
//! within the bound. While it has nothing good to say, or says nothing, nobody tries the replica. On a crash nothing
//! is lost: all of this is in memory.

mod positions;
mod standing;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::standing::{Primary, Standing, Verdict};
use self::watch::Watcher;
use super::error::StoreError;
use super::keeper::Watch;
use super::reader::{CONNECTIONS, Readers};
use super::sql::Connection;
use super::sql::postgres::{Role, Server};
use super::{Store, rows};
use crate::domain::time::Clock;

/// How long an answer of the replica is waited for before the primary is asked instead.
const PATIENCE: Duration = Duration::from_secs(1);
/// A thread that has said nothing for so long is held up by one of the servers.
const STALE_AFTER: Duration = Duration::from_secs(1);

const STANDING: &str = "SELECT CAST(pg_is_in_recovery() AS INT) AS follows,
    CAST(pg_last_wal_replay_lsn() - CAST('0/0' AS PG_LSN) AS BIGINT) AS replayed, system_identifier AS cluster
    FROM pg_control_system()";

/// The replica of a database server; see the module.
#[derive(Debug)]
pub(super) struct Replica {
    readers: Readers,
    known: Arc<Known>,
    _watcher: Watcher,
}

/// What the thread has found out.
#[derive(Debug)]
struct Known {
    clock: Clock,
    max_lag: Duration,
    primary: Mutex<Primary>,
    /// When the replica was found to be good last.
    good_at: Mutex<Option<Duration>>,
}

impl Known {
    fn primary(&self) -> MutexGuard<'_, Primary> {
        self.primary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn good_at(&self) -> MutexGuard<'_, Option<Duration>> {
        self.good_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, standing: Standing) -> Verdict {
        self.primary().judge(standing, self.clock.monotonic(), self.max_lag)
    }

    fn is_good(&self) -> bool {
        let now = self.clock.monotonic();
        self.good_at().is_some_and(|good| now.saturating_sub(good) <= STALE_AFTER)
    }
}

impl Replica {
    /// Connects to neither server yet.
    pub(super) fn start(
        primary: &Server,
        replica: &Server,
        max_lag: Duration,
        clock: Clock,
        watch: Watch,
    ) -> Result<Self, StoreError> {
        let (primary_state, good_at) = Default::default();
        let known = Arc::new(Known { clock, max_lag, primary: primary_state, good_at });
        let watcher = Watcher::start(primary, replica, known.clone(), watch.metrics())?;
        let readers = Readers::connect(replica, Role::Replica, watch, CONNECTIONS)?;
        Ok(Self { readers, known, _watcher: watcher })
    }

    /// What the replica says; nothing where it is to be asked of the primary.
    async fn read<T, F>(&self, run: Arc<F>) -> Option<T>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        if !self.known.is_good() {
            return None;
        }
        let known = self.known.clone();
        let reading = self.readers.run(move |connection| {
            // The snapshot is as old as this says, or newer.
            match known.judge(standing(connection)?) {
                Verdict::Good(_) => run(connection).map(Some),
                Verdict::Behind(_) => Ok(None),
                Verdict::TakesWrites | Verdict::Foreign => {
                    // Another of the hosts may be a replica, or what this one's name leads to by now.
                    connection.give_up();
                    Ok(None)
                }
            }
        });
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "asked of the primary instead");
                None
            }
            // Its connection comes back when the server has answered, or when that has taken too long.
            Err(_) => None,
        }
    }
}

fn standing(connection: &Connection) -> Result<Standing, StoreError> {
    let standing = rows::optional(connection, STANDING, &[], |row| {
        let (follows, replayed, cluster) = (row.get("follows")?, row.get("replayed")?, row.get("cluster")?);
        Ok(Standing { follows, replayed, cluster })
    })?;
    standing.ok_or(StoreError::Corrupt("a server's standing"))
}

impl Store {
    /// From now on what may be a little old, lists and charts, is read from a replica while that is at most `max_lag`
    /// behind. A store in a file has none, and stays as it is.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn reading_from(
        mut self,
        replica: &Server,
        max_lag: Duration,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        if let Some(shared) = &self.shared {
            let replica = Replica::start(&shared.server, replica, max_lag, clock, self.watch.clone())?;
            self.replica = Some(Arc::new(replica));
        }
        Ok(self)
    }

    /// Runs a read of what may be a little old: on the replica, if there is one that is near enough, and if the answer
    /// is `enough`; otherwise as any other.
    pub(super) async fn read_old<T, F>(&self, run: F, enough: fn(&T) -> bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        let Some(replica) = &self.replica else { return self.read(run).await };
        let run = Arc::new(run);
        if let Some(answer) = replica.read(run.clone()).await.filter(enough) {
            self.metrics.read_from_replica.add(1);
            return Ok(answer);
        }
        self.metrics.read_from_primary.add(1);
        self.read(move |connection| run(connection)).await
    }
}

//! The thread that knows how far the replica is behind, and says so when that changes.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::standing::Verdict;
use super::{Known, standing};
use crate::domain::metrics::Metrics;
use crate::store::error::StoreError;
use crate::store::rows;
use crate::store::sql::Connection;
use crate::store::sql::postgres::{Role, Server, Session};

/// Looks within the bound, so that what is known is far newer than the bound.
const LOOKS: u32 = 10;
/// It looks no more often and no less often than this.
const FASTEST: Duration = Duration::from_millis(20);
const SLOWEST: Duration = Duration::from_millis(200);
/// How often it connects to what is not there, or is no replica.
const HOPELESS: Duration = Duration::from_secs(1);

// Flushed, for nothing that a reader can see is not; and where a flush ends a replica can come to.
const PRIMARY: &str = "SELECT CAST(pg_current_wal_flush_lsn() - CAST('0/0' AS PG_LSN) AS BIGINT) AS flushed,
    system_identifier AS cluster FROM pg_control_system()";

/// See the module. The thread ends soon after this is dropped; nobody waits for it, since a server may hold it up.
#[derive(Debug)]
pub(super) struct Watcher {
    _over: mpsc::Sender<()>,
}

/// What was said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Used,
    Behind,
    TakesWrites,
    Foreign,
    Away,
}

struct Worker {
    primary: Connection,
    replica: Connection,
    known: Arc<Known>,
    metrics: Arc<Metrics>,
    /// How far the replica had come when it was heard last.
    replayed: Option<i64>,
    said: Said,
}

impl Watcher {
    pub(super) fn start(
        primary: &Server,
        replica: &Server,
        known: Arc<Known>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let session = |server: &Server, role| Session::closed(server.clone(), role).map(Box::new);
        let mut worker = Worker {
            primary: Connection::Postgres(session(primary, Role::Reader)?),
            replica: Connection::Postgres(session(replica, Role::Replica)?),
            known,
            metrics,
            replayed: None,
            said: Said::Nothing,
        };
        let every = (worker.known.max_lag / LOOKS).clamp(FASTEST, SLOWEST);
        let (over, waits) = mpsc::channel();
        let run = move || {
            loop {
                worker.look();
                let pause = if worker.is_hopeless() { HOPELESS } else { every };
                if waits.recv_timeout(pause) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("store-replica".into()).spawn(run);
        thread.map_err(StoreError::Thread)?;
        Ok(Self { _over: over })
    }
}

impl Worker {
    fn look(&mut self) {
        if let Err(error) = self.ask_primary() {
            // What was noted counts, until it is too old.
            tracing::debug!(error = &error as &dyn std::error::Error, "how far the primary is is not known");
        }
        let found = self.replica.snapshot(standing);
        if let Ok(standing) = &found {
            self.replayed = standing.replayed;
        }
        let verdict = found.map(|standing| self.known.judge(standing));
        let is_good = matches!(verdict, Ok(Verdict::Good(_)));
        if let Ok(Verdict::TakesWrites | Verdict::Foreign) = verdict {
            // Another of the hosts may be a replica, or what this one's name leads to by now.
            self.replica.give_up();
        }
        let now = self.known.clock.monotonic();
        *self.known.good_at() = is_good.then_some(now);
        let lag = self.lag(now);
        // Rounded up: what is beyond the bound is never shown as the bound itself.
        let lag_ms = i64::try_from(lag.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
        self.metrics.replica_lag_ms.set(lag_ms);
        self.metrics.replica_used.set(is_good.into());
        self.say(&verdict, lag_ms);
    }

    fn is_hopeless(&self) -> bool {
        matches!(self.said, Said::TakesWrites | Said::Foreign | Said::Away)
    }

    fn ask_primary(&self) -> Result<(), StoreError> {
        let before = self.known.clock.monotonic();
        let found = self.primary.snapshot(|connection| {
            rows::optional(connection, PRIMARY, &[], |row| Ok((row.get("flushed")?, row.get("cluster")?)))
        })?;
        let (flushed, cluster) = found.ok_or(StoreError::Corrupt("a server's position"))?;
        let mut primary = self.known.primary();
        primary.positions.note(before, flushed);
        primary.cluster = Some(cluster);
        Ok(())
    }

    /// How far behind it was when it was heard last, and the time since; where that is not known, at least how far.
    fn lag(&self, now: Duration) -> Duration {
        let primary = self.known.primary();
        let known = self.replayed.and_then(|replayed| primary.positions.behind(replayed, now));
        known.unwrap_or_else(|| primary.positions.age(now))
    }

    /// Once for each change.
    fn say(&mut self, verdict: &Result<Verdict, StoreError>, lag_ms: i64) {
        let say = match verdict {
            Ok(Verdict::Good(_)) => Said::Used,
            Ok(Verdict::Behind(_)) => Said::Behind,
            Ok(Verdict::TakesWrites) => Said::TakesWrites,
            Ok(Verdict::Foreign) => Said::Foreign,
            Err(_) => Said::Away,
        };
        if std::mem::replace(&mut self.said, say) == say {
            return;
        }
        match verdict {
            Ok(Verdict::Good(_)) => tracing::info!(lag_ms, "lists are read from the replica"),
            Ok(Verdict::Behind(_)) => {
                tracing::warn!(lag_ms, "the replica is too far behind: lists are read from the primary");
            }
            Ok(Verdict::TakesWrites) => {
                tracing::warn!(
                    "the replica takes writes itself, so it is none: lists are read from the primary"
                );
            }
            Ok(Verdict::Foreign) => tracing::error!(
                "database.replica_url leads to a copy of another database server: lists are read from the primary"
            ),
            Err(error) => {
                let error: &dyn std::error::Error = error;
                let error = error.source().unwrap_or(error);
                tracing::warn!(error, "the replica cannot be read: lists are read from the primary");
            }
        }
    }
}

//! Where the servers that are measured keep their data: in a file, or in a database of a cluster of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tempfile::TempDir;

use crate::postgres::{Cluster, Database, Options};
use crate::table::Target;

/// What an operator would set on a small machine. The rest is Postgres's own
/// choice, or that of [`crate::postgres`] for every cluster.
const SETTINGS: [(&str, &str); 3] =
    [("shared_buffers", "512MB"), ("max_wal_size", "4GB"), ("autovacuum_naptime", "5s")];

/// What kind of store is measured.
#[derive(Debug, Clone, Default)]
pub enum Store {
    /// A file in the data directory.
    #[default]
    Sqlite,
    /// A database in this cluster, for each server or each group of nodes.
    Postgres(Arc<PrivateCluster>),
}

/// A cluster whose commits are synced. It stops, and is gone, when this is dropped.
#[derive(Debug)]
pub struct PrivateCluster {
    cluster: Arc<Cluster>,
    databases: AtomicU64,
    // Dropped last: the cluster is in it.
    directory: TempDir,
}

impl Store {
    /// Starts a cluster in a directory of its own below this one.
    ///
    /// # Errors
    /// Postgres is not installed or does not start.
    pub fn postgres(work_dir: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("inkhook-bench-postgres-").tempdir_in(work_dir)?;
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = Options { fsync: true, settings: settings.into(), ..Options::new(directory.path()) };
        let cluster = Arc::new(Cluster::start(options)?);
        Ok(Self::Postgres(Arc::new(PrivateCluster { cluster, databases: AtomicU64::new(0), directory })))
    }

    /// Whether there is no file: what looks into one, or writes into one, cannot be measured.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// What a figure should be, which depends on the store.
    pub(crate) fn target(&self, sqlite: Target, postgres: Target) -> Target {
        if self.is_server() { postgres } else { sqlite }
    }

    /// CPU time that the database's own processes have used, in microseconds; `None` where the server does the
    /// work itself.
    pub(crate) fn cpu_us(&self) -> Option<u64> {
        match self {
            Self::Sqlite => None,
            Self::Postgres(private) => Some(private.cluster.cpu_us()),
        }
    }

    /// Where the cluster is, if there is one.
    pub(crate) fn cluster_dir(&self) -> Option<&Path> {
        match self {
            Self::Sqlite => None,
            Self::Postgres(private) => Some(private.directory.path()),
        }
    }

    fn database(&self) -> anyhow::Result<Option<Database>> {
        let Self::Postgres(private) = self else { return Ok(None) };
        let number = private.databases.fetch_add(1, Ordering::Relaxed);
        let database = Database::create(&private.cluster, &format!("measured_{number}"));
        database.map(Some).context("no database to measure in")
    }
}

/// One store, empty at first: a directory for each node and, on a server, a database. It outlives the servers that
/// are started on it one after the other, and is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Home {
    database: Option<Database>,
    directory: TempDir,
}

impl Home {
    pub(crate) fn make(store: &Store, work_dir: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("inkhook-bench-").tempdir_in(work_dir)?;
        Ok(Self { database: store.database()?, directory })
    }

    /// The data directory of the first node, and of the only one.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The data directory of a node, counted from nothing.
    pub(crate) fn node(&self, number: usize) -> PathBuf {
        match number {
            0 => self.path().to_owned(),
            _ => self.path().join(format!("node-{number}")),
        }
    }

    /// Where its database is, on a server.
    pub(crate) fn database_url(&self) -> Option<String> {
        self.database.as_ref().map(Database::url)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::postgres::Error;

    /// A cluster in this directory; `None`, said aloud, where Postgres is not installed.
    pub(crate) fn postgres(work_dir: &Path) -> Option<Store> {
        match Store::postgres(work_dir) {
            Ok(store) => Some(store),
            Err(error)
                if error.downcast_ref::<Error>().is_some_and(|error| matches!(error, Error::NoBinaries)) =>
            {
                assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{error}");
                println!("skipped: {error}; scripts/test installs it");
                None
            }
            Err(error) => panic!("{error:#}"),
        }
    }

    #[test]
    fn each_home_on_a_server_is_a_database_that_goes_with_it() {
        let work_dir = tempfile::tempdir().expect("a temporary directory");
        let Some(store) = postgres(work_dir.path()) else { return };
        let [one, other] = [(); 2].map(|()| Home::make(&store, work_dir.path()).expect("it is made"));
        assert_ne!(one.database_url(), other.database_url());
        assert!(one.database_url().is_some() && store.cpu_us() > Some(0));
        assert_eq!(store.target(Target::None, Target::AtMost(1.0)), Target::AtMost(1.0));
        drop((one, other, store));
        assert_eq!(
            std::fs::read_dir(work_dir.path()).expect("it reads").count(),
            0,
            "nothing is left behind"
        );
    }

    #[test]
    fn each_node_has_a_directory_of_its_own_and_nothing_is_left() {
        let work_dir = tempfile::tempdir().expect("a temporary directory");
        let home = Home::make(&Store::Sqlite, work_dir.path()).expect("it is made");
        let nodes: std::collections::BTreeSet<_> = (0..3).map(|number| home.node(number)).collect();
        assert_eq!((nodes.len(), home.database_url()), (3, None));
        assert_eq!(home.node(0), home.path(), "the only node of a file is where the file is looked for");
        drop(home);
        assert_eq!(std::fs::read_dir(work_dir.path()).expect("it reads").count(), 0);
    }

    #[test]
    fn a_target_is_that_of_the_store() {
        let (sqlite, postgres) = (Target::AtLeast(2.0), Target::None);
        assert_eq!(Store::Sqlite.target(sqlite, postgres), sqlite);
        assert_eq!(Store::Sqlite.cpu_us(), None, "the server's own");
    }
}

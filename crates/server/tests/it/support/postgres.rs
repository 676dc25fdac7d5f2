//! Postgres databases for tests, in the cluster that `INKHOOK_TEST_POSTGRES` names.
//!
//! Every test, whatever process it runs in, has a database that nobody else sees, with the schema in it. It is a
//! copy of a template that the first test makes; the template's name holds a hash of all that it is made of, so a
//! cluster that is used again never serves an old schema. It comes into being under another name and is renamed when
//! complete: what is there is whole, and a process that dies while it makes one leaves nothing that others would
//! take for it.
//!
//! A test of the schema makes one for itself, which is dropped when the test is over. Any other takes one of the
//! [`pool`], as empty as a new one. What a killed test leaves behind goes with the cluster, which `scripts/test`
//! makes anew each time.

mod pool;
mod session;

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use inkhook_server::domain::entropy::Entropy;
use inkhook_server::domain::time::Clock;
use inkhook_server::store::faults::Faults;
use inkhook_server::store::seal::Sealer;
use inkhook_server::store::{DatabaseServer, Store, StoreOptions};
use sha2::{Digest, Sha256};
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::{Client, Config};

use super::{START, any_disk};
use session::{Session, beside, connect};

mod embedded {
    refinery::embed_migrations!("../../migrations/postgres");
}

/// Any database of the cluster, as a superuser.
const CLUSTER: &str = "INKHOOK_TEST_POSTGRES";
/// Among the advisory locks of the cluster: held by whoever makes a template.
const MAKING_TEMPLATE: i64 = 7_465_001;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Copying files costs a third of copying pages through the log, where nothing is synced.
const HOW: &str = "STRATEGY file_copy";

/// How often it is asked whether the sessions of a database are gone, before waiting is left to Postgres.
const LOOKS: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub struct Database {
    name: String,
    cluster: Config,
    /// In the cluster. It holds the lock of a database of the pool. None where the cluster is not the tests'.
    lock: Option<Session>,
    /// As it was given, where the cluster is not the tests'.
    elsewhere: Option<String>,
    /// In the database, from the first query on.
    inside: Mutex<Option<Session>>,
    is_ours: bool,
}

impl Database {
    /// A new one; `None`, said aloud, where the tests have no cluster: the test is skipped.
    pub fn create() -> Option<Self> {
        let (cluster, lock) = cluster()?;
        let name = format!("test_{:016x}", getrandom::u64().expect("random bytes"));
        let template = template(&lock, &cluster);
        lock.run(&format!("CREATE DATABASE {name} TEMPLATE {template} {HOW}"));
        Some(Self {
            name,
            cluster,
            lock: Some(lock),
            elsewhere: None,
            inside: Mutex::default(),
            is_ours: true,
        })
    }

    /// An empty one of the pool; `None` as above.
    pub fn take() -> Option<Self> {
        let (cluster, lock) = cluster()?;
        let template = template(&lock, &cluster);
        let pool::Taken { name, lock, inside } = pool::take(lock, &cluster, &template);
        let inside = Mutex::new(Some(inside));
        Some(Self { name, cluster, lock: Some(lock), elsewhere: None, inside, is_ours: false })
    }

    /// One of a cluster that a test has made for itself, and may kill. Of several hosts the one that takes writes.
    pub fn at(url: &str) -> Self {
        let mut cluster: Config = url.parse().expect("a Postgres URL");
        cluster.connect_timeout(CONNECT_TIMEOUT).target_session_attrs(TargetSessionAttrs::ReadWrite);
        let name = cluster.get_dbname().expect("a database").to_owned();
        let elsewhere = Some(url.to_owned());
        Self { name, cluster, lock: None, elsewhere, inside: Mutex::default(), is_ours: false }
    }

    /// What `--database-url` takes.
    pub fn url(&self) -> String {
        self.elsewhere.clone().unwrap_or_else(|| url(&self.cluster, &self.name))
    }

    /// A session in it. It ends with the client.
    pub async fn connect(&self) -> Client {
        connect(self.cluster.clone().dbname(&self.name)).await
    }

    /// Asks in a session that is kept for the next question.
    pub fn ask<T>(&self, ask: impl FnOnce(&Session) -> T) -> T {
        let mut inside = self.inside.lock().expect("nobody panicked");
        // A cluster that is killed takes its sessions with it, and nobody is told before asking.
        if self.elsewhere.is_some() || inside.as_ref().is_some_and(Session::is_over) {
            *inside = None;
        }
        ask(inside.get_or_insert_with(|| Session::open(self.cluster.clone().dbname(&self.name))))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.as_ref().filter(|_| self.is_ours) {
            drop_database(lock, &self.name);
        }
    }
}

fn cluster() -> Option<(Config, Session)> {
    let Ok(url) = std::env::var(CLUSTER) else {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "{CLUSTER} is not set: run the tests with scripts/test, which starts a cluster"
        );
        println!("skipped: {CLUSTER} is not set; scripts/test starts a cluster");
        return None;
    };
    let mut cluster: Config = url.parse().expect("a Postgres URL");
    cluster.connect_timeout(CONNECT_TIMEOUT);
    let session = Session::open(&cluster);
    Some((cluster, session))
}

fn url(cluster: &Config, database: &str) -> String {
    let (user, port) = (cluster.get_user().expect("a user"), cluster.get_ports()[0]);
    let Host::Tcp(host) = &cluster.get_hosts()[0] else { panic!("the cluster has no socket") };
    format!("postgres://{user}@{host}:{port}/{database}")
}

/// Asks until they are gone. What waits for that itself looks ten times a second only.
fn end_sessions(session: &Session, name: &str) {
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    for _ in 0..LOOKS {
        if session.rows(&end).is_empty() {
            break;
        }
    }
}

fn drop_database(session: &Session, name: &str) {
    end_sessions(session, name);
    session.run(&format!("DROP DATABASE {name} WITH (FORCE)"));
}

/// What every test finds in its database besides the schema: the tables of the days around [`START`].
fn prepare(url: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = StoreOptions {
        data_dir: directory.path().into(),
        database: Some(DatabaseServer::parse(url, None).expect("a URL")),
        sealer: Sealer::new(&[0; 32]),
        boot: 1,
        clock: Clock::manual(START),
        entropy: Entropy::seeded(1),
        generations: std::sync::Arc::default(),
        faults: Faults::default(),
        limits: any_disk(),
    };
    let store = Store::open(options).expect("the store opens");
    apart(async move { store.close().await });
}

/// Runs it to its end, whether or not this thread is in a runtime already.
pub fn apart<F: Future<Output: Send> + Send>(task: F) -> F::Output {
    beside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(task)
    })
}

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn exists(client: &Client, database: &str) -> bool {
    let found = client.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&database]).await;
    !found.expect("the catalogue reads").is_empty()
}

/// The name of the template, which is there afterwards.
fn template(session: &Session, cluster: &Config) -> String {
    let name = template_name();
    let is_there = || session.with(async |client| exists(client, &name).await);
    if !is_there() {
        // Given up when the session ends, however that comes about.
        session.run(&format!("SELECT pg_advisory_lock({MAKING_TEMPLATE})"));
        if !is_there() {
            make_template(session, cluster, &name);
        }
        session.run(&format!("SELECT pg_advisory_unlock({MAKING_TEMPLATE})"));
    }
    name
}

/// Whatever these files say is part of it, and what they call is not: start a new cluster after a change of how
/// a store makes its tables.
fn template_name() -> String {
    let mut hash = Sha256::new();
    for migration in embedded::migrations::runner().get_migrations() {
        hash.update(format!("{migration}\n{}\n", migration.sql().unwrap_or_default()));
    }
    for source in [include_str!("postgres.rs"), include_str!("postgres/pool.rs")] {
        hash.update(source);
    }
    let hash = hash.finalize();
    format!("template_{:016x}", u64::from_be_bytes(hash[..8].try_into().expect("eight bytes")))
}

fn make_template(session: &Session, cluster: &Config, name: &str) {
    let unfinished = "template_unfinished";
    session.run(&format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"));
    session.run(&format!("CREATE DATABASE {unfinished} TEMPLATE template0 {HOW}"));
    prepare(&url(cluster, unfinished));
    let inside = Session::open(cluster.clone().dbname(unfinished));
    pool::remember(&inside);
    drop(inside);
    // Waits for that session to be gone. From here on nobody can have one, so that it can be copied at any time.
    session.run(&format!("ALTER DATABASE {unfinished} RENAME TO {name}"));
    session.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
}

mod tests {
    use super::*;

    #[tokio::test]
    async fn each_test_has_a_database_of_its_own_that_is_gone_after_it() {
        let (Some(one), Some(other)) = (Database::create(), Database::create()) else { return };
        assert_ne!(one.url(), other.url());
        let (client, stranger) = (one.connect().await, other.connect().await);
        run(&client, "INSERT INTO meta (key, value) VALUES ('of', 'one')").await;
        let count = async |client: &Client| -> i64 {
            client.query_one("SELECT count(*) FROM meta", &[]).await.expect("it reads").get(0)
        };
        assert_eq!((count(&client).await, count(&stranger).await), (1, 0));

        let name = one.name.clone();
        drop(one);
        assert!(!exists(&stranger, &name).await, "dropped, although it was in use");
        assert!(client.query("SELECT 1", &[]).await.is_err());
        assert!(exists(&stranger, &other.name).await);
    }

    #[tokio::test]
    async fn the_server_finds_its_migrations_done() {
        let Some(database) = Database::create() else { return };
        let mut client = database.connect().await;
        let runner = embedded::migrations::runner().set_grouped(true);
        let report = runner.run_async(&mut client).await.expect("it looks");
        assert_eq!(report.applied_migrations().len(), 0);
        assert_eq!(runner_len(&client).await, embedded::migrations::runner().get_migrations().len());
    }

    async fn runner_len(client: &Client) -> usize {
        let rows = client.query("SELECT version FROM refinery_schema_history", &[]).await;
        rows.expect("the history reads").len()
    }
}

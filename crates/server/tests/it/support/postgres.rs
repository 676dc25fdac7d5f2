//! A Postgres database for each test, in the cluster that `INKHOOK_TEST_POSTGRES` names.
//!
//! Every test, whatever process it runs in, has a database that nobody else sees, with the schema in it, dropped
//! when the test is over. It is a copy of a template that the first test makes; the template's name holds a hash
//! of all that it is made of, so a cluster that is used again never serves an old schema. It comes into being
//! under another name and is renamed when complete: what is there is whole, and a process that dies while it makes
//! one leaves nothing that others would take for it.
//!
//! A database that a killed test leaves behind goes with the cluster, which `scripts/test` makes anew each time.

use std::future::Future;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

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
}

impl Database {
    /// A new one; `None`, said aloud, where the tests have no cluster: the test is skipped.
    pub fn create() -> Option<Self> {
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
        let name = format!("test_{:016x}", getrandom::u64().expect("random bytes"));
        let (config, copy) = (cluster.clone(), name.clone());
        apart(async move {
            let client = connect(&config).await;
            let template = template(&client, &config).await;
            run(&client, &format!("CREATE DATABASE {copy} TEMPLATE {template} {HOW}")).await;
        });
        Some(Self { name, cluster })
    }

    /// What `--database-url` takes.
    pub fn url(&self) -> String {
        let (user, port) = (self.cluster.get_user().expect("a user"), self.cluster.get_ports()[0]);
        let Host::Tcp(host) = &self.cluster.get_hosts()[0] else { panic!("the cluster has no socket") };
        format!("postgres://{user}@{host}:{port}/{}", self.name)
    }

    /// A session in it. It ends with the client.
    pub async fn connect(&self) -> Client {
        connect(self.cluster.clone().dbname(&self.name)).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (config, name) = (self.cluster.clone(), self.name.clone());
        apart(async move {
            let client = connect(&config).await;
            end_sessions(&client, &name).await;
            run(&client, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        });
    }
}

/// Ends those in a database and asks until they are gone. Dropping would end them, too, but looks whether they are
/// gone ten times a second only.
async fn end_sessions(client: &Client, database: &str) {
    for _ in 0..LOOKS {
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        if client.query(ended, &[&database]).await.expect("the cluster's superuser may").is_empty() {
            return;
        }
    }
}

/// What every test finds in its database besides the schema. Runs once, in the template; whatever this file says
/// is part of the template's name.
#[expect(clippy::unused_async, reason = "what goes in here speaks to the database")]
async fn prepare(_client: &mut Client) {}

/// Runs it to its end, whether or not this thread is in a runtime already.
pub fn apart<F: Future<Output: Send> + Send>(task: F) -> F::Output {
    let whole = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(task)
    };
    std::thread::scope(|scope| scope.spawn(whole).join().expect("the cluster does as it is told"))
}

async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the cluster takes connections");
    // A session that is ended from outside is what tests are about; whoever uses it sees it.
    tokio::spawn(async move { drop(connection.await) });
    client
}

async fn run(client: &Client, sql: &str) {
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

async fn exists(client: &Client, database: &str) -> bool {
    let found = client.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&database]).await;
    !found.expect("the catalogue reads").is_empty()
}

/// The name of the template, which is there afterwards.
async fn template(client: &Client, config: &Config) -> String {
    let name = template_name();
    if !exists(client, &name).await {
        // Given up when the session ends, however that comes about.
        client.execute("SELECT pg_advisory_lock($1)", &[&MAKING_TEMPLATE]).await.expect("the lock");
        if !exists(client, &name).await {
            make_template(client, config, &name).await;
        }
        client.execute("SELECT pg_advisory_unlock($1)", &[&MAKING_TEMPLATE]).await.expect("the lock");
    }
    name
}

fn template_name() -> String {
    let mut hash = Sha256::new();
    for migration in embedded::migrations::runner().get_migrations() {
        hash.update(format!("{migration}\n{}\n", migration.sql().unwrap_or_default()));
    }
    hash.update(include_str!("postgres.rs"));
    let hash = hash.finalize();
    format!("template_{:016x}", u64::from_be_bytes(hash[..8].try_into().expect("eight bytes")))
}

async fn make_template(client: &Client, config: &Config, name: &str) {
    let unfinished = "template_unfinished";
    run(client, &format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await;
    run(client, &format!("CREATE DATABASE {unfinished} TEMPLATE template0 {HOW}")).await;
    let mut inside = connect(config.clone().dbname(unfinished)).await;
    let runner = embedded::migrations::runner().set_grouped(true);
    runner.run_async(&mut inside).await.expect("the migrations run");
    prepare(&mut inside).await;
    drop(inside);
    // Waits for that session to be gone. From here on nobody can have one, so that it can be copied at any time.
    run(client, &format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await;
    run(client, &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
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

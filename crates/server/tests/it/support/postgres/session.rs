//! A session that is asked now and then, from any thread, and left alone in between.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Mutex;

use tokio::runtime::Runtime;
use tokio_postgres::{Client, Config, NoTls, Row, Statement};

/// See the module. It ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    client: Client,
    /// What is asked again and again, by its text.
    prepared: Mutex<HashMap<String, Statement>>,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Session {
    pub fn open(config: &Config) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = beside(|| runtime.block_on(connect(config)));
        Self { client, prepared: Mutex::default(), runtime: Some(runtime) }
    }

    /// Whether it was ended from outside.
    pub fn is_over(&self) -> bool {
        self.client.is_closed()
    }

    /// What a query says.
    pub fn rows(&self, sql: &str) -> Vec<Row> {
        let rows = self.wait(self.client.query(sql, &[]));
        rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// The same for a query that is planned once, and again when a table has been changed or analysed.
    pub fn rows_again(&self, sql: &str) -> Vec<Row> {
        let prepared = self.prepared.lock().expect("nobody panicked").get(sql).cloned();
        let rows = self.wait(async {
            let statement = match prepared {
                Some(statement) => statement,
                None => self.client.prepare(sql).await?,
            };
            Ok((self.client.query(&statement, &[]).await?, statement))
        });
        let (rows, statement) =
            rows.unwrap_or_else(|error: tokio_postgres::Error| panic!("{sql}: {error:?}"));
        self.prepared.lock().expect("nobody panicked").entry(sql.to_owned()).or_insert(statement);
        rows
    }

    /// Does what statements say.
    pub fn run(&self, sql: &str) {
        self.try_run(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    pub fn try_run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.wait(self.client.batch_execute(sql))
    }

    /// Runs something with the client.
    pub fn with<T: Send>(&self, ask: impl AsyncFnOnce(&Client) -> T + Send) -> T {
        let runtime = self.runtime.as_ref().expect("it is open");
        beside(|| runtime.block_on(ask(&self.client)))
    }

    fn wait<F: Future<Output: Send> + Send>(&self, answer: F) -> F::Output {
        let runtime = self.runtime.as_ref().expect("it is open");
        beside(|| runtime.block_on(answer))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Dropping it in the ordinary way waits, which a runtime's own thread must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub async fn connect(config: &Config) -> Client {
    let (client, connection) = config.connect(NoTls).await.expect("the cluster takes connections");
    // A session that is ended from outside is what tests are about; whoever uses it sees it.
    tokio::spawn(async move { drop(connection.await) });
    client
}

/// Waits on a thread of its own, for this one may be a runtime's.
pub fn beside<T: Send>(wait: impl FnOnce() -> T + Send) -> T {
    match std::thread::scope(|scope| scope.spawn(wait).join()) {
        Ok(answer) => answer,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

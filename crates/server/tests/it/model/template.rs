//! A store with one agent in it, laid out once and copied for each schedule.

use std::path::Path;

use inkhook_server::store::database_path;
use rusqlite::Connection;
use tempfile::{Builder, TempDir};

use crate::support::store::{Agent, StoreBench};

/// The agent.
pub const HANDLE: &str = "help";
/// Where a sync costs nothing: schedules have no power cuts.
const MEMORY: &str = "/dev/shm";

/// See the module.
pub struct Template {
    pub agent: Agent,
    database: Vec<u8>,
}

impl Template {
    pub async fn new() -> Self {
        let bench = StoreBench::new();
        let agent = bench.agent(HANDLE).await;
        let path = database_path(bench.directory.path());
        let connection = Connection::open(&path).expect("it opens");
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("nobody reads");
        Self { agent, database: std::fs::read(&path).expect("it reads") }
    }

    /// A directory with a copy.
    pub fn lay_out(&self) -> TempDir {
        let mut builder = Builder::new();
        builder.prefix("inkhook-model-");
        let directory =
            if Path::new(MEMORY).is_dir() { builder.tempdir_in(MEMORY) } else { builder.tempdir() };
        let directory = directory.expect("a temporary directory");
        std::fs::write(database_path(directory.path()), &self.database).expect("it writes");
        directory
    }
}

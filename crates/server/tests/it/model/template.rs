//! A store with one agent in it. A file is laid out once and copied for each schedule. On a server each schedule has
//! an empty database, in which the agent is made anew, with the same ids.

use std::path::Path;

use inkhook_server::store::database_path;
use rusqlite::Connection;
use tempfile::{Builder, TempDir};
use tokio::runtime::Runtime;

use crate::support::books::Books;
use crate::support::store::{Agent, StoreBench};

/// The agent.
pub const HANDLE: &str = "help";
/// Where a sync costs nothing: schedules have no power cuts.
const MEMORY: &str = "/dev/shm";

/// See the module.
pub struct Template {
    pub agent: Agent,
    /// Where stores are files: what is in it.
    file: Option<Vec<u8>>,
}

impl Template {
    pub async fn new() -> Self {
        let bench = StoreBench::new();
        let agent = bench.agent(HANDLE).await;
        let file = bench.books.server().is_none().then(|| {
            let path = database_path(bench.directory.path());
            let connection = Connection::open(&path).expect("it opens");
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("nobody reads");
            std::fs::read(&path).expect("it reads")
        });
        Self { agent, file }
    }

    /// A directory, and a store with the agent.
    pub fn lay_out(&self, control: &Runtime) -> (TempDir, Books) {
        let mut builder = Builder::new();
        builder.prefix("inkhook-model-");
        let directory =
            if Path::new(MEMORY).is_dir() { builder.tempdir_in(MEMORY) } else { builder.tempdir() };
        let directory = directory.expect("a temporary directory");
        if let Some(file) = &self.file {
            std::fs::write(database_path(directory.path()), file).expect("it writes");
            let books = Books::of_file(directory.path());
            return (directory, books);
        }
        control.block_on(async {
            let bench = StoreBench::in_directory(directory);
            let agent = bench.agent(HANDLE).await;
            assert_eq!((agent.organization, agent.id), (self.agent.organization, self.agent.id), "as before");
            bench.leave().await
        })
    }
}

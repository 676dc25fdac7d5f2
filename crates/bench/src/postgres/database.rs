//! A database of a cluster for whoever needs one that is empty and nobody else's.

use std::process::Command;
use std::sync::Arc;

use super::{Cluster, Error, Result, USER, io_error};

/// See the module. Dropped, whoever has a session in it, when this is.
#[derive(Debug)]
pub struct Database {
    cluster: Arc<Cluster>,
    name: String,
}

impl Database {
    /// Makes it; the cluster must not have one of that name.
    pub fn create(cluster: &Arc<Cluster>, name: &str) -> Result<Self> {
        cluster.run("createdb", &["--template", "template0", name])?;
        Ok(Self { cluster: cluster.clone(), name: name.to_owned() })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // It goes with its cluster at the latest, but until then it takes space, and vacuum looks after it.
        if let Err(error) = self.cluster.run("dropdb", &["--force", &self.name]) {
            eprintln!("inkhook-bench: the database {} stays: {error}", self.name);
        }
    }
}

impl Cluster {
    /// Runs a client program that comes with Postgres on this cluster, as its superuser.
    fn run(&self, program: &'static str, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(program);
        command.args(["--host", "127.0.0.1", "--port", &self.port.to_string(), "--username", USER]);
        command.args(["--no-password", "--maintenance-db", "postgres"]).args(arguments);
        said(program, command).map(drop)
    }

    /// Runs SQL in the database that every cluster has; what it prints.
    pub fn ask(&self, sql: &str) -> Result<String> {
        let mut psql = self.command("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        psql.arg(self.url("postgres")).args(["--command", sql]);
        said("psql", psql)
    }
}

/// What a program prints that succeeds.
pub(super) fn said(program: &'static str, mut command: Command) -> Result<String> {
    let output = command.output().map_err(io_error(format!("cannot run {program}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(Error::Failed { what: program, said: String::from_utf8_lossy(&output.stderr).into_owned() })
}

//! `inkhook copy`: the built binary moves a store from its file to a database, and what is served afterwards is the
//! same store.
//!
//! The source is always a file here. The database is one of the cluster's; without a cluster these tests are skipped.

mod kill;
mod moving;
mod refusals;
mod scene;
mod seen;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::books::Books;
use crate::support::postgres::Database;
use crate::support::running::{MASTER_KEY, binary};

/// Where a store is moved to: an empty database, with the schema in it.
fn target() -> Option<Books> {
    Some(Books::Server(Box::new(Database::create()?)))
}

/// `inkhook copy` from this directory to this database.
fn command(data_dir: &Path, target: &Books, more: &[&str]) -> Command {
    let mut command = binary();
    command
        .args(["copy", "--data-dir"])
        .arg(data_dir)
        .args(more)
        .env("INKHOOK_DATABASE__URL", target.url().expect("a server's tables"))
        .env("INKHOOK_SECURITY__MASTER_KEY", MASTER_KEY)
        .stdin(Stdio::null());
    command
}

/// The same, run.
fn copy(data_dir: &Path, target: &Books) -> Output {
    command(data_dir, target, &[]).output().expect("the binary runs")
}

/// The lines of a report that tell tables, rows and checksums.
fn tables(report: &str) -> Vec<String> {
    let lines = report.lines().skip(1).take_while(|line| !line.contains("rows are in the database"));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    assert!(lines.len() > 20, "{report}");
    lines
}

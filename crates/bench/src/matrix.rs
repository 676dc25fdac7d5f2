//! The whole table of `docs/performance.md`: every row against a server of its own, on the same machine and in
//! the same run as the raw ceiling that it is compared with.

mod backlog;
mod startup;
mod throughput;

use std::path::PathBuf;
use std::time::Duration;

use crate::ceiling;
use crate::neighbours;
use crate::scene::Setting;
use crate::table::{Row, Table, Target};

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// See there.
    pub setting: Setting,
    /// Runs of each row; the figure is their median.
    pub runs: usize,
    /// Pairs of each neighbourhood.
    pub pairs: usize,
    /// How long each run of a neighbourhood is.
    pub neighbours_time: Duration,
    /// Deliveries that wait in the long queues.
    pub long_queue: u64,
    /// Only these parts; all when empty.
    pub only: Vec<String>,
}

/// The parts that can be asked for.
pub const PARTS: [&str; 9] =
    ["single", "batch", "fan-out", "latency", "payload", "subscriptions", "commit-delay", "start", "queue"];

/// One kind of measurement, filling its rows.
pub(crate) type Part<'a> = &'a mut dyn FnMut(&mut Table) -> anyhow::Result<()>;

impl Plan {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    /// A directory for one server, gone when dropped.
    pub(crate) fn directory(&self) -> anyhow::Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("inkhook-bench-").tempdir_in(&self.setting.work_dir)?)
    }
}

/// Measures it all. What fails is a row without a figure and a line on standard error, so that an hour of
/// measuring is not lost to its last minute.
///
/// # Errors
/// The ceiling cannot be measured.
pub fn run(plan: &Plan) -> anyhow::Result<Table> {
    let mut table = Table::default();
    measure_ceiling(plan, &mut table)?;
    for round in 0..plan.runs {
        throughput::round(plan, &mut table, round);
        if plan.wants("start") {
            attempt(&mut table, "start", &mut |table| startup::empty(plan, table));
        }
    }
    if plan.wants("queue") {
        backlog::all(plan, &mut table);
    }
    if plan.wants("neighbours") {
        neighbours::all(plan, &mut table);
    }
    measure_ceiling(plan, &mut table)?;
    Ok(table)
}

/// At the beginning and at the end: the machine may have changed meanwhile.
fn measure_ceiling(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    say("ceiling");
    let found = ceiling::measure(&plan.setting.work_dir, plan.setting.time, 64, plan.setting.threads)?;
    let posts = Row::new("ceiling.posts", "raw signed POSTs", "/s", Target::None);
    table.add(posts, found.posts_per_second);
    let commits = Row::new("ceiling.commits", "synced commits of one row", "/s", Target::None);
    table.add(commits, found.commits_per_second);
    let cpu =
        Row::new("ceiling.cpu", "CPU of driver and receiver for a raw POST", "µs", Target::AtMost(30.0));
    table.add(cpu, found.cpu_us_per_post);
    table.ceiling = table.rows().first().and_then(Row::figure);
    Ok(())
}

/// Runs a part; its error is said and does not end the others.
pub(crate) fn attempt(table: &mut Table, what: &str, part: Part<'_>) {
    say(what);
    if let Err(error) = part(table) {
        eprintln!("inkhook-bench: {what}: {error:#}");
        let row = Row::new(format!("failed.{what}"), format!("{what}: not measured"), "", Target::None);
        table.note(row, format!("{error:#}").lines().next().unwrap_or_default());
    }
}

pub(crate) fn say(what: &str) {
    eprintln!("measuring {what}");
}

/// Where the data of servers goes when nobody says.
pub fn default_work_dir() -> PathBuf {
    std::env::temp_dir()
}

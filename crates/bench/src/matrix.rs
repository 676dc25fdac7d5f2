//! The whole table of `docs/performance.md`: every row against a server of its own, on the same machine and in
//! the same run as the raw ceiling that it is compared with.

mod backlog;
mod calls;
mod nodes;
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
    /// Only these parts; all that the store allows when empty.
    pub only: Vec<String>,
    /// Only these neighbourhoods; all that the store allows when empty.
    pub neighbourhoods: Vec<String>,
}

/// The part that is a command of its own, too.
pub const NEIGHBOURS: &str = "neighbours";
/// Parts that write into a store's file.
pub const ON_A_FILE: [&str; 1] = ["queue"];
/// Parts that a store must be shared for.
pub const ON_A_SERVER: [&str; 1] = ["nodes"];

/// The parts that can be asked for.
pub const PARTS: [&str; 12] = [
    "single",
    "batch",
    "fan-out",
    "latency",
    "payload",
    "subscriptions",
    "commit-delay",
    "calls",
    "start",
    "nodes",
    "queue",
    NEIGHBOURS,
];

/// One kind of measurement, filling its rows.
pub(crate) type Part<'a> = &'a mut dyn FnMut(&mut Table) -> anyhow::Result<()>;

impl Plan {
    fn wants(&self, part: &str) -> bool {
        let other = if self.setting.store.is_server() { &ON_A_FILE } else { &ON_A_SERVER };
        !other.contains(&part) && self.is_asked_for(part)
    }

    fn is_asked_for(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    /// What is measured on a database server, and what of the parts that were asked for cannot be; nothing is to be
    /// said of a file.
    fn on_a_server(&self) -> Option<String> {
        let nodes = self.setting.nodes;
        let what = self.setting.store.is_server().then(|| format!("Postgres, nodes: {nodes}"))?;
        let left_out: Vec<_> = [
            ("queue", "a queue that waits or drains, start and memory with one"),
            (NEIGHBOURS, "the neighbour with a long queue"),
            ("single", "disk for an event"),
        ]
        .into_iter()
        .filter_map(|(part, what)| self.is_asked_for(part).then_some(what))
        .collect();
        if left_out.is_empty() {
            return Some(what);
        }
        Some(format!("{what}; left out, for they need a file: {}", left_out.join("; ")))
    }

    /// Says it, in one line and in the table.
    pub(crate) fn say_store(&self, table: &mut Table) {
        if let Some(what) = self.on_a_server() {
            eprintln!("inkhook-bench: {what}");
            table.note(Row::new("store", "store", "", Target::None), what);
        }
    }
}

/// Measures it all. What fails is a row without a figure and a line on standard error, so that an hour of
/// measuring is not lost to its last minute.
///
/// # Errors
/// The ceiling cannot be measured.
pub fn run(plan: &Plan) -> anyhow::Result<Table> {
    let mut table = Table::default();
    plan.say_store(&mut table);
    measure_ceiling(plan, &mut table)?;
    for round in 0..plan.runs {
        throughput::round(plan, &mut table, round);
        if plan.wants("calls") {
            attempt(&mut table, "incoming calls", &mut |table| calls::all(plan, table));
        }
        if plan.wants("nodes") {
            nodes::round(plan, &mut table, round);
        }
        if plan.wants("start") {
            attempt(&mut table, "start", &mut |table| startup::empty(plan, table));
        }
    }
    if plan.wants("queue") {
        backlog::all(plan, &mut table);
    }
    if plan.wants(NEIGHBOURS) {
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
    table.ceiling = table.rows().iter().find_map(Row::figure);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn plan(store: Store, only: &[&str]) -> Plan {
        Plan {
            setting: Setting {
                binary: PathBuf::new(),
                work_dir: default_work_dir(),
                store,
                nodes: 1,
                time: Duration::ZERO,
                threads: 1,
            },
            runs: 1,
            pairs: 1,
            neighbours_time: Duration::ZERO,
            long_queue: 0,
            only: only.iter().map(|part| (*part).to_owned()).collect(),
            neighbourhoods: Vec::new(),
        }
    }

    #[test]
    fn a_file_is_measured_with_all_parts_but_those_that_share_it() {
        let all = plan(Store::Sqlite, &[]);
        assert!(PARTS.iter().all(|part| all.wants(part) != ON_A_SERVER.contains(part)));
        assert_eq!(all.on_a_server(), None);
        let one = plan(Store::Sqlite, &["queue"]);
        assert!(PARTS.iter().all(|part| one.wants(part) == (*part == "queue")));
    }

    #[test]
    fn what_a_server_leaves_out_is_said() {
        let work_dir = tempfile::tempdir().expect("a temporary directory");
        let Some(store) = crate::store::tests::postgres(work_dir.path()) else { return };
        let all = plan(store.clone(), &[]);
        assert!(PARTS.iter().all(|part| all.wants(part) != ON_A_FILE.contains(part)));
        let said = all.on_a_server().expect("it is said");
        assert!(
            ["Postgres, nodes: 1; left out", "queue", "neighbour", "disk"]
                .iter()
                .all(|part| said.contains(part))
        );
        assert_eq!(said.lines().count(), 1);
        let one = plan(store.clone(), &["single"]);
        let said = one.on_a_server().expect("it is said");
        assert!(said.ends_with(": disk for an event"), "{said}");
        let none = plan(store, &["batch"]);
        assert_eq!(none.on_a_server().as_deref(), Some("Postgres, nodes: 1"));
    }
}

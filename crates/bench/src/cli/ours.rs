//! `run`, `matrix`, `neighbours`, `seed`: for our own server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::basics::{resolve, show_tally};
use super::{Output, write};
use crate::api::Api;
use crate::drive::{Load, Pace, Until};
use crate::matrix::{self, NEIGHBOURS, ON_A_FILE, ON_A_SERVER, PARTS, Plan};
use crate::neighbours;
use crate::postgres::Cluster;
use crate::postgres::process::Process;
use crate::progress::Progress;
use crate::receive::{Receiver, ReceiverOptions};
use crate::scene::{MOST_NODES, Setting};
use crate::seed::{self, Due, Seed};
use crate::store::Store;
use crate::table::Table;

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The server's API; it must be allowed to deliver to loopback (`serve --dev`).
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// An admin key of an organisation on it.
    #[arg(long, env = "INKHOOK_API_KEY", hide_env_values = true)]
    key: String,
    /// Connections that publish.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Events to publish.
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// Requests a second, evenly spaced; as fast as the answers come when left out.
    #[arg(long)]
    rate: Option<f64>,
    /// Events in one request.
    #[arg(long, default_value_t = 1)]
    batch: u64,
    /// Subscriptions that each event goes to.
    #[arg(long, default_value_t = 1)]
    fan_out: usize,
    /// Bytes of each mail's text.
    #[arg(long, default_value_t = 1_000)]
    body_bytes: usize,
    /// Threads of the driver, and of the receiver.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[command(flatten)]
    output: Output,
}

/// What a shell says of a process that a ctrl-c ended.
const ON_A_SIGNAL: i32 = 130;
/// How long the last deliveries may take after the last publish was answered.
const DRAIN: Duration = Duration::from_mins(1);

pub(super) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let (address, _) = resolve(&args.url)?;
    let api = Api::new(address, &args.key);
    let receiver = Receiver::start(ReceiverOptions { threads: args.threads, ..ReceiverOptions::default() })?;
    let agent = api.agent(&format!("bench-{}", std::process::id()))?;
    api.subscribe(&agent, &receiver.url("/run"), args.fan_out)?;
    let template = match args.batch {
        1 => api.event(&agent, args.body_bytes)?,
        events => api.batch(&agent, args.body_bytes, events)?,
    };
    let load = Load {
        addresses: [address].into(),
        templates: [template].into(),
        connections: args.connections,
        pace: args.rate.map_or(Pace::Closed, Pace::Open),
        until: Until::Requests(args.events.div_ceil(args.batch)),
        honour_retry_after: true,
        threads: args.threads,
    };
    let progress = Progress::start("accepted", Some(args.events));
    let tally = load.run(&progress.done)?;
    drop(progress);
    let expected = tally.accepted * args.fan_out as u64;
    let arrived = receiver.wait("run", expected, DRAIN);
    api.remove(&agent)?;
    let group = receiver.stats().group("run");
    show_tally(&tally);
    let per_second = crate::latency::per_second(arrived, group.last_us.saturating_sub(tally.began_us));
    println!("delivered  {arrived:>9} of {expected}   {per_second:>9.0} /s");
    println!("repeats    {:>9}", group.requests - group.deliveries);
    println!("arrival    {}", group.latency);
    let stats = receiver.stats().to_json();
    args.output.write(&json!({"drive": tally.to_json(), "receive": stats, "expected": expected,
        "delivered": arrived, "delivered_per_second": per_second}))?;
    ensure!(arrived == expected, "{} deliveries did not arrive", expected - arrived);
    Ok(())
}

#[derive(Debug, clap::Args)]
pub(super) struct MatrixArgs {
    /// The binary `inkhook`, built for release.
    #[arg(long, value_name = "FILE", default_value = "target/release/inkhook")]
    server: PathBuf,
    /// A directory on the disk to be measured; needs 8 GB for the longest queues [default: the system's
    /// temporary directory].
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// What the servers store in: a file each, or a database each in a Postgres cluster that is made for it.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: StoreKind,
    /// Servers that share each database, all of them published to. Postgres only.
    #[arg(long, default_value_t = 1, value_parser = nodes)]
    nodes: usize,
    /// Runs of each row.
    #[arg(long)]
    runs: Option<usize>,
    /// Pairs of each neighbourhood.
    #[arg(long)]
    pairs: Option<usize>,
    /// Seconds of each load.
    #[arg(long)]
    seconds: Option<f64>,
    /// Deliveries in the longest queues.
    #[arg(long)]
    queue: Option<u64>,
    /// One run of each row, shorter loads, queues a tenth as long.
    #[arg(long)]
    quick: bool,
    /// Threads of the driver, and of the receiver.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Only this part: single, batch, fan-out, latency, payload, subscriptions, commit-delay, calls, start, nodes
    /// (Postgres only), queue (SQLite only), neighbours. May be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// Only this neighbourhood: hang, reset, sudden, context, queued (SQLite only). May be given several times.
    #[arg(long, value_parser = PossibleValuesParser::new(neighbours::IDS))]
    neighbourhood: Vec<String>,
    /// Write the table, in Markdown, to this file too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StoreKind {
    Sqlite,
    Postgres,
}

fn nodes(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_NODES).contains(number));
    number.ok_or_else(|| format!("a number from 1 to {MOST_NODES} is asked for"))
}

impl MatrixArgs {
    fn plan(&self) -> anyhow::Result<Plan> {
        self.check_store()?;
        ensure!(self.server.exists(), "{} is not there: cargo build --release", self.server.display());
        let quick = self.quick;
        let seconds = self.seconds.unwrap_or(if quick { 2.0 } else { 6.0 });
        ensure!(seconds > 0.0, "--seconds must be more than nothing");
        let work_dir = self.work_dir.clone().unwrap_or_else(matrix::default_work_dir);
        Ok(Plan {
            setting: Setting {
                binary: self.server.canonicalize()?,
                store: self.store(&work_dir)?,
                nodes: self.nodes,
                work_dir,
                time: Duration::from_secs_f64(seconds),
                threads: self.threads,
            },
            runs: self.runs.unwrap_or(if quick { 1 } else { 3 }).max(1),
            pairs: self.pairs.unwrap_or(if quick { 1 } else { 5 }).max(1),
            neighbours_time: Duration::from_secs_f64(self.seconds.unwrap_or(if quick { 5.0 } else { 10.0 })),
            long_queue: self.queue.unwrap_or(if quick { 100_000 } else { 1_000_000 }),
            only: self.only.clone(),
            neighbourhoods: self.neighbourhood.clone(),
        })
    }

    /// Whether this store can be asked for these parts, and for so many nodes.
    fn check_store(&self) -> anyhow::Result<()> {
        let (kind, other) = match self.store {
            StoreKind::Sqlite => ("sqlite", ON_A_SERVER),
            StoreKind::Postgres => ("postgres", ON_A_FILE),
        };
        for part in &self.only {
            ensure!(PARTS.contains(&&**part), "'{part}' is none of {PARTS:?}");
            ensure!(!other.contains(&&**part), "--only {part} cannot be measured with --store {kind}");
        }
        let is_shared = self.store == StoreKind::Postgres;
        ensure!(is_shared || self.nodes == 1, "--nodes {} needs --store postgres", self.nodes);
        Ok(())
    }

    fn store(&self, work_dir: &Path) -> anyhow::Result<Store> {
        if self.store == StoreKind::Sqlite {
            return Ok(Store::Sqlite);
        }
        let store = Store::postgres(work_dir)?;
        if let Some(dir) = store.cluster_dir() {
            stop_all_on_a_signal(self.server.canonicalize()?, dir.to_owned())?;
        }
        Ok(store)
    }

    fn show(&self, table: &Table) -> anyhow::Result<()> {
        let text = table.to_markdown();
        print!("{text}");
        if let Some(path) = &self.markdown {
            std::fs::write(path, text)?;
        }
        self.output.json.as_deref().map_or(Ok(()), |path| write(path, &table.to_json()))
    }
}

/// A ctrl-c at the terminal is not heard by the cluster, which is of another group and would go on; and servers that
/// lose their database keep what they have to write until it is back.
fn stop_all_on_a_signal(server: PathBuf, dir: PathBuf) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        if runtime.block_on(super::basics::asked_to_stop()).is_err() {
            return;
        }
        // Whatever cannot be ended: this process has been told to go.
        drop(Process::kill_own(&server));
        if let Ok(Some(mut cluster)) = Cluster::running(&dir) {
            drop(cluster.stop());
        }
        drop(std::fs::remove_dir_all(&dir));
        std::process::exit(ON_A_SIGNAL);
    });
    Ok(())
}

pub(super) fn matrix(args: &MatrixArgs) -> anyhow::Result<()> {
    args.show(&matrix::run(&args.plan()?)?)
}

pub(super) fn neighbours(args: &MatrixArgs) -> anyhow::Result<()> {
    let mut table = Table::default();
    let plan = Plan { only: vec![NEIGHBOURS.into()], ..args.plan()? };
    plan.say_store(&mut table);
    neighbours::all(&plan, &mut table);
    args.show(&table)
}

#[derive(Debug, clap::Args)]
pub(super) struct SeedArgs {
    /// The data directory of a server that is stopped.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Subscriptions whose URL is like this; % stands for anything.
    #[arg(long, default_value = "%")]
    url_like: String,
    /// Deliveries in all.
    #[arg(long, default_value_t = 1_000_000)]
    deliveries: u64,
    /// When they are due.
    #[arg(long, value_enum, default_value = "now")]
    due: Due,
    /// Bytes of each mail's text.
    #[arg(long, default_value_t = 1_000)]
    body_bytes: usize,
}

pub(super) fn seed(args: &SeedArgs) -> anyhow::Result<()> {
    let (deliveries, body_bytes) = (args.deliveries, args.body_bytes);
    let rows = Seed { url_like: &args.url_like, deliveries, due: args.due, body_bytes };
    let subscriptions = seed::seed(&args.data_dir, &rows)?;
    println!("{deliveries} deliveries wait for {subscriptions} subscriptions");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_from_one_to_the_most() {
        assert_eq!(nodes("1"), Ok(1));
        assert_eq!(nodes(&MOST_NODES.to_string()), Ok(MOST_NODES));
        for wrong in ["0", &(MOST_NODES + 1).to_string(), "-1", "many"] {
            assert_eq!(nodes(wrong), Err(format!("a number from 1 to {MOST_NODES} is asked for")));
        }
    }

    #[test]
    fn a_store_is_asked_only_for_what_it_has() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: MatrixArgs,
        }
        let check = |line: &str| {
            let line = std::iter::once("matrix").chain(line.split_whitespace());
            let line: Line = clap::Parser::try_parse_from(line).expect("it reads");
            line.args.check_store().map_err(|error| error.to_string())
        };
        for fine in ["", "--only queue", "--store postgres --nodes 8", "--store postgres --only nodes"] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
        for (wrong, names) in [
            ("--nodes 2", "--nodes 2"),
            ("--only nodes", "--only nodes"),
            ("--only queue --store postgres", "--only queue"),
            ("--only nothing", "'nothing'"),
        ] {
            assert!(check(wrong).expect_err(wrong).contains(names), "{wrong}");
        }
    }
}

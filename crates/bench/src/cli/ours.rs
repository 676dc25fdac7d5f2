//! `run`, `matrix`, `neighbours`, `seed`: for our own server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use super::basics::{resolve, show_tally};
use super::{Output, write};
use crate::api::Api;
use crate::drive::{Load, Pace, Until};
use crate::matrix::{self, PARTS, Plan};
use crate::neighbours;
use crate::progress::Progress;
use crate::receive::{Receiver, ReceiverOptions};
use crate::scene::Setting;
use crate::seed::{self, Due, Seed};
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
    /// Only this part: single, batch, fan-out, latency, payload, subscriptions, commit-delay, start, queue,
    /// neighbours. May be given several times.
    #[arg(long)]
    only: Vec<String>,
    /// Write the table, in Markdown, to this file too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// The part that is a command of its own, too.
const NEIGHBOURS: &str = "neighbours";

impl MatrixArgs {
    fn plan(&self) -> anyhow::Result<Plan> {
        for part in &self.only {
            ensure!(
                PARTS.contains(&&**part) || part == NEIGHBOURS,
                "'{part}' is none of {PARTS:?}, {NEIGHBOURS}"
            );
        }
        ensure!(self.server.exists(), "{} is not there: cargo build --release", self.server.display());
        let quick = self.quick;
        let seconds = self.seconds.unwrap_or(if quick { 2.0 } else { 6.0 });
        ensure!(seconds > 0.0, "--seconds must be more than nothing");
        Ok(Plan {
            setting: Setting {
                binary: self.server.canonicalize()?,
                work_dir: self.work_dir.clone().unwrap_or_else(matrix::default_work_dir),
                time: Duration::from_secs_f64(seconds),
                threads: self.threads,
            },
            runs: self.runs.unwrap_or(if quick { 1 } else { 3 }).max(1),
            pairs: self.pairs.unwrap_or(if quick { 1 } else { 5 }).max(1),
            neighbours_time: Duration::from_secs_f64(self.seconds.unwrap_or(if quick { 5.0 } else { 10.0 })),
            long_queue: self.queue.unwrap_or(if quick { 100_000 } else { 1_000_000 }),
            only: self.only.clone(),
        })
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

pub(super) fn matrix(args: &MatrixArgs) -> anyhow::Result<()> {
    args.show(&matrix::run(&args.plan()?)?)
}

pub(super) fn neighbours(args: &MatrixArgs) -> anyhow::Result<()> {
    let mut table = Table::default();
    neighbours::all(&args.plan()?, &mut table);
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

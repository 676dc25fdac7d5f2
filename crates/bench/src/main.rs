//! Load for a running server, and a receiver that measures what arrives.
//!
//! `inkhook-bench run` plays both ends of one measurement: it publishes mail events to a server that is
//! already running, receives the deliveries on a loopback port, and reports how many were accepted and
//! delivered in a second and how long each took from the start of its publish to the arrival of its POST.
//! Both ends are one process with one clock, so the two times can be compared.

mod measure;
mod publish;
mod receive;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::measure::Measurement;
use crate::publish::{Pace, Target};

#[derive(Debug, Parser)]
#[command(name = "inkhook-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish to a running server and receive its deliveries.
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// The server's API.
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
    events: usize,
    /// Events a second, evenly spaced; as fast as the answers come when left out. With a rate, an event
    /// counts from when it should have been sent, so that a stall is not hidden.
    #[arg(long)]
    rate: Option<u32>,
    /// Subscriptions that each event goes to.
    #[arg(long, default_value_t = 1)]
    fan_out: usize,
    /// Bytes of each mail's body.
    #[arg(long, default_value_t = 1000)]
    body_bytes: usize,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// How long the last deliveries may take after the last publish was answered.
const DRAIN: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(args)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inkhook-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    let measurement = Arc::new(Measurement::new(args.events, args.fan_out));
    let receiver = receive::start(measurement.clone()).await?;
    let target = Target::prepare(&args.url, &args.key, receiver, args.fan_out, args.body_bytes).await?;
    let pace = args.rate.map_or(Pace::Closed, |rate| Pace::Open { rate });
    measurement.start();
    publish::all(&target, args.connections, pace, &measurement).await?;
    measurement.drained(DRAIN).await;
    target.clean_up().await?;
    let report = measurement.report();
    if args.json {
        println!("{}", report.to_json());
    } else {
        println!("{report}");
    }
    anyhow::ensure!(report.missing() == 0, "{} deliveries did not arrive", report.missing());
    Ok(())
}

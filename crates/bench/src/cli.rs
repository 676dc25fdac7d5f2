//! The command line.
//!
//! `receive`, `drive` and `ceiling` measure any server. `run`, `matrix`, `neighbours` and `seed` know ours.
//! `postgres` starts and stops a private cluster for them and for the tests.

mod basics;
mod ours;
mod postgres;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use serde_json::Value;

#[derive(Debug, Parser)]
#[command(name = "inkhook-bench", version, about = "Load, and a receiver that measures")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive deliveries: count them, find repeats, measure, misbehave when told to. Ends on ctrl-c.
    Receive(basics::ReceiveArgs),
    /// Publish to any HTTP endpoint, as fast as it answers or at a fixed rate.
    Drive(basics::DriveArgs),
    /// Measure what the machine can do with no server in between.
    Ceiling(basics::CeilingArgs),
    /// Publish to a running inkhook and receive its deliveries.
    Run(ours::RunArgs),
    /// Fill the whole table of docs/performance.md, starting and stopping servers.
    Matrix(ours::MatrixArgs),
    /// What bad neighbours do to a healthy URL, starting and stopping servers.
    Neighbours(ours::MatrixArgs),
    /// Write a long queue into the database of a stopped server. For tests; bound to this version's schema.
    Seed(ours::SeedArgs),
    /// Start or stop a private Postgres, for tests and measurements.
    #[command(subcommand)]
    Postgres(postgres::PostgresCommand),
}

/// Runs the command of this process.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Receive(args) => basics::receive(args),
        Command::Drive(args) => basics::drive(&args),
        Command::Ceiling(args) => basics::ceiling(&args),
        Command::Run(args) => ours::run(&args),
        Command::Matrix(args) => ours::matrix(&args),
        Command::Neighbours(args) => ours::neighbours(&args),
        Command::Seed(args) => ours::seed(&args),
        Command::Postgres(command) => postgres::run(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inkhook-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Where to write JSON.
#[derive(Debug, clap::Args)]
struct Output {
    /// Write what was found as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Output {
    fn write(&self, value: &Value) -> anyhow::Result<()> {
        self.json.as_deref().map_or(Ok(()), |path| write(path, value))
    }
}

fn write(path: &Path, value: &Value) -> anyhow::Result<()> {
    let text = format!("{value:#}\n");
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

//! The command line: reads arguments, calls the rest, speaks to people. Nothing imports this.

mod admin;
mod args;
mod config;
mod copy;
mod demo;
mod keys;
mod migrate;
mod numbers;
mod org;
mod queue;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Webhook subscriptions and delivery for the mailboxes and phone numbers of agents.
#[derive(Debug, Parser)]
#[command(name = "inkhook", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until it is told to stop.
    Serve(args::ServeArgs),
    /// Show the whole path at work, from a mail to a verified delivery. Needs nothing prepared.
    Demo(demo::DemoArgs),
    /// Look at the configuration.
    Config(config::ConfigArgs),
    /// Make, list and delete organisations, and say who belongs to them.
    Org(org::OrgArgs),
    /// Make API keys.
    Keys(keys::KeysArgs),
    /// Give phone numbers to organisations.
    Numbers(numbers::NumbersArgs),
    /// See what waits to be delivered, have it tried now, cancel it or move it.
    Queue(queue::QueueArgs),
    /// Bring the database's schema up to date, as a server does when it starts. Several may do so at once.
    Migrate(args::DataArgs),
    /// Move the store of the data directory to a Postgres database. Goes on where it was cut off, and reads everything
    /// back. The server must be stopped.
    Copy(copy::CopyArgs),
    /// Print the OpenAPI document of the API.
    Openapi,
}

/// Runs the command of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let result = match cli.command {
        Command::Serve(args) => runtime.block_on(serve::run(args)),
        Command::Demo(args) => runtime.block_on(demo::run(args)),
        Command::Config(args) => config::run(args),
        Command::Org(args) => runtime.block_on(org::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Numbers(args) => runtime.block_on(numbers::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Keys(args) => runtime.block_on(keys::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Queue(args) => runtime.block_on(queue::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Migrate(args) => runtime.block_on(migrate::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Copy(args) => runtime.block_on(copy::run(args)).map(|()| ExitCode::SUCCESS),
        Command::Openapi => openapi().map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| fail(&error))
}

fn openapi() -> anyhow::Result<()> {
    println!("{}", crate::api::openapi().to_pretty_json()?);
    Ok(())
}

/// One line, the cause after a colon: what went wrong, for the person at the keyboard.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("inkhook: {error:#}");
    ExitCode::FAILURE
}

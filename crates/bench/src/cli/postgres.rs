//! `postgres`: a private cluster that outlives the command.

use std::path::PathBuf;

use crate::postgres::{Cluster, Options};

/// The database that every cluster has.
const DATABASE: &str = "postgres";

#[derive(Debug, clap::Subcommand)]
pub(super) enum PostgresCommand {
    /// Start it, made first when the directory has none, and print its URL. One that runs already is left alone.
    Start(StartArgs),
    /// Stop it; nothing happens when it does not run.
    Stop(StopArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct StartArgs {
    /// Everything of it goes in here.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where to listen on 127.0.0.1 [default: a free port].
    #[arg(long)]
    port: Option<u16>,
    /// Commits reach the disk before they are answered.
    #[arg(long)]
    fsync: bool,
    /// A line more of its configuration. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
pub(super) struct StopArgs {
    /// Where it was started.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is asked for")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) fn run(command: PostgresCommand) -> anyhow::Result<()> {
    match command {
        PostgresCommand::Start(args) => start(args),
        PostgresCommand::Stop(args) => stop(args),
    }
}

fn start(args: StartArgs) -> anyhow::Result<()> {
    let cluster = if let Some(running) = Cluster::running(&args.dir)? {
        running
    } else {
        let StartArgs { dir, port, fsync, set } = args;
        Cluster::start(Options { port, fsync, settings: set, ..Options::new(dir) })?
    };
    println!("{}", cluster.url(DATABASE));
    cluster.detach();
    Ok(())
}

fn stop(args: StopArgs) -> anyhow::Result<()> {
    if let Some(mut running) = Cluster::running(args.dir)? {
        running.stop()?;
    }
    Ok(())
}

//! `inkhook migrate`: brings the schema up to date without starting a server.

use super::args::DataArgs;
use crate::server;

/// A server does the same at its start; this is for those who do it in a step of its own, with a role that may.
pub(super) async fn run(args: DataArgs) -> anyhow::Result<()> {
    let config = args.load()?;
    config.validate()?;
    let version = tokio::task::spawn_blocking(move || server::migrate(&config)).await??;
    println!("the schema is up to date: version {version}");
    Ok(())
}

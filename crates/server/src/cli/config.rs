//! `inkhook config`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::args::ServeArgs;
use crate::config::ConfigError;

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print what `serve` with these flags would use, as TOML with secrets masked, and everything that is
    /// wrong with it. Exits with 1 when something is.
    Check(ServeArgs),
}

/// What is in force goes to standard output, what is wrong with it to standard error. A value that cannot
/// be read is shown as its default.
pub(super) fn run(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Check(args) = args.command;
    let (config, problems) = args.check()?;
    print!("{}", config.to_masked_toml()?);
    if problems.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(ConfigError::Invalid(problems).into())
}

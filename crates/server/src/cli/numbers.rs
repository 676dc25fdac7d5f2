//! `inkhook numbers`.

use clap::{Args, Subcommand};

use super::admin::{self, Answer, Request};
use super::args::DataArgs;

#[derive(Debug, Args)]
pub(super) struct NumbersArgs {
    #[command(subcommand)]
    command: NumbersCommand,
}

#[derive(Debug, Subcommand)]
enum NumbersCommand {
    /// Let an organisation take a number. Numbers of an area code and 555-01xx are free to take anyway.
    Allow {
        /// The number, as +12125559876.
        number: String,
        /// Name or id of the organisation.
        #[arg(long, value_name = "ORG")]
        org: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

pub(super) async fn run(args: NumbersArgs) -> anyhow::Result<()> {
    let NumbersCommand::Allow { number, org, data } = args.command;
    let request = Request::AllowNumber { organization: org, number };
    match admin::ask(&data.load()?, request).await? {
        Answer::Allowed => println!("allowed"),
        other => anyhow::bail!("an unexpected answer: {other:?}"),
    }
    Ok(())
}

//! `inkhook keys`.

use clap::{Args, Subcommand};

use super::admin::{self, Answer, KeyKind, Request};
use super::args::DataArgs;

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make an API key and print it, this once.
    Create(CreateArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Name or id of the organisation.
    #[arg(long, value_name = "ORG", required_unless_present = "operator")]
    org: Option<String>,
    /// A key for everything in the organisation (the default).
    #[arg(long, conflicts_with_all = ["agent", "operator"])]
    admin: bool,
    /// A key for what belongs to this identity.
    #[arg(long, value_name = "HANDLE", conflicts_with = "operator")]
    agent: Option<String>,
    /// With --agent: a key that no person has claimed yet; webhook routes refuse it.
    #[arg(long, requires = "agent")]
    unclaimed: bool,
    /// A key that acts for any organisation, named with each request.
    #[arg(long)]
    operator: bool,
    /// What people call the key.
    #[arg(long, default_value = "made on the command line")]
    label: String,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) async fn run(args: KeysArgs) -> anyhow::Result<()> {
    let KeysCommand::Create(args) = args.command;
    let kind = match (args.agent, args.operator) {
        (Some(handle), _) => KeyKind::Agent { handle, claimed: !args.unclaimed },
        (None, true) => KeyKind::Operator,
        (None, false) => KeyKind::Admin,
    };
    let request = Request::CreateKey { organization: args.org, kind, label: args.label };
    match admin::ask(&args.data.load()?, request).await? {
        Answer::Key(key) => println!("{key}"),
        other => anyhow::bail!("an unexpected answer: {other:?}"),
    }
    Ok(())
}

//! `inkhook org`.

use clap::{Args, Subcommand};

use super::admin::{self, Answer, Request};
use super::args::DataArgs;

#[derive(Debug, Args)]
pub(super) struct OrgArgs {
    #[command(subcommand)]
    command: OrgCommand,
}

#[derive(Debug, Subcommand)]
enum OrgCommand {
    /// Make an organisation.
    Create {
        /// What people call it; unique on this server.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List organisations.
    List {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Delete an organisation, its keys, identities and subscriptions. What it has queued is cancelled.
    Delete {
        /// Its name or id.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

pub(super) async fn run(args: OrgArgs) -> anyhow::Result<()> {
    let (data, request) = match args.command {
        OrgCommand::Create { name, data } => (data, Request::CreateOrganization { name }),
        OrgCommand::List { data } => (data, Request::ListOrganizations),
        OrgCommand::Delete { name, data } => (data, Request::DeleteOrganization { name }),
    };
    match admin::ask(&data.load()?, request).await? {
        Answer::Organizations(organizations) => {
            for organization in organizations {
                println!("{}  {}  {}", organization.id, organization.created_at, organization.name);
            }
        }
        Answer::Deleted => println!("deleted"),
        other => anyhow::bail!("an unexpected answer: {other:?}"),
    }
    Ok(())
}

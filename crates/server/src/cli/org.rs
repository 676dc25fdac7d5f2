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
    /// Say which people belong to an organisation: it may approve the agents that sign up and name them.
    Member {
        #[command(subcommand)]
        command: MemberCommand,
    },
}

#[derive(Debug, Subcommand)]
enum MemberCommand {
    /// Make somebody a member.
    Add(MemberArgs),
    /// Make somebody a member no longer. Agents that are claimed stay.
    Remove(MemberArgs),
    /// List the members of an organisation.
    List {
        /// Its name or id.
        org: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

#[derive(Debug, Args)]
struct MemberArgs {
    /// Name or id of the organisation.
    org: String,
    /// The person's mail address.
    email: String,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) async fn run(args: OrgArgs) -> anyhow::Result<()> {
    let (data, request) = match args.command {
        OrgCommand::Create { name, data } => (data, Request::CreateOrganization { name }),
        OrgCommand::List { data } => (data, Request::ListOrganizations),
        OrgCommand::Delete { name, data } => (data, Request::DeleteOrganization { name }),
        OrgCommand::Member { command } => match command {
            MemberCommand::Add(MemberArgs { org, email, data }) => {
                (data, Request::AddMember { organization: org, email })
            }
            MemberCommand::Remove(MemberArgs { org, email, data }) => {
                (data, Request::RemoveMember { organization: org, email })
            }
            MemberCommand::List { org, data } => (data, Request::ListMembers { organization: org }),
        },
    };
    match admin::ask(&data.load()?, request).await? {
        Answer::Organizations(organizations) => {
            for organization in organizations {
                println!("{}  {}  {}", organization.id, organization.created_at, organization.name);
            }
        }
        Answer::Members(members) => members.iter().for_each(|member| println!("{member}")),
        Answer::Deleted => println!("deleted"),
        other => anyhow::bail!("an unexpected answer: {other:?}"),
    }
    Ok(())
}

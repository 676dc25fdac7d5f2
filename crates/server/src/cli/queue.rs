//! `inkhook queue`: what waits, and what the operator does about it.

use clap::{Args, Subcommand};
use inkhook_wire::id::{RequestId, SubscriptionId};
use serde::{Deserialize, Serialize};

use super::admin::{self, Answer};
use super::args::DataArgs;
use crate::domain::delivery::Class;
use crate::domain::number::{DeliveryNo, OrganizationNo, SubscriptionNo};
use crate::domain::time::Clock;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::waiting::{COUNTED, MAX_PAGE, Place, Waiting, WaitingFilter, Why};

#[derive(Debug, Args)]
pub(super) struct QueueArgs {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// What waits: for whom, since when and why; one line a subscription.
    List {
        /// Of this organisation only: name or id.
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
        /// Subscriptions to show at most.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Go on after this subscription, the last one of the page before.
        #[arg(long, value_name = "ID")]
        after: Option<SubscriptionId>,
        #[command(flatten)]
        common: Common,
    },
    /// Have what waits tried now. A paused subscription stays paused.
    Retry {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        common: Common,
    },
    /// Cancel what waits: it is never sent.
    Cancel {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        common: Common,
    },
    /// Move what waits to another subscription of the same organisation that selects its types. It is sent
    /// there as a new delivery; what has an attempt under way stays.
    Move {
        /// The subscription that has it.
        #[arg(long, value_name = "ID")]
        from: SubscriptionId,
        /// The subscription that gets it.
        #[arg(long, value_name = "ID")]
        to: SubscriptionId,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Everything that this subscription has waiting.
    #[arg(long, value_name = "ID")]
    subscription: Option<SubscriptionId>,
    /// The one delivery with this request id.
    #[arg(long, value_name = "ID")]
    request: Option<RequestId>,
}

/// What is to be done with the queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum QueueRequest {
    List { organization: Option<String>, limit: usize, after: Option<String> },
    Retry(Target),
    Cancel(Target),
    Move { from: String, to: String },
}

/// Ids as text, as people give them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    Subscription(String),
    Request(String),
}

/// What a subscription has waiting, as it is printed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WaitingLine {
    organization: Option<String>,
    subscription_id: String,
    /// Of the URL, the part that is no secret.
    host: String,
    live: String,
    retry: String,
    recover: String,
    manual: String,
    in_flight: u64,
    since: String,
    why: String,
}

/// How many deliveries were changed, and how many were left as they are.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Changed {
    changed: u64,
    left: u64,
}

pub(super) async fn run(args: QueueArgs) -> anyhow::Result<()> {
    let (done, common, request) = match args.command {
        QueueCommand::List { org, limit, after, common } => {
            let after = after.map(|id| id.to_string());
            ("", common, QueueRequest::List { organization: org, limit, after })
        }
        QueueCommand::Retry { which, common } => ("due now", common, QueueRequest::Retry(which.target())),
        QueueCommand::Cancel { which, common } => ("cancelled", common, QueueRequest::Cancel(which.target())),
        QueueCommand::Move { from, to, common } => {
            ("moved", common, QueueRequest::Move { from: from.to_string(), to: to.to_string() })
        }
    };
    match admin::ask(&common.data.load()?, admin::Request::Queue(request)).await? {
        Answer::Waiting(lines) if common.json => println!("{}", serde_json::to_string_pretty(&lines)?),
        Answer::Waiting(lines) => lines.iter().for_each(WaitingLine::print),
        Answer::Changed(changed) if common.json => println!("{}", serde_json::to_string(&changed)?),
        Answer::Changed(Changed { changed, left: 0 }) => println!("{changed} {done}"),
        Answer::Changed(Changed { changed, left }) => println!("{changed} {done}, {left} left as they are"),
        other => anyhow::bail!("an unexpected answer: {other:?}"),
    }
    Ok(())
}

impl Which {
    fn target(&self) -> Target {
        match (&self.subscription, &self.request) {
            (Some(id), _) => Target::Subscription(id.to_string()),
            (None, id) => Target::Request(id.as_ref().map(ToString::to_string).unwrap_or_default()),
        }
    }
}

impl WaitingLine {
    fn new(waiting: &Waiting) -> Self {
        let count = |class| {
            let count = waiting.counts.iter().find(|(of, _)| *of == class).map_or(0, |(_, count)| *count);
            if count > COUNTED { format!("{COUNTED}+") } else { count.to_string() }
        };
        let host = url::Url::parse(&waiting.url).ok();
        Self {
            organization: waiting.organization.as_ref().map(|(_, name)| name.clone()),
            subscription_id: waiting.subscription.to_string(),
            host: host.and_then(|url| url.host_str().map(ToOwned::to_owned)).unwrap_or_default(),
            live: count(Class::Live),
            retry: count(Class::Retry),
            recover: count(Class::Recover),
            manual: count(Class::Manual),
            in_flight: waiting.in_flight,
            since: waiting.since.to_string(),
            why: match &waiting.why {
                Why::Paused { reason, since } => format!("paused ({reason}) since {since}"),
                Why::RetryAfter(until) => format!("the receiver asked to wait until {until}"),
                Why::DueAt(due) => format!("tried again at {due}"),
                Why::Failing => "its receiver fails: one delivery at a time is tried".to_owned(),
                Why::Draining => "it came back: what waited goes out at a rate".to_owned(),
                Why::InFlight => "waits for the attempts under way".to_owned(),
                Why::Due => "due".to_owned(),
            },
        }
    }

    fn print(&self) {
        println!(
            "{}  {}  {}  live {} retry {} recover {} manual {}  in flight {}  since {}  {}",
            self.organization.as_deref().unwrap_or("-"),
            self.subscription_id,
            self.host,
            self.live,
            self.retry,
            self.recover,
            self.manual,
            self.in_flight,
            self.since,
            self.why
        );
    }
}

/// Does it, in this process.
pub(super) async fn execute(store: &Store, request: QueueRequest) -> Result<Answer, StoreError> {
    match request {
        QueueRequest::List { organization, limit, after } => list(store, organization, limit, after).await,
        QueueRequest::Retry(Target::Subscription(id)) => {
            let Some((no, _)) = subscription(store, &id).await? else { return Ok(no_subscription(&id)) };
            all(store, Bulk::Retry(no)).await
        }
        QueueRequest::Cancel(Target::Subscription(id)) => {
            let Some((no, _)) = subscription(store, &id).await? else { return Ok(no_subscription(&id)) };
            all(store, Bulk::Cancel(no)).await
        }
        QueueRequest::Retry(Target::Request(id)) => match delivery(store, &id).await? {
            Some(no) => Ok(one(store.retry_delivery(no).await?)),
            None => Ok(no_request(&id)),
        },
        QueueRequest::Cancel(Target::Request(id)) => match delivery(store, &id).await? {
            Some(no) => Ok(one(store.cancel_delivery(no).await?)),
            None => Ok(no_request(&id)),
        },
        QueueRequest::Move { from, to } => {
            let Some((source, organization)) = subscription(store, &from).await? else {
                return Ok(no_subscription(&from));
            };
            match subscription(store, &to).await? {
                // Another organisation's is as absent as one that never was.
                Some((target, of)) if of == organization && target != source => {
                    all(store, Bulk::Move(organization, source, target)).await
                }
                Some((target, _)) if target == source => {
                    Ok(Answer::Refused("it is there already: --from and --to are the same".into()))
                }
                _ => Ok(Answer::Refused(format!(
                    "there is no active subscription '{to}' in the organisation of '{from}'"
                ))),
            }
        }
    }
}

async fn list(
    store: &Store,
    organization: Option<String>,
    limit: usize,
    after: Option<String>,
) -> Result<Answer, StoreError> {
    if !(1..=MAX_PAGE).contains(&limit) {
        return Ok(Answer::Refused(format!("--limit: {limit} is not between 1 and {MAX_PAGE}")));
    }
    let organization = match organization {
        None => None,
        Some(name) => match admin::find(store, &name).await? {
            Some(found) => Some(found.no),
            None => return Ok(admin::unknown(&name)),
        },
    };
    let after = after.and_then(|id| id.parse().ok());
    let filter = WaitingFilter { organization, after, limit };
    let waiting = store.waiting(filter, Clock::system().schedule()).await?;
    Ok(Answer::Waiting(waiting.iter().map(WaitingLine::new).collect()))
}

/// A change of a whole queue.
#[derive(Debug, Clone, Copy)]
enum Bulk {
    Retry(SubscriptionNo),
    Cancel(SubscriptionNo),
    Move(OrganizationNo, SubscriptionNo, SubscriptionNo),
}

/// Chunk after chunk.
async fn all(store: &Store, bulk: Bulk) -> Result<Answer, StoreError> {
    let (mut changed, mut next) = (Changed::default(), Some(Place::default()));
    while let Some(place) = next {
        let done = match bulk {
            Bulk::Retry(no) => store.retry_waiting(no, place).await?,
            Bulk::Cancel(no) => store.cancel_waiting(no, place).await?,
            Bulk::Move(organization, from, to) => store.move_waiting(organization, from, to, place).await?,
        };
        changed.changed += done.changed;
        changed.left += done.left;
        next = done.next;
    }
    Ok(Answer::Changed(changed))
}

fn one(changed: bool) -> Answer {
    Answer::Changed(Changed { changed: u64::from(changed), left: u64::from(!changed) })
}

async fn subscription(
    store: &Store,
    id: &str,
) -> Result<Option<(SubscriptionNo, OrganizationNo)>, StoreError> {
    match id.parse() {
        Ok(id) => store.any_subscription(id).await,
        Err(_) => Ok(None),
    }
}

async fn delivery(store: &Store, id: &str) -> Result<Option<DeliveryNo>, StoreError> {
    match id.parse::<RequestId>() {
        Ok(id) => store.queued_request(id).await,
        Err(_) => Ok(None),
    }
}

fn no_subscription(id: &str) -> Answer {
    Answer::Refused(format!("there is no active subscription '{id}'"))
}

fn no_request(id: &str) -> Answer {
    Answer::Refused(format!("nothing with the request id '{id}' is queued"))
}

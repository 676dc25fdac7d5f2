//! What `inkhook org`, `inkhook keys` and the like ask for, and how it is done: by the running server over its
//! socket, or by this process when no server holds the store.
//!
//! The socket `admin.sock` in the data directory is readable by its owner only; whoever may open it may
//! read the database as well. One JSON line asks, one JSON line answers.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::queue::{self, Changed, QueueRequest, WaitingLine};
use crate::config::Config;
use crate::domain::api_key::KeyScope;
use crate::domain::caller::Scope;
use crate::domain::generations::Generations;
use crate::domain::phone_number;
use crate::domain::signup;
use crate::domain::time::Clock;
use crate::server::{Running, open_store};
use crate::store::Store;
use crate::store::api_keys::{MintKey, NewApiKey};
use crate::store::error::StoreError;
use crate::store::organizations::{CreateOrganization, Organization};

/// The socket's name in the data directory.
const SOCKET: &str = "admin.sock";
/// A path of this many bytes is longer than some system's `sun_path` takes (Linux 108, others 104).
const MAX_SOCKET_PATH: usize = 104;
/// Bytes of one request or answer at most.
const LINE_BYTES: u64 = 1024 * 1024;

/// Something to be done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    CreateOrganization { name: String },
    ListOrganizations,
    DeleteOrganization { name: String },
    AddMember { organization: String, email: String },
    RemoveMember { organization: String, email: String },
    ListMembers { organization: String },
    CreateKey { organization: Option<String>, kind: KeyKind, label: String },
    AllowNumber { organization: String, number: String },
    Queue(QueueRequest),
}

/// Which key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyKind {
    Admin,
    Operator,
    Agent { handle: String, claimed: bool },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Organizations(Vec<OrganizationLine>),
    Members(Vec<String>),
    Deleted,
    Allowed,
    Key(String),
    Waiting(Vec<WaitingLine>),
    Changed(Changed),
    Refused(String),
}

/// An organisation as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OrganizationLine {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created_at: String,
}

/// The socket's place, by a path that is short enough for a socket.
struct Place {
    path: PathBuf,
    /// What `path` leads through, if it had to be shortened.
    _directory: Option<File>,
}

impl Place {
    fn in_directory(data_dir: &Path) -> std::io::Result<Self> {
        let path = data_dir.join(SOCKET);
        if path.as_os_str().len() < MAX_SOCKET_PATH {
            return Ok(Self { path, _directory: None });
        }
        let directory = File::open(data_dir)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
        Ok(Self { path: path.into(), _directory: Some(directory) })
    }
}

/// Asks the running server, or does it here.
pub(super) async fn ask(config: &Config, request: Request) -> anyhow::Result<Answer> {
    let socket = config.server.data_dir.join(SOCKET);
    let connected = match Place::in_directory(&config.server.data_dir) {
        Ok(place) => UnixStream::connect(&place.path).await,
        Err(error) => Err(error),
    };
    let answer = match connected {
        Ok(stream) => over_socket(stream, &request).await.context("the running server did not answer")?,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            here(config, request).await?
        }
        Err(error) => return Err(error).with_context(|| format!("cannot use {}", socket.display())),
    };
    match answer {
        Answer::Refused(why) => bail!(why),
        answer => Ok(answer),
    }
}

async fn over_socket(mut stream: UnixStream, request: &Request) -> anyhow::Result<Answer> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    BufReader::new(stream.take(LINE_BYTES)).read_line(&mut answer).await?;
    Ok(serde_json::from_str(&answer)?)
}

async fn here(config: &Config, request: Request) -> anyhow::Result<Answer> {
    config.validate()?;
    let (store, _) = open_store(config, &Clock::system(), &Arc::new(Generations::default()))?;
    let answer = execute(&store, request).await;
    store.close().await;
    Ok(answer?)
}

async fn execute(store: &Store, request: Request) -> Result<Answer, StoreError> {
    match request {
        Request::CreateOrganization { name } => {
            if name.trim().is_empty() || name.chars().count() > 255 {
                return Ok(Answer::Refused("a name has 1 to 255 characters".into()));
            }
            if name.contains('\0') {
                return Ok(Answer::Refused("a name must not contain the character U+0000".into()));
            }
            Ok(match store.create_organization(name.clone()).await? {
                CreateOrganization::Created(made) => Answer::Organizations(vec![line(&made)]),
                CreateOrganization::NameTaken => {
                    Answer::Refused(format!("there is an organisation '{name}' already"))
                }
            })
        }
        Request::ListOrganizations => {
            Ok(Answer::Organizations(store.organizations().await?.iter().map(line).collect()))
        }
        Request::DeleteOrganization { name } => match find(store, &name).await? {
            Some(organization) => {
                store.delete_organization(organization.id).await?;
                Ok(Answer::Deleted)
            }
            None => Ok(unknown(&name)),
        },
        Request::AllowNumber { organization, number } => {
            let Some(found) = find(store, &organization).await? else { return Ok(unknown(&organization)) };
            if !phone_number::is_e164(&number) {
                return Ok(Answer::Refused(format!("'{number}' is not a number like +12125559876")));
            }
            store.allow_number(found.no, number).await?;
            Ok(Answer::Allowed)
        }
        Request::AddMember { organization, email } => {
            let Some(found) = find(store, &organization).await? else { return Ok(unknown(&organization)) };
            match member(&email) {
                Ok(email) => {
                    store.add_member(found.no, email).await?;
                    Ok(Answer::Members(store.members(found.no).await?))
                }
                Err(refused) => Ok(refused),
            }
        }
        Request::RemoveMember { organization, email } => {
            let Some(found) = find(store, &organization).await? else { return Ok(unknown(&organization)) };
            let is_gone = match member(&email) {
                Ok(email) => store.remove_member(found.no, email).await?,
                Err(_) => false,
            };
            Ok(if is_gone {
                Answer::Members(store.members(found.no).await?)
            } else {
                Answer::Refused(format!("'{email}' is no member of '{organization}'"))
            })
        }
        Request::ListMembers { organization } => match find(store, &organization).await? {
            Some(found) => Ok(Answer::Members(store.members(found.no).await?)),
            None => Ok(unknown(&organization)),
        },
        Request::Queue(request) => queue::execute(store, request).await,
        Request::CreateKey { organization, kind, label } => {
            create_key(store, organization, kind, label).await
        }
    }
}

async fn create_key(
    store: &Store,
    organization: Option<String>,
    kind: KeyKind,
    label: String,
) -> Result<Answer, StoreError> {
    let organization = match (&kind, organization) {
        (KeyKind::Operator, _) => None,
        (_, None) => return Ok(Answer::Refused("say which organisation: --org NAME".into())),
        (_, Some(name)) => match find(store, &name).await? {
            Some(organization) => Some(organization),
            None => return Ok(unknown(&name)),
        },
    };
    let no = organization.as_ref().map(|organization| organization.no);
    let (scope, identity, claimed) = match (&kind, no) {
        (KeyKind::Operator, _) => (KeyScope::Operator, None, true),
        (KeyKind::Agent { handle, claimed }, Some(no)) => {
            let scope = Scope { organization: no, identity: None };
            match store.identity(scope, handle.clone()).await? {
                Some(identity) => (KeyScope::Agent, Some(identity.id), *claimed),
                None => return Ok(Answer::Refused(format!("there is no identity '{handle}'"))),
            }
        }
        _ => (KeyScope::Admin, None, true),
    };
    let new = NewApiKey {
        organization: no,
        scope,
        identity,
        claimed,
        label,
        description: None,
        created_by: "inkhook keys".into(),
        expires_at: None,
        text: None,
    };
    Ok(match store.mint_key(new).await? {
        MintKey::Minted(_, text) => Answer::Key(text.expose().to_owned()),
        MintKey::IdentityNotFound => Answer::Refused("the identity is gone".into()),
        MintKey::Unclaimed => Answer::Refused(
            "nobody has vouched for this agent yet: approve its sign-up first, or make the key with --unclaimed".into(),
        ),
        MintKey::Taken => Answer::Refused("this key exists already".into()),
    })
}

/// The address by which somebody is a member.
fn member(email: &str) -> Result<String, Answer> {
    // Of whichever domain: who vouches for an agent is judged when the agent signs up.
    signup::human_email(email, "").map_err(|error| Answer::Refused(format!("'{email}' {error}")))
}

/// By name or by id.
pub(super) async fn find(store: &Store, name: &str) -> Result<Option<Organization>, StoreError> {
    let all = store.organizations().await?;
    Ok(all.into_iter().find(|organization| organization.name == name || organization.id.to_string() == name))
}

pub(super) fn unknown(name: &str) -> Answer {
    Answer::Refused(format!("there is no organisation '{name}'"))
}

fn line(organization: &Organization) -> OrganizationLine {
    OrganizationLine {
        id: organization.id.to_string(),
        name: organization.name.clone(),
        created_at: organization.created_at.to_string(),
    }
}

/// Answers on the socket until the soft stop. The directory's lock is held, so a socket that is there was
/// left by a server that is gone.
pub(super) fn serve(running: &Running, data_dir: &Path) -> anyhow::Result<()> {
    let path = data_dir.join(SOCKET);
    drop(std::fs::remove_file(&path));
    let listener = listen(data_dir).with_context(|| format!("cannot listen on {}", path.display()))?;
    let store = running.app.store.clone();
    let soft = running.lifecycle.soft.clone();
    running.lifecycle.spawn("admin socket", async move {
        tokio::select! {
            () = accept(listener, store) => {}
            () = soft.cancelled() => {}
        }
        remove(&path);
    });
    Ok(())
}

fn listen(data_dir: &Path) -> std::io::Result<UnixListener> {
    let place = Place::in_directory(data_dir)?;
    let listener = UnixListener::bind(&place.path)?;
    std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(%error, path = %path.display(), "the socket could not be removed");
    }
}

async fn accept(listener: UnixListener, store: Store) {
    while let Ok((stream, _)) = listener.accept().await {
        // One at a time: people ask, and seldom.
        if let Err(error) = answer(stream, &store).await {
            tracing::warn!(%error, "a request over the admin socket was not answered");
        }
    }
}

async fn answer(mut stream: UnixStream, store: &Store) -> anyhow::Result<()> {
    let mut line = String::new();
    let (read, mut write) = stream.split();
    BufReader::new(read.take(LINE_BYTES)).read_line(&mut line).await?;
    let mut answer = serde_json::to_vec(&execute(store, serde_json::from_str(&line)?).await?)?;
    answer.push(b'\n');
    write.write_all(&answer).await?;
    Ok(())
}

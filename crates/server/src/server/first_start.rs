//! The first start of an empty store: the organisation `default` and one admin key.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::StartError;
use crate::config::Config;
use crate::config::security::write_private;
use crate::domain::api_key::{self, KeyScope};
use crate::domain::caller::Scope;
use crate::domain::entropy::Entropy;
use crate::domain::number::OrganizationNo;
use crate::domain::secret::Secret;
use crate::store::Store;
use crate::store::api_keys::NewApiKey;
use crate::store::organizations::CreateOrganization;

/// The organisation that the first start makes.
pub const DEFAULT_ORGANIZATION: &str = "default";
/// Where the key goes when there is no terminal to show it on.
const FILE: &str = "admin-key";

/// The key that the first start made.
#[derive(Debug)]
pub enum FirstKey {
    /// It was given in the configuration.
    Given,
    /// To be shown, once, on the terminal.
    Show(Secret),
    /// It is in this file, readable by its owner only.
    File(PathBuf),
}

/// Makes them if the store is empty. A start that was cut off in between is completed by the next one: the
/// key is kept before it is made valid, and the store counts as empty until it has a key.
pub(super) async fn run(
    config: &Config,
    store: &Store,
    entropy: &Entropy,
) -> Result<Option<FirstKey>, StartError> {
    let organization = match store.create_organization(DEFAULT_ORGANIZATION.into()).await? {
        CreateOrganization::Created(organization) => organization.no,
        CreateOrganization::NameTaken => match store.organizations().await?.as_slice() {
            [only] if only.name == DEFAULT_ORGANIZATION => only.no,
            _ => return Ok(None),
        },
    };
    let scope = Scope { organization, identity: None };
    if !store.api_keys(scope).await?.is_empty() {
        return Ok(None);
    }
    let given = config.bootstrap.admin_key().ok().flatten();
    let text = given.clone().unwrap_or_else(|| api_key::generate(entropy, entropy.uuid().into()));
    let first_key = if given.is_some() {
        FirstKey::Given
    } else if std::io::stdout().is_terminal() {
        FirstKey::Show(text.clone())
    } else {
        FirstKey::File(write(config, &text)?)
    };
    store.mint_key(new_key(organization, text)).await?;
    Ok(Some(first_key))
}

fn new_key(organization: OrganizationNo, text: Secret) -> NewApiKey {
    NewApiKey {
        organization: Some(organization),
        scope: KeyScope::Admin,
        identity: None,
        claimed: true,
        label: "first key".into(),
        description: Some("made by the first start".into()),
        created_by: "inkhook serve".into(),
        expires_at: None,
        text: Some(text),
    }
}

fn write(config: &Config, key: &Secret) -> Result<PathBuf, StartError> {
    let path = config.server.data_dir.join(FILE);
    // Left by a start that was cut off: that key was never valid.
    drop(std::fs::remove_file(&path));
    match write_private(&path, &format!("{}\n", key.expose())) {
        Ok(()) => Ok(path),
        Err(source) => Err(StartError::FirstKey { path, source }),
    }
}

//! The first start of an empty store: the organisation `default` and one admin key.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::StartError;
use crate::config::Config;
use crate::config::security::write_private;
use crate::domain::api_key;
use crate::domain::entropy::Entropy;
use crate::domain::secret::Secret;
use crate::store::Store;
use crate::store::organizations::Bootstrap;

/// The organisation that the first start makes.
pub(super) const DEFAULT_ORGANIZATION: &str = "default";
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

/// Makes them if the store is empty. The key is kept before it is made valid, so that a start that is cut
/// off in between is only repeated.
pub(super) async fn run(
    config: &Config,
    store: &Store,
    entropy: &Entropy,
) -> Result<Option<FirstKey>, StartError> {
    if !store.organizations().await?.is_empty() {
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
    match store.bootstrap(DEFAULT_ORGANIZATION.into(), Some(text)).await? {
        Bootstrap::Made(..) => Ok(Some(first_key)),
        Bootstrap::NotEmpty => Ok(None),
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

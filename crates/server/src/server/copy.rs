//! Moving the store that a configuration's directory holds to the database that it names.

use std::sync::Arc;

use super::{StartError, database_server, store_options};
use crate::config::Config;
use crate::domain::entropy::Entropy;
use crate::domain::generations::Generations;
use crate::domain::time::Clock;
use crate::store::copy::{Copied, CopyError, Progress, Undone};
use crate::store::{DatabaseServer, Store, database_path};

/// Copies everything, or goes on with a copy that was cut off.
///
/// # Errors
/// See [`StartError`]; the file stays what is to be served unless [`CopyError`] says otherwise.
pub async fn copy(config: Config, told: impl FnMut(Progress) + Send + 'static) -> Result<Copied, StartError> {
    let config = with_key_of_file(config);
    config.validate()?;
    let server = database_server(&config)?.ok_or(StartError::NoDatabase)?;
    let store = open(&config).await?;
    let copied = store.copy_to(&config.server.data_dir, server, told).await;
    store.close().await;
    Ok(copied?)
}

/// Makes a file that was moved fit for use again, and unfit the database, where the configuration names it.
///
/// # Errors
/// See [`StartError`].
pub async fn undo_copy(config: Config) -> Result<Undone, StartError> {
    let config = with_key_of_file(config);
    config.validate()?;
    let server: Option<DatabaseServer> = database_server(&config)?;
    let store = open(&config).await?;
    let undone = store.undo_copy(server).await;
    store.close().await;
    Ok(undone?)
}

/// A database server wants the key to be given; the file's may be the one in its directory, and is the same.
fn with_key_of_file(mut config: Config) -> Config {
    config.security.take_from(&config.server.data_dir);
    config
}

async fn open(config: &Config) -> Result<Store, StartError> {
    let data_dir = &config.server.data_dir;
    if !database_path(data_dir).exists() {
        return Err(StartError::NothingThere(data_dir.clone()));
    }
    let entropy = Entropy::system()?;
    let options = store_options(config, None, &Clock::system(), &Arc::new(Generations::default()), &entropy)?;
    let runtime = tokio::runtime::Handle::current();
    // It may have to bring the schema up to date first.
    let opened = tokio::task::spawn_blocking(move || {
        let _within = runtime.enter();
        Store::open_to_copy(options)
    });
    let closed = |_| Err(crate::store::StoreError::Closed);
    Ok(opened.await.unwrap_or_else(closed).map_err(CopyError::Store)?)
}

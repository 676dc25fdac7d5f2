//! The replica that a configuration names, for a server that answers; commands have no use for it.

use std::io;

use crate::config::Config;
use crate::store::{DatabaseServer, ServerError};

/// A replica that cannot be used, whatever it would say.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// A file with a URL.
    #[error("the file with the URL of the database or of its replica cannot be read")]
    File(#[from] io::Error),
    /// The replica's URL.
    #[error("database.replica_url cannot be used: {0}")]
    Url(#[from] ServerError),
    /// It names another database, so it would show other rows.
    #[error("database.replica_url names the database \"{replica}\", and database.url names \"{database}\"")]
    Other {
        /// The replica's.
        replica: String,
        /// The server's.
        database: String,
    },
}

/// Where it is; nothing when there is none.
pub(super) fn server(config: &Config) -> Result<Option<DatabaseServer>, ReplicaError> {
    let Some(url) = config.database.replica_url()? else { return Ok(None) };
    let authorities = config.database.ca_file.as_deref();
    let replica = DatabaseServer::parse_replica(url.expose(), authorities)?;
    // What is wrong with this one is said when it is opened.
    let primary =
        config.database.url()?.and_then(|url| DatabaseServer::parse(url.expose(), authorities).ok());
    if let Some(primary) = primary.filter(|primary| primary.database() != replica.database()) {
        let (replica, database) = (replica.database().to_owned(), primary.database().to_owned());
        return Err(ReplicaError::Other { replica, database });
    }
    if replica.is_exposed() {
        tracing::warn!("the way to the replica is not encrypted: put sslmode=require into its URL");
    }
    Ok(Some(replica))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_of_another_database_is_refused_by_name() {
        let mut config = Config::default();
        assert!(server(&config).unwrap().is_none());
        config.database.url = Some("postgres://u:secret@p/inkhook".into());
        config.database.replica_url = Some("postgres://u:secret@r/staging".into());
        let said = server(&config).unwrap_err().to_string();
        assert!(said.contains("\"staging\"") && said.contains("\"inkhook\""), "{said}");
        config.database.replica_url = Some("mysql://u:secret@r/inkhook".into());
        let said = server(&config).unwrap_err().to_string();
        assert!(said.contains("database.replica_url") && !said.contains("secret"), "{said}");
        config.database.replica_url = Some("postgres://u:secret@r,s/inkhook".into());
        assert_eq!(server(&config).unwrap().expect("a replica").database(), "inkhook");
    }
}

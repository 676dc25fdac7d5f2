//! Where the server is, and how each kind of connection is made.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, Client, Config, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Data that the server's machine does not acknowledge for this long ends the connection.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(8);
/// How long a lock is waited for. Nobody holds one for longer than a group takes.
const LOCK_LIMIT_MS: u32 = 5_000;
/// The same where everybody waits meanwhile who wants the table, and the next time will do as well.
const KEEPER_LOCK_LIMIT_MS: u32 = 50;
/// How long a statement of a reader may take; as a read of a file.
const READ_LIMIT_MS: u128 = crate::store::keeper::READER_LIMIT.as_millis();
/// Notifications that may wait to be heard.
const NOTIFICATIONS: usize = 16;
/// A node that stops in the middle of a transaction, frozen or cut off, holds its locks no longer than this.
const IDLE_LIMIT_MS: u32 = 3_000;

/// A Postgres server and one of its databases. Does not print: the URL may hold a password.
#[derive(Clone)]
pub struct Server {
    config: Config,
    tls: MakeRustlsConnect,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("database", &self.config.get_dbname()).finish_non_exhaustive()
    }
}

/// A database URL that cannot be used. Never says what the URL was.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It is no URL of a Postgres database.
    #[error(
        "it is not the URL of a Postgres database, such as postgres://user:password@host:5432/inkhook: {0}"
    )]
    Url(String),
    /// It names no host.
    #[error("it names no host")]
    NoHost,
    /// It names no database.
    #[error("it names no database")]
    NoDatabase,
    /// The file with the certificate authorities cannot be used.
    #[error("the certificate authorities in {file} cannot be used: {why}")]
    Authorities {
        /// Which file.
        file: String,
        /// Why not.
        why: String,
    },
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Role {
    /// Changes; waits for locks.
    Writer,
    /// Only reads, and not for long.
    Reader,
    /// Hears what others say, and says something itself now and then.
    Listener,
    /// Takes away old tables, at moments when nobody is in the way.
    Keeper,
    /// Brings the schema up to date, which may take as long as it takes.
    Migrator,
}

impl Role {
    fn options(self) -> String {
        match self {
            Self::Writer => {
                // A plan may not depend on the values: planning anew each time costs as much as the statement.
                format!(
                    "-c lock_timeout={LOCK_LIMIT_MS} -c idle_in_transaction_session_timeout={IDLE_LIMIT_MS} \
                     -c plan_cache_mode=force_generic_plan"
                )
            }
            Self::Reader => format!(
                "-c statement_timeout={READ_LIMIT_MS} -c default_transaction_read_only=on \
                 -c idle_in_transaction_session_timeout={IDLE_LIMIT_MS}"
            ),
            Self::Keeper => format!("-c lock_timeout={KEEPER_LOCK_LIMIT_MS}"),
            Self::Listener | Self::Migrator => String::new(),
        }
    }
}

impl Server {
    /// Reads a URL. TLS is as its `sslmode` says; where it is used, the certificate is verified, against the
    /// authorities in `authorities` (PEM) or those of the operating system.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn parse(url: &str, authorities: Option<&Path>) -> Result<Self, ServerError> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(ServerError::Url("it begins with neither postgres:// nor postgresql://".into()));
        }
        // Its errors name the part that is wrong, never its value.
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            ServerError::Url(why.unwrap_or_else(|| "it cannot be read".into()))
        })?;
        if config.get_hosts().is_empty() {
            return Err(ServerError::NoHost);
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(ServerError::NoDatabase);
        }
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(UNACKNOWLEDGED_LIMIT);
        let target = target(&config);
        config.application_name("inkhook").target_session_attrs(target);
        Ok(Self { tls: MakeRustlsConnect::new(client_config(authorities)?), config })
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// Whether the way there is neither within this machine nor encrypted.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let is_near = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost"
                    || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
            Host::Unix(_) => true,
        };
        self.config.get_ssl_mode() != SslMode::Require && !self.config.get_hosts().iter().all(is_near)
    }

    fn config_for(&self, role: Role) -> Config {
        let mut config = self.config.clone();
        let own = config.get_options().unwrap_or_default().to_owned();
        let options = format!("{own} {}", role.options());
        config.options(options.trim());
        config
    }

    /// Connects, and has the connection driven by the runtime that this is called in. What is notified on it comes
    /// out of the other end, until the connection ends.
    pub(in crate::store) async fn connect_to_listen(
        &self,
    ) -> Result<(Client, mpsc::Receiver<Notification>), tokio_postgres::Error> {
        let (client, mut connection) = self.config_for(Role::Listener).connect(self.tls.clone()).await?;
        let (heard, notifications) = mpsc::channel(NOTIFICATIONS);
        tokio::spawn(async move {
            let mut messages = futures_util::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(notification) = message {
                    // One that finds no room says nothing that those before it do not say.
                    drop(heard.try_send(notification));
                }
            }
        });
        Ok((client, notifications))
    }

    /// Connects, and has the connection driven by the runtime that this is called in.
    pub(in crate::store) async fn connect(&self, role: Role) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config_for(role).connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a connection to the database ended"
                );
            }
        });
        Ok(client)
    }
}

/// Of several hosts, the one that takes writes.
fn target(config: &Config) -> tokio_postgres::config::TargetSessionAttrs {
    if config.get_hosts().len() > 1 {
        tokio_postgres::config::TargetSessionAttrs::ReadWrite
    } else {
        config.get_target_session_attrs()
    }
}

fn client_config(authorities: Option<&Path>) -> Result<ClientConfig, ServerError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = authorities {
        let unusable = |why: String| ServerError::Authorities { file: file.display().to_string(), why };
        let certificates =
            CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(unusable("it holds no certificate".into()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ServerError::Url(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Server::parse(url, None).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_its_password() {
        assert!(refused("mysql://a:secret@b/c").contains("postgres://"));
        assert!(refused("postgres:///inkhook").contains("no host"), "{}", refused("postgres:///inkhook"));
        assert!(refused("postgres://u:secret@h").contains("no database"));
        let unknown = refused("postgres://u:secret@h/d?colour=red");
        assert!(unknown.contains("colour") && !unknown.contains("secret"), "{unknown}");
        let server = Server::parse("postgres://u:secret@h/d", None).unwrap();
        assert!(!format!("{server:?}").contains("secret"));
    }

    #[test]
    fn a_way_outside_without_tls_is_noticed() {
        let exposed = |url: &str| Server::parse(url, None).unwrap().is_exposed();
        assert!(!exposed("postgres://u@127.0.0.1/d") && !exposed("postgres://u@localhost/d"));
        assert!(exposed("postgres://u@db.example/d"));
        assert!(!exposed("postgres://u@db.example/d?sslmode=require"));
    }
}

//! Where the server is, and how each kind of connection is made.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, Client, Config, Notification, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ANSWER_LIMIT;
use crate::store::sql::error::Error;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// All hosts together may take this part of the time that an answer may take.
const HOSTS_SHARE: f64 = 0.9;
/// Data that the server's machine does not acknowledge for this long ends the connection.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(8);
/// How long a lock is waited for. Nobody holds one for longer than a group takes.
const LOCK_LIMIT_MS: u32 = 5_000;
/// The same where everybody waits meanwhile who wants the table, and the next time will do as well.
const KEEPER_LOCK_LIMIT_MS: u32 = 50;
/// How long a statement of a reader may take; as a read of a file.
const READ_LIMIT_MS: u128 = crate::store::keeper::READER_LIMIT.as_millis();
/// How long a statement on a replica may take, or be waited for, and how long its answer is.
const REPLICA_READ_LIMIT_MS: u32 = 800;
const REPLICA_ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Notifications that may wait to be heard.
const NOTIFICATIONS: usize = 16;
/// Every statement is written for an index. A plan that was made while a table was empty would look through all of it
/// later, and at what is dead in it.
const BY_INDEX: &str = "-c enable_seqscan=off -c jit=off";
/// Once a session has been found on a server that takes writes.
const ONLY_READ: &str = "SET default_transaction_read_only = on";
/// A node that stops in the middle of a transaction, frozen or cut off, holds its locks no longer than this.
const IDLE_LIMIT_MS: u32 = 3_000;

/// A Postgres server and one of its databases, or several of which one takes writes. Does not print: the URL may hold
/// a password.
#[derive(Clone)]
pub struct Server {
    config: Config,
    /// The same for each host by itself, in the order in which they are tried.
    hosts: Arc<[Config]>,
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
    /// The same on a replica, and for less long: there is another server to ask.
    Replica,
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
                     -c plan_cache_mode=force_generic_plan -c enable_hashjoin=off -c enable_mergejoin=off \
                     -c enable_bitmapscan=off {BY_INDEX}"
                )
            }
            Self::Reader => format!(
                "-c statement_timeout={READ_LIMIT_MS} -c idle_in_transaction_session_timeout={IDLE_LIMIT_MS} {BY_INDEX}"
            ),
            Self::Keeper => format!("-c lock_timeout={KEEPER_LOCK_LIMIT_MS}"),
            // What is open on a replica may keep it from going on.
            Self::Replica => format!(
                "-c statement_timeout={REPLICA_READ_LIMIT_MS} \
                 -c idle_in_transaction_session_timeout={REPLICA_READ_LIMIT_MS} {BY_INDEX}"
            ),
            Self::Listener | Self::Migrator => String::new(),
        }
    }

    /// A server that says nothing for this long is taken for gone.
    pub(super) fn answer_limit(self) -> Duration {
        if self == Self::Replica { REPLICA_ANSWER_LIMIT } else { ANSWER_LIMIT }
    }

    /// How long connecting may take, to whichever host in the end.
    pub(super) fn connect_limit(self) -> Duration {
        if self == Self::Replica { CONNECT_TIMEOUT } else { ANSWER_LIMIT }
    }
}

impl Server {
    /// Reads a URL: of several hosts the one that takes writes. TLS is as its `sslmode` says; where it is used, the certificate is verified, against the
    /// authorities in `authorities` (PEM) or those of the operating system.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn parse(url: &str, authorities: Option<&Path>) -> Result<Self, ServerError> {
        Self::parse_for(url, authorities, TargetSessionAttrs::ReadWrite)
    }

    /// The same for a replica: of several hosts the first that takes no writes.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub fn parse_replica(url: &str, authorities: Option<&Path>) -> Result<Self, ServerError> {
        Self::parse_for(url, authorities, TargetSessionAttrs::ReadOnly)
    }

    fn parse_for(
        url: &str,
        authorities: Option<&Path>,
        of_several: TargetSessionAttrs,
    ) -> Result<Self, ServerError> {
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
        if config.get_hosts().len() > 1 {
            config.target_session_attrs(of_several);
        }
        config.application_name("inkhook");
        let hosts = (0..config.get_hosts().len()).map(|place| only(&config, place)).collect();
        Ok(Self { tls: MakeRustlsConnect::new(client_config(authorities)?), config, hosts })
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

    /// Connects to the first host that will do. One that says nothing is left for the next in time: whoever waits
    /// for the connection does not wait for ever.
    async fn open(&self, role: Role) -> Result<(Client, Connected), Error> {
        let limit =
            role.connect_limit().mul_f64(HOSTS_SHARE) / u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        let mut failure = Error::NoAnswer;
        for host in self.hosts.iter() {
            let mut config = host.clone();
            let own = config.get_options().unwrap_or_default().to_owned();
            config.options(format!("{own} {}", role.options()).trim());
            match tokio::time::timeout(limit, config.connect(self.tls.clone())).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = Error::NoAnswer,
            }
        }
        Err(failure)
    }

    /// Connects, and has the connection driven by the runtime that this is called in. What is notified on it comes
    /// out of the other end, until the connection ends.
    pub(in crate::store) async fn connect_to_listen(
        &self,
    ) -> Result<(Client, mpsc::Receiver<Notification>), Error> {
        let (client, mut connection) = self.open(Role::Listener).await?;
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
    pub(in crate::store) async fn connect(&self, role: Role) -> Result<Client, Error> {
        let (client, connection) = self.open(role).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a connection to the database ended"
                );
            }
        });
        if matches!(role, Role::Reader | Role::Replica) {
            // Not among the options: a server that may not be written to is passed over when there are several.
            client.batch_execute(ONLY_READ).await?;
        }
        Ok(client)
    }
}

/// A connection that nobody drives yet.
type Connected = tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// The same for one of its hosts alone.
fn only(config: &Config, place: usize) -> Config {
    let mut only = Config::new();
    match config.get_hosts().get(place) {
        Some(Host::Tcp(name)) => drop(only.host(name)),
        Some(Host::Unix(path)) => drop(only.host_path(path)),
        None => {}
    }
    if let Some(address) = config.get_hostaddrs().get(place) {
        only.hostaddr(*address);
    }
    if let Some(port) = config.get_ports().get(place) {
        only.port(*port);
    }
    if let Some(user) = config.get_user() {
        only.user(user);
    }
    if let Some(password) = config.get_password() {
        only.password(password);
    }
    if let Some(database) = config.get_dbname() {
        only.dbname(database);
    }
    if let Some(options) = config.get_options() {
        only.options(options);
    }
    if let Some(name) = config.get_application_name() {
        only.application_name(name);
    }
    if let Some(timeout) = config.get_connect_timeout() {
        only.connect_timeout(*timeout);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        only.tcp_user_timeout(*timeout);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        only.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        only.keepalives_retries(retries);
    }
    only.keepalives(config.get_keepalives()).keepalives_idle(config.get_keepalives_idle());
    only.ssl_mode(config.get_ssl_mode()).ssl_negotiation(config.get_ssl_negotiation());
    only.channel_binding(config.get_channel_binding()).load_balance_hosts(config.get_load_balance_hosts());
    only.target_session_attrs(config.get_target_session_attrs());
    only
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
    fn each_host_by_itself_is_like_all_of_them() {
        let url = "postgres://u:secret@a,b:7000/d?sslmode=require&options=-c%20x%3D1&keepalives=0";
        let server = Server::parse(url, None).unwrap();
        let [one, other] = server.hosts.as_ref() else { panic!("two") };
        let host = |config: &Config| (config.get_hosts().to_vec(), config.get_ports().to_vec());
        assert_eq!(host(one), (vec![Host::Tcp("a".into())], vec![5432]));
        assert_eq!(host(other), (vec![Host::Tcp("b".into())], vec![7000]));
        // Each says of itself what the whole says, but for the hosts.
        let alone: Vec<Config> = ["a:5432", "b:7000"]
            .map(|host| {
                let mut alone: Config = url.replace("a,b:7000", host).parse().unwrap();
                alone.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(UNACKNOWLEDGED_LIMIT);
                alone.application_name("inkhook");
                alone.target_session_attrs(TargetSessionAttrs::ReadWrite);
                alone
            })
            .to_vec();
        assert_eq!(server.hosts.as_ref(), alone.as_slice());
    }

    #[test]
    fn of_several_hosts_a_replica_is_one_that_takes_no_writes() {
        let target = |server: Server| server.hosts[0].get_target_session_attrs();
        let parse = |url| target(Server::parse_replica(url, None).unwrap());
        assert_eq!(parse("postgres://u@a,b/d"), TargetSessionAttrs::ReadOnly);
        assert_eq!(parse("postgres://u@a/d"), TargetSessionAttrs::Any, "what it is says the server itself");
    }

    #[test]
    fn a_way_outside_without_tls_is_noticed() {
        let exposed = |url: &str| Server::parse(url, None).unwrap().is_exposed();
        assert!(!exposed("postgres://u@127.0.0.1/d") && !exposed("postgres://u@localhost/d"));
        assert!(exposed("postgres://u@db.example/d"));
        assert!(!exposed("postgres://u@db.example/d?sslmode=require"));
    }
}

//! A whole server, put together from its configuration: build, spawn, wait, drain.
//!
//! The binary and the demo start it the same way. Everything that can be wrong with the configuration has
//! been said before the first file or socket is opened.

mod clock;
mod copy;
mod first_start;
mod replica;
mod system;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use inkhook_egress::{BuildError, Client, Limits, Policy, ResolverConfig, Roots};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::app::{ApiSettings, App};
use crate::calls::{self, Calls};
use crate::config::security::MasterKeyError;
use crate::config::{Config, ConfigError, RelayTls, Role};
use crate::domain::entropy::Entropy;
use crate::domain::generations::Generations;
use crate::domain::time::Clock;
use crate::engine::{
    self, EngineSettings, Parts,
    alerts::Alerts,
    janitor::{self, Rules},
    nodes::{self, Node},
    order,
    pump::Pump,
    recover,
};
use crate::ingest::receive::Receiver;
use crate::lifecycle::Lifecycle;
use crate::relay::{self, Mailer};
use crate::smtp_in::{SmtpConfig, SmtpServer, from_ingest};
use crate::store::backlog::BacklogLimit;
use crate::store::copy::CopyError;
use crate::store::error::StoreError;
use crate::store::faults::Faults;
use crate::store::keeper::DiskLimit;
use crate::store::seal::Sealer;
use crate::store::{DatabaseServer, Store, StoreLimits, StoreOptions, database_path};
use crate::wake::Bells;

pub use copy::{copy, undo_copy};
pub use first_start::FirstKey;
pub use replica::ReplicaError;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The master key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Outbound connections.
    #[error(transparent)]
    Egress(#[from] BuildError),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Entropy(#[from] getrandom::Error),
    /// An address to listen on.
    #[error("cannot listen on {address} for {what}")]
    Listen {
        /// What for.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is nothing to copy.
    #[error("there is no store in {}", .0.display())]
    NothingThere(std::path::PathBuf),
    /// The configuration names no database to copy to.
    #[error("name the database to copy to: --database-url, INKHOOK_DATABASE__URL or database.url_file")]
    NoDatabase,
    /// A store could not be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The file with the database's URL.
    #[error("the file with the database's URL cannot be read")]
    DatabaseUrl(#[source] io::Error),
    /// The replica.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The mail relay's files.
    #[error("the file with the mail relay's password or certificates cannot be read")]
    RelayFile(#[source] io::Error),
    /// The mail relay.
    #[error(transparent)]
    Relay(#[from] relay::BuildError),
    /// The first key could not be kept.
    #[error("the first admin key cannot be written to {}", .path.display())]
    FirstKey {
        /// Where.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// How long attempts that were cut off may take to be recorded.
const RECORD_LIMIT: Duration = Duration::from_secs(5);

/// A server that takes work.
#[derive(Debug)]
pub struct Running {
    /// Where the API answers.
    pub api: SocketAddr,
    /// Where mail is taken.
    pub smtp: Option<SocketAddr>,
    /// The parts that requests use.
    pub app: App,
    /// Stops it.
    pub lifecycle: Lifecycle,
    /// The key that the first start made.
    pub first_key: Option<FirstKey>,
    shutdown_timeout: Duration,
}

/// The database server that a configuration names, if it does.
fn database_server(config: &Config) -> Result<Option<DatabaseServer>, StartError> {
    let Some(url) = config.database.url().map_err(StartError::DatabaseUrl)? else { return Ok(None) };
    let server = DatabaseServer::parse(url.expose(), config.database.ca_file.as_deref());
    let server = server.map_err(StoreError::Server)?;
    if server.is_exposed() {
        tracing::warn!("the way to the database is not encrypted: put sslmode=require into its URL");
    }
    Ok(Some(server))
}

/// Brings the schema of the store that a configuration names up to date; its version. Must not be called from within
/// a runtime's own thread.
///
/// # Errors
/// See [`StartError`].
pub fn migrate(config: &Config) -> Result<u32, StartError> {
    let database = database_server(config)?;
    Ok(Store::migrate(&config.server.data_dir, database.as_ref(), Clock::system().wall())?)
}

/// Opens the store that a configuration names, as a server or a command would.
///
/// # Errors
/// See [`StartError`].
pub fn open_store(
    config: &Config,
    clock: &Clock,
    generations: &Arc<Generations>,
) -> Result<(Store, Entropy), StartError> {
    let entropy = Entropy::system()?;
    let database = database_server(config)?;
    let store = Store::open(store_options(config, database, clock, generations, &entropy)?)?;
    Ok((store, entropy))
}

fn store_options(
    config: &Config,
    database: Option<DatabaseServer>,
    clock: &Clock,
    generations: &Arc<Generations>,
    entropy: &Entropy,
) -> Result<StoreOptions, MasterKeyError> {
    let data_dir = config.server.data_dir.clone();
    let has_data = database_path(&data_dir).exists();
    let master_key = config.security.resolve(&data_dir, has_data, entropy)?;
    Ok(StoreOptions {
        data_dir,
        database,
        sealer: Sealer::new(&master_key),
        boot: i64::from_be_bytes(entropy.bytes()) & i64::MAX,
        clock: clock.clone(),
        entropy: entropy.clone(),
        generations: generations.clone(),
        limits: store_limits(config),
        faults: Faults::slow_commits(config.measure.commit_delay()),
    })
}

/// Builds and starts everything.
///
/// # Errors
/// See [`StartError`]; nothing is left running.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    config.validate()?;
    config.measure.warn();
    system::raise_file_limit();
    let clock = clock::system();
    let generations = Arc::new(Generations::default());
    let replica = replica::server(config)?;
    let (mut store, entropy) = open_store(config, &clock, &generations)?;
    if let Some(replica) = replica {
        let max_lag = Duration::from_millis(config.database.replica_max_lag_ms);
        store = store.reading_from(&replica, max_lag, clock.clone())?;
    }
    // Calls have connections of their own.
    let (egress, call_egress) = (egress(config)?, egress(config)?);
    let listener = listen("the API", config.server.listen).await?;
    let bells = Bells::default();
    let receiver = Receiver {
        store: store.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        queued: bells.queued.clone(),
    };
    let smtp = smtp(config, receiver).await?;
    let first_key = first_start::run(config, &store, &entropy).await?;
    let settings = ApiSettings {
        mail_domain: config.smtp.mail_domain.clone(),
        requests_per_second: config.limits.requests_per_second,
        public_metrics: config.server.public_metrics,
        degraded_after: Duration::from_secs(config.server.degraded_after_s),
        delivers: config.server.does(Role::Deliver),
        signup: config.signup.enabled,
        trusted_proxies: config.server.trusted_proxies.clone(),
    };
    let lifecycle = Lifecycle::default();
    let calls = Calls::new(calls::Parts {
        store: store.clone(),
        client: call_egress,
        clock: clock.clone(),
        entropy: entropy.clone(),
        bounds: config.calls.bounds(),
        keep_inside_bodies: keeps_inside_bodies(config),
        cut_off: lifecycle.hard.clone(),
    });
    let app = App::new(
        store.clone(),
        clock.clone(),
        entropy.clone(),
        bells.clone(),
        egress.clone(),
        calls,
        settings,
    );
    let mailer = mailer(config, &app)?;
    let parts =
        Parts { store, egress, generations, clock, entropy, bells, settings: engine_settings(config) };
    let running = Running {
        api: listener.local_addr().unwrap_or(config.server.listen),
        smtp: smtp.as_ref().and_then(|smtp| smtp.local_addr().ok()),
        app,
        lifecycle,
        first_key,
        shutdown_timeout: Duration::from_secs(config.server.shutdown_timeout_s),
    };
    let rules = Rules { hold: config.delivery.hold(), retention_days: config.storage.retention_days };
    running.spawn(parts, rules, listener, smtp, config.server.does(Role::Api)).await;
    if let Some(mailer) = mailer {
        let Lifecycle { soft, hard, .. } = running.lifecycle.clone();
        running.lifecycle.spawn("mailer", mailer.run(running.app.bells.mail.clone(), soft, hard));
    }
    Ok(running)
}

impl Running {
    async fn spawn(
        &self,
        parts: Parts,
        rules: Rules,
        listener: TcpListener,
        smtp: Option<SmtpServer>,
        answers_api: bool,
    ) {
        let Lifecycle { soft, hard, .. } = self.lifecycle.clone();
        let store = parts.store.clone();
        let pump = Pump::new(parts.clone(), hard.clone());
        let delivers = self.app.settings.delivers;
        let (mut newcomer, drained) = (None, CancellationToken::new());
        if store.is_shared() {
            let node = Node {
                store: store.clone(),
                clock: self.app.clock.clone(),
                slots: pump.slots().clone(),
                name: system::host_name(),
                delivers,
            };
            node.join().await;
            newcomer = Some(node.clone());
            // Whoever delivers is there until its last attempt has ended.
            let over = if delivers { drained.clone() } else { soft.clone() };
            self.lifecycle.spawn("nodes", node.run(over));
            self.lifecycle.spawn("housekeeping", nodes::keep_house(store.clone(), soft.clone()));
            let bells = nodes::pass_on_bells(store.clone(), self.app.bells.clone(), soft.clone());
            self.lifecycle.spawn("bells", bells);
        } else {
            let clock = self.app.clock.clone();
            self.lifecycle.spawn("clock", engine::clock::follow_wall(clock, soft.clone()));
        }
        if delivers {
            self.spawn_engine(parts, (pump, newcomer, drained), rules);
        }
        if let Some(smtp) = smtp {
            let (soft, hard) = (soft.clone(), hard.clone());
            self.lifecycle.spawn("smtp", async move { smtp.serve(soft, hard).await });
        }
        let app = self.app.clone();
        let router = if answers_api { api::router(app) } else { api::health_router(app) };
        self.lifecycle.spawn("api", serve_api(listener, router, soft.clone(), hard.clone()));
        let lifecycle = self.lifecycle.clone();
        self.lifecycle.spawn("store watch", async move {
            tokio::select! {
                () = store.failed() => {
                    // Nothing can be recorded any more: waiting for attempts would only hide that.
                    lifecycle.hard.cancel();
                    lifecycle.fail("the store");
                }
                () = soft.cancelled() => {}
            }
        });
    }

    /// What delivers, and keeps house.
    /// The pump begins when the others have noticed that there is one more, and says when it has ended.
    fn spawn_engine(
        &self,
        parts: Parts,
        (pump, newcomer, drained): (Pump, Option<Node>, CancellationToken),
        rules: Rules,
    ) {
        let Lifecycle { soft, hard, .. } = self.lifecycle.clone();
        let (store, bells) = (parts.store.clone(), parts.bells.clone());
        let janitor = janitor::run(store.clone(), parts.clock.clone(), rules, bells.clone(), soft.clone());
        self.lifecycle.spawn("janitor", janitor);
        self.lifecycle.spawn("alerts", Alerts::new(parts, hard).run(soft.clone()));
        self.lifecycle.spawn("order", order::run(store.clone(), bells.clone(), soft.clone()));
        self.lifecycle.spawn("recover", recover::run(store, bells, soft.clone()));
        let noticed = async {
            if let Some(node) = newcomer {
                node.noticed().await;
            }
        };
        let drained = drained.drop_guard();
        self.lifecycle.spawn("pump", async move {
            pump.run_after(noticed, soft).await;
            drop(drained);
        });
    }

    /// Stops: nothing new is taken, what is under way ends, the rest is cut off after the deadline or when
    /// `hurry` resolves. Tells whether all went well.
    pub async fn stop(self, hurry: impl Future<Output = ()>) -> bool {
        let mut drain = std::pin::pin!(self.lifecycle.drain(self.shutdown_timeout, hurry));
        let cannot_record = async {
            self.lifecycle.hard.cancelled().await;
            tokio::time::timeout(RECORD_LIMIT, std::future::pending::<()>()).await
        };
        let drained = tokio::select! {
            drained = &mut drain => drained,
            _ = cannot_record => {
                // A store that waits for its server or for room would wait on.
                tracing::warn!("what attempts came to cannot be recorded; they count as lost");
                self.app.store.close().await;
                drain.await
            }
        };
        // Nobody puts a call any more; what was decided goes into the log.
        if tokio::time::timeout(RECORD_LIMIT, self.app.calls.finish()).await.is_err() {
            tracing::warn!("calls that were decided cannot be logged");
        }
        self.app.store.close().await;
        if !drained {
            tracing::warn!("some attempts were cut off; they are made again at the next start");
        }
        !self.lifecycle.failed()
    }
}

async fn serve_api(
    listener: TcpListener,
    router: axum::Router,
    soft: CancellationToken,
    hard: CancellationToken,
) {
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serve = axum::serve(listener, service).with_graceful_shutdown(soft.cancelled_owned());
    tokio::select! {
        served = serve => if let Err(error) = served {
            tracing::error!(%error, "the API's listener failed");
        },
        () = hard.cancelled() => {}
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).await.and_then(|listener| {
        system::let_wait(&listener)?;
        Ok(listener)
    });
    listener.map_err(|source| StartError::Listen { what, address, source })
}

async fn smtp(config: &Config, receiver: Receiver) -> Result<Option<SmtpServer>, StartError> {
    let Some(address) = config.smtp.address().filter(|_| config.server.does(Role::Smtp)) else {
        return Ok(None);
    };
    let mut smtp = SmtpConfig {
        listen: Some(address),
        host_name: config.smtp.mail_domain.clone(),
        mail_domain: config.smtp.mail_domain.clone(),
        ..SmtpConfig::default()
    };
    smtp.limits.max_message_bytes = config.smtp.max_message_bytes;
    let bound = SmtpServer::bind(smtp, from_ingest::intake(receiver)).await;
    bound.map_err(|source| StartError::Listen { what: "mail", address, source })
}

/// What mails the codes of sign-ups, where there are any. Any node may: they wait in rows.
fn mailer(config: &Config, app: &App) -> Result<Option<Mailer>, StartError> {
    if !config.signup.enabled {
        return Ok(None);
    }
    let relay = config.signup.relay().map_err(StartError::RelayFile)?.map(|relay| relay::Settings {
        host: relay.host,
        port: relay.port,
        security: match relay.tls {
            RelayTls::Tls => relay::Security::Tls,
            RelayTls::StartTls => relay::Security::StartTls,
            RelayTls::None => relay::Security::None,
        },
        login: relay.login,
        ca: relay.ca,
        from: relay.from,
    });
    let mail_domain = config.smtp.mail_domain.clone();
    let mailer = Mailer::new(app.store.clone(), app.clock.clone(), app.entropy.clone(), mail_domain, relay)?;
    Ok(Some(mailer))
}

fn egress(config: &Config) -> Result<Client, BuildError> {
    let mut policy = if config.server.dev { Policy::loopback_dev() } else { Policy::default() };
    policy.allow_http |= config.egress.allow_http;
    policy.allow_cidrs.extend(config.egress.allow_cidrs.iter().copied());
    policy.allow_hosts.extend(config.egress.allow_hosts.iter().cloned());
    let resolver = match config.egress.nameservers.as_slice() {
        [] => ResolverConfig::System,
        servers => ResolverConfig::Nameservers(servers.to_vec()),
    };
    // A host that answers keeps a connection for each attempt that it may have.
    let limits = Limits { max_idle_per_key: config.delivery.max_in_flight_per_target, ..Limits::default() };
    Client::new(policy, limits, Roots::System, resolver)
}

fn store_limits(config: &Config) -> StoreLimits {
    let storage = &config.storage;
    StoreLimits {
        backlog: BacklogLimit {
            deliveries: storage.max_queued,
            bytes: storage.max_queued_gib.saturating_mul(1024 * 1024 * 1024),
        },
        disk: DiskLimit {
            free_percent: storage.min_free_percent,
            free_bytes: storage.min_free_mib.saturating_mul(1024 * 1024),
        },
    }
}

fn engine_settings(config: &Config) -> EngineSettings {
    EngineSettings {
        bounds: config.delivery.bounds(),
        attempt_timeout: Duration::from_millis(config.delivery.timeout_ms),
        retry_schedule: config.delivery.schedule(),
        keep_inside_bodies: keeps_inside_bodies(config),
        ..EngineSettings::default()
    }
}

/// A developer's own receiver is the developer's to read.
fn keeps_inside_bodies(config: &Config) -> bool {
    config.egress.keep_inside_bodies || config.server.dev
}

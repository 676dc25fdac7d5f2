//! The store: everything durable, behind verbs that are one transaction each.
//!
//! Promises: a verb that answers `Ok` has been committed and synced; a verb that answers a refusal or an
//! error changed nothing. Reads see what was committed before they began.
//!
//! All writing goes through one thread with one connection ([`writer`]), which commits everything that
//! queued up while the previous commit was being synced. Reading uses a few connections of its own
//! ([`reader`]); what may be a little old can come from a [`replica`]. No transaction, statement or dialect word leaves this module; nobody holds a transaction
//! while waiting for a network.

pub mod accept;
pub mod alerts;
pub mod api_keys;
pub mod attempts;
pub mod backlog;
pub mod call_rules;
pub mod calls;
pub mod cancel;
pub mod claim;
mod contact_cache;
pub mod contacts;
pub mod context;
pub mod conversations;
pub mod copy;
mod effects;
pub mod error;
pub mod events;
mod fact_cache;
pub mod facts;
pub mod failpoint;
pub mod faults;
pub mod forget;
pub mod hand_over;
mod heads;
mod health;
pub mod held;
pub mod identities;
mod inbox;
pub mod invitations;
pub mod keeper;
pub mod lag;
mod locks;
pub mod mail;
pub mod mailboxes;
pub mod members;
mod memory;
mod migrate;
mod names;
pub mod nodes;
pub mod ordering;
pub mod organization_settings;
pub mod organizations;
mod partitions;
pub mod people;
pub mod phone_numbers;
pub mod queue;
mod reader;
pub mod recover;
mod remote_bell;
pub mod replay;
mod replica;
pub mod retention;
mod rows;
pub mod seal;
pub mod settle;
mod signer;
pub mod signing_keys;
pub mod signups;
pub mod space;
mod sql;
mod statistics;
pub mod stats;
pub mod subscriptions;
pub mod sweep;
mod tally;
mod target;
pub mod trial;
mod urls;
pub mod waiting;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::StoreError;
pub use remote_bell::RemoteBell;
pub use writer::Tx;
use writer::Wants;

use crate::domain::entropy::Entropy;
use crate::domain::generations::Generations;
use crate::domain::metrics::{Metrics, Refusal};
use crate::domain::number::OrganizationNo;
use crate::domain::time::{Clock, TimeMs};
use backlog::BacklogLimit;
use faults::Faults;
use keeper::{DiskLimit, Keeper, Watch};
use seal::Sealer;
use sql::Connection;
use sql::postgres::{Role, Session};
pub use sql::postgres::{Server as DatabaseServer, ServerError};

/// What a store is opened with.
#[derive(Debug)]
pub struct StoreOptions {
    /// Where the database file and its lock live.
    pub data_dir: PathBuf,
    /// The server that is used instead of a file.
    pub database: Option<DatabaseServer>,
    /// Seals signing keys and auth tokens, and derives the key that API keys are looked up by.
    pub sealer: Sealer,
    /// Names this process in leases; another one at every start.
    pub boot: i64,
    /// Time, for rows that say when they were made.
    pub clock: Clock,
    /// Ids.
    pub entropy: Entropy,
    /// Raised after commits that an attempt must notice.
    pub generations: Arc<Generations>,
    /// Errors on demand; tests only.
    pub faults: Faults,
    /// What may be queued, and what must be free.
    pub limits: StoreLimits,
}

/// Beyond these nothing new is accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreLimits {
    /// What one organisation may have queued.
    pub backlog: BacklogLimit,
    /// What the disk must have free.
    pub disk: DiskLimit,
}

/// A handle on the store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    writer: Arc<writer::Writer>,
    readers: Arc<reader::Readers>,
    /// For incoming calls alone.
    call_readers: Arc<reader::Readers>,
    /// For contexts alone.
    context_readers: Arc<reader::Readers>,
    sealer: Sealer,
    facts: Arc<fact_cache::FactCache>,
    watch: Watch,
    metrics: Arc<Metrics>,
    /// Where what may be a little old is read, if the operator has such a place.
    replica: Option<Arc<replica::Replica>>,
    /// Where other nodes may be: what this one knows of itself and of them.
    shared: Option<Arc<Shared>>,
    /// Held as long as the store is open, so that two servers never share a data directory.
    _lock: Arc<migrate::DirectoryLock>,
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// All that a store is for.
    Everything,
    /// To be copied.
    Copy,
}

/// What a store stands on.
struct Ground {
    watch: Watch,
    keeper: Option<Keeper>,
    /// Who had the directory before, where that tells whose leases are nobody's now.
    earlier: Option<i64>,
    lock: migrate::DirectoryLock,
}

/// What a node on a shared database knows.
#[derive(Debug)]
struct Shared {
    server: DatabaseServer,
    /// Its name in leases.
    boot: i64,
    epochs: std::sync::Mutex<nodes::Epochs>,
}

impl Store {
    /// Opens or creates the store in `data_dir`, brings its schema up to date and frees the leases of
    /// earlier processes.
    ///
    /// # Errors
    /// The directory is in use by another server, cannot be written, holds a schema that this version must not use, or was sealed
    /// with another master key.
    pub fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let metrics = Arc::new(Metrics::default());
        metrics.turn(options.clock.schedule());
        let watch = Watch::new(options.clock.clone(), metrics.clone());
        match options.database.clone() {
            None => Self::open_file(options, watch, metrics, Use::Everything),
            // Waiting for a server must not happen on a runtime's own thread.
            Some(server) => {
                let runtime = tokio::runtime::Handle::try_current().ok();
                let open = move || {
                    let _within = runtime.as_ref().map(tokio::runtime::Handle::enter);
                    Self::open_server(&server, options, watch, metrics)
                };
                std::thread::spawn(open).join().unwrap_or(Err(StoreError::Closed))
            }
        }
    }

    /// Brings a schema up to date, and makes the tables of the days to come; its version.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn migrate(data_dir: &Path, server: Option<&DatabaseServer>, now: TimeMs) -> Result<u32, StoreError> {
        let Some(server) = server else {
            let _lock = migrate::lock_directory(data_dir)?;
            let mut connection = migrate::open_writer(&database_path(data_dir))?;
            let version = migrate::migrate(&mut connection)?;
            copy::before_use_of_file(&connection.into())?;
            return Ok(version);
        };
        let version = migrate::migrate_server(server)?;
        make_partitions(&Connection::Postgres(Box::new(Session::open(server.clone(), Role::Writer)?)), now)?;
        Ok(version)
    }

    fn open_file(
        options: StoreOptions,
        watch: Watch,
        metrics: Arc<Metrics>,
        purpose: Use,
    ) -> Result<Self, StoreError> {
        let lock = migrate::lock_directory(&options.data_dir)?;
        let path = database_path(&options.data_dir);
        let mut connection = migrate::open_writer(&path)?;
        migrate::migrate(&mut connection)?;
        let connection = Connection::from(connection);
        if purpose == Use::Everything {
            copy::before_use_of_file(&connection)?;
        }
        let keeper = Keeper::start(&path, options.limits.disk, watch.clone())?;
        let open = |count| reader::Readers::open(&path, watch.clone(), count);
        let readers =
            [open(reader::CONNECTIONS)?, open(reader::CALL_CONNECTIONS)?, open(reader::CONTEXT_CONNECTIONS)?];
        let ground = Ground { watch, keeper: Some(keeper), earlier: None, lock };
        Self::assemble(connection, readers, options, metrics, ground)
    }

    fn open_server(
        server: &DatabaseServer,
        options: StoreOptions,
        watch: Watch,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        // Not for the database: for the socket and the first key, and to know who was here before.
        let lock = migrate::lock_directory(&options.data_dir)?;
        let earlier = migrate::take_over(&options.data_dir, options.boot)?;
        migrate::migrate_server(server)?;
        let connection = Connection::Postgres(Box::new(Session::open(server.clone(), Role::Writer)?));
        copy::before_use_of_server(&connection)?;
        make_partitions(&connection, options.clock.wall())?;
        let connect = |count| reader::Readers::connect(server, Role::Reader, watch.clone(), count);
        let readers = [
            connect(reader::CONNECTIONS)?,
            connect(reader::CALL_CONNECTIONS)?,
            connect(reader::CONTEXT_CONNECTIONS)?,
        ];
        let ground = Ground { watch, keeper: None, earlier, lock };
        Self::assemble(connection, readers, options, metrics, ground)
    }

    fn assemble(
        connection: Connection,
        readers: [reader::Readers; 3],
        options: StoreOptions,
        metrics: Arc<Metrics>,
        ground: Ground,
    ) -> Result<Self, StoreError> {
        let Ground { watch, keeper, earlier, lock } = ground;
        let shared = options.database.clone().map(|server| Shared {
            server,
            boot: options.boot,
            epochs: std::sync::Mutex::default(),
        });
        seal::check_master_key(&connection, &options.sealer)?;
        let sealer = options.sealer.clone();
        let writer = writer::Writer::start(connection, options, (watch.clone(), keeper, earlier))?;
        let facts = Arc::new(fact_cache::FactCache::new(writer.names_epoch()));
        let [readers, call_readers, context_readers] = readers.map(Arc::new);
        Ok(Self {
            writer: Arc::new(writer),
            readers,
            call_readers,
            context_readers,
            sealer,
            facts,
            watch,
            metrics,
            replica: None,
            shared: shared.map(Arc::new),
            _lock: Arc::new(lock),
        })
    }

    /// Runs a change in the writer's next transaction. `run` must decide before its first write, and may
    /// be called again when the group it was in fails.
    async fn change<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.change(run).await
    }

    /// Runs a publish: like [`Store::change`], but admitted by organisation and served round robin.
    /// `size` is events and bytes; `wants` what it will look at, if that is known.
    async fn admit<T, F>(
        &self,
        organization: OrganizationNo,
        size: (usize, usize),
        wants: Option<Wants>,
        run: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let admitted = match self.may_admit(organization) {
            Ok(()) => self.writer.admit(organization, size, wants, run).await,
            Err(refusal) => Err(refusal),
        };
        if let Some(why) = admitted.as_ref().err().and_then(refusal) {
            self.metrics.refuse(why);
        }
        admitted
    }

    /// Whether there is room for something new, on the disk and in what the organisation may have queued.
    /// What waits for the writer is not in its counts yet, so an organisation can go beyond its limit by
    /// what its inbox holds.
    fn may_admit(&self, organization: OrganizationNo) -> Result<(), StoreError> {
        if self.watch.is_disk_low() {
            return Err(StoreError::LowDisk);
        }
        self.writer.backlog().check(organization)
    }

    /// Whether the disk has less free than it must have for something new. What was accepted is delivered all
    /// the same.
    #[must_use]
    pub fn is_disk_low(&self) -> bool {
        self.watch.is_disk_low()
    }

    /// What this process counts about itself.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        let inbox = i64::try_from(self.writer.inbox_bytes()).unwrap_or(i64::MAX);
        self.metrics.inbox_bytes.set(inbox);
        &self.metrics
    }

    /// Runs a read on a connection that cannot write.
    async fn read<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.readers.read(run).await
    }

    /// Seals and unseals what this store keeps secret.
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Whether a commit works right now: writes nothing, but goes the whole way through the writer.
    ///
    /// # Errors
    /// The store cannot commit.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.change(|tx| {
            tx.touch()?;
            Ok(())
        })
        .await
    }

    /// Resolves when a sync failed: nothing can be promised any more, and the process must end.
    pub async fn failed(&self) {
        self.writer.failed().await;
    }

    /// Commits what is queued and closes the writer; later verbs answer [`StoreError::Closed`].
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

/// The tables of today and the days to come, and numbers of today.
fn make_partitions(connection: &Connection, now: TimeMs) -> Result<(), StoreError> {
    connection.begin()?;
    partitions::make(connection, now)?;
    connection.commit()?;
    partitions::move_on(connection, now)
}

/// The errors that say that there is no room for something new.
fn refusal(error: &StoreError) -> Option<Refusal> {
    match error {
        StoreError::Busy => Some(Refusal::Inbox),
        StoreError::Overloaded => Some(Refusal::Overload),
        StoreError::TooManyQueued(_) | StoreError::TooMuchQueued(_) => Some(Refusal::Backlog),
        StoreError::LowDisk => Some(Refusal::LowDisk),
        StoreError::Full => Some(Refusal::FullDisk),
        StoreError::Away => Some(Refusal::Database),
        _ => None,
    }
}

/// The database file of a data directory.
#[must_use]
pub fn database_path(data_dir: &Path) -> PathBuf {
    data_dir.join("inkhook.db")
}

//! A server in the test's own process: real router, real store in a directory of its own, time that moves
//! when told to, randomness from a seed.

pub mod ask;
pub mod books;
pub mod dice;
pub mod invariants;
mod organization;
pub mod post;
pub mod postgres;
mod receiver;
mod reply;
mod request;
pub mod running;
pub mod store;
pub mod time;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use inkhook_egress::{Client, Limits, Policy, ResolverConfig, Roots};
use inkhook_server::api;
use inkhook_server::app::{ApiSettings, App};
use inkhook_server::calls::{self, Calls};
use inkhook_server::domain::api_key::KeyScope;
use inkhook_server::domain::call::Bounds;
use inkhook_server::domain::entropy::Entropy;
use inkhook_server::domain::generations::Generations;
use inkhook_server::domain::time::{Clock, TimeMs};
use inkhook_server::engine::alerts::Alerts;
use inkhook_server::engine::pump::Pump;
use inkhook_server::engine::{EngineSettings, Parts, janitor};
use inkhook_server::store::api_keys::{MintKey, NewApiKey};
use inkhook_server::store::faults::Faults;
use inkhook_server::store::keeper::DiskLimit;
use inkhook_server::store::organizations::CreateOrganization;
use inkhook_server::store::seal::Sealer;
use inkhook_server::store::{Store, StoreLimits, StoreOptions};
use inkhook_server::wake::Bells;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use self::books::Books;

pub use organization::{Identity, Organization};
pub use receiver::{Answer, Received, Receiver};
pub use reply::Reply;
pub use request::Request;

/// When tests begin unless they say otherwise: 2026-05-28T20:26:40Z.
pub const START: TimeMs = TimeMs(1_780_000_000_000);
/// The domain of every mailbox.
pub const MAIL_DOMAIN: &str = "mail.test";
/// How long a test waits for something that happens by itself.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What a test server is made of; change what the test is about.
pub struct Setup {
    pub clock: Clock,
    pub seed: u64,
    pub requests_per_second: u32,
    pub master_key: [u8; 32],
    /// What deliveries may reach: loopback only.
    pub policy: Policy,
    /// How the store is made to fail.
    pub faults: Faults,
    /// What may be queued; whatever the disk of the tests has free is enough.
    pub limits: StoreLimits,
    /// How many calls may be asked about.
    pub call_bounds: Bounds,
    /// Whether agents may sign up.
    pub signup: bool,
    /// Proxies that are believed.
    pub trusted_proxies: Vec<IpNet>,
}

/// The limits of a server, on a disk that may be as full as it likes.
pub fn any_disk() -> StoreLimits {
    StoreLimits { disk: DiskLimit { free_percent: 0, free_bytes: 0 }, ..StoreLimits::default() }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            clock: Clock::manual(START),
            seed: 1,
            requests_per_second: 100,
            master_key: [7; 32],
            policy: Policy::loopback_dev(),
            faults: Faults::default(),
            limits: any_disk(),
            call_bounds: Bounds::default(),
            signup: true,
            trusted_proxies: Vec::new(),
        }
    }
}

/// See the module.
pub struct TestServer {
    pub app: App,
    pub generations: Arc<Generations>,
    router: Router,
    _directory: tempfile::TempDir,
    books: Books,
    /// Ends calls that are being decided.
    pub cut_off: CancellationToken,
    leave_queued: bool,
}

impl TestServer {
    /// A server with a clock that stands still.
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    pub fn with(setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let books = Books::for_store_in(directory.path());
        let entropy = Entropy::seeded(setup.seed);
        let generations = Arc::new(Generations::default());
        let store = Store::open(StoreOptions {
            data_dir: directory.path().into(),
            database: books.server(),
            sealer: Sealer::new(&setup.master_key),
            boot: 1,
            clock: setup.clock.clone(),
            entropy: entropy.clone(),
            generations: generations.clone(),
            faults: setup.faults,
            limits: setup.limits,
        });
        let settings = ApiSettings {
            mail_domain: MAIL_DOMAIN.into(),
            requests_per_second: setup.requests_per_second,
            public_metrics: false,
            degraded_after: Duration::from_mins(1),
            delivers: true,
            signup: setup.signup,
            trusted_proxies: setup.trusted_proxies,
        };
        let store = store.expect("the store opens");
        let client = || {
            let (limits, roots) = (Limits::default(), Roots::Given(Vec::new()));
            let client =
                Client::new(setup.policy.clone(), limits, roots, ResolverConfig::Nameservers(Vec::new()));
            client.expect("a client")
        };
        let cut_off = CancellationToken::new();
        let calls = Calls::new(calls::Parts {
            store: store.clone(),
            client: client(),
            clock: setup.clock.clone(),
            entropy: entropy.clone(),
            bounds: setup.call_bounds,
            keep_inside_bodies: true,
            cut_off: cut_off.clone(),
        });
        let app = App::new(store, setup.clock, entropy, Bells::default(), client(), calls, settings);
        let router = api::router(app.clone());
        Self { app, generations, router, _directory: directory, books, cut_off, leave_queued: false }
    }

    /// The test ends with work in the queue, on purpose.
    pub fn leave_queued(&mut self) {
        self.leave_queued = true;
    }

    /// An engine whose loop is turned by hand.
    pub fn pump(&self) -> Pump {
        self.pump_with(EngineSettings {
            keep_inside_bodies: true,
            // A busy machine is no reason to leave something out.
            context_limit: PATIENCE,
            ..EngineSettings::default()
        })
    }

    pub fn pump_with(&self, settings: EngineSettings) -> Pump {
        Pump::new(self.parts(settings), CancellationToken::new())
    }

    /// The loop that sends operational events, turned by hand.
    pub fn alerts(&self) -> Alerts {
        Alerts::new(self.parts(EngineSettings::default()), CancellationToken::new())
    }

    fn parts(&self, settings: EngineSettings) -> Parts {
        let app = &self.app;
        Parts {
            store: app.store.clone(),
            egress: app.egress.clone(),
            generations: self.generations.clone(),
            clock: app.clock.clone(),
            entropy: app.entropy.clone(),
            bells: app.bells.clone(),
            settings,
        }
    }

    /// Writes what deletes left, then turns the engine until it has nothing to do.
    pub async fn settle_down(&self, pump: &Pump) {
        pump.run_until_idle().await.expect("the store works");
        let soft = CancellationToken::new();
        let (store, clock) = (&self.app.store, &self.app.clock);
        janitor::tidy_up(store, clock, &soft).await.expect("the store works");
        janitor::sweep(store, &soft).await.expect("the store works");
        assert_eq!(store.head_repairs(), 0, "a queue head did not tell the truth");
    }

    /// Moves the clock.
    pub fn advance(&self, by: Duration) {
        self.app.clock.advance(by);
    }

    /// Begins a request.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request::new(self.router.clone(), method, path)
    }

    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    pub fn patch(&self, path: &str) -> Request {
        self.request(Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    /// An organisation with an admin key.
    pub async fn organization(&self, name: &str) -> Organization {
        let made = self.app.store.create_organization(name.into()).await.expect("stored");
        let CreateOrganization::Created(made) = made else { panic!("the name {name} is taken") };
        let key =
            self.mint(NewApiKey { organization: Some(made.no), ..Self::new_key(KeyScope::Admin) }).await;
        Organization::new(self.app.clone(), &made, key)
    }

    /// A key that may act for any organisation.
    pub async fn operator_key(&self) -> String {
        self.mint(Self::new_key(KeyScope::Operator)).await
    }

    /// A key to be minted, with nothing special about it.
    pub fn new_key(scope: KeyScope) -> NewApiKey {
        organization::new_key(scope)
    }

    /// Makes a key; its text.
    pub async fn mint(&self, new: NewApiKey) -> String {
        match self.app.store.mint_key(new).await.expect("stored") {
            MintKey::Minted(_, text) => text.expose().to_owned(),
            refused => panic!("{refused:?}"),
        }
    }

    /// Runs a query on the store's tables, past the store: for what no verb tells.
    pub fn query<T: rusqlite::types::FromSql>(&self, sql: &str) -> Vec<T> {
        self.books.column(sql)
    }

    /// The database that the store is in, where it is one.
    pub fn database(&self) -> Option<&postgres::Database> {
        match &self.books {
            Books::Server(database) => Some(database),
            Books::File(_) => None,
        }
    }

    /// Does what a statement says, or several, past the store: for what would take long to come about.
    pub fn run(&self, sql: &str) {
        self.books.run(sql);
    }

    /// Whether these bytes are anywhere in the store.
    pub fn stores(&self, bytes: &[u8]) -> bool {
        self.books.hold(bytes)
    }

    /// Waits until `look` finds something.
    pub async fn eventually<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                // A commit and its sync: whatever is waited for goes through the writer, too.
                self.app.store.probe().await.expect("the store works");
            }
        });
        deadline.await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    /// Every row of every table, as text: to see that something changed nothing.
    pub fn snapshot(&self) -> BTreeSet<String> {
        snapshot(&self.books)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert_eq!(invariants::breach(&self.books), None, "what must never be in a store");
        if self.leave_queued {
            return;
        }
        let queued: Vec<i64> = self.query("SELECT count(*) FROM queue");
        assert_eq!(queued, [0], "the test left work in the queue");
    }
}

pub fn connect(path: &Path) -> rusqlite::Connection {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    rusqlite::Connection::open_with_flags(path, flags).expect("the store's file opens")
}

/// What changes by itself: when a key was used last, and the row that a probe touches.
const RESTLESS: [&str; 2] = ["last_used_ms", "touched"];

fn snapshot(books: &Books) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in books.tables() {
        let columns = books.columns(&table);
        for row in books.rows(&format!("SELECT * FROM {table}")) {
            let values = columns.iter().zip(&row).filter(|(name, _)| !RESTLESS.contains(&name.as_str()));
            let values: Vec<String> = values.map(|(name, value)| format!("{name}={value:?}")).collect();
            let row = format!("{table}: {}", values.join(", "));
            if !RESTLESS.iter().any(|restless| row.contains(&format!("{restless:?}"))) {
                found.insert(row);
            }
        }
    }
    found
}

//! A store without a server around it: real SQLite in a directory of its own, a clock that stands still,
//! ids from a seed, faults on demand.
//!
//! Tests speak to it through the store's verbs. What no verb tells is asked for in SQL that both backends
//! understand, in one place: [`StoreBench::rows`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use inkhook_server::domain::attempt::Recorded;
use inkhook_server::domain::caller::Scope;
use inkhook_server::domain::delivery::{Claimed, End};
use inkhook_server::domain::entropy::Entropy;
use inkhook_server::domain::generations::Generations;
use inkhook_server::domain::identity::{IncomingCall, NumberKind};
use inkhook_server::domain::number::{DeliveryNo, OrganizationNo};
use inkhook_server::domain::owner::Owner;
use inkhook_server::domain::slots::{Bounds, Slots};
use inkhook_server::domain::subscription::{
    DeliverySettings, EventTypes, NewSubscription, Subscription, SubscriptionChange, WebhookUrl,
};
use inkhook_server::domain::time::Clock;
use inkhook_server::store::accept::{Accept, Accepted, NewEvent};
use inkhook_server::store::cancel::Tidied;
use inkhook_server::store::claim::{ClaimRequest, Claims};
use inkhook_server::store::faults::Faults;
use inkhook_server::store::identities::{CreateIdentity, NewIdentity};
use inkhook_server::store::organizations::CreateOrganization;
use inkhook_server::store::phone_numbers::NewPhoneNumber;
use inkhook_server::store::seal::Sealer;
use inkhook_server::store::settle::{AttemptRow, Next, Settled, Settlement};
use inkhook_server::store::subscriptions::{CreateSubscription, PatchSubscription};
use inkhook_server::store::{Store, StoreLimits, StoreOptions};
use inkhook_wire::event::EventType;
use inkhook_wire::id::{IdentityId, MailboxId, PhoneNumberId};
use rusqlite::types::Value;

use super::books::Books;
use super::{MAIL_DOMAIN, START, any_disk, invariants};

/// The limit of an attempt, unless a test says otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// So many places in all, and so many for each subscription; nothing else is bounded.
pub fn slots_within(all: usize, of_subscription: usize) -> Slots {
    Slots::new(Bounds {
        fast: all,
        first: of_subscription,
        per_subscription: of_subscription,
        ahead: 0,
        organization_percent: 100,
        per_target: usize::MAX,
        body_bytes: usize::MAX,
        ..Bounds::default()
    })
}

/// See the module.
pub struct StoreBench {
    store: Option<Store>,
    pub clock: Clock,
    pub entropy: Entropy,
    pub generations: Arc<Generations>,
    pub faults: Faults,
    pub directory: tempfile::TempDir,
    pub books: Arc<Books>,
    pub limits: StoreLimits,
    boot: i64,
    urls: AtomicU64,
}

/// An identity with a mailbox and a number, in an organisation.
#[derive(Debug, Clone, Copy)]
pub struct Agent {
    pub organization: OrganizationNo,
    pub id: IdentityId,
    pub mailbox: MailboxId,
    pub number: PhoneNumberId,
}

impl Agent {
    pub fn owner(self) -> Owner {
        Owner::Identity(self.id)
    }

    pub fn by_mail(self) -> Owner {
        Owner::Mailbox(self.mailbox)
    }

    pub fn by_phone(self) -> Owner {
        Owner::PhoneNumber(self.number)
    }

    /// Everything of its organisation.
    pub fn admin(self) -> Scope {
        Scope { organization: self.organization, identity: None }
    }

    /// What its own key may see.
    pub fn scope(self) -> Scope {
        Scope { organization: self.organization, identity: Some(self.id) }
    }
}

impl StoreBench {
    pub fn new() -> Self {
        Self::in_directory(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn in_directory(directory: tempfile::TempDir) -> Self {
        let books = Arc::new(Books::for_store_in(directory.path()));
        let mut bench = Self {
            store: None,
            clock: Clock::manual(START),
            entropy: Entropy::seeded(1),
            generations: Arc::default(),
            faults: Faults::scripted(),
            directory,
            books,
            limits: any_disk(),
            boot: 1,
            urls: AtomicU64::new(0),
        };
        bench.open();
        bench
    }

    /// Another node on the same database, which must be a server's.
    pub fn beside(&self) -> Self {
        let boot = self.boot + 100;
        let mut bench = Self {
            store: None,
            clock: self.clock.clone(),
            entropy: Entropy::seeded(u64::try_from(boot).expect("a seed")),
            generations: Arc::default(),
            faults: Faults::scripted(),
            directory: tempfile::tempdir().expect("a temporary directory"),
            books: self.books.clone(),
            limits: self.limits,
            boot,
            urls: AtomicU64::new(1_000_000),
        };
        bench.open();
        bench
    }

    /// The process ends where it stands, and another one starts on what it left. What was in flight stays
    /// leased to a process that is gone.
    pub async fn restart(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().await;
        }
        self.boot += 1;
        self.generations = Arc::new(Generations::default());
        self.open();
    }

    /// Closes the store and leaves what it is made of to another one.
    pub async fn leave(mut self) -> (tempfile::TempDir, Books) {
        if let Some(store) = self.store.take() {
            store.close().await;
        }
        let nothing = Arc::new(Books::of_file(self.directory.path()));
        let other = tempfile::tempdir().expect("a temporary directory");
        let directory = std::mem::replace(&mut self.directory, other);
        let books = std::mem::replace(&mut self.books, nothing);
        (directory, Arc::into_inner(books).expect("no other node is left"))
    }

    fn open(&mut self) {
        let options = StoreOptions {
            data_dir: self.directory.path().into(),
            database: self.books.server(),
            sealer: Sealer::new(&[7; 32]),
            boot: self.boot,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            generations: self.generations.clone(),
            faults: self.faults.clone(),
            limits: self.limits,
        };
        self.store = Some(Store::open(options).expect("the store opens"));
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }

    pub async fn organization(&self, name: &str) -> OrganizationNo {
        match self.store().create_organization(name.into()).await.expect("stored") {
            CreateOrganization::Created(made) => made.no,
            CreateOrganization::NameTaken => panic!("the name {name} is taken"),
        }
    }

    /// The agent `handle` of the organisation `handle`.
    pub async fn agent(&self, handle: &str) -> Agent {
        let organization = self.organization(handle).await;
        self.agent_of(organization, handle).await
    }

    pub async fn agent_of(&self, organization: OrganizationNo, handle: &str) -> Agent {
        let new = NewIdentity {
            organization,
            handle: handle.into(),
            display_name: None,
            description: None,
            imessage_enabled: false,
            settings: serde_json::Map::new(),
            address: format!("{handle}@{MAIL_DOMAIN}"),
            phone_number: Some(NewPhoneNumber {
                number: None,
                kind: NumberKind::Local,
                state: None,
                incoming_call: IncomingCall::default(),
                settings: serde_json::Map::new(),
            }),
        };
        let made = match self.store().create_identity(new).await.expect("stored") {
            CreateIdentity::Created(made) => made,
            refused => panic!("{refused:?}"),
        };
        Agent {
            organization,
            id: made.id,
            mailbox: made.mailbox.expect("a mailbox").id,
            number: made.phone_number.expect("a number").id,
        }
    }

    /// Subscribes an owner, with a URL that nobody else has.
    pub async fn subscribe(&self, scope: Scope, owner: Owner, types: &[EventType]) -> Subscription {
        let url = self.url();
        let new = NewSubscription {
            owner,
            url,
            event_types: EventTypes::from_stored(types.to_vec()),
            context_config: None,
            auth_token: None,
            delivery: DeliverySettings::default(),
        };
        match self.store().create_subscription(scope, new).await.expect("stored") {
            CreateSubscription::Created { subscription, .. } => *subscription,
            refused => panic!("{refused:?}"),
        }
    }

    /// A URL that was not given out before.
    pub fn url(&self) -> WebhookUrl {
        let url = format!("https://hooks.example.com/{}", self.urls.fetch_add(1, Ordering::Relaxed));
        WebhookUrl { given: url.clone(), normalized: url }
    }

    pub async fn select(&self, scope: Scope, subscription: &Subscription, types: &[EventType]) {
        let event_types = Some(EventTypes::from_stored(types.to_vec()));
        self.patch(scope, subscription, SubscriptionChange { event_types, ..Default::default() }).await;
    }

    pub async fn patch(&self, scope: Scope, subscription: &Subscription, change: SubscriptionChange) {
        let patched = self.store().patch_subscription(scope, subscription.id, change).await.expect("stored");
        assert!(matches!(patched, PatchSubscription::Patched(_)), "{patched:?}");
    }

    pub async fn delete(&self, scope: Scope, subscription: &Subscription) {
        assert!(self.store().delete_subscription(scope, subscription.id).await.expect("stored"));
    }

    /// An event with a fresh id.
    pub fn event(&self, organization: OrganizationNo, owner: Owner, event_type: EventType) -> NewEvent {
        NewEvent {
            id: self.entropy.uuid_at(self.clock.wall()).into(),
            id_given: false,
            idempotency_key: None,
            request_hash: self.entropy.bytes(),
            organization,
            event_type,
            owner,
            expires_at: None,
            payload: Bytes::from_static(b"{}"),
        }
    }

    /// A mail that arrived.
    pub fn mail(&self, agent: Agent) -> NewEvent {
        self.event(agent.organization, agent.by_mail(), EventType::MessageReceived)
    }

    pub async fn accept(&self, event: NewEvent) -> Accepted {
        match self.store().accept(event).await.expect("stored") {
            Accept::Accepted(accepted) => accepted,
            refused => panic!("{refused:?}"),
        }
    }

    /// Accepts `count` mails; how many deliveries each made.
    pub async fn accept_mails(&self, agent: Agent, count: usize) -> u32 {
        let accepted = (0..count).map(|_| self.store().accept(self.mail(agent)));
        let mut deliveries = 0;
        for accepted in futures_util::future::join_all(accepted).await {
            match accepted.expect("stored") {
                Accept::Accepted(accepted) => deliveries = accepted.deliveries,
                refused => panic!("{refused:?}"),
            }
        }
        deliveries
    }

    /// A claim with places for everything.
    pub fn claim_request(&self) -> ClaimRequest {
        self.request_within(100_000, 10_000)
    }

    /// A claim with so many places in all, and so many for each subscription.
    pub fn request_within(&self, all: usize, of_subscription: usize) -> ClaimRequest {
        ClaimRequest {
            now: self.clock.schedule(),
            slots: slots_within(all, of_subscription),
            timeout: TIMEOUT,
        }
    }

    pub async fn claims(&self, request: ClaimRequest) -> Claims {
        self.store().claim_due(request).await.expect("claimed")
    }

    /// What one claim takes; the places are free again at once.
    pub async fn claimed_within(&self, request: ClaimRequest) -> Vec<Claimed> {
        self.claims(request).await.claimed.into_iter().map(|leased| leased.claimed).collect()
    }

    /// Everything that is due, as far as one claim takes it.
    pub async fn claim(&self) -> Vec<Claimed> {
        self.claimed_within(self.claim_request()).await
    }

    /// The one delivery that is due.
    pub async fn claim_one(&self) -> Claimed {
        let mut claimed = self.claim().await;
        assert_eq!(claimed.len(), 1, "one is due");
        claimed.remove(0)
    }

    /// One line of the log.
    pub fn attempt(&self, recorded: Recorded) -> AttemptRow {
        AttemptRow {
            id: self.entropy.uuid_at(self.clock.wall()),
            recorded,
            status: match recorded {
                Recorded::Succeeded => Some(200),
                Recorded::Failed => Some(500),
                Recorded::Unknown => None,
            },
            error: (recorded != Recorded::Succeeded).then(|| "it went wrong".into()),
            response_body: Some(Bytes::from_static(b"body")),
            response_bytes: Some(4),
            duration_ms: Some(12),
            started_at: self.clock.wall(),
        }
    }

    pub fn settlement(&self, claimed: &Claimed, recorded: Recorded, next: Next) -> Settlement {
        Settlement {
            subscription: claimed.target.subscription,
            delivery: claimed.delivery,
            claim_no: claimed.claim_no,
            attempt: Some(self.attempt(recorded)),
            next,
            hold_until: None,
        }
    }

    pub async fn settle(&self, settlement: Settlement) -> Settled {
        self.store().settle(settlement).await.expect("settled")
    }

    pub async fn succeed(&self, claimed: &Claimed) -> Settled {
        self.settle(self.settlement(claimed, Recorded::Succeeded, Next::End(End::Succeeded))).await
    }

    pub async fn fail(&self, claimed: &Claimed, next: Next) -> Settled {
        self.settle(self.settlement(claimed, Recorded::Failed, next)).await
    }

    /// Writes all that deletes and narrowed types left; the number of chunks.
    pub async fn tidy(&self) -> usize {
        let mut chunks = 0;
        while self.store().cancel_chunk().await.expect("tidied") == Tidied::More {
            chunks += 1;
        }
        chunks
    }

    /// What a query says, past the store.
    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        self.books.rows(sql)
    }

    /// The single number that a query says.
    pub fn number(&self, sql: &str) -> i64 {
        match self.rows(sql).as_slice() {
            [row] if matches!(row.as_slice(), [Value::Integer(_)]) => match row[0] {
                Value::Integer(number) => number,
                _ => unreachable!(),
            },
            other => panic!("{sql}: {other:?}"),
        }
    }

    pub fn queued(&self) -> i64 {
        self.number("SELECT count(*) FROM queue")
    }

    /// How a delivery ended: its state's number and the reason.
    pub fn ended(&self, delivery: DeliveryNo) -> Option<(i64, Option<String>)> {
        let sql = format!("SELECT state, reason FROM deliveries WHERE no = {}", delivery.0);
        let rows = self.rows(&sql);
        let row = rows.first()?;
        match (&row[0], &row[1]) {
            (Value::Integer(state), Value::Text(reason)) => Some((*state, Some(reason.clone()))),
            (Value::Integer(state), Value::Null) => Some((*state, None)),
            other => panic!("{other:?}"),
        }
    }

    /// Outcomes of a delivery's attempts, first to last: 1 succeeded, 2 failed, 3 unknown.
    pub fn outcomes(&self, delivery: DeliveryNo) -> Vec<i64> {
        let sql = format!("SELECT outcome FROM attempts WHERE delivery = {} ORDER BY attempt_no", delivery.0);
        let integer = |row: &Vec<Value>| match row[0] {
            Value::Integer(outcome) => outcome,
            ref other => panic!("{other:?}"),
        };
        self.rows(&sql).iter().map(integer).collect()
    }
}

impl Drop for StoreBench {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.store.is_some() {
            assert_eq!(invariants::breach(&self.books), None, "what must never be in a store");
        }
    }
}

/// How a delivery with this end is stored.
pub fn stored(end: End) -> (i64, Option<String>) {
    (end.code(), end.reason().map(Into::into))
}

//! The one thread that writes: group commit.
//!
//! Everything that queued up while the previous commit was being synced goes into the next one. There is
//! no timer: an idle writer commits a lone operation at once, a busy one pays one sync for hundreds.
//!
//! Promises: an operation is answered `Ok` only when every statement of its group *and* the commit
//! succeeded. A group that fails is rolled back and its operations are run one by one, so that only the
//! culprit fails; what each kind of error leads to is in [`recovery`]. On a crash the database holds whole
//! groups only, and nothing in the rest had been answered.

mod ahead;
mod numbers;
mod recovery;
mod start;
mod tx;
mod wants;
mod worker;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use self::ahead::Known;
pub(super) use self::tx::Context;
pub use self::tx::Tx;
pub(super) use self::wants::{Hold, Publish, Repeat, Wants};
use self::worker::Worker;
use super::StoreOptions;
use super::backlog::Backlog;
use super::contact_cache::ContactCache;
use super::effects::Effects;
use super::error::StoreError;
use super::hand_over::Seats;
use super::health::Memory as Health;
use super::inbox::Inbox;
use super::keeper::{Keeper, Watch};
use super::memory::Memory;
use super::ordering::Ordered;
use super::sql::Connection;
use crate::domain::number::OrganizationNo;

/// Operations in one group at most.
const GROUP_OPERATIONS: usize = 1_024;
/// Delivery rows that one group writes at most, give or take its last operation.
const GROUP_ROWS: usize = 4_096;
/// Payload bytes in one group at most, give or take its last operation.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// What an operation is, as far as the failure rules care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A publish or a mail: answered 503 when the store cannot write.
    Accept,
    /// The end of an attempt: kept until it can be written.
    Settle,
    /// Everything else.
    Change,
}

/// One operation: run inside a group's transaction, perhaps more than once, and answered once.
pub(super) trait Op: Send {
    fn kind(&self) -> Kind;
    /// What it will look at, if it can say so beforehand.
    fn wants(&self, _context: &Context) -> Option<Wants> {
        None
    }
    /// Whether it may run at the end of a group of operations that said what they will look at, although it did not:
    /// it waits for no lock.
    fn joins(&self) -> bool {
        false
    }
    /// Does the work. An `Err` rolls the whole group back; a refusal is an `Ok` that wrote nothing.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Leaves out what may be the cause of a failure; false when there is nothing to leave out.
    fn degrade(&mut self) -> bool {
        false
    }
    /// Answers whoever waits.
    fn finish(self: Box<Self>, result: Result<(), StoreError>);
}

/// A closure as an [`Op`].
struct Job<T, F> {
    kind: Kind,
    wants: Option<Wants>,
    joins: bool,
    run: F,
    answer: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F> Op for Job<T, F>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn wants(&self, _: &Context) -> Option<Wants> {
        self.wants.clone()
    }

    fn joins(&self) -> bool {
        self.joins
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.answer = Some((self.run)(tx)?);
        Ok(())
    }

    fn finish(self: Box<Self>, result: Result<(), StoreError>) {
        let answer = match (result, self.answer) {
            (Ok(()), Some(answer)) => Ok(answer),
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error),
        };
        // Nobody waits when the request was given up; a change stands all the same, and an error of ours is
        // nobody else's to log.
        if let Err(Err(error @ (StoreError::Statement(_) | StoreError::Corrupt(_)))) = self.reply.send(answer)
        {
            tracing::error!(error = &error as &dyn std::error::Error, "an operation could not be stored");
        }
    }
}

/// The handle that the store keeps.
pub(super) struct Writer {
    inbox: Arc<Inbox>,
    seats: Seats,
    head_repairs: Arc<AtomicU64>,
    backlog: Arc<Backlog>,
    effects: Effects,
    failed: watch::Receiver<bool>,
    ended: watch::Receiver<bool>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

impl Writer {
    /// Starts the thread on a connection that nobody else of this process writes with. A file has a keeper.
    pub(super) fn start(
        connection: Connection,
        options: StoreOptions,
        (watch, keeper, earlier): (Watch, Option<Keeper>, Option<i64>),
    ) -> Result<Self, StoreError> {
        let (numbers, last) = numbers::of(&connection)?;
        let backlog = Arc::new(Backlog::new(options.limits.backlog, last));
        if connection.file().is_none() {
            backlog.is_told();
        }
        for (organization, deliveries) in super::organization_settings::own_limits(&connection)? {
            backlog.set_own_limit(organization, Some(deliveries));
        }
        let inbox = Arc::new(Inbox::default());
        let effects = Effects {
            generations: options.generations,
            keys_epoch: Arc::default(),
            names_epoch: Arc::default(),
            contacts: Arc::default(),
        };
        let head_repairs = Arc::new(AtomicU64::new(0));
        let context = Context {
            clock: options.clock,
            entropy: options.entropy,
            sealer: options.sealer,
            boot: options.boot,
            head_repairs: head_repairs.clone(),
            ordered: Ordered::load(&connection)?,
            health: Health::default(),
            metrics: watch.metrics(),
            faults: options.faults.clone(),
        };
        let seats = Seats::default();
        let (failed, watch_failed) = watch::channel(false);
        let (ended, watch_ended) = watch::channel(false);
        let mut worker = Worker {
            connection,
            inbox: inbox.clone(),
            backlog: backlog.clone(),
            watch,
            keeper,
            data_dir: options.data_dir.clone(),
            effects: effects.clone(),
            faults: options.faults,
            memory: Memory::default(),
            seats: seats.clone(),
            runtime: Handle::try_current().ok(),
            context,
            numbers: RefCell::new(numbers),
            known: Known::default(),
            waiting: VecDeque::new(),
            kept: Vec::new(),
            failed,
            ended,
        };
        worker.free_earlier_leases(earlier)?;
        let broken = Broken { inbox: inbox.clone(), failed: worker.failed.clone() };
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                let _broken = broken;
                worker.run();
            })
            .map_err(|source| StoreError::Directory { path: options.data_dir, source })?;
        Ok(Self { inbox, seats, head_repairs, backlog, effects, failed: watch_failed, ended: watch_ended })
    }

    /// Raised by the commit of any change to identities, mailboxes or numbers.
    pub(super) fn names_epoch(&self) -> Arc<AtomicU64> {
        self.effects.names_epoch.clone()
    }

    /// Who is known to be in an address book; the commit of any change to one forgets it.
    pub(super) fn contacts(&self) -> &Arc<ContactCache> {
        &self.effects.contacts
    }

    pub(super) fn seats(&self) -> &Seats {
        &self.seats
    }

    pub(super) fn head_repairs(&self) -> u64 {
        self.head_repairs.load(Ordering::Relaxed)
    }

    /// What organisations have queued.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Publishes that wait, in bytes.
    pub(super) fn inbox_bytes(&self) -> usize {
        self.inbox.bytes()
    }

    /// Cached API keys are looked up again.
    pub(super) fn forget_keys(&self) {
        self.effects.keys_epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Who stands behind a name is looked up again.
    pub(super) fn forget_names(&self) {
        self.effects.names_epoch.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn keys_epoch(&self) -> &AtomicU64 {
        &self.effects.keys_epoch
    }

    pub(super) async fn change<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.control(None, false, run).await
    }

    /// The same for a change that says what it will look at.
    pub(super) async fn change_wanting<T, F>(&self, wants: Wants, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.control(Some(wants), false, run).await
    }

    /// The same for a claim: it takes what others leave to it, and waits for nobody.
    pub(super) async fn claim<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.control(None, true, run).await
    }

    async fn control<T, F>(&self, wants: Option<Wants>, joins: bool, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Job { kind: Kind::Change, wants, joins, run, answer: None, reply };
        self.inbox.push_control(Box::new(job));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) async fn admit<T, F>(
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
        let (reply, answer) = oneshot::channel();
        let job = Job { kind: Kind::Accept, wants, joins: false, run, answer: None, reply };
        self.inbox.push_admitted(organization, size, Box::new(job));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) async fn tidy<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Job { kind: Kind::Change, wants: None, joins: false, run, answer: None, reply };
        self.inbox.push_tidying(Box::new(job));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Like [`Writer::tidy`], but nobody waits; what goes wrong is in the log only.
    pub(super) fn tidy_unattended<F>(&self, run: F)
    where
        F: FnMut(&mut Tx<'_>) -> Result<(), StoreError> + Send + 'static,
    {
        let (reply, _) = oneshot::channel();
        let job = Job { kind: Kind::Change, wants: None, joins: false, run, answer: None, reply };
        self.inbox.push_tidying(Box::new(job));
    }

    /// Queues a settle; its own type, because it can be degraded.
    pub(super) fn settle(&self, op: Box<dyn Op>) {
        self.inbox.push_control(op);
    }

    pub(super) async fn failed(&self) {
        let mut failed = self.failed.clone();
        if failed.wait_for(|failed| *failed).await.is_err() && *self.ended.borrow() {
            // It ended because it was told to. A thread that is gone without having ended has panicked.
            std::future::pending::<()>().await;
        }
    }

    pub(super) async fn close(&self) {
        self.inbox.close();
        let mut ended = self.ended.clone();
        // An error means that the thread is gone, which is what is waited for.
        drop(ended.wait_for(|ended| *ended).await);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// A panic is a bug, but it must not leave callers waiting for a thread that is gone: whoever waits is
/// answered, and the process is told to end as after a failed sync.
struct Broken {
    inbox: Arc<Inbox>,
    failed: watch::Sender<bool>,
}

impl Drop for Broken {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        self.inbox.close();
        while let Some((_, op)) = self.inbox.pop() {
            op.finish(Err(StoreError::Closed));
        }
        self.failed.send_replace(true);
    }
}

#[cfg(test)]
mod tests;

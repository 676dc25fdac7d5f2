//! The thread's own state, and how it runs a group.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::ahead::{self, Known};
use super::numbers::Numbers;
use super::start::FreeLeases;
use super::tx::Context;
use super::wants::Wants;
use super::{GROUP_BYTES, GROUP_OPERATIONS, GROUP_ROWS, Kind, Op, Tx, recovery};
use crate::store::backlog::Backlog;
use crate::store::effects::{Effect, Effects};
use crate::store::error::StoreError;
use crate::store::faults::{Faults, Point};
use crate::store::hand_over::Seats;
use crate::store::inbox::Inbox;
use crate::store::keeper::{self, Keeper, Watch};
use crate::store::memory::Memory;
use crate::store::nodes;
use crate::store::sql::{self, Connection, Trouble, params};
use crate::store::tally::Tally;

const GENERATION: &str = "SELECT generation FROM subscriptions WHERE no = $1";

/// How often a start is tried again when it meets the last transaction of an earlier process.
const START_TRIES: usize = 5;

/// The thread's own state.
pub(super) struct Worker {
    pub(super) connection: Connection,
    pub(super) inbox: Arc<Inbox>,
    pub(super) backlog: Arc<Backlog>,
    pub(super) watch: Watch,
    pub(super) keeper: Option<Keeper>,
    pub(super) data_dir: PathBuf,
    pub(super) effects: Effects,
    pub(super) faults: Faults,
    pub(super) memory: Memory,
    pub(super) seats: Seats,
    /// Where callers wait: they are answered there, so that a group wakes it once.
    pub(super) runtime: Option<Handle>,
    pub(super) context: Context,
    pub(super) numbers: RefCell<Numbers>,
    /// Whom kinds of events concerned last; on a server.
    pub(super) known: Known,
    /// Operations that were taken from the inbox and are for the next group, with their sizes.
    pub(super) waiting: VecDeque<(usize, Box<dyn Op>)>,
    /// Settles that could not be written yet.
    pub(super) kept: Vec<Box<dyn Op>>,
    pub(super) failed: watch::Sender<bool>,
    pub(super) ended: watch::Sender<bool>,
}

/// How running a list of operations in one transaction ended.
pub(super) enum Group {
    /// Committed: all of these are to be answered `Ok`.
    Done(Vec<Box<dyn Op>>),
    /// Rolled back, or not known to be committed.
    Failed(Vec<Box<dyn Op>>, StoreError),
}

impl Worker {
    /// What earlier processes had under way is nobody's now.
    pub(super) fn free_earlier_leases(&mut self, earlier: Option<i64>) -> Result<(), StoreError> {
        let mut group = self.again(vec![Box::new(FreeLeases { earlier })]);
        for _ in 0..START_TRIES {
            // A server may still be about the last transaction of the process that is gone.
            group = match group {
                Group::Failed(ops, error)
                    if matches!(error.trouble(), Some(Trouble::Conflict | Trouble::Held)) =>
                {
                    self.again(ops)
                }
                group => group,
            };
        }
        match group {
            Group::Failed(_, error) => Err(error),
            Group::Done(_) => Ok(()),
        }
    }

    pub(super) fn run(mut self) {
        while !self.waiting.is_empty() || self.inbox.wait() {
            self.faults.wait_until_resumed();
            let group = if self.connection.file().is_some() { self.next_group() } else { self.next_sorted() };
            self.conclude(group);
            if *self.failed.borrow() {
                break;
            }
            if let Some(file) = self.connection.file() {
                keeper::finish(file, &self.watch);
            }
        }
        // Whoever waits for the end may take the directory's lock over: close the database first.
        drop(self.connection);
        drop(self.keeper);
        self.ended.send_replace(true);
    }

    /// Runs what waits, taking more from the inbox while it runs.
    fn next_group(&mut self) -> Group {
        let inbox = self.inbox.clone();
        let rows = Cell::new(0);
        let (mut operations, mut bytes) = (0, 0);
        let ops = std::iter::from_fn(|| {
            if operations >= GROUP_OPERATIONS || bytes >= GROUP_BYTES || rows.get() >= GROUP_ROWS {
                return None;
            }
            let (size, op) = inbox.pop()?;
            operations += 1;
            bytes += size;
            Some(op)
        });
        self.transaction(ops, &rows)
    }

    /// Takes what waits and runs as much of it as is of one sort: operations that said what they will look at,
    /// or operations that did not. A claim that waits beside the former runs in their transaction, after them, so
    /// that it costs no sync of its own.
    fn next_sorted(&mut self) -> Group {
        let mut bytes: usize = self.waiting.iter().map(|(size, _)| size).sum();
        while self.waiting.len() < GROUP_OPERATIONS && bytes < GROUP_BYTES {
            let Some((size, op)) = self.inbox.pop() else { break };
            bytes += size;
            self.waiting.push_back((size, op));
        }
        let may_join = !self.memory.is_claim_starved();
        let mut wants: Option<Wants> = None;
        let (mut group, mut joined) = (Vec::new(), Vec::new());
        while let Some((_, op)) = self.waiting.front() {
            let joins = may_join && op.joins();
            match (op.wants(&self.context), &mut wants) {
                (Some(wanted), Some(wants)) => wants.add(&wanted),
                (Some(wanted), None) if group.is_empty() => wants = Some(wanted),
                (None, None) if !joins => {}
                (None, _) if joins => {}
                _ => break,
            }
            let to = if joins { &mut joined } else { &mut group };
            to.extend(self.waiting.pop_front().map(|(_, op)| op));
        }
        group.append(&mut joined);
        self.all_of(group, wants.as_ref())
    }

    pub(super) fn conclude(&mut self, group: Group) {
        match group {
            Group::Done(ops) => self.answer(ops),
            Group::Failed(ops, error) => self.recover(ops, &error),
        }
    }

    fn answer(&self, ops: Vec<Box<dyn Op>>) {
        let answer = move || ops.into_iter().for_each(|op| op.finish(Ok(())));
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(async move { answer() })),
            None => answer(),
        }
    }

    /// Runs these operations again, all of them in one transaction; on a server as many as fit, and the rest
    /// next.
    pub(super) fn again(&mut self, ops: Vec<Box<dyn Op>>) -> Group {
        if self.connection.file().is_some() {
            return self.transaction(ops.into_iter(), &Cell::new(0));
        }
        let mut wants: Option<Wants> = None;
        for op in &ops {
            match (op.wants(&self.context), &mut wants) {
                (Some(wanted), Some(wants)) => wants.add(&wanted),
                (Some(wanted), None) => wants = Some(wanted),
                (None, _) => {}
            }
        }
        self.all_of(ops, wants.as_ref())
    }

    /// Runs these in one transaction; on a server, what they want is read ahead.
    fn all_of(&mut self, ops: Vec<Box<dyn Op>>, wants: Option<&Wants>) -> Group {
        let rows = Cell::new(0);
        let mut ops = ops.into_iter();
        if let Err(error) = self.begin(wants) {
            self.roll_back();
            return Group::Failed(ops.collect(), error);
        }
        let mut within = std::iter::from_fn(|| if rows.get() >= GROUP_ROWS { None } else { ops.next() });
        let group = self.within(&mut within, &rows);
        // What no longer fitted goes first next time, and has been let in already.
        ops.rev().for_each(|op| self.waiting.push_front((0, op)));
        group
    }

    /// Runs operations in one transaction until there are no more or one fails; a failed group
    /// holds all of them. `rows` counts the delivery rows they write.
    fn transaction(&mut self, mut ops: impl Iterator<Item = Box<dyn Op>>, rows: &Cell<usize>) -> Group {
        if let Err(error) = self.begin(None) {
            self.roll_back();
            return Group::Failed(ops.collect(), error);
        }
        self.within(&mut ops, rows)
    }

    /// The rest of a transaction that has begun.
    fn within(&mut self, ops: &mut dyn Iterator<Item = Box<dyn Op>>, rows: &Cell<usize>) -> Group {
        let mut done: Vec<Box<dyn Op>> = Vec::new();
        let (mut effects, mut handed) = (Vec::new(), Vec::new());
        let seat = self.seats.current();
        let tally = Tally::new(&self.backlog);
        let mut tx = Tx {
            connection: &self.connection,
            numbers: &self.numbers,
            effects: &mut effects,
            rows,
            handed: &mut handed,
            memory: &mut self.memory,
            seat: &seat,
            tally: &tally,
            context: &self.context,
        };
        while let Some(mut op) = ops.next() {
            let result = op.run(&mut tx).and_then(|()| injected(&self.faults, op.kind()));
            done.push(op);
            if let Err(error) = result {
                self.roll_back();
                done.extend(ops);
                return Group::Failed(done, error);
            }
        }
        match self.tell_others(&effects).and_then(|()| self.commit()) {
            Ok(()) => {
                for effect in effects {
                    self.effects.apply(effect);
                }
                if let Some(seat) = seat.filter(|_| !handed.is_empty()) {
                    seat.hand_over(handed);
                }
                self.context.metrics.group_size.observe(done.len() as u64);
                tally.apply(&self.context.metrics, &self.backlog);
                Group::Done(done)
            }
            Err(StoreError::UnknownCommit) => {
                self.memory.clear();
                for effect in effects.into_iter().filter(|effect| self.took_place(*effect)) {
                    self.effects.apply(effect);
                }
                if self.connection.file().is_some() {
                    self.backlog.start_over(self.numbers.borrow().newest());
                }
                Group::Failed(done, StoreError::UnknownCommit)
            }
            Err(error) => Group::Failed(done, error),
        }
    }

    /// Before a commit that other nodes' memories must notice.
    fn tell_others(&mut self, effects: &[Effect]) -> Result<(), StoreError> {
        if self.connection.file().is_some() {
            return Ok(());
        }
        let is_book = |effect: &Effect| matches!(effect, Effect::Contacts(_));
        for (is_changed, epoch) in [
            (effects.contains(&Effect::Keys), "keys"),
            (effects.contains(&Effect::Names), "names"),
            (effects.iter().any(is_book), "contacts"),
        ] {
            if is_changed && let Err(error) = self.connection.run(nodes::RAISE_EPOCH, params![epoch]) {
                self.roll_back();
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Whether the change behind an effect was committed after all. A generation that only this process
    /// knows of would keep every attempt of its subscription from starting.
    fn took_place(&self, effect: Effect) -> bool {
        let Effect::Generation(subscription, generation) = effect else { return true };
        let current = self.connection.scalar::<u64>(GENERATION, params![subscription.0]);
        current.is_ok_and(|current| current.is_none_or(|current| current >= generation))
    }

    fn begin(&mut self, wants: Option<&Wants>) -> Result<(), StoreError> {
        if let Some(file) = self.connection.file()
            && let Some(pages) = self.faults.take_page_limit()
        {
            file.pragma_update(None, "max_page_count", pages)?;
        }
        self.context.health.begin();
        let Connection::Postgres(session) = &self.connection else { return Ok(self.connection.begin()?) };
        self.numbers.borrow_mut().begin();
        self.memory.begin_anew();
        self.context.health.share();
        let Some(wants) = wants else { return Ok(self.connection.begin()?) };
        let timeout = self.seats.current().map(|seat| seat.timeout);
        let (known, memory) = (&mut self.known, &mut self.memory);
        let drawn = ahead::begin(session, wants, known, memory, &self.context, timeout)?;
        self.numbers.borrow_mut().drew(drawn);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let began = self.context.clock.monotonic();
        self.faults.delay_commit();
        let committed = match self.faults.take(Point::Commit) {
            Some(fault) => Err(recovery::fault_error(fault)),
            None => self.connection.commit().map_err(commit_error),
        };
        self.context.metrics.commit_us.observe_time(self.context.clock.monotonic().saturating_sub(began));
        if committed.is_err() {
            self.roll_back();
        }
        committed?;
        if let Some(fault) = self.faults.take(Point::AfterCommit) {
            return Err(recovery::fault_error(fault));
        }
        self.context.health.committed();
        Ok(())
    }

    fn roll_back(&mut self) {
        self.memory.clear();
        if let Err(error) = self.connection.roll_back() {
            tracing::error!(%error, "rolling back failed");
        }
    }
}

/// A server that was lost while it committed may have done so.
fn commit_error(error: sql::Error) -> StoreError {
    let is_away = matches!(error.trouble(), Trouble::Away);
    if is_away && !matches!(error, sql::Error::NotConnected) {
        StoreError::UnknownCommit
    } else {
        error.into()
    }
}

fn injected(faults: &Faults, kind: Kind) -> Result<(), StoreError> {
    let point = match kind {
        Kind::Accept => Point::Accept,
        Kind::Settle => Point::Settle,
        Kind::Change => return Ok(()),
    };
    faults.take(point).map_or(Ok(()), |fault| Err(recovery::fault_error(fault)))
}

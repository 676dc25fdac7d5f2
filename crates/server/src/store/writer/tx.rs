//! The transaction that a group of operations shares, as one of them sees it.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::numbers::Numbers;
use super::wants::Hold;
use crate::domain::delivery::Leased;
use crate::domain::entropy::Entropy;
use crate::domain::metrics::Metrics;
use crate::domain::number::{OrganizationNo, Seq, SubscriptionNo};
use crate::domain::time::Clock;
use crate::store::effects::Effect;
use crate::store::error::StoreError;
use crate::store::faults::Faults;
use crate::store::hand_over::Seat;
use crate::store::health::Memory as Health;
use crate::store::locks::{self, Task};
use crate::store::memory::Memory;
use crate::store::ordering::Ordered;
use crate::store::rows;
use crate::store::seal::Sealer;
use crate::store::sql::many::{Many, Values};
use crate::store::sql::{Connection, Params, params};
use crate::store::tally::Tally;

/// The group's transaction, as one operation sees it.
pub struct Tx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) numbers: &'a RefCell<Numbers>,
    pub(super) effects: &'a mut Vec<Effect>,
    pub(super) rows: &'a Cell<usize>,
    pub(super) handed: &'a mut Vec<Leased>,
    /// What was read and written before, while it stands.
    pub(in crate::store) memory: &'a mut Memory,
    /// The engine's, if one has taken it.
    pub(in crate::store) seat: &'a Option<Seat>,
    /// Told of every row that the queue gains or loses, and of what the metrics count.
    pub(in crate::store) tally: &'a Tally,
    pub(in crate::store) context: &'a Context,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tx")
    }
}

/// What every transaction may use.
#[derive(Debug, Clone)]
pub(in crate::store) struct Context {
    pub(in crate::store) clock: Clock,
    pub(in crate::store) entropy: Entropy,
    pub(in crate::store) sealer: Sealer,
    pub(in crate::store) boot: i64,
    pub(in crate::store) head_repairs: Arc<AtomicU64>,
    pub(in crate::store) ordered: Ordered,
    pub(in crate::store) health: Health,
    pub(in crate::store) metrics: Arc<Metrics>,
    pub(in crate::store) faults: Faults,
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Tx<'_> {
    /// Runs a statement through the cache and tells how many rows it changed.
    pub(in crate::store) fn run(&self, sql: &'static str, params: Params<'_>) -> Result<usize, StoreError> {
        Ok(self.connection.run(sql, params)?)
    }

    /// Writes a row by itself or with others of its kind.
    pub(in crate::store) fn write(&self, many: &'static Many, values: Values<'_>) -> Result<(), StoreError> {
        Ok(self.connection.write(many, values)?)
    }

    /// The same, for a statement that must change a row; false: it did not.
    pub(in crate::store) fn write_exact(
        &self,
        many: &'static Many,
        values: Values<'_>,
    ) -> Result<bool, StoreError> {
        Ok(self.connection.write_exact(many, values)?)
    }

    /// Runs an `INSERT … RETURNING no` and tells the number.
    pub(in crate::store) fn insert(&self, sql: &'static str, params: Params<'_>) -> Result<i64, StoreError> {
        rows::scalar(self.connection, sql, params)?.ok_or(StoreError::Corrupt("a new row without a number"))
    }

    /// Whether other nodes write to the same database.
    pub(in crate::store) fn is_shared(&self) -> bool {
        self.connection.file().is_none()
    }

    /// Holds a subscription until the end of the transaction. What was read of it before may be out of date, and
    /// acceptance numbers that were drawn before are too small.
    pub(in crate::store) fn hold(
        &mut self,
        subscription: SubscriptionNo,
        hold: Hold,
    ) -> Result<(), StoreError> {
        if self.is_shared() {
            locks::take(self.connection, subscription, hold)?;
            self.numbers.borrow_mut().begin();
            self.memory.held(subscription, hold);
        }
        Ok(())
    }

    /// These are held alone now, by a statement that waited for nobody.
    pub(in crate::store) fn took(&mut self, subscriptions: impl Iterator<Item = SubscriptionNo>) {
        self.numbers.borrow_mut().begin();
        subscriptions.for_each(|subscription| self.memory.held(subscription, Hold::Alone));
    }

    /// The same for a row that was found before it was held: it is looked for once more.
    pub(in crate::store) fn held<T>(
        &mut self,
        hold: Hold,
        find: impl Fn(&mut Self) -> Result<Option<T>, StoreError>,
        whose: impl Fn(&T) -> SubscriptionNo,
    ) -> Result<Option<T>, StoreError> {
        let Some(found) = find(self)? else { return Ok(None) };
        if !self.is_shared() {
            return Ok(Some(found));
        }
        self.hold(whose(&found), hold)?;
        find(self)
    }

    /// Whether this node may do what one at a time does.
    pub(in crate::store) fn takes(&self, task: Task) -> Result<bool, StoreError> {
        locks::take_task(self.connection, task)
    }

    /// The next acceptance number.
    pub(in crate::store) fn next_seq(&self) -> Result<Seq, StoreError> {
        self.numbers.borrow_mut().take(self.connection)
    }

    /// The number of an attempt to be written; `None` where the table counts by itself.
    pub(in crate::store) fn attempt_no(&self) -> Result<Option<i64>, StoreError> {
        if self.connection.file().is_some() { Ok(None) } else { Ok(Some(self.next_seq()?.0)) }
    }

    /// The newest acceptance number given out: whatever is accepted later has a greater one.
    pub(in crate::store) fn last_seq(&self) -> Result<Seq, StoreError> {
        self.numbers.borrow_mut().last(self.connection)
    }

    /// The newest acceptance number that this process knows of: others may have given out a few more.
    pub(in crate::store) fn newest_seq(&self) -> Seq {
        self.numbers.borrow().newest()
    }

    /// Whether the group has made or claimed deliveries already.
    pub(in crate::store) fn has_rows(&self) -> bool {
        self.rows.get() > 0
    }

    /// Counts delivery rows towards the group's bound.
    pub(in crate::store) fn count_rows(&mut self, rows: usize) {
        self.rows.set(self.rows.get() + rows);
    }

    /// After the commit, attempts prepared under an older generation must not start.
    pub(in crate::store) fn raise_generation(&mut self, subscription: SubscriptionNo, generation: u64) {
        self.memory.forget_target(subscription);
        self.effects.push(Effect::Generation(subscription, generation));
    }

    /// After the commit, operational events prepared under an older generation must not be sent.
    pub(in crate::store) fn raise_alerts(&mut self, organization: OrganizationNo, generation: u64) {
        self.effects.push(Effect::Alerts(organization, generation));
    }

    /// After the commit, cached API keys are looked up again.
    pub(in crate::store) fn forget_keys(&mut self) {
        self.effects.push(Effect::Keys);
    }

    /// After the commit, who stands behind an owner or a name is looked up again.
    pub(in crate::store) fn forget_names(&mut self) {
        self.memory.forget_identities();
        self.effects.push(Effect::Names);
    }

    /// After the commit, whose an address or number is is looked up again in this organisation.
    pub(in crate::store) fn forget_contacts(&mut self, organization: OrganizationNo) {
        self.effects.push(Effect::Contacts(organization));
    }

    /// A queue head had to be put right.
    pub(in crate::store) fn count_repair(&mut self) {
        self.context.head_repairs.fetch_add(1, Ordering::Relaxed);
        self.context.metrics.head_repairs.add(1);
    }

    /// After the commit, these go to the engine.
    pub(in crate::store) fn hand_over(&mut self, leased: impl IntoIterator<Item = Leased>) {
        self.handed.extend(leased);
    }

    /// Writes something that changes nothing.
    pub(in crate::store) fn touch(&mut self) -> Result<(), StoreError> {
        self.run(TOUCH, params![Vec::new()])?;
        Ok(())
    }
}

const TOUCH: &str =
    "INSERT INTO meta (key, value) VALUES ('touched', $1) ON CONFLICT (key) DO UPDATE SET value = $1";

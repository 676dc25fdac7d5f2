//! Many subscriptions at once, on a server: what operations will look at of each, in one round trip.
//!
//! What comes back goes into the writer's memory, where the operations find it. Only what is under a lock may be
//! read so, or what was read would not stay so until the commit.

use std::collections::HashMap;
use std::time::Duration;

use inkhook_wire::event::EventType;
use tokio_postgres::Row as ServerRow;
use tokio_postgres::types::ToSql;

use super::{Selected, identity_signer, read_status, select};
use crate::domain::delivery::Class;
use crate::domain::number::{Seq, SubscriptionNo};
use crate::domain::time::TimeMs;
use crate::store::error::StoreError;
use crate::store::health::{self, health_columns};
use crate::store::memory::{Heads, Memory};
use crate::store::rows;
use crate::store::sql::postgres::Ask;
use crate::store::sql::{Connection, Row};
use crate::store::writer::{Context, Tx};

const TARGETS: &str = select!(
    ["s.no, CAST(CAST(s.xmin AS TEXT) AS BIGINT) AS version, ", health_columns!()],
    "s.no = ANY(CAST($1 AS BIGINT[]))"
);
const TYPES: &str = "SELECT subscription, event_type, since_seq FROM subscription_types
    WHERE subscription = ANY(CAST($1 AS BIGINT[]))";
const HEADS: &str =
    "SELECT subscription, class, due_ms FROM queue_heads WHERE subscription = ANY(CAST($1 AS BIGINT[]))";
// The limit keeps each subscription's look apart, so that none begins at the front of the whole queue's index.
const LIVE_WAITS: &str = "SELECT s.no FROM unnest(CAST($1 AS BIGINT[])) AS s (no), LATERAL (
    SELECT 1 FROM queue q WHERE q.subscription = s.no AND q.class = 1 AND q.due_ms = 0 LIMIT 1) w";
const TRANSACTION: &str = "SELECT CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)";

/// Subscriptions that are asked for.
pub(in crate::store) struct Asked {
    numbers: Vec<i64>,
}

/// What came back.
pub(in crate::store) type Answers = [Vec<ServerRow>; 4];

impl Asked {
    pub(in crate::store) fn new(subscriptions: impl IntoIterator<Item = SubscriptionNo>) -> Self {
        Self { numbers: subscriptions.into_iter().map(|no| no.0).collect() }
    }

    /// The parameter of each of the questions.
    pub(in crate::store) fn param(&self) -> [&(dyn ToSql + Sync); 1] {
        [&self.numbers]
    }

    /// The questions, to be asked among others.
    pub(in crate::store) fn questions<'a>(&self, param: &'a [&'a (dyn ToSql + Sync); 1]) -> [Ask<'a>; 4] {
        let needed = !self.numbers.is_empty();
        [TARGETS, TYPES, HEADS, LIVE_WAITS].map(|sql| Ask { sql, params: param, needed })
    }

    /// Puts the answers into the memory. Without a timeout nobody claims, and where to is of no interest.
    pub(in crate::store) fn remember(
        &self,
        answers: &Answers,
        memory: &mut Memory,
        context: &Context,
        timeout: Option<Duration>,
    ) -> Result<(), StoreError> {
        let [targets, types, heads, live_waits] = answers;
        let mut of_each: HashMap<SubscriptionNo, Heads> =
            self.numbers.iter().map(|no| (SubscriptionNo(*no), Heads::default())).collect();
        for row in heads {
            let row = Row::Postgres(row);
            let class = Class::from_code(row.get(1)?).ok_or(StoreError::Corrupt("a queue head's class"))?;
            if let Some(heads) = of_each.get_mut(&SubscriptionNo(row.get(0)?)) {
                heads.set(class, Some(TimeMs(row.get(2)?)));
            }
        }
        for (subscription, heads) in of_each {
            memory.remember_heads(subscription, heads);
            memory.set_live_waits(subscription, false);
        }
        for row in live_waits {
            memory.set_live_waits(SubscriptionNo(Row::Postgres(row).get(0)?), true);
        }
        let mut selected = read_types(types)?;
        for row in targets {
            let row = Row::Postgres(row);
            let no = SubscriptionNo(row.get("no")?);
            if row.get("was_ordered")? {
                context.ordered.add(no);
            }
            health::read_ahead(&context.health, no, &row)?;
            if let Some(timeout) = timeout {
                let types = selected.remove(&no).unwrap_or_default();
                let target = read_status(context, &row, no, timeout, || Ok(Selected(types.into())))?;
                memory.remember_target(no, timeout, &target);
            }
        }
        Ok(())
    }
}

/// Reads these, which the transaction holds, where each by itself would be several round trips.
pub(in crate::store) fn load_ahead(
    tx: &mut Tx<'_>,
    subscriptions: &[SubscriptionNo],
    timeout: Duration,
) -> Result<(), StoreError> {
    let Connection::Postgres(session) = &**tx else { return Ok(()) };
    if subscriptions.is_empty() {
        return Ok(());
    }
    let asked = Asked::new(subscriptions.iter().copied());
    let param = asked.param();
    let [targets, types, heads, live_waits] = asked.questions(&param);
    let transaction = Ask { sql: TRANSACTION, params: &[], needed: true };
    let [transaction, targets, types, heads, live_waits] =
        session.ask_all(&[transaction, targets, types, heads, live_waits])?;
    if let Some(transaction) = transaction.first() {
        tx.context.health.runs_as(Row::Postgres(transaction).get(0)?);
    }
    asked.remember(&[targets, types, heads, live_waits], tx.memory, tx.context, Some(timeout))
}

fn read_types(found: &[ServerRow]) -> Result<HashMap<SubscriptionNo, Vec<(EventType, Seq)>>, StoreError> {
    let mut types: HashMap<SubscriptionNo, Vec<(EventType, Seq)>> = HashMap::new();
    for row in found {
        let row = Row::Postgres(row);
        let of = types.entry(SubscriptionNo(row.get("subscription")?)).or_default();
        of.push((rows::event_type(&row, "event_type")?, Seq(row.get("since_seq")?)));
    }
    Ok(types)
}

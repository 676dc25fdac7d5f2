//! Reading what was accepted, and where each delivery stands.

use std::collections::HashMap;

use inkhook_wire::event::EventType;
use inkhook_wire::id::{EventId, IdentityId, RequestId, SubscriptionId};

use super::error::StoreError;
use super::{Store, rows};
use crate::domain::caller::Scope;
use crate::domain::delivery::{Class, State};
use crate::domain::number::{DELIVERIES_PER_SEQ, DeliveryNo, Seq};
use crate::domain::owner::{self, Owner};
use crate::domain::time::TimeMs;
use crate::store::sql::{self, Connection, Row, Value, params};

/// An accepted event.
#[derive(Debug, Clone)]
pub struct EventView {
    /// Its id.
    pub id: EventId,
    /// Its acceptance number.
    pub seq: Seq,
    /// Its type.
    pub event_type: EventType,
    /// What it happened to.
    pub owner: Owner,
    /// The identity behind the owner.
    pub identity_id: IdentityId,
    /// When it was accepted.
    pub accepted_at: TimeMs,
    /// No attempt starts after this.
    pub expires_at: Option<TimeMs>,
    /// The body that is signed and sent; left out of lists.
    pub payload: Option<Vec<u8>>,
    /// Its deliveries, oldest first.
    pub deliveries: Vec<DeliveryView>,
}

/// A delivery of an event.
#[derive(Debug, Clone)]
pub struct DeliveryView {
    /// The wire's name of it.
    pub request_id: RequestId,
    /// Where it goes.
    pub subscription_id: SubscriptionId,
    /// Where it stands.
    pub state: State,
    /// Why it ended, when that needs a word.
    pub reason: Option<String>,
    /// Attempts made, unknown ones included.
    pub attempts: u32,
    /// Made by hand of an event that was accepted before.
    pub is_replay: bool,
    /// Made by hand together with its event, to see whether the receiver works.
    pub is_test: bool,
    /// When it is tried next, while it waits.
    pub next_attempt_at: Option<TimeMs>,
    /// When it ended.
    pub ended_at: Option<TimeMs>,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Of this owner.
    pub owner: Option<Owner>,
    /// Of this type.
    pub event_type: Option<EventType>,
    /// Accepted before this one.
    pub before: Option<EventId>,
    /// At most this many.
    pub limit: u32,
    /// After this many.
    pub offset: u32,
}

const ONE: &str = "SELECT * FROM events WHERE organization_id = $1 AND id = $2";
// Looked up event by event: a filtered list may have any number of others between two of its events.
const WAITING: &str = "SELECT l.value AS event_seq, q.no, q.request_id, s.id AS subscription_id, q.attempts,
    q.class, q.due_ms, q.boot, CASE WHEN s.status <> 'active' THEN 'subscription_deleted'
    WHEN t.since_seq IS NULL OR q.no / 64 <= t.since_seq THEN 'event_type_not_selected' END AS cancelled
    FROM /*lite*/ json_each($1) l CROSS JOIN /*end*/
    /*pg (SELECT CAST(value AS BIGINT) AS value FROM json_array_elements_text(CAST($1 AS JSON))) l JOIN */ queue q ON q.no BETWEEN l.value * 64 AND l.value * 64 + 63
    JOIN subscriptions s ON s.no = q.subscription
    LEFT JOIN subscription_types t ON t.subscription = q.subscription AND t.event_type = q.event_type
    WHERE q.event_seq = l.value
    UNION ALL SELECT l.value, q.no, q.request_id, s.id, q.attempts, q.class, q.due_ms, q.boot,
    CASE WHEN s.status <> 'active' THEN 'subscription_deleted'
    WHEN t.since_seq IS NULL OR q.no / 64 <= t.since_seq THEN 'event_type_not_selected' END
    FROM /*lite*/ json_each($1) l CROSS JOIN /*end*/
    /*pg (SELECT CAST(value AS BIGINT) AS value FROM json_array_elements_text(CAST($1 AS JSON))) l JOIN */ queue q ON q.event_seq = l.value AND q.class IN (3, 4)
    AND q.no NOT BETWEEN l.value * 64 AND l.value * 64 + 63
    JOIN subscriptions s ON s.no = q.subscription
    LEFT JOIN subscription_types t ON t.subscription = q.subscription AND t.event_type = q.event_type
    UNION ALL SELECT l.value, p.no, p.request_id, s.id, 0, 1, 0, NULL,
    CASE WHEN s.status <> 'active' THEN 'subscription_deleted'
    WHEN t.since_seq IS NULL OR p.no / 64 <= t.since_seq THEN 'event_type_not_selected' END
    FROM /*lite*/ json_each($1) l CROSS JOIN /*end*/
    /*pg (SELECT CAST(value AS BIGINT) AS value FROM json_array_elements_text(CAST($1 AS JSON))) l JOIN */ parked p ON p.no BETWEEN l.value * 64 AND l.value * 64 + 63
    JOIN subscriptions s ON s.no = p.subscription
    LEFT JOIN subscription_types t ON t.subscription = p.subscription AND t.event_type = p.event_type";
const ENDED: &str = "SELECT l.value AS event_seq, d.no, d.request_id, s.id AS subscription_id, d.attempts,
    d.class, d.state, d.reason, d.ended_ms
    FROM /*lite*/ json_each($1) l CROSS JOIN /*end*/
    /*pg (SELECT CAST(value AS BIGINT) AS value FROM json_array_elements_text(CAST($1 AS JSON))) l JOIN */ deliveries d ON d.no BETWEEN l.value * 64 AND l.value * 64 + 63
    JOIN subscriptions s ON s.no = d.subscription WHERE d.event_seq = l.value
    UNION ALL SELECT l.value, d.no, d.request_id, s.id, d.attempts, d.class, d.state, d.reason, d.ended_ms
    FROM /*lite*/ json_each($1) l CROSS JOIN /*end*/
    /*pg (SELECT CAST(value AS BIGINT) AS value FROM json_array_elements_text(CAST($1 AS JSON))) l JOIN */ deliveries d ON d.event_seq = l.value AND d.class IN (3, 4)
    AND d.no NOT BETWEEN l.value * 64 AND l.value * 64 + 63
    JOIN subscriptions s ON s.no = d.subscription";

impl Store {
    /// One event with its payload and deliveries.
    pub async fn event(&self, scope: Scope, id: EventId) -> Result<Option<EventView>, StoreError> {
        let find = move |connection: &Connection| {
            let uuid = id.as_uuid();
            let event =
                rows::optional(connection, ONE, params![scope.organization.0, uuid.as_bytes()], |row| {
                    read(row, true)
                })?;
            let Some(event) = event.filter(|event| visible(scope, event)) else { return Ok(None) };
            let mut events = vec![event];
            add_deliveries(connection, &mut events)?;
            Ok(events.pop())
        };
        self.read_old(find, |found| found.as_ref().is_some_and(has_ended)).await
    }

    /// Events without their payload, newest first. Three statements, however long the page.
    pub async fn events(&self, scope: Scope, filter: EventFilter) -> Result<Vec<EventView>, StoreError> {
        let is_first = filter.offset == 0;
        let list = move |connection: &Connection| list(connection, scope, &filter);
        // Counted from an older newest end, an offset would skip what the page before did not show.
        if is_first { self.read_old(list, |found| !found.is_empty()).await } else { self.read(list).await }
    }
}

/// Whether all that was to become of it has: then it hardly changes any more, and may be a little old.
fn has_ended(event: &EventView) -> bool {
    event.deliveries.iter().all(|delivery| delivery.ended_at.is_some())
}

fn list(connection: &Connection, scope: Scope, filter: &EventFilter) -> Result<Vec<EventView>, StoreError> {
    let (sql, params) = list_statement(scope, filter);
    let mut events = rows::all(connection, &sql, &sql::refs(&params), |row| read(row, false))?;
    add_deliveries(connection, &mut events)?;
    Ok(events)
}

fn visible(scope: Scope, event: &EventView) -> bool {
    scope.identity.is_none_or(|identity| identity == event.identity_id)
}

fn list_statement(scope: Scope, filter: &EventFilter) -> (String, Vec<Value>) {
    // The sign keeps an index out of the choice: an owner is narrower than its organisation.
    let sign = if filter.owner.is_some() { "+" } else { "" };
    let mut sql = format!(
        "SELECT seq, id, event_type, owner_kind, owner_id, identity_id, accepted_ms, expires_ms
        FROM events WHERE {sign}organization_id = ?"
    );
    let mut params = vec![Value::from(scope.organization.0)];
    let mut and = |clause: &str, value: Value| {
        sql.push_str(clause);
        params.push(value);
    };
    if let Some(identity) = scope.identity {
        and(" AND identity_id = ?", identity.as_uuid().as_bytes().to_vec().into());
    }
    if let Some(owner) = filter.owner {
        and(" AND owner_id = ?", owner.uuid().as_bytes().to_vec().into());
    }
    if let Some(event_type) = filter.event_type {
        and(" AND event_type = ?", i64::from(event_type.code()).into());
    }
    if let Some(before) = filter.before {
        // An event that the caller cannot see is none: nothing comes before it.
        let identity = scope.identity.map(|identity| identity.as_uuid().as_bytes().to_vec());
        let visible = " AND seq < (SELECT seq FROM events WHERE id = ? AND organization_id = ?
            AND identity_id = coalesce(?, identity_id))";
        and(visible, before.as_uuid().as_bytes().to_vec().into());
        params.extend([Value::from(scope.organization.0), Value::from(identity)]);
    }
    sql.push_str(" ORDER BY seq DESC LIMIT ? OFFSET ?");
    params.push(filter.limit.into());
    params.push(filter.offset.into());
    (sql, params)
}

fn read(row: &Row<'_>, with_payload: bool) -> Result<EventView, StoreError> {
    let kind = owner::kind_from_code(row.get("owner_kind")?);
    let kind = kind.ok_or(StoreError::Corrupt("an event's owner kind"))?;
    Ok(EventView {
        id: rows::id(row, "id")?,
        seq: Seq(row.get("seq")?),
        event_type: rows::event_type(row, "event_type")?,
        owner: Owner::new(kind, rows::id(row, "owner_id")?),
        identity_id: rows::id(row, "identity_id")?,
        accepted_at: rows::time(row, "accepted_ms")?,
        expires_at: rows::optional_time(row, "expires_ms")?,
        payload: if with_payload { Some(row.get("payload")?) } else { None },
        deliveries: Vec::new(),
    })
}

fn add_deliveries(connection: &Connection, events: &mut [EventView]) -> Result<(), StoreError> {
    let places: HashMap<Seq, usize> =
        events.iter().enumerate().map(|(place, event)| (event.seq, place)).collect();
    let listed = events.iter().map(|event| event.seq.0).collect::<serde_json::Value>().to_string();
    let mut found =
        rows::all(connection, WAITING, params![listed], |row| Ok((position(row)?, read_waiting(row)?)))?;
    found
        .extend(rows::all(connection, ENDED, params![listed], |row| Ok((position(row)?, read_ended(row)?)))?);
    found.sort_by_key(|((_, no), _)| *no);
    for ((seq, _), delivery) in found {
        if let Some(place) = places.get(&seq) {
            events[*place].deliveries.push(delivery);
        }
    }
    Ok(())
}

fn position(row: &Row<'_>) -> Result<(Seq, i64), StoreError> {
    debug_assert_eq!(DELIVERIES_PER_SEQ, 64, "the statements above spell the number out");
    Ok((Seq(row.get("event_seq")?), row.get("no")?))
}

/// Whether somebody asked for it, and whether its event was made for it.
fn by_hand(row: &Row<'_>) -> Result<(bool, bool), StoreError> {
    let (seq, no) = position(row)?;
    let by_hand = Class::from_code(row.get("class")?) == Some(Class::Manual);
    Ok((by_hand, by_hand && DeliveryNo(no).seq() == seq))
}

fn read_waiting(row: &Row<'_>) -> Result<DeliveryView, StoreError> {
    let cancelled: Option<String> = row.get("cancelled")?;
    let under_way = row.get::<_, Option<i64>>("boot")?.is_some();
    let state = match (&cancelled, under_way) {
        (Some(_), _) => State::Cancelled,
        (None, true) => State::Delivering,
        (None, false) => State::Queued,
    };
    let due = rows::time(row, "due_ms")?;
    let (by_hand, is_test) = by_hand(row)?;
    Ok(DeliveryView {
        request_id: rows::id(row, "request_id")?,
        subscription_id: rows::id(row, "subscription_id")?,
        state,
        reason: cancelled,
        attempts: row.get("attempts")?,
        is_replay: by_hand && !is_test,
        is_test,
        next_attempt_at: (state == State::Queued && due > TimeMs::ZERO).then_some(due),
        ended_at: None,
    })
}

fn read_ended(row: &Row<'_>) -> Result<DeliveryView, StoreError> {
    let state = State::from_code(row.get("state")?).ok_or(StoreError::Corrupt("a delivery's state"))?;
    let (by_hand, is_test) = by_hand(row)?;
    Ok(DeliveryView {
        request_id: rows::id(row, "request_id")?,
        subscription_id: rows::id(row, "subscription_id")?,
        state,
        reason: row.get("reason")?,
        attempts: row.get("attempts")?,
        is_replay: by_hand && !is_test,
        is_test,
        next_attempt_at: None,
        ended_at: rows::optional_time(row, "ended_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::number::OrganizationNo;
    use crate::store::rows::plan;

    #[test]
    fn each_filter_walks_an_index_from_its_newest_end() {
        let scope = Scope { organization: OrganizationNo(1), identity: None };
        let (id, page) = (uuid::Uuid::from_u128(1), EventFilter { limit: 50, ..EventFilter::default() });
        let filters = [
            (page.clone(), "events_by_organization"),
            (EventFilter { owner: Some(Owner::Mailbox(id.into())), ..page.clone() }, "events_by_owner"),
            (EventFilter { event_type: Some(EventType::TextSent), ..page }, "events_by_type"),
        ];
        for (filter, index) in filters {
            for before in [None, Some(id.into())] {
                let filter = EventFilter { before, ..filter.clone() };
                let (sql, params) = list_statement(scope, &filter);
                let plan = plan::of(&sql, rusqlite::params_from_iter(params));
                assert!(plan[0].contains(index), "{filter:?}: {plan:#?}");
                plan::assert_bounded(&plan);
            }
        }
    }

    #[test]
    fn deliveries_are_looked_up_event_by_event() {
        for sql in [WAITING, ENDED] {
            plan::assert_bounded(&plan::of(sql, ["[1,2]"]));
        }
    }

    #[test]
    fn a_page_costs_three_statements_however_long_it_is() {
        let connection = plan::database();
        let scope = Scope { organization: OrganizationNo(1), identity: None };
        connection
            .execute_batch(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
                 INSERT INTO events SELECT i, randomblob(16), 1, 1, 1, randomblob(16), randomblob(16), 0, NULL,
                    0, x'' FROM n",
            )
            .unwrap();
        for limit in [1, 100] {
            plan::STATEMENTS.set(0);
            let listed = list(&connection, scope, &EventFilter { limit, ..EventFilter::default() }).unwrap();
            assert_eq!((listed.len(), plan::STATEMENTS.get()), (limit as usize, 3));
        }
    }
}

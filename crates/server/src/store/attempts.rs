//! Reading the attempt log.

use inkhook_wire::event::EventType;
use inkhook_wire::id::{AttemptId, EventId, PhoneNumberId, SubscriptionId};
use uuid::Uuid;

use super::error::StoreError;
use super::{Store, context, rows};
use crate::domain::attempt::Recorded;
use crate::domain::caller::Scope;
use crate::domain::number::{DeliveryNo, Seq};
use crate::domain::time::TimeMs;
use crate::store::sql::{self, Connection, Row, Value, params};

/// One line of the log, with what it needs from its event and subscription.
#[derive(Debug, Clone)]
pub struct AttemptView {
    /// Its id.
    pub id: AttemptId,
    /// What it was about.
    pub about: About,
    /// The type of the event; of a call [`EventType::PhoneIncomingCall`].
    pub event_type: EventType,
    /// Where it was sent.
    pub url: String,
    /// The bytes that were signed and sent.
    pub request_payload: Option<Vec<u8>>,
    /// What came of it.
    pub recorded: Recorded,
    /// The answer's status.
    pub status: Option<u16>,
    /// What was kept of the answer.
    pub response_body: Option<Vec<u8>>,
    /// What went wrong.
    pub error: Option<String>,
    /// From beginning to end.
    pub duration_ms: Option<u64>,
    /// 1 for the delivery's first attempt.
    pub attempt_no: u32,
    /// Who asked for it, when somebody did.
    pub by_hand: Option<ByHand>,
    /// When it was written.
    pub created_at: TimeMs,
}

impl AttemptView {
    /// The event; a call has none.
    #[must_use]
    pub fn event_id(&self) -> Option<EventId> {
        match self.about {
            About::Delivery { event_id, .. } => Some(event_id),
            About::Call { .. } => None,
        }
    }
}

/// What an attempt was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// An event, on its way to a subscription.
    Delivery {
        /// The subscription, which may be deleted by now.
        subscription_id: SubscriptionId,
        /// The subscription still exists.
        subscription_active: bool,
        /// The subscription selects the event's type now.
        type_selected: bool,
        /// The event.
        event_id: EventId,
        /// No attempt of it starts after this.
        event_expires_at: Option<TimeMs>,
    },
    /// A call that was coming in.
    Call {
        /// The call.
        call_id: Uuid,
        /// The number that was called.
        phone_number_id: PhoneNumberId,
    },
}

/// What somebody asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByHand {
    /// An event that was accepted before, once more.
    Replay,
    /// An event that was made for it, to see whether the receiver works.
    Test,
}

/// Which attempts to list.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    /// Of this subscription.
    pub subscription: Option<SubscriptionId>,
    /// Of calls to this number.
    pub phone_number: Option<PhoneNumberId>,
    /// Of this type.
    pub event_type: Option<EventType>,
    /// Answered 2xx in time, or not.
    pub success: Option<bool>,
    /// Older than this one.
    pub before: Option<AttemptId>,
    /// At most this many.
    pub limit: u32,
    /// After this many.
    pub offset: u32,
}

// A line about a call has negative numbers: no subscription, no event, but a call and the line that it came over.
const COLUMNS: &str = "SELECT a.id, s.id AS subscription_id, s.status AS subscription_status,
    t.since_seq, e.id AS event_id, e.expires_ms, coalesce(b.body, e.payload, c.payload) AS payload, a.event_type, u.url,
    a.outcome, a.status, a.response_body, a.error, a.duration_ms, a.attempt_no, a.is_replay,
    a.delivery, a.event_seq, a.created_ms, c.id AS call_id, l.phone_number_id
    FROM attempts a JOIN urls u ON u.no = a.url
    LEFT JOIN subscriptions s ON s.no = a.subscription
    LEFT JOIN events e ON e.seq = a.event_seq
    LEFT JOIN delivery_bodies b ON b.delivery = a.delivery
    LEFT JOIN subscription_types t ON t.subscription = a.subscription AND t.event_type = a.event_type
    LEFT JOIN calls c ON c.no = -a.delivery
    LEFT JOIN call_lines l ON l.no = -a.subscription
    WHERE (e.seq IS NOT NULL OR c.no IS NOT NULL) AND a.organization_id = ?";

impl Store {
    /// Attempts, newest first. One statement, however long the page.
    pub async fn attempts(
        &self,
        scope: Scope,
        filter: AttemptFilter,
    ) -> Result<Vec<AttemptView>, StoreError> {
        let is_first = filter.offset == 0;
        let list = move |connection: &Connection| {
            let (sql, params) = list_statement(scope, &filter);
            rows::all(connection, &sql, &sql::refs(&params), read)
        };
        // Counted from an older newest end, an offset would skip what the page before did not show.
        if is_first { self.read_old(list, |found| !found.is_empty()).await } else { self.read(list).await }
    }

    /// One attempt.
    pub async fn attempt(&self, scope: Scope, id: AttemptId) -> Result<Option<AttemptView>, StoreError> {
        self.read(move |connection| find(connection, scope, id)).await
    }

    /// The attempt of a delivery that was made by hand, once the delivery has ended.
    pub async fn manual_attempt(&self, scope: Scope, delivery: DeliveryNo) -> Result<ManualEnd, StoreError> {
        self.read(move |connection| {
            let waiting: Option<i64> = rows::scalar(connection, STILL_QUEUED, params![delivery.0])?;
            if waiting.is_some() {
                return Ok(ManualEnd::Waiting);
            }
            let sql = format!("{COLUMNS} AND a.delivery = ? AND a.is_replay = 1 ORDER BY a.no DESC LIMIT 1");
            let params = params![scope.organization.0, delivery.0];
            let attempt = rows::all(connection, &sql, params, read)?.pop();
            Ok(attempt.map_or(ManualEnd::Ended, |attempt| ManualEnd::Attempted(Box::new(attempt))))
        })
        .await
    }
}

/// What became of a delivery made by hand.
#[derive(Debug, Clone)]
pub enum ManualEnd {
    /// It has not ended.
    Waiting,
    /// It ended without an attempt: cancelled or expired before it could start.
    Ended,
    /// It ended with this attempt.
    Attempted(Box<AttemptView>),
}

const STILL_QUEUED: &str = "SELECT 1 FROM queue WHERE no = $1";

pub(super) fn find(
    connection: &Connection,
    scope: Scope,
    id: AttemptId,
) -> Result<Option<AttemptView>, StoreError> {
    let mut sql = format!("{COLUMNS} AND a.id = ?");
    let mut params = vec![Value::from(scope.organization.0), id.as_uuid().as_bytes().to_vec().into()];
    and_identity(scope, &mut sql, &mut params);
    Ok(rows::all(connection, &sql, &sql::refs(&params), read)?.pop())
}

fn and_identity(scope: Scope, sql: &mut String, params: &mut Vec<Value>) {
    if let Some(identity) = scope.identity {
        sql.push_str(" AND coalesce(s.identity_id, l.identity_id) = ?");
        params.push(identity.as_uuid().as_bytes().to_vec().into());
    }
}

fn list_statement(scope: Scope, filter: &AttemptFilter) -> (String, Vec<Value>) {
    // The sign keeps an index out of the choice: a subscription or number is the narrowest filter, whatever else is
    // given.
    let mut sql = match (filter.subscription, filter.phone_number) {
        (None, None) => COLUMNS.to_owned(),
        _ => COLUMNS.replace("a.organization_id", "+a.organization_id"),
    };
    let mut params = vec![Value::from(scope.organization.0)];
    and_identity(scope, &mut sql, &mut params);
    if let Some(subscription) = filter.subscription {
        sql.push_str(" AND a.subscription = (SELECT no FROM subscriptions WHERE id = ?)");
        params.push(subscription.as_uuid().as_bytes().to_vec().into());
    }
    if let Some(number) = filter.phone_number {
        sql.push_str(" AND a.subscription = -(SELECT no FROM call_lines WHERE phone_number_id = ?)");
        params.push(number.as_uuid().as_bytes().to_vec().into());
    }
    if let Some(event_type) = filter.event_type {
        sql.push_str(" AND a.event_type = ?");
        params.push(i64::from(event_type.code()).into());
    }
    if let Some(before) = filter.before {
        // An attempt that the caller cannot see is none: nothing comes before it.
        sql.push_str(
            " AND a.no < (SELECT b.no FROM attempts b LEFT JOIN subscriptions o ON o.no = b.subscription
            LEFT JOIN call_lines m ON m.no = -b.subscription
            WHERE b.id = ? AND b.organization_id = ?
            AND coalesce(o.identity_id, m.identity_id) = coalesce(?, o.identity_id, m.identity_id))",
        );
        let identity = scope.identity.map(|identity| identity.as_uuid().as_bytes().to_vec());
        params.push(before.as_uuid().as_bytes().to_vec().into());
        params.extend([Value::from(scope.organization.0), Value::from(identity)]);
    }
    if let Some(success) = filter.success {
        // Written as in its index.
        sql.push_str(" AND /*lite*/ (a.outcome = 1) /*end*/ /*pg ((a.outcome = 1)::int) */ = ?");
        params.push(success.into());
    }
    sql.push_str(" ORDER BY a.no DESC LIMIT ? OFFSET ?");
    params.push(filter.limit.into());
    params.push(filter.offset.into());
    (sql, params)
}

fn by_hand(row: &Row<'_>) -> Result<Option<ByHand>, StoreError> {
    if !row.get::<_, bool>("is_replay")? {
        return Ok(None);
    }
    let is_test = DeliveryNo(row.get("delivery")?).seq() == Seq(row.get("event_seq")?);
    Ok(Some(if is_test { ByHand::Test } else { ByHand::Replay }))
}

fn about(row: &Row<'_>) -> Result<About, StoreError> {
    if let Some(call_id) = rows::optional_id(row, "call_id")? {
        return Ok(About::Call { call_id, phone_number_id: rows::id(row, "phone_number_id")? });
    }
    let status: String = row.get("subscription_status")?;
    Ok(About::Delivery {
        subscription_id: rows::id(row, "subscription_id")?,
        subscription_active: status == "active",
        type_selected: row.get::<_, Option<i64>>("since_seq")?.is_some(),
        event_id: rows::id(row, "event_id")?,
        event_expires_at: rows::optional_time(row, "expires_ms")?,
    })
}

fn read(row: &Row<'_>) -> Result<AttemptView, StoreError> {
    let recorded =
        Recorded::from_code(row.get("outcome")?).ok_or(StoreError::Corrupt("an attempt's outcome"))?;
    Ok(AttemptView {
        id: rows::id(row, "id")?,
        about: about(row)?,
        event_type: rows::event_type(row, "event_type")?,
        url: row.get("url")?,
        request_payload: row.get::<_, Option<Vec<u8>>>("payload")?.map(context::unpack).transpose()?,
        recorded,
        status: row.get("status")?,
        response_body: row.get("response_body")?,
        error: row.get("error")?,
        duration_ms: row.get("duration_ms")?,
        attempt_no: row.get("attempt_no")?,
        by_hand: by_hand(row)?,
        created_at: rows::time(row, "created_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::number::OrganizationNo;
    use crate::store::rows::plan;

    #[test]
    fn success_is_written_as_each_database_has_it_in_its_index() {
        let scope = Scope { organization: OrganizationNo(1), identity: None };
        let (sql, _) = list_statement(scope, &AttemptFilter { success: Some(true), ..Default::default() });
        let written = sql::text::for_postgres(&sql);
        assert!(written.contains("((a.outcome = 1)::int)  = $2"), "{written}");
        let migration = include_str!("../../../../migrations/postgres/V0001__init.sql");
        assert!(
            migration.contains("attempts_by_success ON attempts (organization_id, ((outcome = 1)::int), no)")
        );
    }

    #[test]
    fn each_filter_walks_an_index_from_its_newest_end() {
        let scope = Scope { organization: OrganizationNo(1), identity: None };
        let (id, page) = (uuid::Uuid::from_u128(1), AttemptFilter { limit: 50, ..AttemptFilter::default() });
        let subscription = AttemptFilter { subscription: Some(id.into()), ..page.clone() };
        let number = AttemptFilter { phone_number: Some(id.into()), ..page.clone() };
        let event_type = AttemptFilter { event_type: Some(EventType::MessageReceived), ..page.clone() };
        let succeeded = AttemptFilter { success: Some(true), ..page.clone() };
        let failed = AttemptFilter { success: Some(false), ..page.clone() };
        let filters = [
            (page, "attempts_by_organization"),
            (subscription.clone(), "attempts_by_subscription"),
            (AttemptFilter { success: Some(true), ..subscription }, "attempts_by_subscription"),
            (number.clone(), "attempts_by_subscription"),
            (AttemptFilter { success: Some(false), ..number }, "attempts_by_subscription"),
            (event_type, "attempts_by_type"),
            (succeeded, "attempts_by_success"),
            (failed, "attempts_by_success"),
        ];
        for (filter, index) in filters {
            for before in [None, Some(id.into())] {
                let filter = AttemptFilter { before, ..filter.clone() };
                let (sql, params) = list_statement(scope, &filter);
                let plan = plan::of(&sql, rusqlite::params_from_iter(params));
                assert!(plan.iter().any(|step| step.contains(index)), "{filter:?}: {plan:#?}");
                plan::assert_bounded(&plan);
            }
        }
    }
}

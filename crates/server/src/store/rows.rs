//! Reading rows: the few forms that every table's file uses.

use std::borrow::Cow;

use inkhook_wire::event::EventType;
use rusqlite::types::FromSql;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row};
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::identity::Settings;
use crate::domain::time::TimeMs;

/// A statement from the cache, its parameters numbered as they are written.
///
/// SQLite takes `$2` for a *name* and numbers names by their first appearance, so that
/// `SET a = $2 WHERE b = $1` would bind the two the wrong way round. `?2` is a number.
pub(super) fn prepare<'c>(connection: &'c Connection, sql: &str) -> Result<CachedStatement<'c>, StoreError> {
    #[cfg(test)]
    plan::STATEMENTS.with(|count| count.set(count.get() + 1));
    let numbered = if sql.contains('$') { Cow::Owned(sql.replace('$', "?")) } else { Cow::Borrowed(sql) };
    Ok(connection.prepare_cached(&numbered)?)
}

/// The first row, if there is one.
pub(super) fn optional<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = prepare(connection, sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Every row.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = prepare(connection, sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// One column of the first row, if there is one.
pub(super) fn scalar<T: FromSql>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
) -> Result<Option<T>, StoreError> {
    Ok(prepare(connection, sql)?.query_row(params, |row| row.get(0)).optional()?)
}

/// A UUID column, as whichever id it is.
pub(super) fn id<T: From<Uuid>>(row: &Row<'_>, column: &str) -> Result<T, StoreError> {
    let bytes: [u8; 16] = row.get(column)?;
    Ok(Uuid::from_bytes(bytes).into())
}

/// A UUID column that may be null.
pub(super) fn optional_id<T: From<Uuid>>(row: &Row<'_>, column: &str) -> Result<Option<T>, StoreError> {
    let bytes: Option<[u8; 16]> = row.get(column)?;
    Ok(bytes.map(|bytes| Uuid::from_bytes(bytes).into()))
}

/// A time column.
pub(super) fn time(row: &Row<'_>, column: &str) -> Result<TimeMs, StoreError> {
    Ok(TimeMs(row.get(column)?))
}

/// A time column that may be null.
pub(super) fn optional_time(row: &Row<'_>, column: &str) -> Result<Option<TimeMs>, StoreError> {
    let time: Option<i64> = row.get(column)?;
    Ok(time.map(TimeMs))
}

/// An event type column.
pub(super) fn event_type(row: &Row<'_>, column: &str) -> Result<EventType, StoreError> {
    let code: u16 = row.get(column)?;
    EventType::from_code(code).ok_or(StoreError::Corrupt("an event type's code"))
}

/// A JSON object as its column holds it.
pub(super) fn json(settings: &Settings) -> String {
    serde_json::Value::Object(settings.clone()).to_string()
}

/// A column that holds a JSON object.
pub(super) fn settings(row: &Row<'_>, column: &str) -> Result<Settings, StoreError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| StoreError::Corrupt("settings"))
}

/// What is there with what is new; null takes a setting away.
pub(super) fn merged(mut settings: Settings, new: &Settings) -> Settings {
    settings.extend(new.clone());
    settings.retain(|_, value| !value.is_null());
    settings
}

/// How statements would be run, for tests of what they cost.
#[cfg(test)]
pub(super) mod plan {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// Statements that this thread prepared or took from the cache.
        pub(in crate::store) static STATEMENTS: Cell<usize> = const { Cell::new(0) };
    }

    /// An empty database with the schema.
    pub(in crate::store) fn database() -> Connection {
        let mut connection = Connection::open_in_memory().expect("a database");
        super::super::migrate::migrate(&mut connection).expect("the schema");
        connection
    }

    /// The steps of a statement's plan.
    pub(in crate::store) fn of(sql: &str, params: impl Params) -> Vec<String> {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        all(&database(), &explain, params, |row| Ok(row.get("detail")?)).expect("a plan")
    }

    /// Fails when a step reads a whole table that grows, or sorts.
    #[track_caller]
    pub(in crate::store) fn assert_bounded(plan: &[String]) {
        let scans = |step: &&String| step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE");
        assert_eq!(plan.iter().find(scans), None, "{plan:#?}");
        let unbounded = |step: &&String| step.contains("TEMP B-TREE") || step.contains("AUTOMATIC");
        assert_eq!(plan.iter().find(unbounded), None, "{plan:#?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_bound_by_their_number() {
        let connection = Connection::open_in_memory().expect("a database");
        for sql in ["SELECT $2 || $1", "SELECT ?2 || ?1"] {
            let joined: Option<String> = scalar(&connection, sql, ["a", "b"]).expect("it runs");
            assert_eq!(joined.as_deref(), Some("ba"), "{sql}");
        }
    }

    #[test]
    fn null_takes_a_setting_away() {
        let object = |text: &str| serde_json::from_str::<Settings>(text).expect("an object");
        let merged = merged(object(r#"{"a":1,"b":2}"#), &object(r#"{"b":null,"c":null,"d":3}"#));
        assert_eq!(merged, object(r#"{"a":1,"d":3}"#));
    }
}

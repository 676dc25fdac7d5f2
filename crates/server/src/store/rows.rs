//! Reading rows: the few forms that every table's file uses.

use inkhook_wire::event::EventType;
use uuid::Uuid;

use super::error::StoreError;
use super::sql::{Connection, FromSql, Params, Row};
use crate::domain::identity::Settings;
use crate::domain::time::TimeMs;

/// The first row, if there is one.
pub(super) fn optional<T>(
    connection: &Connection,
    sql: &str,
    params: Params<'_>,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let (mut found, mut read) = (None, Some(read));
    connection.each(sql, params, |row| {
        if let Some(read) = read.take() {
            found = Some(read(row)?);
        }
        Ok(false)
    })?;
    Ok(found)
}

/// Every row.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: Params<'_>,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    connection.each(sql, params, |row| {
        found.push(read(row)?);
        Ok(true)
    })?;
    Ok(found)
}

/// One column of the first row, if there is one.
pub(super) fn scalar<T: FromSql>(
    connection: &Connection,
    sql: &str,
    params: Params<'_>,
) -> Result<Option<T>, StoreError> {
    Ok(connection.scalar(sql, params)?)
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
    use rusqlite::Params;

    use super::*;
    pub(in crate::store) use crate::store::sql::counted::STATEMENTS;

    /// An empty database with the schema.
    pub(in crate::store) fn database() -> Connection {
        let mut connection = rusqlite::Connection::open_in_memory().expect("a database");
        super::super::migrate::migrate(&mut connection).expect("the schema");
        connection.into()
    }

    /// The steps of a statement's plan.
    pub(in crate::store) fn of(sql: &str, params: impl Params) -> Vec<String> {
        let database = database();
        let explain = format!("EXPLAIN QUERY PLAN {}", sql.replace('$', "?"));
        let mut plan = database.file().expect("a file").prepare(&explain).expect("a statement");
        let steps = plan.query_map(params, |row| row.get("detail")).expect("a plan");
        let steps: Vec<String> = steps.collect::<Result<_, _>>().expect("its steps");
        // Reading what a part of the statement has found is no reading of a table.
        let parts: Vec<&str> = steps.iter().filter_map(|step| step.strip_prefix("CO-ROUTINE ")).collect();
        let is_part = |step: &&String| step.strip_prefix("SCAN ").is_some_and(|name| parts.contains(&name));
        steps.iter().filter(|step| !is_part(step)).cloned().collect()
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
    fn null_takes_a_setting_away() {
        let object = |text: &str| serde_json::from_str::<Settings>(text).expect("an object");
        let merged = merged(object(r#"{"a":1,"b":2}"#), &object(r#"{"b":null,"c":null,"d":3}"#));
        assert_eq!(merged, object(r#"{"a":1,"d":3}"#));
    }
}

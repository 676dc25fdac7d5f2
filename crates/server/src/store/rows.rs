//! Reading rows: the few forms that every table's file uses.

use inkhook_wire::event::EventType;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::time::TimeMs;

/// The first row, if there is one.
pub(super) fn optional<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
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
    let mut statement = connection.prepare_cached(sql)?;
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
    Ok(connection.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional()?)
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

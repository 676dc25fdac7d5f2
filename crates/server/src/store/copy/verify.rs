//! Whether the two sides are the same.
//!
//! Both are walked in the order of the key and read back whole, a chunk of the file's at a time and what the database
//! has between the same keys. So memory is bounded by the chunk, and a row too many is found as well as one that is
//! missing or changed. The file's rows are changed as they were when they were copied; nothing else is assumed.

use super::numbers::Numbers;
use super::plan::{TABLES, Table};
use super::rows::{self, Sum};
use super::{CopiedTable, CopyError, Progress};
use crate::store::sql::{Connection, params};

/// Compares every table.
pub(super) fn verify(
    source: &Connection,
    target: &Connection,
    numbers: &Numbers,
    told: &mut dyn FnMut(Progress),
) -> Result<Vec<CopiedTable>, CopyError> {
    let (mut tables, mut total) = (Vec::new(), 0);
    for table in TABLES {
        let (ours, theirs) = sums(source, target, table, numbers, &mut |rows| {
            told(Progress::Verified { table: table.name, rows: total + rows });
        })?;
        let rows = ours.rows;
        let (checksum, theirs) = (ours.finish(), (theirs.rows, theirs.finish()));
        if theirs != (rows, checksum) {
            return Err(differs(source, target, table)?);
        }
        total += rows;
        tables.push(CopiedTable { name: table.name, rows, checksum });
    }
    Ok(tables)
}

/// What both sides of a table sum up to.
fn sums(
    source: &Connection,
    target: &Connection,
    table: &Table,
    numbers: &Numbers,
    told: &mut dyn FnMut(u64),
) -> Result<(Sum, Sum), CopyError> {
    let (mut ours, mut theirs) = (Sum::default(), Sum::default());
    let (mut after, mut after_there) = (Vec::new(), Vec::new());
    loop {
        let chunk = rows::read(source, table, &after)?;
        let last = chunk.rows.last().map(|row| rows::key(row, table));
        let (count, mut last_there) = (chunk.rows.len(), None);
        for row in chunk.rows {
            let row = rows::changed(row, table, numbers)?;
            ours.add(&row);
            last_there = Some(rows::key(&row, table));
        }
        // The last chunk has no end: nothing may come after it.
        let until = last_there.filter(|_| !chunk.is_last).unwrap_or_default();
        let found = rows::between(target, table, &after_there, &until, count + 1)?;
        for row in &found {
            theirs.add(row);
        }
        told(ours.rows);
        if chunk.is_last || found.len() != count {
            return Ok((ours, theirs));
        }
        (after, after_there) = (last.unwrap_or_default(), until);
    }
}

fn differs(source: &Connection, target: &Connection, table: &Table) -> Result<CopyError, CopyError> {
    let only = table.only.map(|only| format!(" WHERE {only}")).unwrap_or_default();
    let sql = format!("SELECT count(*) FROM {}{only}", table.name);
    let count = |connection: &Connection| connection.scalar::<i64>(&sql, params![]);
    Ok(CopyError::Differs {
        table: table.name,
        ours: count(source)?.unwrap_or(0),
        theirs: count(target)?.unwrap_or(0),
    })
}

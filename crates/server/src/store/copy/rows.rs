//! Rows on their way: read in the order of their key, changed as the plan says, and summed up.

use sha2::{Digest, Sha256};

use super::CopyError;
use super::mark::Part;
use super::numbers::Numbers;
use super::plan::Table;
use crate::store::error::StoreError;
use crate::store::sql::{Connection, Value, refs};

/// Rows of a chunk at most.
pub(super) const CHUNK_ROWS: usize = 5_000;
/// A chunk ends with the row that reaches this.
pub(super) const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// What a value takes besides its bytes.
const VALUE_BYTES: usize = 32;

/// A row, in the order of the plan's columns.
pub(super) type Row = Vec<Value>;

/// Some rows in the order of their key.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) rows: Vec<Row>,
    /// There are none after these.
    pub(super) is_last: bool,
}

/// Reads the rows of a table after this key, or from the first on: as many as make a chunk.
pub(super) fn read(source: &Connection, table: &Table, after: &[Value]) -> Result<Chunk, StoreError> {
    let sql = table.page(!after.is_empty(), false, CHUNK_ROWS);
    let (mut rows, mut bytes, mut is_full) = (Vec::new(), 0, false);
    source.each(&sql, &refs(after), |row| {
        let values = values(row, table)?;
        bytes += values.iter().map(size).sum::<usize>();
        rows.push(values);
        is_full = bytes >= CHUNK_BYTES || rows.len() >= CHUNK_ROWS;
        Ok(!is_full)
    })?;
    Ok(Chunk { rows, is_last: !is_full })
}

/// Reads the rows of a table after one key, up to and with another one: at most so many.
pub(super) fn between(
    target: &Connection,
    table: &Table,
    after: &[Value],
    until: &[Value],
    limit: usize,
) -> Result<Vec<Row>, StoreError> {
    let sql = table.page(!after.is_empty(), !until.is_empty(), limit);
    let bounds = [after, until].concat();
    let mut rows = Vec::new();
    target.each(&sql, &refs(&bounds), |row| {
        rows.push(values(row, table)?);
        Ok(true)
    })?;
    Ok(rows)
}

fn values(row: &crate::store::sql::Row<'_>, table: &Table) -> Result<Row, StoreError> {
    (0..table.columns.len()).map(|column| Ok(row.get(column)?)).collect()
}

fn size(value: &Value) -> usize {
    VALUE_BYTES
        + match value {
            Value::Text(text) => text.len(),
            Value::Blob(bytes) => bytes.len(),
            Value::Null | Value::Integer(_) | Value::Real(_) => 0,
        }
}

/// What a row becomes.
pub(super) fn changed(mut row: Row, table: &Table, numbers: &Numbers) -> Result<Row, CopyError> {
    for (value, (column, how)) in row.iter_mut().zip(table.columns) {
        match value {
            Value::Integer(number) => *number = numbers.of(*number, *how)?,
            Value::Text(text) if text.contains('\0') => {
                // The order of the keys would not be the same on both sides, nor might they be unique.
                if table.key.contains(column) {
                    return Err(CopyError::Unfit { table: table.name, column });
                }
                *text = text.replace('\0', "\u{fffd}");
            }
            _ => {}
        }
    }
    Ok(row)
}

/// A row's key.
pub(super) fn key(row: &[Value], table: &Table) -> Vec<Value> {
    table.key_places().into_iter().map(|place| row[place].clone()).collect()
}

/// A key as a note holds it.
pub(super) fn parts(key: &[Value]) -> Result<Vec<Part>, StoreError> {
    let part = |value: &Value| match value {
        Value::Integer(number) => Ok(Part::Number(*number)),
        Value::Text(text) => Ok(Part::Text(text.clone())),
        Value::Blob(bytes) => Ok(Part::Bytes(bytes.clone())),
        Value::Null | Value::Real(_) => Err(StoreError::Corrupt("a key")),
    };
    key.iter().map(part).collect()
}

/// And back.
pub(super) fn from_parts(parts: &[Part]) -> Vec<Value> {
    let value = |part: &Part| match part {
        Part::Number(number) => Value::Integer(*number),
        Part::Text(text) => Value::Text(text.clone()),
        Part::Bytes(bytes) => Value::Blob(bytes.clone()),
    };
    parts.iter().map(value).collect()
}

/// A checksum over rows in the order of their key: SHA-256 of every value with its kind and its length, so that no two
/// different tables have the same text to sum up.
#[derive(Debug, Default)]
pub(super) struct Sum {
    hash: Sha256,
    pub(super) rows: u64,
}

impl Sum {
    pub(super) fn add(&mut self, row: &[Value]) {
        self.rows += 1;
        for value in row {
            let (kind, bytes): (u8, &[u8]) = match value {
                Value::Null => (0, &[]),
                Value::Integer(number) => (1, &number.to_be_bytes()),
                Value::Real(number) => (2, &number.to_bits().to_be_bytes()),
                Value::Text(text) => (3, text.as_bytes()),
                Value::Blob(bytes) => (4, bytes),
            };
            self.hash.update([kind]);
            self.hash.update((bytes.len() as u64).to_be_bytes());
            self.hash.update(bytes);
        }
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[Row]) -> [u8; 32] {
        let mut sum = Sum::default();
        for row in rows {
            sum.add(row);
        }
        sum.finish()
    }

    #[test]
    fn a_checksum_tells_values_kinds_and_places_apart() {
        let text = |text: &str| Value::Text(text.into());
        let tables: Vec<Vec<Row>> = vec![
            vec![],
            vec![vec![Value::Null]],
            vec![vec![Value::Integer(0)]],
            vec![vec![Value::Integer(1)]],
            vec![vec![text("")]],
            vec![vec![Value::Blob(vec![])]],
            vec![vec![text("ab"), text("c")]],
            vec![vec![text("a"), text("bc")]],
            vec![vec![text("a")], vec![text("b")]],
            vec![vec![text("b")], vec![text("a")]],
        ];
        let sums: std::collections::BTreeSet<_> = tables.iter().map(|rows| sum(rows)).collect();
        assert_eq!(sums.len(), tables.len());
        assert_eq!(sum(&tables[6]), sum(&tables[6]));
    }

    #[test]
    fn keys_survive_being_noted() {
        let key = [Value::Integer(-1), Value::Text("é".into()), Value::Blob(vec![0, 255])];
        assert_eq!(from_parts(&parts(&key).expect("a key")), key);
        assert!(parts(&[Value::Null]).is_err());
    }
}

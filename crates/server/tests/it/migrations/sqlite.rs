//! The schema that SQLite has.

use std::fs;
use std::path::Path;

use rusqlite::types::FromSql;
use rusqlite::{Connection, Row};

use super::schema::{Column, EXPRESSION, Index, Key, Kind, Reference, Schema, Table};

/// After every migration of the folder.
pub fn schema(folder: &Path) -> Schema {
    let connection = Connection::open_in_memory().expect("a database");
    let entries = fs::read_dir(folder).expect("a readable directory");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    for file in files {
        let sql = fs::read_to_string(&file).expect("UTF-8");
        connection.execute_batch(&sql).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    let tables = all(&connection, sql, "", |row| (text(row, 0), text(row, 1)));
    Schema(tables.into_iter().map(|(name, sql)| (name.clone(), table(&connection, &name, &sql))).collect())
}

fn table(connection: &Connection, name: &str, sql: &str) -> Table {
    let mut table = Table {
        columns: columns(connection, name, sql.contains("AUTOINCREMENT")),
        checks: sql.matches("CHECK (").count(),
        ..Table::default()
    };
    let in_key = "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk";
    table.keys.insert(Key { is_primary: true, columns: all(connection, in_key, name, |row| text(row, 0)) });
    let indexes = "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1)";
    for (index, is_unique, origin, is_partial) in all(connection, indexes, name, |row| {
        (text(row, 0), value::<bool>(row, 1), text(row, 2), value::<bool>(row, 3))
    }) {
        let columns = "SELECT name FROM pragma_index_info(?1) ORDER BY seqno";
        let columns = all(connection, columns, &index, |row| {
            value::<Option<String>>(row, 0).unwrap_or_else(|| EXPRESSION.into())
        });
        match origin.as_str() {
            "c" => drop(table.indexes.insert(index, Index { is_unique, is_partial, columns })),
            "u" => drop(table.keys.insert(Key { is_primary: false, columns })),
            _ => {}
        }
    }
    let references = "SELECT \"from\", \"table\", \"to\", on_delete FROM pragma_foreign_key_list(?1)";
    table.references.extend(all(connection, references, name, |row| Reference {
        from: text(row, 0),
        table: text(row, 1),
        to: text(row, 2),
        on_delete: text(row, 3),
    }));
    table
}

fn columns(connection: &Connection, table: &str, is_numbered: bool) -> Vec<Column> {
    let sql = "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1) ORDER BY cid";
    all(connection, sql, table, |row| {
        let is_key = value::<i64>(row, 4) > 0;
        Column {
            name: text(row, 0),
            kind: match text(row, 1).as_str() {
                "INTEGER" => Kind::Integer,
                "TEXT" => Kind::Text,
                "BLOB" => Kind::Bytes,
                other => panic!("{other} in {table}"),
            },
            // All tables are STRICT, which keeps null out of primary keys.
            is_nullable: !value::<bool>(row, 2) && !is_key,
            default: value(row, 3),
            is_numbered: is_key && is_numbered,
        }
    })
}

fn all<T>(connection: &Connection, sql: &str, of: &str, mut read: impl FnMut(&Row<'_>) -> T) -> Vec<T> {
    let mut statement = connection.prepare(sql).expect("a statement");
    let parameters = if statement.parameter_count() > 0 { &[of][..] } else { &[] };
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| Ok(read(row)));
    rows.expect("it runs").collect::<Result<_, _>>().expect("it reads")
}

fn value<T: FromSql>(row: &Row<'_>, column: usize) -> T {
    row.get(column).expect("a value")
}

fn text(row: &Row<'_>, column: usize) -> String {
    value(row, column)
}

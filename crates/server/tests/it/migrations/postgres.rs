//! The schema that Postgres has. Partitions are left out: they are their parents' pieces.

use tokio_postgres::{Client, Row};

use super::schema::{Column, EXPRESSION, Index, Key, Kind, Reference, Schema};

/// What the migrations themselves are noted in.
const HISTORY: &str = "refinery_schema_history";

const COLUMNS: &str = "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid), a.attidentity <> ''
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum";

const INDEXES: &str = "SELECT t.relname, i.relname, x.indisunique, x.indpred IS NOT NULL, x.indisprimary,
        EXISTS (SELECT 1 FROM pg_constraint n WHERE n.conindid = x.indexrelid AND n.contype IN ('p', 'u')),
        ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
            LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum AND k.attnum > 0
            ORDER BY k.place)
    FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE t.relnamespace = 'public'::regnamespace AND NOT t.relispartition AND t.relkind IN ('r', 'p')";

const REFERENCES: &str =
    "SELECT n.conrelid::regclass::text, f.attname, n.confrelid::regclass::text, t.attname,
        CASE n.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'a' THEN 'NO ACTION' END
    FROM pg_constraint n JOIN pg_attribute f ON f.attrelid = n.conrelid AND f.attnum = ANY (n.conkey)
    JOIN pg_attribute t ON t.attrelid = n.confrelid AND t.attnum = ANY (n.confkey)
    WHERE n.contype = 'f' AND n.connamespace = 'public'::regnamespace AND n.conparentid = 0";

const CHECKS: &str =
    "SELECT n.conrelid::regclass::text FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid
    WHERE n.contype = 'c' AND n.connamespace = 'public'::regnamespace AND NOT c.relispartition";

const INDEXED_TEXTS: &str = "SELECT DISTINCT t.relname || '.' || a.attname, c.collname::text
    FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (x.indkey::int2[])
    JOIN pg_collation c ON c.oid = a.attcollation
    WHERE t.relnamespace = 'public'::regnamespace";

const PARTITIONED: &str = "SELECT c.relname, pg_get_partkeydef(c.oid) FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'p' ORDER BY c.relname";

pub async fn schema(client: &Client) -> Schema {
    let mut schema = Schema::default();
    for row in rows(client, COLUMNS).await {
        let table: String = row.get(0);
        if table != HISTORY {
            schema.0.entry(table).or_default().columns.push(column(&row));
        }
    }
    for row in rows(client, INDEXES).await {
        let (table, name): (String, String) = (row.get(0), row.get(1));
        let Some(table) = schema.0.get_mut(&table) else { continue };
        let columns: Vec<Option<String>> = row.get(6);
        let columns = columns.into_iter().map(|name| name.unwrap_or_else(|| EXPRESSION.into())).collect();
        if row.get(5) {
            table.keys.insert(Key { is_primary: row.get(4), columns });
        } else {
            table.indexes.insert(name, Index { is_unique: row.get(2), is_partial: row.get(3), columns });
        }
    }
    for row in rows(client, REFERENCES).await {
        let reference =
            Reference { from: row.get(1), table: row.get(2), to: row.get(3), on_delete: row.get(4) };
        schema.table(row.get(0)).references.insert(reference);
    }
    for row in rows(client, CHECKS).await {
        schema.table(row.get(0)).checks += 1;
    }
    schema
}

fn column(row: &Row) -> Column {
    let (name, kind): (String, String) = (row.get(1), row.get(2));
    let default: Option<String> = row.get(4);
    Column {
        kind: match kind.as_str() {
            "bigint" | "smallint" => Kind::Integer,
            "text" => Kind::Text,
            "bytea" => Kind::Bytes,
            other => panic!("{other} for {name}"),
        },
        name,
        is_nullable: row.get(3),
        default: default.map(|text| text.trim_end_matches("::text").to_owned()),
        is_numbered: row.get(5),
    }
}

/// Columns of text in any index, and what orders them.
pub async fn indexed_texts(client: &Client) -> Vec<(String, String)> {
    let found = rows(client, INDEXED_TEXTS).await;
    let found = found.iter().map(|row| (row.get(0), row.get(1)));
    found.filter(|(column, _): &(String, String)| !column.starts_with(HISTORY)).collect()
}

/// Tables that are cut into pieces, and how.
pub async fn partitioned(client: &Client) -> Vec<(String, String)> {
    rows(client, PARTITIONED).await.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn rows(client: &Client, sql: &str) -> Vec<Row> {
    client.query(sql, &[]).await.expect("the catalogue reads")
}

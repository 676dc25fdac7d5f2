//! The two sets of migrations make one schema: what a statement may rely on is the same on both backends.
//!
//! Compared are tables, columns (name, order, kind, null, default), keys, indexes, foreign keys and how many CHECKs
//! there are, after all migrations have run. What differs on purpose is in [`DIFFERENT`].

mod postgres;
mod schema;
mod sqlite;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::schema::{Index, Key, Schema};
use crate::support::postgres::Database;

/// The migrations of a backend.
fn folder(backend: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations").join(backend)
}

fn file_names(backend: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder(backend)).expect("a readable directory");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

/// The reason, and the change that makes the one into the other.
type Difference = (&'static str, fn(&mut Schema));

/// What Postgres has otherwise than SQLite.
const DIFFERENT: &[Difference] = &[
    (
        "the number is unique, and the organisation beside it lets a distributed Postgres spread by it",
        |schema| {
            for table in ["events", "deliveries", "attempts", "queue"] {
                schema.extend_primary_key(table, "organization_id");
            }
        },
    ),
    ("a unique index would have to hold the partition's column: ids of events are random", |schema| {
        schema.index("events", "events_by_id").is_unique = false;
    }),
    ("the same for ids of attempts", |schema| {
        let attempts = schema.table("attempts");
        assert!(attempts.keys.remove(&Key { is_primary: false, columns: vec!["id".into()] }));
        let plain = Index { is_unique: false, is_partial: false, columns: vec!["id".into()] };
        attempts.indexes.insert("attempts_by_id".into(), plain);
    }),
    (
        "attempts are cut into days by their numbers, which come from the sequence that carries the time",
        |schema| {
            let no = schema.table("attempts").columns.first_mut().expect("it has columns");
            no.is_numbered = false;
        },
    ),
    ("only on a server are there other nodes to know of", |schema| {
        schema.add_tables_of_nodes();
    }),
    ("SQLite ends an index with the row's key by itself: an order that needs it spells it out", |schema| {
        let ends: [(_, _, &[&str]); 3] = [
            ("queue", "queue_by_due", &["no"]),
            ("queue_heads", "queue_heads_by_due", &["subscription", "class"]),
            ("retention_late", "retention_late_by_time", &["event_seq"]),
        ];
        for (table, index, end) in ends {
            schema.index(table, index).columns.extend(end.iter().map(|column| (*column).to_owned()));
        }
    }),
];

#[test]
fn both_folders_hold_the_same_files() {
    assert_eq!(file_names("sqlite"), file_names("postgres"));
}

#[tokio::test]
async fn both_sets_make_the_same_schema() {
    let Some(database) = Database::create() else { return };
    let found = postgres::schema(&database.connect().await).await;
    let mut expected = sqlite::schema(&folder("sqlite"));
    assert!(expected.0.len() > 20, "there are tables to compare");
    for (reason, change) in DIFFERENT {
        let before = expected.clone();
        change(&mut expected);
        assert_ne!(expected, before, "no difference any more: {reason}");
    }
    for (name, table) in &expected.0 {
        assert_eq!(found.0.get(name), Some(table), "the table {name}");
    }
    let names = |schema: &Schema| schema.0.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
}

#[tokio::test]
async fn text_in_an_index_is_ordered_by_its_bytes() {
    let Some(database) = Database::create() else { return };
    let indexed = postgres::indexed_texts(&database.connect().await).await;
    assert!(indexed.len() > 5, "there are some: {indexed:?}");
    for (column, collation) in indexed {
        assert_eq!(collation, "C", "{column}");
    }
}

#[tokio::test]
async fn blocks_of_acceptance_numbers_do_not_overlap_and_leave_room_for_deliveries() {
    let Some(database) = Database::create() else { return };
    let client = database.connect().await;
    let draw = async || -> i64 {
        client.query_one("SELECT nextval('acceptance_numbers')", &[]).await.expect("it draws").get(0)
    };
    let (first, second) = (draw().await, draw().await);
    assert_eq!((first % 1_024, second - first), (0, 1_024));
    let last = "SELECT max_value FROM pg_sequences WHERE sequencename = 'acceptance_numbers'";
    let last: i64 = client.query_one(last, &[]).await.expect("it reads").get(0);
    assert_eq!((last + 1_023) * 64 + 63, i64::MAX, "the last delivery of the last event has a number");
}

#[tokio::test]
async fn the_large_tables_are_cut_by_their_numbers() {
    let Some(database) = Database::create() else { return };
    let found = postgres::partitioned(&database.connect().await).await;
    let expected = [("attempts", "RANGE (no)"), ("deliveries", "RANGE (no)"), ("events", "RANGE (seq)")];
    assert_eq!(found, expected.map(|(table, by)| (table.to_owned(), by.to_owned())));
}

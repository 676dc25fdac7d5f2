//! Databases that are used again: making one takes ten times as long as emptying it.
//!
//! The cluster holds as many of them as tests have ever run at once. Whoever holds the advisory lock of a number
//! has the database of that number, and the lock goes with the session that holds it, however its process ends.
//! A test that is over leaves everything where it is. The next one ends the sessions that are left in it and gives it
//! another name, so that a server which outlived its test does not find it again. Then it takes away tables that the
//! template does not have, and empties the others; where the schema is not the template's after that, it makes the
//! database anew.

use tokio_postgres::Config;
use tokio_postgres::error::SqlState;

use super::HOW;
use super::session::Session;

/// The first half of the advisory locks' keys; the second is the database's number.
const LOCKS: i32 = 7_465_002;
/// So many tests at once; the cluster takes fewer connections than they would need.
const MOST: i32 = 64;

/// How often a new name is tried, each time for 5 s.
const RENAMES: usize = 10;

/// A table of at most this size is emptied row by row, which leaves dead rows where they are, but makes no files;
/// of the others all files are made anew.
const SMALL_BYTES: usize = 128 * 1024;

/// Written into the template: what it is like, as a text, and the names of its tables. What a test may have left
/// behind is compared with it.
const REMEMBER: &str = "
    CREATE SCHEMA of_tests;
    CREATE FUNCTION of_tests.shape() RETURNS text LANGUAGE sql AS $$
        SELECT md5(string_agg(format('%s %s %s %s', relname, relkind, relnatts, relhastriggers), ',' ORDER BY relname))
            || (SELECT count(*) FROM pg_constraint) || ' ' || (SELECT count(*) FROM pg_proc)
            || ' ' || (SELECT count(*) FROM pg_trigger)
        FROM pg_class WHERE relnamespace = 'public'::regnamespace
    $$;
    CREATE TABLE of_tests.template AS SELECT of_tests.shape() AS shape, array_agg(relname) AS tables
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')";

/// Empties every table, those above so many bytes by making them anew, and has all numbers begin again.
fn clean(small_bytes: usize) -> String {
    format!(
        "SET client_min_messages = warning;
        DO $$
        DECLARE
            strangers text; large text; small name;
        BEGIN
            SELECT string_agg(format('%I', relname), ', ') INTO strangers FROM pg_class, of_tests.template
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> ALL (tables);
            IF strangers IS NOT NULL THEN
                EXECUTE 'DROP TABLE IF EXISTS ' || strangers || ' CASCADE';
            END IF;
            SELECT string_agg(format('%I', relname), ', ') INTO large FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND relname <> 'refinery_schema_history' AND pg_relation_size(oid) > {small_bytes};
            IF large IS NOT NULL THEN
                EXECUTE 'TRUNCATE ' || large || ' CASCADE';
            END IF;
            -- No row is missed: there is an order in which nothing refers to what is gone, and this saves finding it.
            SET LOCAL session_replication_role = replica;
            FOR small IN SELECT relname FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND relname <> 'refinery_schema_history' AND pg_relation_size(oid) > 0
            LOOP
                EXECUTE format('DELETE FROM %I', small);
            END LOOP;
            PERFORM setval(seqrelid::regclass, seqstart, false) FROM pg_sequence;
        END $$"
    )
}

/// Makes a template of the database that this session is in: rows are gone, tables are known.
pub(super) fn remember(inside: &Session) {
    inside.run(REMEMBER);
    inside.run(&clean(0));
}

/// A database that is empty, and the session that holds its lock.
pub(super) struct Taken {
    pub name: String,
    pub lock: Session,
    pub inside: Session,
}

/// Takes a free one; `template` is what they are made of.
pub(super) fn take(lock: Session, cluster: &Config, template: &str) -> Taken {
    let free = format!(
        "SELECT n FROM generate_series(0, {MOST} - 1) n WHERE pg_try_advisory_lock({LOCKS}, n) LIMIT 1"
    );
    let number: i32 = lock.rows(&free).first().expect("one of them is free").get(0);
    let place = format!("pool_{}_{number}_", template.trim_start_matches("template_"));
    let name = format!("{place}{:08x}", getrandom::u32().expect("random bytes"));
    let mut config = cluster.clone();
    config.dbname(&name);
    let used = format!("SELECT datname::text FROM pg_database WHERE starts_with(datname::text, '{place}')");
    if let Some(used) = lock.rows(&used).first() {
        rename(&lock, used.get(0), &name);
        let inside = Session::open(&config);
        if empty(&inside) {
            return Taken { name, lock, inside };
        }
        drop(inside);
        super::drop_database(&lock, &name);
    }
    lock.run(&format!("CREATE DATABASE {name} TEMPLATE {template} {HOW}"));
    let inside = Session::open(&config);
    Taken { name, lock, inside }
}

/// Whoever ended a session in it may have begun another before it has the new name.
fn rename(lock: &Session, name: &str, new_name: &str) {
    for _ in 0..RENAMES {
        super::end_sessions(lock, name);
        match lock.try_run(&format!("ALTER DATABASE {name} RENAME TO {new_name}")) {
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => {}
            renamed => return renamed.expect("it has a new name"),
        }
    }
    panic!("somebody is in {name} again and again");
}

/// Whether the database is as the template was, which it is made to be.
fn empty(inside: &Session) -> bool {
    inside.run(&clean(SMALL_BYTES));
    inside.rows("SELECT of_tests.shape() = shape FROM of_tests.template")[0].get(0)
}

mod tests {
    use super::*;
    use crate::support::postgres::Database;

    #[test]
    fn what_a_test_left_is_gone() {
        let Some(database) = Database::create() else { return };
        database.ask(|inside| {
            let number = |sql: &str| -> i64 { inside.rows(sql)[0].get(0) };
            let first = number("SELECT nextval('acceptance_numbers')");
            inside.run("INSERT INTO organizations (id, name, created_ms) VALUES ('1', 'one', 0)");
            let large = SMALL_BYTES / 1024;
            inside.run(&format!(
                "INSERT INTO meta (key, value) SELECT n, CAST(repeat(md5(CAST(n AS text)), 32) AS bytea) FROM generate_series(0, {large}) n"
            ));
            inside.run(
                "CREATE TABLE attempts_long_ago (LIKE attempts INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
                 ALTER TABLE attempts ATTACH PARTITION attempts_long_ago
                     FOR VALUES FROM (9223372036854775806) TO (9223372036854775807)",
            );
            assert!(empty(inside), "it is as the template");
            assert_eq!(number("SELECT count(*) FROM organizations"), 0, "of a few rows");
            assert_eq!(number("SELECT pg_relation_size('meta')"), 0, "of many");
            assert_eq!(number("SELECT nextval('acceptance_numbers')"), first);
            assert_eq!(number("SELECT count(*) FROM pg_class WHERE relname = 'attempts_long_ago'"), 0);

            inside.run("ALTER TABLE meta ADD COLUMN more TEXT");
            assert!(!empty(inside), "a table has another column");
        });
    }
}

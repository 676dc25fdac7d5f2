//! Opening the database file: lock, settings, schema.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::error::StoreError;
use super::sql;
use super::sql::postgres::{Role, Server, Session};

mod sqlite {
    refinery::embed_migrations!("../../migrations/sqlite");
}

mod postgres {
    refinery::embed_migrations!("../../migrations/postgres");
}

/// Held while a store is open; the operating system frees it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DirectoryLock(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

/// How long a reader waits for a lock that a checkpoint holds for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that each connection keeps prepared.
const CACHED_STATEMENTS: usize = 256;
/// Memory that the writer's page cache may use.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
/// Memory that each reader's page cache may use.
const READER_CACHE_KIB: i64 = 2 * 1024;
/// What is left of the write-ahead log's file after a checkpoint that emptied it.
const JOURNAL_LIMIT_BYTES: u64 = super::keeper::WAL_LIMIT_BYTES;

/// Makes the directory if it is missing and takes its lock.
pub(super) fn lock_directory(data_dir: &Path) -> Result<DirectoryLock, StoreError> {
    let unusable = |source| StoreError::Directory { path: data_dir.into(), source };
    // What is in here is everybody's mail: its owner's alone, unless whoever made the directory says otherwise.
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(unusable)?;
    let file = private(&data_dir.join("lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(data_dir.into())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// The file that names the process which uses the directory, so that the next one knows what was its.
const BOOT: &str = "boot";

/// Writes who has the directory now, and says who had it before.
pub(super) fn take_over(data_dir: &Path, boot: i64) -> Result<Option<i64>, StoreError> {
    let path = data_dir.join(BOOT);
    let unusable = |source| StoreError::Directory { path: path.clone(), source };
    let earlier = match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().ok(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(unusable(error)),
    };
    let unfinished = data_dir.join("boot.unfinished");
    std::fs::write(&unfinished, format!("{boot}\n")).map_err(unusable)?;
    std::fs::rename(&unfinished, &path).map_err(unusable)?;
    Ok(earlier.filter(|earlier| *earlier != boot))
}

/// Opens a file, which is its owner's alone if this makes it.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// The connection that writes.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    // SQLite gives its other files the mode of this one.
    let made = private(path).map_err(|source| StoreError::Directory { path: path.into(), source })?;
    // Before SQLite opens it: closing a file drops the locks that the process has on it.
    drop(made);
    let connection = Connection::open(path)?;
    // Must come before the first table: lets retention give space back piece by piece.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // The keeper folds the log back.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_LIMIT_BYTES)?;
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    configure(&connection)?;
    Ok(connection)
}

/// The connection that folds the write-ahead log back, and does nothing else.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    configure(&connection)?;
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    configure(&connection)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A plan may not depend on the values that are bound. Otherwise a statement that could use a partial
    // index is parsed and planned anew each time it is run.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(())
}

/// The first schema version that its writer must know, once a migration has taken away what older ones use.
const OLDEST: &str = "SELECT value FROM meta WHERE key = 'oldest_schema'";

/// What makes the schema this version's. One that has more, by the migrations of a later version, is used as it is:
/// they only add, until one says by [`OLDEST`] who must not use it any more.
fn runner(runner: refinery::Runner) -> refinery::Runner {
    runner.set_grouped(true).set_abort_missing(false)
}

/// Refuses a schema that this version must not use.
fn check_oldest(runner: &refinery::Runner, oldest: Option<Vec<u8>>) -> Result<u32, StoreError> {
    let known = newest(runner);
    let oldest = oldest.map(|text| std::str::from_utf8(&text).ok()?.parse().ok());
    match oldest {
        None => Ok(known),
        Some(Some(oldest)) if oldest <= known => Ok(known),
        Some(Some(oldest)) => Err(StoreError::NewerSchema { oldest, known }),
        Some(None) => Err(StoreError::Corrupt("the oldest version that may use the schema")),
    }
}

/// Runs the migrations that this database has not seen, in one transaction together with the note that they
/// ran: a start that is cut off leaves the old schema or the new one, nothing between.
/// Tells the version that this binary knows.
pub(super) fn migrate(connection: &mut Connection) -> Result<u32, StoreError> {
    let runner = runner(sqlite::migrations::runner());
    runner.run(connection)?;
    let oldest = connection.query_row(OLDEST, [], |row| row.get(0)).optional()?;
    check_oldest(&runner, oldest)
}

/// The version of the last migration.
fn newest(runner: &refinery::Runner) -> u32 {
    runner
        .get_migrations()
        .iter()
        .map(|migration| u32::try_from(migration.version()).unwrap_or(0))
        .max()
        .unwrap_or(0)
}

/// The key of the advisory lock under which the schema is changed: "inkhook" and a number.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_lock(7596548430949)";

/// The same on a server. Several nodes may start at once: one of them does it, the others wait for that one.
pub(super) fn migrate_server(server: &Server) -> Result<u32, StoreError> {
    let session = Session::open(server.clone(), Role::Migrator)?;
    session.with_client(async |client| {
        // Held until this connection ends.
        client.batch_execute(MIGRATION_LOCK).await.map_err(sql::Error::from)?;
        let runner = runner(postgres::migrations::runner());
        runner.run_async(client).await?;
        let oldest = client.query_opt(OLDEST, &[]).await.map_err(sql::Error::from)?;
        check_oldest(&runner, oldest.map(|row| row.get(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let held = lock_directory(directory.path()).expect("free");
        assert!(matches!(lock_directory(directory.path()), Err(StoreError::InUse(_))));
        drop(held);
        lock_directory(directory.path()).expect("free again");
    }

    #[test]
    fn a_schema_that_has_more_is_used_until_it_says_otherwise() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut connection = open_writer(&directory.path().join("x.db")).expect("opens");
        let known = migrate(&mut connection).expect("migrates");
        let later = format!(
            "ALTER TABLE events ADD COLUMN later TEXT; CREATE TABLE later (no INTEGER PRIMARY KEY);
             INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
             VALUES ({}, 'later', '2026-01-01T00:00:00Z', '1')",
            known + 1
        );
        connection.execute_batch(&later).expect("a later version's migration");
        assert_eq!(migrate(&mut connection).expect("it only added"), known);
        let says = |oldest: &str| {
            connection
                .execute(
                    "INSERT OR REPLACE INTO meta (key, value) VALUES ('oldest_schema', ?1)",
                    [oldest.as_bytes()],
                )
                .expect("written");
        };
        says(&known.to_string());
        let runner = runner(sqlite::migrations::runner());
        let oldest =
            |connection: &Connection| connection.query_row(OLDEST, [], |row| row.get(0)).optional().unwrap();
        assert_eq!(check_oldest(&runner, oldest(&connection)).expect("this version may"), known);
        says(&(known + 1).to_string());
        let refused = check_oldest(&runner, oldest(&connection)).expect_err("this version may not");
        assert!(
            matches!(refused, StoreError::NewerSchema { oldest, known: has } if oldest == has + 1),
            "{refused}"
        );
        says("soon");
        assert!(matches!(check_oldest(&runner, oldest(&connection)), Err(StoreError::Corrupt(_))));
        assert!(migrate(&mut connection).is_err());
    }

    #[test]
    fn the_settings_that_the_promises_need_are_in_force() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("x.db");
        let mut connection = open_writer(&path).expect("opens");
        migrate(&mut connection).expect("migrates");
        migrate(&mut connection).expect("migrating again changes nothing");
        let pragma = |name: &str| {
            connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
                .expect("readable")
        };
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!(pragma("synchronous"), 2.into(), "2 is FULL");
        assert_eq!(pragma("foreign_keys"), 1.into());
        assert_eq!(pragma("wal_autocheckpoint"), 0.into());
        assert_eq!(pragma("auto_vacuum"), 2.into(), "2 is INCREMENTAL");
        let reader = open_reader(&path).expect("opens");
        assert!(reader.execute("DELETE FROM meta", []).is_err(), "a reader cannot write");
    }
}

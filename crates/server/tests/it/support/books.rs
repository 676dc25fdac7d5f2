//! A store's tables, looked at and changed past the store: for what no verb tells, and for damage.
//!
//! Which database a test's store is in is decided in one place: `INKHOOK_TEST_STORE=postgres` runs the same tests
//! on a server. Queries are written once. Two words are replaced: `greatest(…)` is what SQLite calls `max`, and
//! `randomblob(16)` is there on SQLite only.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use inkhook_server::store::{DatabaseServer, database_path};
use rusqlite::types::Value;
use tokio_postgres::types::{FromSql, Type};

use super::postgres::Database;

/// Which kind of store the tests have.
const STORE: &str = "INKHOOK_TEST_STORE";

/// A file that lists what was skipped, a line each.
const SKIPPED: &str = "INKHOOK_TEST_SKIPPED";

/// Where the tables are.
#[derive(Debug)]
pub enum Books {
    File(File),
    Server(Box<Database>),
}

/// A file, and a connection that reads it, from the first query on.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    reader: Mutex<Option<rusqlite::Connection>>,
}

impl Books {
    /// Those of a store that is made in this directory.
    pub fn for_store_in(directory: &Path) -> Self {
        match std::env::var(STORE).as_deref() {
            Ok("postgres") => {
                let database = Database::take().expect("INKHOOK_TEST_POSTGRES names a cluster");
                Self::Server(Box::new(database))
            }
            Ok(other) => panic!("{STORE} is {other}, which is no store"),
            Err(_) => Self::of_file(directory),
        }
    }

    /// Those in a database of a cluster that a test has made for itself.
    pub fn at(url: &str) -> Self {
        Self::Server(Box::new(Database::at(url)))
    }

    /// Those of a store whose file is in this directory.
    pub fn of_file(directory: &Path) -> Self {
        Self::File(File { path: database_path(directory), reader: Mutex::default() })
    }

    /// What the store is opened with.
    pub fn server(&self) -> Option<DatabaseServer> {
        self.url().map(|url| DatabaseServer::parse(&url, None).expect("a URL"))
    }

    /// What `--database-url` takes, where that is needed.
    pub fn url(&self) -> Option<String> {
        match self {
            Self::File(_) => None,
            Self::Server(database) => Some(database.url()),
        }
    }

    /// What of each row of a query's answer `read` makes.
    pub fn read<T>(&self, sql: &str, read: impl FnMut(Cells<'_>) -> T) -> Vec<T> {
        let rows = self.rows(sql);
        rows.iter().map(|row| Cells(row)).map(read).collect()
    }

    /// What a query says.
    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        match self {
            Self::File(file) => {
                let mut reader = file.reader.lock().expect("nobody panicked");
                let reader = reader.get_or_insert_with(|| super::connect(&file.path));
                let sql = sql.replace("greatest(", "max(");
                let mut statement = reader.prepare_cached(&sql).expect("a statement");
                let columns = statement.column_count();
                let rows =
                    statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
                rows.expect("it runs").collect::<Result<_, _>>().expect("it reads")
            }
            Self::Server(database) => {
                let rows = database.ask(|session| session.rows(&for_server(sql)));
                rows.iter().map(values).collect()
            }
        }
    }

    /// The same for a query that is asked at each step of a test whose tables stay small: to plan one that looks at
    /// every table takes a server ten times as long as to answer it.
    pub fn rows_again(&self, sql: &str) -> Vec<Vec<Value>> {
        match self {
            Self::File(_) => self.rows(sql),
            Self::Server(database) => {
                let rows = database.ask(|session| session.rows_again(&for_server(sql)));
                rows.iter().map(values).collect()
            }
        }
    }

    /// The first column of what a query says.
    pub fn column<T: rusqlite::types::FromSql>(&self, sql: &str) -> Vec<T> {
        self.read(sql, |row| row.get(0))
    }

    /// Does what a statement says, or several.
    pub fn run(&self, sql: &str) {
        match self {
            Self::File(file) => {
                let connection = rusqlite::Connection::open(&file.path).expect("it opens");
                connection.busy_timeout(super::PATIENCE).expect("it waits");
                connection.execute_batch(sql).expect("it runs");
            }
            Self::Server(database) => database.ask(|session| session.run(&for_server(sql))),
        }
    }

    /// Has acceptance numbers go on after those of events that the store knows nothing of. A file's store sees to
    /// that itself when it is opened.
    pub fn number_on(&self) {
        if let Self::Server(_) = self {
            // A block's numbers begin with a multiple of its size.
            self.run("SELECT setval('acceptance_numbers', max(seq) / 1024 * 1024 + 1024) FROM events");
        }
    }

    /// The names of the tables.
    pub fn tables(&self) -> Vec<String> {
        self.column(match self {
            Self::File(_) => {
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            }
            Self::Server(_) => {
                "SELECT CAST(c.relname AS TEXT) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
                 AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"
            }
        })
    }

    /// The names of a table's columns.
    pub fn columns(&self, table: &str) -> Vec<String> {
        self.column(&match self {
            Self::File(_) => format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"),
            Self::Server(_) => format!(
                "SELECT CAST(attname AS TEXT) FROM pg_attribute WHERE attrelid = '{table}'::regclass
                 AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            ),
        })
    }

    /// Whether these bytes are anywhere in any row. What a file has left in free pages counts, too.
    pub fn hold(&self, bytes: &[u8]) -> bool {
        let is_in = |held: &[u8]| held.windows(bytes.len()).any(|window| window == bytes);
        if let Self::File(file) = self {
            let files =
                std::fs::read_dir(file.path.parent().expect("a directory")).expect("the directory reads");
            return files
                .into_iter()
                .any(|file| is_in(&std::fs::read(file.expect("an entry").path()).expect("a file")));
        }
        let all = self.tables().into_iter().flat_map(|table| self.rows(&format!("SELECT * FROM {table}")));
        all.flatten().any(|value| match value {
            Value::Text(text) => is_in(text.as_bytes()),
            Value::Blob(blob) => is_in(&blob),
            _ => false,
        })
    }
}

pub fn stores_are_files() -> bool {
    std::env::var_os(STORE).is_none()
}

/// Whether the tests' stores are files. A test of what only a file has asks before it begins, and says what that is:
/// it is printed, and listed by `scripts/test`.
pub fn needs_a_file(what: &str) -> bool {
    let is_file = stores_are_files();
    if !is_file {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        println!("skipped: {what} is something that only a store in a file has");
        if let Some(list) = std::env::var_os(SKIPPED) {
            let mut list = std::fs::File::options().append(true).open(list).expect("a file");
            // In one piece, for others write it, too.
            list.write_all(format!("{test}: only a file has {what}\n").as_bytes()).expect("it is written");
        }
    }
    is_file
}

fn for_server(sql: &str) -> String {
    sql.replace("randomblob(16)", "decode(md5(CAST(random() AS TEXT)), 'hex')")
}

/// The values of a row.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'a>(&'a [Value]);

impl Cells<'_> {
    /// That of a column, counted from 0.
    pub fn get<T: rusqlite::types::FromSql>(self, column: usize) -> T {
        T::column_result((&self.0[column]).into()).unwrap_or_else(|why| panic!("column {column}: {why}"))
    }
}

/// A column as it came.
struct Raw(Option<Value>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(ty: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(match *ty {
            Type::INT8 => Value::Integer(i64::from_sql(ty, bytes)?),
            Type::INT4 => Value::Integer(i32::from_sql(ty, bytes)?.into()),
            Type::INT2 => Value::Integer(i16::from_sql(ty, bytes)?.into()),
            Type::BOOL => Value::Integer(bool::from_sql(ty, bytes)?.into()),
            Type::FLOAT8 => Value::Real(f64::from_sql(ty, bytes)?),
            Type::BYTEA => Value::Blob(bytes.to_vec()),
            _ => Value::Text(String::from_utf8(bytes.to_vec())?),
        })))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn values(row: &tokio_postgres::Row) -> Vec<Value> {
    let value = |at| {
        let Raw(value) = row.try_get(at).unwrap_or_else(|error| panic!("{error:?}"));
        value.unwrap_or(Value::Null)
    };
    (0..row.len()).map(value).collect()
}

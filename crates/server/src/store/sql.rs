//! A connection to either database, and the one text that both are asked with.
//!
//! Statements are written once. Parameters are `$1`, `$2`; ids are 16 bytes, flags and codes are integers, so
//! that a value goes in and comes out the same way on both. Where the two differ in a word, the text holds
//! both: `/*pg FOR UPDATE */` is a comment to SQLite and text to Postgres, and what stands between `/*lite*/`
//! and `/*end*/` is text to SQLite only. A value is what rusqlite's traits say it is; [`postgres`] turns it into
//! what the statement's parameter is on its side.
//!
//! Nothing outside `store` sees any of this, and inside only [`Connection`] knows which of the two it is.

mod error;
pub(super) mod many;
pub(super) mod postgres;
pub(super) mod text;

use std::fmt::Display;

use rusqlite::OptionalExtension;
pub(super) use rusqlite::params;
pub(super) use rusqlite::types::{FromSql, ToSql, Value};

pub(super) use self::error::{Error, Trouble};
use self::many::{Many, Values};
use self::postgres::Session;

/// Values as parameters.
pub(super) fn refs(values: &[Value]) -> Vec<&dyn ToSql> {
    values.iter().map(|value| value as &dyn ToSql).collect()
}

/// A statement's parameters, in the order of their numbers.
pub(super) type Params<'a> = &'a [&'a dyn ToSql];

/// Something that statements run on.
#[derive(Debug)]
pub enum Connection {
    /// A file of ours.
    Sqlite(rusqlite::Connection),
    /// A server.
    Postgres(Box<Session>),
}

impl From<rusqlite::Connection> for Connection {
    fn from(connection: rusqlite::Connection) -> Self {
        Self::Sqlite(connection)
    }
}

impl Connection {
    /// Hands every row to `read`, in order, until it says that it has seen enough.
    pub(super) fn each(
        &self,
        sql: &str,
        params: Params<'_>,
        mut read: impl FnMut(&Row<'_>) -> Result<bool, super::StoreError>,
    ) -> Result<(), super::StoreError> {
        #[cfg(test)]
        counted::add();
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(&text::for_sqlite(sql))?;
                let mut rows = statement.query(params)?;
                while let Some(row) = rows.next()? {
                    if !read(&Row::Sqlite(row))? {
                        break;
                    }
                }
            }
            Self::Postgres(session) => {
                for row in session.query(sql, params)? {
                    if !read(&Row::Postgres(&row))? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// One column of the first row, if there is one.
    pub(super) fn scalar<T: FromSql>(&self, sql: &str, params: Params<'_>) -> Result<Option<T>, Error> {
        #[cfg(test)]
        counted::add();
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(&text::for_sqlite(sql))?;
                Ok(statement.query_row(params, |row| row.get(0)).optional()?)
            }
            Self::Postgres(session) => {
                session.query(sql, params)?.first().map(|row| Row::Postgres(row).get(0)).transpose()
            }
        }
    }

    /// Runs a statement and tells how many rows it changed.
    pub(super) fn run(&self, sql: &str, params: Params<'_>) -> Result<usize, Error> {
        #[cfg(test)]
        counted::add();
        match self {
            Self::Sqlite(connection) => {
                Ok(connection.prepare_cached(&text::for_sqlite(sql))?.execute(params)?)
            }
            Self::Postgres(session) => session.execute(sql, params),
        }
    }

    /// Writes a row: now, or together with others of its kind.
    pub(super) fn write(&self, many: &'static Many, values: Values<'_>) -> Result<(), Error> {
        match self {
            Self::Sqlite(_) => self.run(many.one, values).map(drop),
            Self::Postgres(session) => session.gather(many, values),
        }
    }

    /// The same, and tells whether a row was changed. A server says so later: see [`exact`](many::exact).
    pub(super) fn write_exact(&self, many: &'static Many, values: Values<'_>) -> Result<bool, Error> {
        match self {
            Self::Sqlite(_) => Ok(self.run(many.one, values)? > 0),
            Self::Postgres(session) => session.gather(many, values).map(|()| true),
        }
    }

    /// Begins a transaction that will write.
    pub(super) fn begin(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(_) => self.run("BEGIN IMMEDIATE", &[]).map(drop),
            Self::Postgres(session) => {
                session.begin();
                Ok(())
            }
        }
    }

    /// Commits it. On an error nobody knows more than the error says: see [`Error::trouble`].
    pub(super) fn commit(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(_) => self.run("COMMIT", &[]).map(drop),
            Self::Postgres(session) => session.commit(),
        }
    }

    /// Takes it back, if one is under way.
    pub(super) fn roll_back(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(connection) if connection.is_autocommit() => Ok(()),
            Self::Sqlite(connection) => Ok(connection.execute_batch("ROLLBACK")?),
            Self::Postgres(session) => session.roll_back(),
        }
    }

    /// Runs reads that all see the same state.
    pub(super) fn snapshot<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, super::StoreError>,
    ) -> Result<T, super::StoreError> {
        match self {
            Self::Sqlite(connection) => {
                let transaction = connection.unchecked_transaction()?;
                let answer = read(self)?;
                transaction.rollback()?;
                Ok(answer)
            }
            Self::Postgres(session) => {
                session.begin_snapshot();
                let answer = read(self);
                session.roll_back()?;
                answer
            }
        }
    }

    /// Ends a server's session: the next transaction is on a new one, which may lead to another server.
    pub(super) fn give_up(&self) {
        if let Self::Postgres(session) = self {
            session.give_up();
        }
    }

    /// Several statements on a file.
    #[cfg(test)]
    pub(super) fn execute_batch(&self, sql: &str) -> Result<(), Error> {
        Ok(self.file().expect("a file").execute_batch(sql)?)
    }

    /// The server's session, for what only a server has.
    pub(super) fn server(&self) -> Option<&Session> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(session) => Some(session),
        }
    }

    /// The file's own connection, for what only a file has: its log, its size, its settings.
    pub(super) fn file(&self) -> Option<&rusqlite::Connection> {
        match self {
            Self::Sqlite(connection) => Some(connection),
            Self::Postgres(_) => None,
        }
    }
}

/// A row that a statement found.
#[derive(Debug)]
pub(super) enum Row<'a> {
    /// See [`Connection::Sqlite`].
    Sqlite(&'a rusqlite::Row<'a>),
    /// See [`Connection::Postgres`].
    Postgres(&'a tokio_postgres::Row),
}

/// A column's number, from 0, or its name.
pub(super) trait Column: rusqlite::RowIndex + tokio_postgres::row::RowIndex + Display {}

impl<C: rusqlite::RowIndex + tokio_postgres::row::RowIndex + Display> Column for C {}

impl Row<'_> {
    /// A column's value.
    pub(super) fn get<C: Column, T: FromSql>(&self, column: C) -> Result<T, Error> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) => postgres::column(row, &column),
        }
    }
}

/// How many statements this thread has run.
#[cfg(test)]
pub(super) mod counted {
    use std::cell::Cell;

    thread_local! {
        pub(in crate::store) static STATEMENTS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn add() {
        STATEMENTS.with(|count| count.set(count.get() + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_bound_by_their_number() {
        let connection = Connection::from(rusqlite::Connection::open_in_memory().expect("a database"));
        for sql in ["SELECT $2 || $1", "SELECT ?2 || ?1"] {
            let joined: Option<String> = connection.scalar(sql, params!["a", "b"]).expect("it runs");
            assert_eq!(joined.as_deref(), Some("ba"), "{sql}");
        }
    }
}

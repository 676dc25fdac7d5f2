//! One connection to a Postgres server, asked from one thread and waited for.
//!
//! The connection is driven by a runtime of its own, which turns only while something is waited for: the
//! thread that asks pays for one round trip and wakes nobody. Statements are prepared once and kept by their
//! text.
//!
//! A server that does not answer within [`ANSWER_LIMIT`] is given up, so that whoever asks finds out. A link
//! that broke is made anew by the next transaction, never within one.

mod config;
mod gathered;
mod value;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::types;
use tokio_postgres::{Client, Row, Statement};

pub(in crate::store) use self::config::Role;
pub use self::config::{Server, ServerError};
use self::gathered::Gathered;
use self::value::Param;
pub(super) use self::value::column;
use super::error::{Error, Trouble};
use super::many::{Many, Values};
use super::{Params, text};

/// A server that says nothing for this long is taken for gone. Longer than any lock is waited for.
pub(in crate::store) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Statements that a connection keeps prepared; beyond it begins anew.
const MAX_STATEMENTS: usize = 512;

/// See the module.
pub struct Session {
    server: Server,
    role: Role,
    /// There until it is dropped.
    runtime: Option<Runtime>,
    link: RefCell<Option<Link>>,
    transaction: Cell<Transaction>,
    /// Rows of this transaction that have not been written yet.
    gathered: RefCell<Vec<Gathered>>,
}

/// Where the session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    None,
    Open,
    /// A statement failed: a commit would be taken for a rollback, and would not say so.
    Failed,
}

/// One of several things that are asked at once.
pub(in crate::store) struct Ask<'a> {
    pub(in crate::store) sql: &'static str,
    pub(in crate::store) params: &'a [&'a (dyn types::ToSql + Sync)],
    pub(in crate::store) needed: bool,
}

struct Link {
    client: Client,
    statements: HashMap<String, Statement>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("role", &self.role).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects. Waits for the server, so it must not be called from within a runtime.
    pub(in crate::store) fn open(server: Server, role: Role) -> Result<Self, Error> {
        let session = Self::closed(server, role)?;
        session.connect()?;
        Ok(session)
    }

    /// A session that connects when it is first used.
    pub(in crate::store) fn closed(server: Server, role: Role) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Column(error.to_string()))?;
        Ok(Self {
            server,
            role,
            runtime: Some(runtime),
            link: RefCell::new(None),
            transaction: Cell::new(Transaction::None),
            gathered: RefCell::default(),
        })
    }

    fn connect(&self) -> Result<(), Error> {
        *self.link.borrow_mut() = None;
        let client = self.wait(self.server.connect(self.role))?;
        *self.link.borrow_mut() = Some(Link { client, statements: HashMap::new() });
        Ok(())
    }

    /// Makes the link anew if it is gone.
    fn connected(&self) -> Result<(), Error> {
        let is_open = self.link.borrow().as_ref().is_some_and(|link| !link.client.is_closed());
        if is_open { Ok(()) } else { self.connect() }
    }

    /// Waits for an answer, but not for ever.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let Some(runtime) = &self.runtime else { return Err(Error::NotConnected) };
        runtime.block_on(async {
            match tokio::time::timeout(ANSWER_LIMIT, answer).await {
                Ok(answer) => Ok(answer?),
                Err(_) => Err(Error::NoAnswer),
            }
        })
    }

    /// Asks, and keeps account of what a failure does to the link and to the transaction.
    fn ask<T>(
        &self,
        ask: impl AsyncFnOnce(&mut Link) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        if self.transaction.get() == Transaction::None {
            self.connected()?;
        }
        let mut place = self.link.borrow_mut();
        let Some(link) = place.as_mut() else { return Err(Error::NotConnected) };
        let answer = self.wait(ask(link));
        if answer.is_err() {
            if self.transaction.get() == Transaction::Open {
                self.transaction.set(Transaction::Failed);
            }
            // What is still to come on a link that was not waited for would be taken for the next answer's. A server
            // that only reads now has been replaced by another. Statements that were prepared before the schema
            // changed are no good.
            let is_over =
                answer.as_ref().is_err_and(|error| error.trouble() == Trouble::Away || error.is_outdated());
            if is_over || link.client.is_closed() {
                *place = None;
            }
        }
        answer
    }

    /// Keeps a row until it is written with others.
    pub(super) fn gather(&self, many: &'static Many, values: Values<'_>) -> Result<(), Error> {
        let mut gathered = self.gathered.borrow_mut();
        if let Some(same) = gathered.iter_mut().find(|one| std::ptr::eq(one.many, many)) {
            return same.push(values);
        }
        let mut new = Gathered::new(many);
        new.push(values)?;
        gathered.push(new);
        Ok(())
    }

    /// Writes what was gathered, and then whatever `last` says, all in one go.
    fn write_gathered(&self, last: Option<&str>) -> Result<(), Error> {
        let gathered = std::mem::take(&mut *self.gathered.borrow_mut());
        if gathered.is_empty() && last.is_none() {
            return Ok(());
        }
        let changed = self.ask(async |link| {
            let mut statements = Vec::with_capacity(gathered.len());
            for one in &gathered {
                statements.push(link.statement(one.many.all).await?);
            }
            let params: Vec<_> = gathered.iter().map(Gathered::refs).collect();
            let client = &link.client;
            let writes =
                statements.iter().zip(&params).map(|(statement, params)| client.execute(statement, params));
            // In the order in which they are asked for, and without waiting in between.
            let writes = futures_util::future::join_all(writes);
            let last = async {
                match last {
                    Some(last) => client.batch_execute(last).await,
                    None => Ok(()),
                }
            };
            let (changed, last) = futures_util::future::join(writes, last).await;
            // The first error is the cause, and those after it only say that there was one.
            let changed = changed.into_iter().collect::<Result<Vec<u64>, _>>()?;
            last.map(|()| changed)
        })?;
        let is_whole = |(one, changed): (&Gathered, &u64)| !one.many.exact || *changed == one.rows as u64;
        if gathered.iter().zip(&changed).all(is_whole) { Ok(()) } else { Err(Error::Overtaken) }
    }

    pub(super) fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        self.write_gathered(None)?;
        let params = Param::all(params)?;
        self.ask(async |link| {
            let statement = link.statement(sql).await?;
            link.client.query(&statement, &Param::refs(&params)).await
        })
    }

    pub(super) fn execute(&self, sql: &str, params: Params<'_>) -> Result<usize, Error> {
        self.write_gathered(None)?;
        let params = Param::all(params)?;
        let changed = self.ask(async |link| {
            let statement = link.statement(sql).await?;
            link.client.execute(&statement, &Param::refs(&params)).await
        })?;
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Asks several things in one go; the first of a transaction begin it. What is not needed is not asked, and
    /// its answer is empty.
    pub(in crate::store) fn ask_all(&self, asks: &[Ask<'_>], begin: bool) -> Result<Vec<Vec<Row>>, Error> {
        if begin {
            self.transaction.set(Transaction::None);
            self.gathered.borrow_mut().clear();
            self.connected()?;
        } else {
            self.write_gathered(None)?;
        }
        let answers = self.ask(async |link| {
            let mut statements = Vec::with_capacity(asks.len());
            for ask in asks {
                statements.push(if ask.needed { Some(link.statement(ask.sql).await?) } else { None });
            }
            let client = &link.client;
            let begun = async { if begin { client.batch_execute("BEGIN").await } else { Ok(()) } };
            let answers = statements.iter().zip(asks).map(|(statement, ask)| async move {
                match statement {
                    Some(statement) => client.query(statement, ask.params).await,
                    None => Ok(Vec::new()),
                }
            });
            let (begun, answers) =
                futures_util::future::join(begun, futures_util::future::join_all(answers)).await;
            begun?;
            answers.into_iter().collect::<Result<Vec<_>, _>>()
        });
        if begin {
            // Also after a failure: what was begun is to be taken back.
            self.transaction.set(if answers.is_ok() { Transaction::Open } else { Transaction::Failed });
        }
        answers
    }

    /// Several statements without parameters.
    pub(in crate::store) fn batch(&self, sql: &str) -> Result<(), Error> {
        self.ask(async |link| link.client.batch_execute(sql).await)
    }

    /// What only a client can do.
    pub(in crate::store) fn with_client<T, E: From<Error>>(
        &self,
        run: impl AsyncFnOnce(&mut Client) -> Result<T, E>,
    ) -> Result<T, E> {
        self.connected()?;
        let mut place = self.link.borrow_mut();
        let (Some(link), Some(runtime)) = (place.as_mut(), &self.runtime) else {
            return Err(Error::NotConnected.into());
        };
        runtime.block_on(run(&mut link.client))
    }

    pub(super) fn begin(&self) -> Result<(), Error> {
        self.begin_as("BEGIN")
    }

    pub(super) fn begin_snapshot(&self) -> Result<(), Error> {
        self.begin_as("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    fn begin_as(&self, sql: &str) -> Result<(), Error> {
        self.transaction.set(Transaction::None);
        self.gathered.borrow_mut().clear();
        // A server that was started anew since the last time is found out by the first that asks it.
        if let Err(error) = self.batch(sql) {
            if error.trouble() != Trouble::Away || matches!(error, Error::NoAnswer) {
                return Err(error);
            }
            self.batch(sql)?;
        }
        self.transaction.set(Transaction::Open);
        Ok(())
    }

    pub(super) fn commit(&self) -> Result<(), Error> {
        if self.transaction.get() != Transaction::Open {
            return Err(Error::Aborted);
        }
        // Whether all rows were written is known before the commit is asked for, where that is in question.
        if self.gathered.borrow().iter().any(|one| one.many.exact) {
            self.write_gathered(None)?;
        }
        self.write_gathered(Some("COMMIT"))?;
        self.transaction.set(Transaction::None);
        Ok(())
    }

    pub(super) fn roll_back(&self) -> Result<(), Error> {
        self.gathered.borrow_mut().clear();
        if self.transaction.replace(Transaction::None) == Transaction::None {
            return Ok(());
        }
        // Without a link there is nothing to take back: the server does so by itself.
        if self.link.borrow().is_none() {
            return Ok(());
        }
        let rolled_back = self.batch("ROLLBACK");
        if rolled_back.is_err() {
            *self.link.borrow_mut() = None;
        }
        rolled_back
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.link.borrow_mut().take();
        // Dropping it in the ordinary way waits, which a runtime's own thread must not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Link {
    async fn statement(&mut self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&text::for_postgres(sql)).await?;
        if self.statements.len() >= MAX_STATEMENTS {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

//! One connection to a Postgres server, asked from one thread and waited for.
//!
//! The connection is driven by a runtime of its own, which turns only while something is waited for: the
//! thread that asks pays for one round trip and wakes nobody. Statements are prepared once and kept by their
//! text.
//!
//! A server that does not answer within [`ANSWER_LIMIT`], or what its role allows, is given up, so that whoever asks finds out. A link
//! that broke is made anew by the next transaction, never within one.

mod config;
mod copy_in;
mod gathered;
mod value;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
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
/// How often a runtime turns so that a link that was let go is closed: to say so, and to shut down.
const CLOSING_TURNS: usize = 4;
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
    /// Begun here with this; the server hears of it with the first statement.
    Begins(&'static str),
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
        let client = self.wait(self.role.connect_limit(), self.server.connect(self.role))?;
        *self.link.borrow_mut() = Some(Link { client, statements: HashMap::new() });
        Ok(())
    }

    /// Makes the link anew if it is gone.
    fn connected(&self) -> Result<(), Error> {
        let is_open = self.link.borrow().as_ref().is_some_and(|link| !link.client.is_closed());
        if is_open { Ok(()) } else { self.connect() }
    }

    /// Waits for an answer, but not for ever.
    fn wait<T, E: Into<Error>>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Error> {
        let Some(runtime) = &self.runtime else { return Err(Error::NotConnected) };
        runtime.block_on(async {
            match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(Error::NoAnswer),
            }
        })
    }

    /// Asks, and keeps account of what a failure does to the link and to the transaction.
    fn ask<T>(
        &self,
        ask: impl AsyncFnOnce(&mut Link) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Error> {
        let mut place = self.link.borrow_mut();
        let Some(link) = place.as_mut() else { return Err(Error::NotConnected) };
        let answer = self.wait(self.role.answer_limit(), ask(link));
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
                self.let_go(&mut place);
            }
        }
        answer.map_err(|error| if error.is_inexact() { Error::Overtaken } else { error })
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

    /// Sends, one after the other and without waiting in between: what begins the transaction, if that has not been
    /// said yet; what was gathered; these statements; and what ends it.
    fn exchange<T>(
        &self,
        statements: &[&str],
        ask: &impl AsyncFn(&Client, &[Statement]) -> Result<T, tokio_postgres::Error>,
        end: Option<&str>,
    ) -> Result<T, Error> {
        let begins = self.transaction.get();
        let begin = if let Transaction::Begins(sql) = begins { Some(sql) } else { None };
        let gathered = std::mem::take(&mut *self.gathered.borrow_mut());
        if matches!(begins, Transaction::None | Transaction::Begins(_)) {
            self.connected()?;
        }
        let attempt = || {
            self.ask(async |link| {
                let mut writes = Vec::with_capacity(gathered.len());
                for one in &gathered {
                    writes.push(link.statement(one.many.all).await?);
                }
                let mut asks = Vec::with_capacity(statements.len());
                for sql in statements {
                    asks.push(link.statement(sql).await?);
                }
                let params: Vec<_> = gathered.iter().map(Gathered::refs).collect();
                let client = &link.client;
                let said = async |sql: Option<&str>| match sql {
                    Some(sql) => client.batch_execute(sql).await,
                    None => Ok(()),
                };
                let writes = writes.iter().zip(&params).map(|(write, params)| client.execute(write, params));
                // Each is sent when it is first looked at, and they are looked at in this order.
                let (begun, written, answer, ended) =
                    futures_util::join!(said(begin), join_all(writes), ask(client, &asks), said(end));
                // The first error is the cause, and those after it only say that there was one.
                begun?;
                written.into_iter().collect::<Result<Vec<_>, _>>()?;
                let answer = answer?;
                ended.map(|()| answer)
            })
        };
        let mut answer = attempt();
        let is_lost = |error: &Error| error.trouble() == Trouble::Away && !matches!(error, Error::NoAnswer);
        if begin.is_some() && end.is_none() && answer.as_ref().is_err_and(is_lost) {
            // A server that was started anew since the last time is found out by the first that asks it.
            self.connect()?;
            answer = attempt();
        }
        if begin.is_some() {
            // Also after a failure: what was begun is to be taken back.
            self.transaction.set(if answer.is_ok() { Transaction::Open } else { Transaction::Failed });
        }
        answer
    }

    pub(super) fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        let params = Param::all(params)?;
        let read =
            async |client: &Client, asks: &[Statement]| client.query(&asks[0], &Param::refs(&params)).await;
        self.exchange(&[sql], &read, None)
    }

    pub(super) fn execute(&self, sql: &str, params: Params<'_>) -> Result<usize, Error> {
        let params = Param::all(params)?;
        let run =
            async |client: &Client, asks: &[Statement]| client.execute(&asks[0], &Param::refs(&params)).await;
        Ok(usize::try_from(self.exchange(&[sql], &run, None)?).unwrap_or(usize::MAX))
    }

    /// Asks several things in one go. What is not needed is not asked, and its answer is empty.
    pub(in crate::store) fn ask_all<const N: usize>(
        &self,
        asks: &[Ask<'_>; N],
    ) -> Result<[Vec<Row>; N], Error> {
        let needed: Vec<usize> = (0..N).filter(|place| asks[*place].needed).collect();
        let texts: Vec<&str> = needed.iter().map(|place| asks[*place].sql).collect();
        let all = async |client: &Client, statements: &[Statement]| {
            let answers = statements.iter().zip(&needed);
            let answers = answers.map(|(statement, place)| client.query(statement, asks[*place].params));
            join_all(answers).await.into_iter().collect::<Result<Vec<_>, _>>()
        };
        let mut all_answers = [const { Vec::new() }; N];
        for (place, answer) in needed.iter().zip(self.exchange(&texts, &all, None)?) {
            all_answers[*place] = answer;
        }
        Ok(all_answers)
    }

    /// The same, for what takes long: waits as long as the connection stands.
    pub(in crate::store) fn run_long(&self, sql: &str) -> Result<(), Error> {
        self.with_client(async |client| Ok(client.batch_execute(sql).await?))
    }

    /// What only a client can do, within the transaction if one was begun.
    pub(in crate::store) fn with_client<T, E: From<Error>>(
        &self,
        run: impl AsyncFnOnce(&mut Client) -> Result<T, E>,
    ) -> Result<T, E> {
        match self.transaction.get() {
            Transaction::None => self.connected()?,
            Transaction::Begins(_) => {
                self.exchange(&[], &async |_: &Client, _: &[Statement]| Ok(()), None)?;
            }
            Transaction::Open | Transaction::Failed => {}
        }
        let mut place = self.link.borrow_mut();
        let (Some(link), Some(runtime)) = (place.as_mut(), &self.runtime) else {
            return Err(Error::NotConnected.into());
        };
        runtime.block_on(run(&mut link.client))
    }

    /// Nothing is sent before there is something to ask or to write.
    pub(in crate::store) fn begin(&self) {
        self.begin_as("BEGIN");
    }

    pub(super) fn begin_snapshot(&self) {
        self.begin_as("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    }

    fn begin_as(&self, sql: &'static str) {
        self.transaction.set(Transaction::Begins(sql));
        self.gathered.borrow_mut().clear();
    }

    pub(super) fn commit(&self) -> Result<(), Error> {
        match self.transaction.get() {
            Transaction::Begins(_) if self.gathered.borrow().is_empty() => {}
            Transaction::Begins(_) | Transaction::Open => {
                self.exchange(&[], &async |_: &Client, _: &[Statement]| Ok(()), Some("COMMIT"))?;
            }
            Transaction::None | Transaction::Failed => return Err(Error::Aborted),
        }
        self.transaction.set(Transaction::None);
        Ok(())
    }

    pub(super) fn roll_back(&self) -> Result<(), Error> {
        self.gathered.borrow_mut().clear();
        if matches!(self.transaction.replace(Transaction::None), Transaction::None | Transaction::Begins(_)) {
            return Ok(());
        }
        // Without a link there is nothing to take back: the server does so by itself.
        if self.link.borrow().is_none() {
            return Ok(());
        }
        let rolled_back = self.ask(async |link| link.client.batch_execute("ROLLBACK").await);
        if rolled_back.is_err() {
            self.give_up();
        }
        rolled_back
    }

    /// Ends the link, and with it what is under way on it: the next transaction connects anew.
    pub(super) fn give_up(&self) {
        self.let_go(&mut self.link.borrow_mut());
    }

    /// A link is closed by whoever drives it, which may be long from now. Until then the server would keep what is
    /// open on it.
    fn let_go(&self, place: &mut Option<Link>) {
        *place = None;
        if let Some(runtime) = &self.runtime {
            runtime.block_on(async {
                for _ in 0..CLOSING_TURNS {
                    tokio::task::yield_now().await;
                }
            });
        }
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

//! A queue that is long already: rows written into the database of a server that is stopped.
//!
//! This is a tool for tests and measurements, bound to the schema of this very version: it writes events and
//! queued deliveries past the server, because publishing a million of them would take a minute each time. It
//! takes the lock of the data directory, so it never writes beside a running server.

use std::fs::{File, OpenOptions};
use std::path::Path;

use anyhow::{Context, bail};
use inkhook_wire::event::EventType;
use rusqlite::{Connection, OpenFlags, params};

use crate::clock::Clock;
use crate::drive::uuid;

/// When what is written becomes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Due {
    /// At once: fresh deliveries that were never tried.
    Now,
    /// Between ten minutes and an hour from now: retries that failed once.
    WithinTheHour,
}

/// What to write.
#[derive(Debug, Clone)]
pub struct Seed<'a> {
    /// Subscriptions whose URL is like this (SQL: `%` is anything).
    pub url_like: &'a str,
    /// Deliveries in all, spread evenly over them.
    pub deliveries: u64,
    /// See there.
    pub due: Due,
    /// Bytes of each mail's text.
    pub body_bytes: usize,
}

const SUBSCRIPTIONS: &str = "SELECT s.no, s.organization_id, s.owner_kind, s.owner_id, s.identity_id
    FROM subscriptions s JOIN urls u ON u.no = s.url WHERE u.url LIKE ?1 AND s.status = 'active' ORDER BY s.no";
const LAST_SEQ: &str = "SELECT max((SELECT coalesce(max(seq), 0) FROM events),
    (SELECT coalesce(max(no), 0) / 64 FROM queue), (SELECT coalesce(max(no), 0) / 64 FROM deliveries),
    (SELECT coalesce(max(since_seq), 0) FROM subscription_types))";
const EVENT: &str =
    "INSERT INTO events (seq, id, organization_id, event_type, owner_kind, owner_id, identity_id,
    accepted_ms, fan_out, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9)";
const DELIVERY: &str = "INSERT INTO queue (no, organization_id, subscription, event_seq, event_type, class,
    request_id, due_ms, created_ms, failures, attempts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)";
const HEAD: &str = "INSERT INTO queue_heads (subscription, class, due_ms) VALUES (?1, ?2, ?3)
    ON CONFLICT (subscription, class) DO UPDATE SET due_ms = min(due_ms, excluded.due_ms)";

/// The classes as the schema numbers them.
const LIVE: i64 = 1;
const RETRY: i64 = 2;
/// From when to when retries become due.
const RETRIES_FROM_MS: u64 = 10 * 60 * 1000;
const RETRIES_TO_MS: u64 = 60 * 60 * 1000;

struct Subscription {
    no: i64,
    organization: i64,
    owner_kind: i64,
    owner: Vec<u8>,
    identity: Vec<u8>,
}

/// Writes it; how many subscriptions there were.
///
/// # Errors
/// A server has the directory, there is no such subscription, or the schema is another one.
pub fn seed(data_dir: &Path, seed: &Seed<'_>) -> anyhow::Result<usize> {
    let _lock = lock(data_dir)?;
    let mut database =
        Connection::open_with_flags(data_dir.join("inkhook.db"), OpenFlags::SQLITE_OPEN_READ_WRITE)
            .context("there is no database to write into: start a server on the directory first")?;
    // Nothing of this needs to survive a crash, and one large transaction needs no log.
    let _: String = database.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    database
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; PRAGMA journal_mode = OFF")?;
    let transaction = database.transaction()?;
    let subscriptions = subscriptions(&transaction, seed.url_like)?;
    if subscriptions.is_empty() {
        bail!("no subscription has a URL like {:?}", seed.url_like);
    }
    write(&transaction, seed, &subscriptions)?;
    transaction.commit()?;
    let _: String = database.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    drop(database);
    // Otherwise the system would write it while something else is measured.
    File::open(data_dir.join("inkhook.db"))?.sync_all()?;
    Ok(subscriptions.len())
}

/// The lock that a server holds.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let file = OpenOptions::new().write(true).open(&path);
    let file = file.with_context(|| format!("{} is not a server's data directory", data_dir.display()))?;
    file.try_lock().with_context(|| format!("a server is running on {}", data_dir.display()))?;
    Ok(file)
}

fn subscriptions(database: &Connection, url_like: &str) -> anyhow::Result<Vec<Subscription>> {
    let mut statement = database.prepare(SUBSCRIPTIONS)?;
    let rows = statement.query_map([url_like], |row| {
        Ok(Subscription {
            no: row.get(0)?,
            organization: row.get(1)?,
            owner_kind: row.get(2)?,
            owner: row.get(3)?,
            identity: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn write(database: &Connection, seed: &Seed<'_>, subscriptions: &[Subscription]) -> anyhow::Result<()> {
    let last_seq: i64 = database.query_row(LAST_SEQ, [], |row| row.get(0))?;
    let now_us = Clock::start().now_us();
    let now_ms = i64::try_from(now_us / 1000)?;
    let event_type = EventType::MessageReceived.code();
    let (mut event, mut delivery) = (database.prepare(EVENT)?, database.prepare(DELIVERY)?);
    let mut head = database.prepare(HEAD)?;
    let text = "x".repeat(seed.body_bytes);
    let class = if seed.due == Due::Now { LIVE } else { RETRY };
    for number in 0..seed.deliveries {
        let to = &subscriptions[usize::try_from(number)? % subscriptions.len()];
        let seq = last_seq + 1 + i64::try_from(number)?;
        let due_ms = match seed.due {
            Due::Now => 0,
            Due::WithinTheHour => {
                let wait = RETRIES_FROM_MS + (RETRIES_TO_MS - RETRIES_FROM_MS) * number / seed.deliveries;
                now_ms + i64::try_from(wait)?
            }
        };
        let id = uuid(u64::try_from(seq)?, now_us);
        let payload = format!(
            r#"{{"id":"evt_{id}","event_type":"message.received","timestamp":"2026-01-01T00:00:00Z","data":{{"message":{{"subject":"queued","body":"{text}"}}}}}}"#
        );
        let (organization, request) = (to.organization, uuid(!u64::try_from(seq)?, now_us));
        event.execute(params![
            seq,
            &id.as_bytes()[..],
            organization,
            event_type,
            to.owner_kind,
            to.owner,
            to.identity,
            now_ms,
            payload.as_bytes()
        ])?;
        let failures = i64::from(class == RETRY);
        let request_id = &request.as_bytes()[..];
        delivery.execute(params![
            seq * 64,
            organization,
            to.no,
            seq,
            event_type,
            class,
            request_id,
            due_ms,
            now_ms,
            failures
        ])?;
        if number < subscriptions.len() as u64 {
            head.execute(params![to.no, class, due_ms])?;
        }
    }
    Ok(())
}

//! What the store's rows say, read past the store.

use std::collections::BTreeMap;

use inkhook_server::domain::time::TimeMs;
use uuid::Uuid;

use crate::support::books::Books;

/// A delivery that has not ended.
#[derive(Debug, Clone)]
pub struct Queued {
    pub class: i64,
    pub due_ms: i64,
    pub failures: u32,
    pub attempts: u32,
    pub claim_no: u32,
    /// Who holds the lease.
    pub boot: Option<i64>,
    /// When it was claimed last.
    pub claimed_ms: Option<i64>,
}

/// What holds a subscription back.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub not_before: TimeMs,
    /// What waited then is given at a rate.
    pub drain_since: Option<TimeMs>,
    /// When to try again what fails.
    pub probe_next: Option<TimeMs>,
}

impl Held {
    /// What waits is given at a rate, or one at a time.
    pub fn is_throttled(&self) -> bool {
        self.drain_since.is_some() || self.probe_next.is_some()
    }
}

/// A delivery that has.
#[derive(Debug, Clone)]
pub struct Ended {
    pub state: i64,
    pub reason: Option<String>,
    pub attempts: u32,
    /// An attempt that is still under way.
    pub open_claim: Option<u32>,
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Line {
    pub id: Uuid,
    pub delivery: i64,
    pub outcome: i64,
    pub status: Option<u16>,
    pub url: String,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub queued: BTreeMap<i64, Queued>,
    pub ended: BTreeMap<i64, Ended>,
    /// By delivery and number.
    pub log: BTreeMap<(i64, u32), Line>,
    /// Subscriptions that are active.
    pub held: BTreeMap<i64, Held>,
}

const QUEUED: &str = "SELECT no, class, due_ms, failures, attempts, claim_no, boot, claimed_ms FROM queue";
const ENDED: &str = "SELECT no, state, reason, attempts, open_claim FROM deliveries";
const LOG: &str = "SELECT a.delivery, a.attempt_no, a.id, a.outcome, a.status, u.url FROM attempts a
    JOIN urls u ON u.no = a.url";
const MADE: &str = "SELECT q.no, q.subscription, q.request_id, e.id FROM queue q JOIN events e ON e.seq = q.event_seq ORDER BY q.no";
const HELD: &str = "SELECT no, not_before_ms, drain_since_ms, CASE health WHEN 2 THEN probe_next_ms END
    FROM subscriptions WHERE status = 'active'";
const LEASED: &str = "SELECT boot FROM queue WHERE boot IS NOT NULL AND due_ms > 0";

impl Seen {
    pub fn read(books: &Books) -> Self {
        let queued = books.read(QUEUED, |row| {
            let queued = Queued {
                class: row.get(1),
                due_ms: row.get(2),
                failures: row.get(3),
                attempts: row.get(4),
                claim_no: row.get(5),
                boot: row.get(6),
                claimed_ms: row.get(7),
            };
            (row.get(0), queued)
        });
        let ended = books.read(ENDED, |row| {
            let ended =
                Ended { state: row.get(1), reason: row.get(2), attempts: row.get(3), open_claim: row.get(4) };
            (row.get(0), ended)
        });
        let log = books.read(LOG, |row| {
            let line = Line {
                delivery: row.get(0),
                id: Uuid::from_bytes(row.get(2)),
                outcome: row.get(3),
                status: row.get(4),
                url: row.get(5),
            };
            ((line.delivery, row.get(1)), line)
        });
        let held = books.read(HELD, |row| {
            let held = Held {
                not_before: TimeMs(row.get(1)),
                drain_since: row.get::<Option<i64>>(2).map(TimeMs),
                probe_next: row.get::<Option<i64>>(3).map(TimeMs),
            };
            (row.get(0), held)
        });
        Self {
            queued: queued.into_iter().collect(),
            ended: ended.into_iter().collect(),
            log: log.into_iter().collect(),
            held: held.into_iter().collect(),
        }
    }

    /// The number of the attempt that a delivery has under way, if it has one.
    pub fn under_way(&self, delivery: i64) -> Option<u32> {
        if let Some(queued) = self.queued.get(&delivery) {
            return queued.boot.map(|_| queued.attempts + 1);
        }
        let ended = self.ended.get(&delivery)?;
        ended.open_claim.map(|_| ended.attempts + 1)
    }
}

/// The deliveries that wait of an event: number, subscription, request id.
pub fn made(books: &Books, event: Uuid) -> Vec<(i64, i64, Uuid)> {
    let of = |(id, row): (Uuid, _)| (id == event).then_some(row);
    let made = books.read(MADE, |row| {
        (Uuid::from_bytes(row.get(3)), (row.get(0), row.get(1), Uuid::from_bytes(row.get(2))))
    });
    made.into_iter().filter_map(of).collect()
}

/// Leases of processes that are gone, and not free.
pub fn leased_by_the_dead(books: &Books, boot: i64) -> usize {
    let boots: Vec<i64> = books.column(LEASED);
    boots.into_iter().filter(|leased| *leased != boot).count()
}

//! What the store has on record, read past the server.

use uuid::Uuid;

use super::Evidence;
use crate::support::books::Books;
use crate::support::invariants;

/// The class of what was asked for by hand.
const MANUAL: i64 = 4;

/// What a delivery may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::crash) enum Sort {
    /// Its receiver takes everything in the end: delivered.
    Kept,
    /// A replay: one attempt, whatever comes of it.
    ByHand,
    /// Its subscription was changed and deleted: delivered or cancelled.
    Churned,
}

/// An ended delivery on record.
#[derive(Debug, Clone)]
pub(in crate::crash) struct DeliveryRow {
    pub(in crate::crash) no: i64,
    pub(in crate::crash) request_id: String,
    pub(in crate::crash) sort: Sort,
    pub(in crate::crash) state: i64,
    pub(in crate::crash) attempts: u32,
}

/// An attempt on record.
#[derive(Debug, Clone)]
pub(in crate::crash) struct AttemptRow {
    pub(in crate::crash) delivery: i64,
    pub(in crate::crash) attempt_no: u32,
    pub(in crate::crash) outcome: i64,
    pub(in crate::crash) status: Option<u16>,
    /// When it was claimed and when it was put on record, by the servers' clock.
    pub(in crate::crash) started_ms: i64,
    pub(in crate::crash) recorded_ms: i64,
}

impl Evidence {
    /// Reads what is on record, past the server.
    pub(in crate::crash) fn read_store(&mut self, books: &Books) {
        self.read_queue(books);
        let deliveries = "SELECT d.no, d.request_id, d.state, d.attempts, d.class, u.url FROM deliveries d
            JOIN subscriptions s ON s.no = d.subscription JOIN urls u ON u.no = s.url";
        self.deliveries = books.read(deliveries, |row| {
            let request_id = Uuid::from_bytes(row.get(1));
            let (class, url): (i64, String) = (row.get(4), row.get(5));
            let sort = match class {
                MANUAL => Sort::ByHand,
                _ if url.contains("/churn-") => Sort::Churned,
                _ => Sort::Kept,
            };
            DeliveryRow {
                no: row.get(0),
                request_id: format!("req_{request_id}"),
                sort,
                state: row.get(2),
                attempts: row.get(3),
            }
        });
        let attempts = "SELECT delivery, attempt_no, outcome, status, started_ms, created_ms FROM attempts
            ORDER BY delivery, no";
        self.attempts = books.read(attempts, |row| AttemptRow {
            delivery: row.get(0),
            attempt_no: row.get(1),
            outcome: row.get(2),
            status: row.get(3),
            started_ms: row.get(4),
            recorded_ms: row.get(5),
        });
        self.broken = invariants::breach(books).into_iter().chain(invariants::left_over(books)).collect();
    }

    /// Reads no more than what waits: while servers run.
    pub(in crate::crash) fn read_queue(&mut self, books: &Books) {
        self.queued = books.column("SELECT no FROM queue");
        self.most_lost = books.column("SELECT coalesce(max(unknown), 0) FROM queue")[0];
    }
}

//! Deleting, narrowing and pausing cost the same however much is queued, and are seen at once.

use std::collections::BTreeMap;

use inkhook_server::domain::delivery::State;
use inkhook_wire::event::EventType;
use rusqlite::types::Value;

use super::lists::events_page;
use crate::support::invariants;
use crate::support::store::{Agent, StoreBench};

const RECEIVED: EventType = EventType::MessageReceived;
const SENT: EventType = EventType::MessageSent;
/// What is queued when the cost is measured.
const QUEUED: usize = 100_000;

/// Every table whose row count may grow with a backlog.
const LARGE: [&str; 4] = ["events", "queue", "deliveries", "attempts"];

#[tokio::test]
async fn a_deleted_subscriptions_deliveries_are_shown_cancelled_at_once() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED]).await;
    let event = bench.accept(bench.mail(help)).await.id;
    bench.claim_one().await;
    let states = async || {
        let one = bench.store().event(help.admin(), event).await.unwrap().unwrap().deliveries;
        let listed = bench.store().events(help.admin(), events_page()).await.unwrap()[0].deliveries.clone();
        assert_eq!(one[0].state, listed[0].state);
        (one[0].state, one[0].reason.clone())
    };
    assert_eq!(states().await, (State::Delivering, None));
    bench.delete(help.admin(), &subscription).await;
    let cancelled = (State::Cancelled, Some("subscription_deleted".into()));
    assert_eq!(states().await, cancelled);
    bench.tidy().await;
    assert_eq!(states().await, cancelled);
}

#[tokio::test]
async fn a_removed_types_deliveries_are_shown_cancelled_at_once_and_stay_so_when_it_comes_back() {
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), &[RECEIVED, SENT]).await;
    let event = bench.accept(bench.mail(help)).await.id;
    for types in [&[SENT][..], &[SENT, RECEIVED]] {
        bench.select(help.admin(), &subscription, types).await;
        let shown = bench.store().event(help.admin(), event).await.unwrap().unwrap();
        assert_eq!(shown.deliveries[0].state, State::Cancelled);
        assert_eq!(shown.deliveries[0].reason.as_deref(), Some("event_type_not_selected"));
    }
}

/// Fills the queue past the store: through the front door it would take a minute.
fn fill(bench: &StoreBench) {
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {QUEUED})
         INSERT INTO queue (no, organization_id, subscription, event_seq, event_type, class, request_id,
            due_ms, created_ms)
         SELECT (q.event_seq + n.i) * 64, q.organization_id, q.subscription, q.event_seq + n.i, q.event_type,
            q.class, randomblob(16), q.due_ms, q.created_ms FROM queue q, n;
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {QUEUED})
         INSERT INTO events SELECT e.seq + n.i, randomblob(16), e.organization_id, e.event_type,
            e.owner_kind, e.owner_id, e.identity_id, e.accepted_ms, NULL, 1, e.payload FROM events e, n"
    );
    bench.books.run(&sql);
    bench.books.number_on();
}

/// Every row of the tables that stay small, and how many the large ones have with a hash of their content.
fn state(bench: &StoreBench) -> BTreeMap<String, Vec<Vec<Value>>> {
    let mut state = BTreeMap::new();
    for table in bench.books.tables() {
        let sql = if table == "queue" {
            "SELECT count(*), CAST(sum(no) AS TEXT), CAST(sum(due_ms) AS TEXT), sum(class), CAST(sum(claim_no) AS TEXT),
                count(boot) FROM queue".into()
        } else if LARGE.contains(&table.as_str()) {
            format!("SELECT count(*) FROM {table}")
        } else {
            format!("SELECT * FROM {table}")
        };
        state.insert(table.clone(), bench.rows(&sql));
    }
    state
}

/// Rows of small tables that differ; fails when a large table changed at all.
fn changed(before: &BTreeMap<String, Vec<Vec<Value>>>, after: &BTreeMap<String, Vec<Vec<Value>>>) -> usize {
    let mut changed = 0;
    for (table, rows) in after {
        if LARGE.contains(&table.as_str()) {
            assert_eq!(rows, &before[table], "{table}");
        } else {
            changed += rows.iter().filter(|row| !before[table].contains(row)).count();
            changed += before[table].iter().filter(|row| !rows.contains(row)).count();
        }
    }
    changed
}

async fn full(
    types: &[EventType],
) -> (StoreBench, Agent, inkhook_server::domain::subscription::Subscription) {
    let mut bench = StoreBench::new();
    let help = bench.agent("help").await;
    let subscription = bench.subscribe(help.admin(), help.by_mail(), types).await;
    bench.accept_mails(help, 1).await;
    fill(&bench);
    // The writer numbers on from what it finds at its start.
    bench.restart().await;
    (bench, help, subscription)
}

/// How much a verb wrote, in pages of the write-ahead log.
fn pages_written(bench: &StoreBench) -> u64 {
    let wal = bench.directory.path().join("inkhook.db-wal");
    std::fs::metadata(wal).map_or(0, |metadata| metadata.len()) / 4_096
}

#[tokio::test]
async fn with_a_hundred_thousand_queued_a_change_touches_a_handful_of_rows() {
    let (bench, help, subscription) = full(&[RECEIVED, SENT]).await;
    let store = bench.store();
    let scope = help.admin();
    let mut before = state(&bench);
    let (mut rows, mut pages) = (Vec::new(), Vec::new());
    for change in ["pause", "resume", "narrow", "widen", "delete"] {
        let written = pages_written(&bench);
        match change {
            "pause" => drop(store.pause_subscription(scope, subscription.id).await.unwrap().unwrap()),
            "resume" => drop(store.resume_subscription(scope, subscription.id).await.unwrap().unwrap()),
            "narrow" => bench.select(scope, &subscription, &[SENT]).await,
            "widen" => bench.select(scope, &subscription, &[SENT, RECEIVED]).await,
            _ => bench.delete(scope, &subscription).await,
        }
        pages.push((change, pages_written(&bench) - written));
        let after = state(&bench);
        rows.push((change, changed(&before, &after)));
        before = after;
    }
    assert!(rows.iter().all(|(_, changed)| (1..=6).contains(changed)), "{rows:?}");
    assert!(pages.iter().all(|(_, pages)| *pages <= 40), "{pages:?}");
    assert!(bench.claim().await.is_empty());
}

#[tokio::test]
async fn cancelling_a_hundred_thousand_looks_at_each_of_them_once() {
    let (bench, help, subscription) = full(&[RECEIVED, SENT]).await;
    bench.accept(bench.event(help.organization, help.by_mail(), SENT)).await;
    bench.select(help.admin(), &subscription, &[SENT]).await;
    let chunks = bench.tidy().await;
    assert_eq!(chunks, QUEUED / inkhook_server::store::cancel::CHUNK_ROWS + 1);
    assert_eq!(bench.queued(), 1);
    invariants::check(&bench);
}

//! What holds between any two verbs, whatever happened before. Every test that has a store looks at the end,
//! whether it is about this or not; a test of failures or of random steps looks in between, too.

use std::sync::LazyLock;

use rusqlite::types::Value;

use crate::support::books::Books;
use crate::support::store::StoreBench;

/// Rows that must not exist when nothing is left to do.
const REST: [(&str, &str); 6] = [
    ("a delivery never ended", "SELECT no FROM queue"),
    ("an attempt that was under way was forgotten", "SELECT no FROM deliveries WHERE open_claim IS NOT NULL"),
    ("a note of work that is done", "SELECT no FROM cancellations"),
    ("a parked delivery never ended", "SELECT no FROM parked"),
    ("a conversation in which nothing waits", "SELECT head FROM conversations"),
    ("a note of deliveries that are queued by now", "SELECT subscription FROM unparkings"),
];

/// Rows that must not exist, each as a query that finds them and a sentence that says what is wrong.
const BROKEN: [(&str, &str); 21] = [
    (
        "a subscription belongs to nobody, or to another organisation than its identity",
        "SELECT s.no FROM subscriptions s LEFT JOIN identities i ON i.id = s.identity_id
         WHERE s.status = 'active' AND (i.id IS NULL OR i.organization_id <> s.organization_id)",
    ),
    (
        "a queue head is later than a delivery that nothing holds back, or missing",
        "SELECT q.no FROM queue q JOIN subscriptions s ON s.no = q.subscription AND s.status = 'active'
         JOIN subscription_types t ON t.subscription = q.subscription AND t.event_type = q.event_type
            AND q.no / 64 > t.since_seq
         LEFT JOIN queue_heads h ON h.subscription = q.subscription AND h.class = q.class
         WHERE h.due_ms IS NULL OR h.due_ms > greatest(q.due_ms, CASE WHEN q.class = 4 THEN 0
            WHEN s.paused_ms IS NOT NULL THEN 9223372036854775807
            WHEN s.health = 2 OR s.drain_since_ms IS NOT NULL THEN 9223372036854775807
            ELSE s.not_before_ms END)",
    ),
    (
        "a failing subscription's next probe waits for something else than its time",
        "SELECT s.no FROM subscriptions s JOIN queue_heads h ON h.subscription = s.no AND h.class <> 4
         LEFT JOIN queue p ON p.no = s.probe_delivery AND p.claim_no = s.probe_claim AND p.boot IS NOT NULL
         WHERE s.status = 'active' AND s.health = 2 AND s.paused_ms IS NULL
         AND EXISTS (SELECT 1 FROM queue q WHERE q.subscription = s.no AND q.class <> 4 AND q.boot IS NULL)
         GROUP BY s.no
         HAVING min(h.due_ms) > greatest(s.not_before_ms, s.probe_next_ms, coalesce(max(p.due_ms), 0))",
    ),
    (
        "a delivery is parked, and queued or ended as well",
        "SELECT p.no FROM parked p JOIN (SELECT no FROM queue UNION ALL SELECT no FROM deliveries) d
         ON d.no = p.no",
    ),
    (
        "a parked delivery waits for nothing",
        "SELECT p.no FROM parked p LEFT JOIN conversations c ON c.subscription = p.subscription AND c.key = p.key
         WHERE c.head IS NULL",
    ),
    (
        "a conversation waits for something that is not in the queue",
        "SELECT c.head AS no FROM conversations c LEFT JOIN queue q ON q.no = c.head AND q.class IN (1, 2)
            AND q.subscription = c.subscription WHERE q.no IS NULL",
    ),
    (
        "a note of a gap without its delivery",
        "SELECT g.delivery AS no FROM gaps g LEFT JOIN queue q ON q.no = g.delivery WHERE q.no IS NULL",
    ),
    ("a delivery is queued and has ended", "SELECT q.no FROM queue q JOIN deliveries d ON d.no = q.no"),
    (
        "an event has more or fewer deliveries than were made when it was accepted",
        "SELECT e.seq AS no FROM events e WHERE e.fan_out <>
            (SELECT count(*) FROM queue q WHERE q.no BETWEEN e.seq * 64 AND e.seq * 64 + 63)
            + (SELECT count(*) FROM parked p WHERE p.no BETWEEN e.seq * 64 AND e.seq * 64 + 63)
            + (SELECT count(*) FROM deliveries d WHERE d.no BETWEEN e.seq * 64 AND e.seq * 64 + 63)",
    ),
    (
        "a delivery's count of attempts is not the number of its log lines",
        "SELECT no FROM (SELECT no, attempts FROM queue UNION ALL SELECT no, attempts FROM deliveries) d
         LEFT JOIN (SELECT delivery, count(*) AS lines FROM attempts GROUP BY delivery) a ON a.delivery = d.no
         WHERE attempts <> coalesce(lines, 0)",
    ),
    (
        "attempt numbers have a gap or come twice",
        "SELECT delivery AS no FROM attempts GROUP BY delivery
         HAVING min(attempt_no) <> 1 OR max(attempt_no) <> count(*) OR count(DISTINCT attempt_no) <> count(*)
            OR count(DISTINCT claim_no) <> count(*)",
    ),
    (
        "a line of the log about a call without the call or its number",
        "SELECT a.no FROM attempts a LEFT JOIN calls c ON c.no = -a.delivery
            AND c.organization_id = a.organization_id AND a.attempt_no <= c.attempts
         LEFT JOIN call_lines l ON l.no = -a.subscription AND l.organization_id = a.organization_id
         WHERE (a.delivery < 0 OR a.subscription < 0) AND (c.no IS NULL OR l.no IS NULL)",
    ),
    (
        "a call whose last line of the log is gone",
        "SELECT c.no FROM calls c LEFT JOIN attempts a ON a.delivery = -c.no AND a.attempt_no = c.attempts
         WHERE a.no IS NULL",
    ),
    (
        "a delivery succeeded without an attempt that did",
        "SELECT d.no FROM deliveries d WHERE d.state = 1
         AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.delivery = d.no AND a.outcome = 1)",
    ),
    (
        "a line of the log belongs to another event or subscription than its delivery",
        "SELECT a.no FROM attempts a
         JOIN (SELECT no, event_seq, subscription FROM queue
            UNION ALL SELECT no, event_seq, subscription FROM deliveries) d ON d.no = a.delivery
         WHERE a.event_seq <> d.event_seq OR a.subscription <> d.subscription",
    ),
    (
        "a delivery belongs to another organisation than its event",
        "SELECT q.no FROM (SELECT no, event_seq, organization_id FROM queue
            UNION ALL SELECT no, event_seq, organization_id FROM parked
            UNION ALL SELECT no, event_seq, organization_id FROM deliveries) q
         LEFT JOIN events e ON e.seq = q.event_seq AND e.organization_id = q.organization_id
         WHERE e.seq IS NULL",
    ),
    (
        "contexts find an event that is not there",
        "SELECT i.event_seq AS no FROM context_items i LEFT JOIN events e ON e.seq = i.event_seq WHERE e.seq IS NULL",
    ),
    (
        "a body of its own without its event, or of a delivery of another one",
        "SELECT b.delivery AS no FROM delivery_bodies b LEFT JOIN events e ON e.seq = b.event_seq
         LEFT JOIN (SELECT no, event_seq FROM queue UNION ALL SELECT no, event_seq FROM deliveries) d
            ON d.no = b.delivery
         WHERE e.seq IS NULL OR d.event_seq <> b.event_seq",
    ),
    (
        "a delivery is leased and does not say since when and where to",
        "SELECT no FROM queue
         WHERE boot IS NOT NULL AND (claim_no = 0 OR claimed_ms IS NULL OR claimed_url IS NULL)",
    ),
    (
        "an attempt is under way that does not say since when and where to",
        "SELECT no FROM deliveries
         WHERE open_claim IS NOT NULL AND (open_url IS NULL OR open_started_ms IS NULL)",
    ),
    (
        "a delivery failed more often than it was tried, or was tried more often than it was claimed",
        "SELECT no FROM queue WHERE failures > attempts OR attempts > claim_no",
    ),
];

/// All of [`BROKEN`] in one question.
static ALL: LazyLock<String> = LazyLock::new(|| {
    let one = |(index, (_, sql)): (usize, &(&str, &str))| format!("SELECT {index}, no FROM ({sql}) x{index}");
    let all: Vec<String> = BROKEN.iter().enumerate().map(one).collect();
    all.join(" UNION ALL ")
});

/// What does not hold although it always does, if anything.
pub fn breach(books: &Books) -> Option<String> {
    first_breach(&books.rows(&ALL))
}

/// The same between the steps of a test whose tables stay small.
pub fn breach_so_far(books: &Books) -> Option<String> {
    first_breach(&books.rows_again(&ALL))
}

fn first_breach(found: &[Vec<Value>]) -> Option<String> {
    let [Value::Integer(index), no] = found.first()?.as_slice() else { panic!("{found:?}") };
    let (what, _) = BROKEN[usize::try_from(*index).expect("a place")];
    Some(format!("{what}: {no:?}"))
}

/// What is left in a store that has nothing to do, if anything.
pub fn left_over(books: &Books) -> Option<String> {
    REST.iter().find_map(|(what, sql)| Some(format!("{what}: {:?}", books.rows(sql).first()?[0])))
}

/// Fails the test when something that always holds does not.
#[track_caller]
pub fn check(bench: &StoreBench) {
    assert_eq!(breach(&bench.books), None);
}

/// The same after each step of a test whose tables stay small.
#[track_caller]
pub fn check_step(bench: &StoreBench) {
    assert_eq!(breach_so_far(&bench.books), None);
}

/// The same for a store that has nothing left to do.
#[track_caller]
pub fn check_at_rest(bench: &StoreBench) {
    check(bench);
    assert_eq!(left_over(&bench.books), None);
}

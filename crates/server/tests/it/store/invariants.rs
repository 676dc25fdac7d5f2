//! What holds between any two verbs, whatever happened before.

use rusqlite::types::Value;

use crate::support::store::StoreBench;

/// Rows that must not exist, each as a query that finds them and a sentence that says what is wrong.
/// `{now}` stands for the schedule time.
const BROKEN: [(&str, &str); 13] = [
    (
        "a queue head is later than a delivery that nothing holds back, or missing",
        "SELECT q.no FROM queue q JOIN subscriptions s ON s.no = q.subscription AND s.status = 'active'
         JOIN subscription_types t ON t.subscription = q.subscription AND t.event_type = q.event_type
            AND q.no / 64 > t.since_seq
         LEFT JOIN queue_heads h ON h.subscription = q.subscription AND h.class = q.class
         WHERE h.due_ms IS NULL OR h.due_ms > max(q.due_ms, CASE WHEN q.class = 4 THEN 0
            WHEN s.paused_ms IS NOT NULL THEN 9223372036854775807
            WHEN s.health = 2 THEN 9223372036854775807
            WHEN s.drain_since_ms IS NOT NULL THEN max(s.not_before_ms, {now} + 200)
            ELSE s.not_before_ms END)",
    ),
    (
        "a failing subscription's next probe waits for something else than its time",
        "SELECT s.no FROM subscriptions s JOIN queue_heads h ON h.subscription = s.no AND h.class <> 4
         LEFT JOIN queue p ON p.no = s.probe_delivery AND p.claim_no = s.probe_claim AND p.boot IS NOT NULL
         WHERE s.status = 'active' AND s.health = 2 AND s.paused_ms IS NULL
         AND EXISTS (SELECT 1 FROM queue q WHERE q.subscription = s.no AND q.class <> 4 AND q.boot IS NULL)
         GROUP BY s.no
         HAVING min(h.due_ms) > max(s.not_before_ms, s.probe_next_ms, coalesce(max(p.due_ms), 0))",
    ),
    ("a delivery is queued and has ended", "SELECT q.no FROM queue q JOIN deliveries d ON d.no = q.no"),
    (
        "an event has more or fewer deliveries than were made when it was accepted",
        "SELECT e.seq FROM events e WHERE e.fan_out <>
            (SELECT count(*) FROM queue q WHERE q.no BETWEEN e.seq * 64 AND e.seq * 64 + 63)
            + (SELECT count(*) FROM parked p WHERE p.no BETWEEN e.seq * 64 AND e.seq * 64 + 63)
            + (SELECT count(*) FROM deliveries d WHERE d.no BETWEEN e.seq * 64 AND e.seq * 64 + 63)",
    ),
    (
        "a delivery's count of attempts is not the number of its log lines",
        "SELECT no FROM (SELECT no, attempts FROM queue UNION ALL SELECT no, attempts FROM deliveries) d
         WHERE attempts <> (SELECT count(*) FROM attempts a WHERE a.delivery = d.no)",
    ),
    (
        "attempt numbers have a gap or come twice",
        "SELECT delivery FROM attempts GROUP BY delivery
         HAVING min(attempt_no) <> 1 OR max(attempt_no) <> count(*) OR count(DISTINCT attempt_no) <> count(*)
            OR count(DISTINCT claim_no) <> count(*)",
    ),
    (
        "a delivery succeeded without an attempt that did",
        "SELECT no FROM deliveries d WHERE state = 1
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
        "SELECT c.head FROM conversations c LEFT JOIN queue q ON q.no = c.head AND q.class IN (1, 2)
            AND q.subscription = c.subscription WHERE q.no IS NULL",
    ),
    (
        "a note of a gap without its delivery",
        "SELECT g.delivery FROM gaps g LEFT JOIN queue q ON q.no = g.delivery WHERE q.no IS NULL",
    ),
    (
        "a delivery belongs to another organisation than its event",
        "SELECT q.no FROM (SELECT no, event_seq, organization_id FROM queue
            UNION ALL SELECT no, event_seq, organization_id FROM parked
            UNION ALL SELECT no, event_seq, organization_id FROM deliveries) q
         LEFT JOIN events e ON e.seq = q.event_seq AND e.organization_id = q.organization_id
         WHERE e.seq IS NULL",
    ),
];

/// Fails the test when something that always holds does not.
#[track_caller]
pub fn check(bench: &StoreBench) {
    let one = |(index, (_, sql)): (usize, &(&str, &str))| format!("SELECT {index}, * FROM ({sql})");
    let all: Vec<String> = BROKEN.iter().enumerate().map(one).collect();
    let now = bench.clock.schedule().0.to_string();
    if let Some(row) = bench.rows(&all.join(" UNION ALL ").replace("{now}", &now)).first() {
        let Value::Integer(index) = row[0] else { unreachable!() };
        let (what, _) = BROKEN[usize::try_from(index).expect("an index")];
        panic!("{what}: {:?}", row[1]);
    }
}

/// The same for a store that has nothing left to do.
#[track_caller]
pub fn check_at_rest(bench: &StoreBench) {
    check(bench);
    assert_eq!(bench.rows("SELECT no FROM queue"), Vec::<Vec<_>>::new(), "a delivery never ended");
    let open = bench.rows("SELECT no FROM deliveries WHERE open_claim IS NOT NULL");
    assert_eq!(open, Vec::<Vec<_>>::new(), "an attempt that was under way was forgotten");
    assert_eq!(bench.rows("SELECT no FROM parked"), Vec::<Vec<_>>::new(), "a parked delivery never ended");
    let conversations = bench.rows("SELECT head FROM conversations");
    assert_eq!(conversations, Vec::<Vec<_>>::new(), "a conversation in which nothing waits");
    let unparkings = bench.rows("SELECT subscription FROM unparkings");
    assert_eq!(unparkings, Vec::<Vec<_>>::new(), "a note of deliveries that are queued by now");
    let notes = bench.rows("SELECT no FROM cancellations");
    assert_eq!(notes, Vec::<Vec<_>>::new(), "a note of work that is done");
}

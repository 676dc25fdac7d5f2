//! Everything is there afterwards, and goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tokio::task::block_in_place;
use uuid::Uuid;

use super::scene::{KEYED, MAIL, Scene};
use super::{copy, seen, tables, target};
use crate::crash::{self, refusal, stdout};
use crate::support::Received;
use crate::support::books::Books;
use crate::support::invariants;
use crate::support::time::until;

/// How long everything may take to drain.
const DRAIN: Duration = Duration::from_mins(2);
const ONLY: &str = "INKHOOK_SERVER__ONLY";

type Requests = BTreeSet<Uuid>;

fn requests(books: &Books, sql: &str) -> Requests {
    let found = books.column::<Vec<u8>>(sql);
    found.into_iter().map(|bytes| Uuid::from_slice(&bytes).expect("16 bytes")).collect()
}

/// How often each request came.
fn counted(received: &[Received]) -> BTreeMap<Uuid, usize> {
    let mut counted = BTreeMap::new();
    for one in received.iter().filter(|one| one.path != "/alerts") {
        let id = one.header("x-inkbox-request-id").and_then(|id| id.strip_prefix("req_")?.parse().ok());
        *counted.entry(id.expect("a request id")).or_insert(0) += 1;
    }
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_store_shows_the_same_and_delivers_what_waited_once() {
    let Some(books) = target() else { return };
    let mut scene = Scene::make().await;
    let file = Books::of_file(scene.server.data_dir());
    let under_way: Vec<i64> = file.column("SELECT count(*) FROM queue WHERE boot IS NOT NULL");
    assert!(under_way[0] > 2, "two attempts were under way, and a probe: {under_way:?}");
    let report = block_in_place(|| stdout(&copy(scene.server.data_dir(), &books)));
    assert!(report.contains("read back and found the same"), "{report}");
    assert_eq!(tables(&report).len(), 42, "{report}");
    check_numbers(&file, &books);

    // What was under way is nobody's; everything else is as it was.
    let queued = requests(&file, "SELECT request_id FROM queue UNION ALL SELECT request_id FROM parked");
    let of_deleted = requests(&file, "SELECT q.request_id FROM queue q JOIN subscriptions s ON s.no = q.subscription
        LEFT JOIN subscription_types t ON t.subscription = s.no AND t.event_type = q.event_type AND q.no / 64 > t.since_seq
        WHERE s.status = 'deleted' OR t.subscription IS NULL");
    let lost = requests(&file, "SELECT request_id FROM queue WHERE boot IS NOT NULL");
    let ended = requests(&file, "SELECT request_id FROM deliveries");
    scene.server.move_to(books);
    scene.server.set(ONLY, Some("[\"api\"]"));
    block_in_place(|| scene.server.restart());
    let after = seen::everything(&scene.api()).await;
    assert_eq!(seen::difference(&scene.seen, &after), None, "the API shows something else");
    scene.server.terminate();
    assert!(block_in_place(|| scene.server.wait_exit()).success());

    let came_before = scene.came();
    go_on(&mut scene).await;
    let books = scene.server.books();
    let delivered = requests(books, "SELECT request_id FROM deliveries WHERE state = 1");
    let came = counted(&scene.came()[came_before.len()..]);
    for request in queued.difference(&of_deleted) {
        assert_eq!(came.get(request), Some(&1), "{request} waited and was not delivered once");
    }
    assert!(queued.len() > 2_000, "{} waited", queued.len());
    for (request, times) in &came {
        assert_eq!(*times, 1, "{request} came {times} times");
        assert!(!ended.contains(request), "{request} had ended before");
        assert!(delivered.contains(request), "{request} is not known");
    }
    let after_the_move = &scene.came()[came_before.len()..];
    let says_so = |request: &&Uuid| {
        let text = format!("req_{request}");
        after_the_move.iter().any(|one| {
            one.header("x-inkbox-request-id") == Some(&text)
                && one.header("inkhook-possible-duplicate") == Some("true")
        })
    };
    assert_eq!(lost.iter().find(|request| !says_so(request)), None, "it may have come before, and says so");
    let again: Vec<i64> = books.column("SELECT count(*) FROM attempts WHERE outcome = 3");
    assert_eq!(again, under_way, "the outcome of what was under way is unknown");
    check_repeats(&scene).await;
    scene.server.terminate();
    assert!(block_in_place(|| scene.server.wait_exit()).success(), "{}", scene.server.log());
    assert_eq!(block_in_place(|| invariants::breach(scene.server.books())), None);
    assert_eq!(block_in_place(|| invariants::left_over(scene.server.books())), None);
    let log = scene.server.log();
    assert!(!log.contains("has been put right"), "a queue head was too late: {log}");
}

impl Scene {
    /// What came to any receiver so far.
    fn came(&self) -> Vec<Received> {
        let mut came: Vec<Received> =
            [&self.good, &self.bad, &self.silent].iter().flat_map(|receiver| receiver.received()).collect();
        came.sort_by_key(|received| received.at);
        came
    }
}

/// Numbers are those of their days, in the same order, and new ones come after them.
fn check_numbers(file: &Books, books: &Books) {
    let ids = "SELECT id FROM events ORDER BY seq";
    assert_eq!(file.column::<Vec<u8>>(ids), books.column::<Vec<u8>>(ids), "the order of events");
    let attempts = "SELECT id FROM attempts ORDER BY no";
    assert_eq!(file.column::<Vec<u8>>(attempts), books.column::<Vec<u8>>(attempts), "the order of attempts");
    for table in ["events", "attempts"] {
        let used = format!("SELECT count(DISTINCT tableoid) FROM {table}");
        assert_eq!(books.column::<i64>(&used), [3], "{table} of three days");
        assert_eq!(books.column::<i64>(&format!("SELECT count(*) FROM {table}_before")), [0]);
    }
    let right = "SELECT count(*) FROM events WHERE abs((seq >> 17) + 1704067200000 - accepted_ms) > 86400000";
    assert_eq!(books.column::<i64>(right), [0], "numbers carry the time");
    for (table, selected) in [
        (
            "queue",
            "SELECT count(*) FROM queue q JOIN subscription_types t ON t.subscription = q.subscription
            AND t.event_type = q.event_type WHERE q.no / 64 > t.since_seq",
        ),
        ("events", "SELECT count(*) FROM queue q JOIN events e ON e.seq = q.event_seq"),
        ("heads", "SELECT count(*) FROM conversations c JOIN queue q ON q.no = c.head"),
        ("probes", "SELECT count(*) FROM subscriptions s JOIN queue q ON q.no = s.probe_delivery"),
        (
            "jobs",
            "SELECT count(*) FROM events e JOIN recover_jobs j ON e.seq > j.after_seq AND e.seq <= j.last_seq",
        ),
        (
            "log",
            "SELECT count(*) FROM attempts a JOIN deliveries d ON d.no = a.delivery
            JOIN events e ON e.seq = a.event_seq AND e.seq = d.event_seq",
        ),
        ("contexts", "SELECT count(*) FROM context_items i JOIN events e ON e.seq = i.event_seq"),
        (
            "bodies",
            "SELECT count(*) FROM delivery_bodies b JOIN queue q ON q.no = b.delivery AND q.event_seq = b.event_seq
            JOIN subscriptions s ON s.no = q.subscription AND q.no / 64 > s.context_since_seq",
        ),
    ] {
        let (here, there) = (file.column::<i64>(selected), books.column::<i64>(selected));
        assert_eq!(here, there, "{table}: what refers to what");
        assert!(here[0] > 0, "{table}: there is something to compare");
    }
    let highest: Vec<i64> = books.column("SELECT max(seq) FROM events");
    let next: Vec<i64> = books.column("SELECT last_value + 1024 FROM acceptance_numbers");
    assert!(next[0] > highest[0], "{next:?} comes after {highest:?}");
}

/// Serves the database until nothing waits, with receivers that all work now.
async fn go_on(scene: &mut Scene) {
    scene.bad.answer_always(200);
    scene.silent.release();
    scene.bad.release();
    scene.server.set(ONLY, None);
    // Past the store: what comes back otherwise goes out at a rate.
    scene.server.books().run(
        "UPDATE subscriptions SET paused_ms = NULL, pause_reason = NULL, health = 1, consecutive_failures = 0,
            first_failure_ms = NULL;
         UPDATE queue SET due_ms = 0;
         INSERT INTO queue_heads (subscription, class, due_ms) SELECT DISTINCT subscription, class, 0 FROM queue
            WHERE true ON CONFLICT (subscription, class) DO UPDATE SET due_ms = 0",
    );
    block_in_place(|| scene.server.restart());
    let books = scene.server.books();
    until("the queue to drain", DRAIN, async || {
        let waiting: Vec<i64> = block_in_place(|| {
            books.column(
                "SELECT (SELECT count(*) FROM queue) + (SELECT count(*) FROM parked)
                + (SELECT count(*) FROM recover_jobs WHERE state = 1) + (SELECT count(*) FROM cancellations)",
            )
        });
        (waiting == [0]).then_some(())
    })
    .await;
    assert!(scene.came().iter().any(|one| one.path == "/in-order"), "the order goes on");
}

/// What was seen before is known.
async fn check_repeats(scene: &Scene) {
    let api = scene.api();
    let count = || block_in_place(|| scene.server.books().column::<i64>("SELECT count(*) FROM events"));
    let before = count();
    let (keyed, event) = &scene.keyed;
    let (status, answer) =
        api.ask("POST", "/api/v1/events", &[KEYED], Some(keyed)).await.expect("it answers");
    assert_eq!((status, &answer["duplicate"], &answer["id"]), (202, &json!(true), &json!(event)), "{answer}");
    assert_eq!(crash::send_mail(scene.server.smtp, "help@mail.localhost", MAIL).await, Ok(250));
    assert_eq!(count(), before, "nothing was accepted twice");
    let taken = json!({"agent_handle": "help"});
    api.must(409, "POST", "/api/v1/identities", Some(taken)).await;
    // What counts goes on after what is there.
    let arrived = scene.good.received().len();
    api.publish(&scene.help, "message.received", "after the move").await;
    until("a new event", DRAIN, async || (scene.good.received().len() > arrived).then_some(())).await;
    let late: Vec<i64> = block_in_place(|| {
        scene.server.books().column("SELECT count(*) FROM queue q JOIN events e ON q.event_seq = e.seq AND q.no / 64 <> e.seq AND q.class < 3")
    });
    assert_eq!(late, [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_file_is_not_served_until_that_is_undone() {
    let (Some(books), Some(other)) = (target(), target()) else { return };
    let mut server = block_in_place(|| crate::support::running::RunningServer::start_on_file(&[]));
    let api = crate::support::ask::Api { address: server.api, key: server.admin_key.clone() };
    api.identity("help").await;
    server.terminate();
    assert!(block_in_place(|| server.wait_exit()).success());
    let data_dir = server.data_dir().to_owned();
    let key = crate::support::running::MASTER_KEY;
    let run = |arguments: &[&str]| {
        let mut command = crate::support::running::binary();
        command.env("INKHOOK_SECURITY__MASTER_KEY", key).args(arguments).arg("--data-dir").arg(&data_dir);
        block_in_place(|| command.output().expect("the binary runs"))
    };
    let undo = |target: &Books| {
        block_in_place(|| super::command(&data_dir, target, &["--undo"]).output().expect("the binary runs"))
    };
    assert_eq!(refusal(&undo(&books)), "this store was not moved: there is nothing to undo");
    let first = block_in_place(|| stdout(&copy(&data_dir, &books)));
    for arguments in [&["org", "list"][..], &["migrate"], &["serve", "--listen", "127.0.0.1:0"]] {
        let said = refusal(&run(arguments));
        assert!(
            said.starts_with("this store was moved to the Postgres database \"test_"),
            "{arguments:?}: {said}"
        );
        assert!(said.contains("inkhook copy --undo"), "{said}");
    }
    let again = block_in_place(|| stdout(&copy(&data_dir, &books)));
    assert!(again.starts_with("nothing to do: this store was moved"), "{again}");
    let elsewhere = block_in_place(|| refusal(&copy(&data_dir, &other)));
    assert!(elsewhere.starts_with("this store was moved already"), "{elsewhere}");
    let said = refusal(&undo(&other));
    assert!(said.starts_with("the database that is configured is not"), "{said}");

    // Not while somebody delivers there.
    books.run(
        "INSERT INTO nodes (boot, name, version, started_ms, seen_ms)
        SELECT 1, 'x', '1', 0, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) + 60000",
    );
    assert!(refusal(&undo(&books)).starts_with("1 nodes are at work"));
    books.run("DELETE FROM nodes");
    assert!(stdout(&undo(&books)).contains("no server starts on the copy"));
    assert!(stdout(&run(&["org", "list"])).contains("default"), "the file is served again");
    let url = books.url().expect("a URL");
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let mut serve = crate::support::running::binary();
    serve.env("INKHOOK_SECURITY__MASTER_KEY", key).env("INKHOOK_DATABASE__URL", &url);
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(elsewhere.path());
    let said = block_in_place(|| refusal(&serve.output().expect("the binary runs")));
    assert!(said.starts_with("the database holds a copy that was given up"), "{said}");
    assert!(block_in_place(|| refusal(&copy(&data_dir, &books))).contains("given up"));
    // And moved again, elsewhere.
    let second = block_in_place(|| stdout(&copy(&data_dir, &other)));
    assert_eq!(tables(&first), tables(&second), "the same store");
}

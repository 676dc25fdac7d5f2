//! A copy that is cut off, anywhere, is gone on with, and comes to the same.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::block_in_place;

use super::{command, copy, tables, target};
use crate::crash::{refusal, stdout};
use crate::support::ask::Api;
use crate::support::books::Books;
use crate::support::dice::Dice;
use crate::support::running::{MASTER_KEY, RunningServer, binary};
use crate::support::time::{now, pass};

/// Events, each with a delivery and an attempt: some chunks of each table.
const EVENTS: usize = 11_000;
/// Where the copy ends, and at which time that it comes there.
const PLACES: [(&str, u32); 9] = [
    ("copy_begun", 1),
    ("copy_in_chunk", 1),
    ("copy_after_chunk", 1),
    ("copy_in_chunk", 9),
    ("copy_after_chunk", 5),
    ("copy_in_chunk", 2),
    ("copy_after_chunk", 3),
    ("copy_in_chunk", 6),
    ("copy_moved", 1),
];
/// Kills at random instants; then it is let be.
const KILLS: usize = 8;

/// A store in a file with many rows of the last three days, and nobody serves it.
pub async fn many(events: usize) -> RunningServer {
    let mut server = block_in_place(|| RunningServer::start_on_file(&[]));
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mailbox = api.identity("help").await;
    api.subscribe(&mailbox, "http://127.0.0.1:9/", &["message.sent"]).await;
    api.publish(&mailbox, "message.received", "the first").await;
    server.terminate();
    assert!(block_in_place(|| server.wait_exit()).success());
    // What a server would write, at the pace of one statement.
    let days = "172800000 - (n * 172800000 / m)";
    Books::of_file(server.data_dir()).run(&format!(
        "CREATE TEMP TABLE n AS WITH RECURSIVE c(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM c WHERE n < {events})
            SELECT n, {events} AS m FROM c;
         INSERT INTO events SELECT n, randomblob(16), organization_id, event_type, owner_kind, owner_id, identity_id,
            accepted_ms - ({days}), NULL, 1, CAST(payload || ' ' || n AS BLOB) FROM n, (SELECT * FROM events WHERE seq = 1);
         INSERT INTO deliveries (no, organization_id, subscription, event_seq, event_type, class, request_id, state,
            attempts, created_ms, ended_ms)
            SELECT n * 64, 1, 1, n, 1, 1, randomblob(16), 1, 1, accepted_ms, accepted_ms + 5
            FROM n JOIN events ON seq = n;
         INSERT INTO attempts (id, organization_id, delivery, subscription, event_seq, event_type, attempt_no, claim_no,
            url, is_replay, outcome, status, response_body, response_bytes, duration_ms, started_ms, created_ms)
            SELECT randomblob(16), 1, n * 64, 1, n, 1, 1, 1, 1, 0, 1, 200, CAST('ok' AS BLOB), 2, 3, accepted_ms, accepted_ms + 5
            FROM n JOIN events ON seq = n;"
    ));
    server
}

/// The same file in another directory.
fn twin(data_dir: &Path) -> TempDir {
    let twin = tempfile::tempdir().expect("a temporary directory");
    for name in ["inkhook.db", "inkhook.db-wal"] {
        if data_dir.join(name).exists() {
            std::fs::copy(data_dir.join(name), twin.path().join(name)).expect("it is copied");
        }
    }
    twin
}

fn rows(books: &Books) -> Vec<i64> {
    books.column("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM attempts)")
}

fn refuses_to_serve(target: &Books) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut serve = binary();
    serve
        .env("INKHOOK_SECURITY__MASTER_KEY", MASTER_KEY)
        .env("INKHOOK_DATABASE__URL", target.url().expect("a URL"))
        .args(["serve", "--listen", "127.0.0.1:0", "--smtp-listen", "off", "--data-dir"])
        .arg(directory.path());
    let said = refusal(&serve.output().expect("the binary runs"));
    assert!(said.starts_with("the database holds a copy that is not finished"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_dies_at_any_step_is_gone_on_with() {
    let (Some(books), Some(whole)) = (target(), target()) else { return };
    let server = many(EVENTS).await;
    block_in_place(|| {
        let twin = twin(server.data_dir());
        let expected = tables(&stdout(&copy(twin.path(), &whole)));
        let mut before = 0;
        for (place, times) in PLACES {
            let failpoints = tempfile::tempdir().expect("a temporary directory");
            std::fs::write(failpoints.path().join(place), times.to_string()).expect("written");
            let died = command(server.data_dir(), &books, &[]).env("FAILPOINTS", failpoints.path()).output();
            let died = died.expect("the binary runs");
            assert_eq!(died.status.code(), None, "{place} {times}: {died:?}");
            let there = rows(&books)[0];
            assert!(there >= before, "{place} {times}: {there} rows are there, and there were {before}");
            before = there;
            if place != "copy_begun" {
                refuses_to_serve(&books);
            }
        }
        // It says that it was moved already, and the database is not whole: neither is served.
        let mut list = binary();
        list.env("INKHOOK_SECURITY__MASTER_KEY", MASTER_KEY).args(["org", "list", "--data-dir"]);
        assert!(refusal(&list.arg(server.data_dir()).output().expect("it runs")).contains("was moved"));
        let report = stdout(&copy(server.data_dir(), &books));
        assert_eq!(tables(&report), expected, "the same as in one go");
        assert!(report.contains("of them had been copied before"), "{report}");
        assert_eq!(rows(&books), rows(&whole));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_killed_at_random_is_gone_on_with() {
    let (Some(books), Some(whole)) = (target(), target()) else { return };
    let dice = Dice::new("copy");
    let server = many(EVENTS).await;
    let twin = twin(server.data_dir());
    let began = now();
    let expected = block_in_place(|| tables(&stdout(&copy(twin.path(), &whole))));
    let takes = u64::try_from((now() - began).as_millis()).expect("not for ever").max(100);
    let mut killed = 0;
    for _ in 0..KILLS {
        let mut child = command(server.data_dir(), &books, &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        pass(dice.millis(takes / 20..takes * 2 / 3)).await;
        // It may have come to its end by now, which is as good.
        drop(child.kill());
        let status: ExitStatus = block_in_place(|| child.wait().expect("a process of ours"));
        killed += usize::from(status.code().is_none());
    }
    println!("{killed} of {KILLS} were killed");
    assert!(killed > 0, "nothing was cut off");
    let last = block_in_place(|| stdout(&copy(server.data_dir(), &books)));
    if !last.starts_with("nothing to do") {
        assert_eq!(tables(&last), expected, "the same as in one go");
    }
    assert_eq!(block_in_place(|| rows(&books)), block_in_place(|| rows(&whole)));
    let ids = "SELECT seq, id, payload FROM events ORDER BY seq";
    assert!(block_in_place(|| books.rows(ids) == whole.rows(ids)), "the same numbers, too");
}

/// How long a copy takes: `INKHOOK_COPY_EVENTS` says of how many events; the figures are printed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_have_their_bounds_however_large_the_rows_are() {
    /// Of each event.
    const PAYLOAD: usize = 100 * 1024;
    const LARGE: usize = 200;
    let Some(books) = target() else { return };
    let events = std::env::var("INKHOOK_COPY_EVENTS").ok().and_then(|events| events.parse().ok());
    let server = many(events.unwrap_or(LARGE)).await;
    if events.is_none() {
        Books::of_file(server.data_dir())
            .run(&format!("UPDATE events SET payload = CAST(printf('%.*c', {PAYLOAD}, 'x') AS BLOB)"));
    }
    let (peak, report) = block_in_place(|| peak_of(server.data_dir(), &books));
    println!("{report}\nat most {peak} KiB of memory");
    assert!(report.contains("read back and found the same"), "{report}");
    // The rows are 20 MB, a chunk 4 MiB: held at most some times over, beside what a process takes anyway.
    assert!(peak < 120_000, "{peak} KiB");
}

/// Runs a copy; the most memory that it had, as the kernel counts it, and what it said.
fn peak_of(data_dir: &Path, books: &Books) -> (u64, String) {
    let mut child = command(data_dir, books, &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let interval = Duration::from_millis(2);
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let high = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let high = high.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(high.unwrap_or(0));
        if let Some(ended) = child.try_wait().expect("a process of ours") {
            break ended;
        }
        tokio::runtime::Handle::current().block_on(pass(interval));
    };
    assert!(ended.success(), "{ended}");
    let mut said = String::new();
    let mut stdout = child.stdout.take().expect("piped");
    std::io::Read::read_to_string(&mut stdout, &mut said).expect("UTF-8");
    (peak, said)
}

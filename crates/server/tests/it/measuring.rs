//! The tools that measure this server keep step with it: what they seed is delivered, what they run comes to an
//! end, and the switch that is there for them only does what it says.

use std::path::Path;
use std::time::Duration;

use inkhook_bench::matrix::{self, Plan};
use inkhook_bench::postgres;
use inkhook_bench::receive::{Receiver, ReceiverOptions};
use inkhook_bench::scene::Setting;
use inkhook_bench::seed::{Due, Seed, seed};
use inkhook_bench::store::Store;
use inkhook_bench::table::Table;
use tokio::task::block_in_place;

use crate::support::ask::Api;
use crate::support::books::needs_a_file;
use crate::support::running::RunningServer;
use crate::support::time::now;

const PATIENCE: Duration = Duration::from_secs(30);

/// A server with two mailboxes that are subscribed to a receiver.
async fn subscribed() -> (RunningServer, Receiver) {
    let server = block_in_place(RunningServer::start_blocking);
    let receiver = Receiver::start(ReceiverOptions::default()).expect("a free port");
    let api = Api { address: server.api, key: server.admin_key.clone() };
    for handle in ["one", "two"] {
        let mailbox = api.identity(handle).await;
        api.subscribe(&mailbox, &receiver.url(&format!("/seeded/{handle}")), &["message.received"]).await;
    }
    (server, receiver)
}

fn stop(server: &mut RunningServer) {
    server.terminate();
    assert!(server.wait_exit().success());
}

fn rows(receiver: &Receiver, due: Due) -> String {
    match due {
        Due::Now => receiver.url("/seeded/%"),
        Due::WithinTheHour => receiver.url("/seeded/one"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seeded_queue_is_delivered_when_it_is_due() {
    if !needs_a_file("a queue that is seeded") {
        return;
    }
    let (mut server, receiver) = subscribed().await;
    block_in_place(|| stop(&mut server));
    for (due, deliveries) in [(Due::Now, 300), (Due::WithinTheHour, 50)] {
        let url = rows(&receiver, due);
        let found = seed(server.data_dir(), &Seed { url_like: &url, deliveries, due, body_bytes: 100 });
        assert_eq!(found.expect("no server holds it"), if due == Due::Now { 2 } else { 1 });
    }
    block_in_place(|| server.restart());
    assert_eq!(block_in_place(|| receiver.wait("seeded", 300, PATIENCE)), 300);
    let group = receiver.stats().group("seeded");
    assert_eq!((group.requests, group.events), (300, 300), "no repeat, and no retry before its time");
    block_in_place(|| stop(&mut server));
    let waiting: Vec<i64> = server.books().column("SELECT count(*) FROM queue");
    assert_eq!(waiting, [50]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_seeded_beside_a_running_server() {
    if !needs_a_file("a queue that is seeded") {
        return;
    }
    let (server, receiver) = subscribed().await;
    let url = rows(&receiver, Due::Now);
    let refused =
        seed(server.data_dir(), &Seed { url_like: &url, deliveries: 1, due: Due::Now, body_bytes: 1 });
    let why = refused.expect_err("the server holds the directory").to_string();
    assert!(why.contains("a server is running"), "{why}");
}

fn plan(work_dir: &Path, store: Store, nodes: usize, only: &[&str]) -> Plan {
    let short = Duration::from_millis(300);
    Plan {
        setting: Setting {
            binary: Path::new(env!("CARGO_BIN_EXE_inkhook")).into(),
            work_dir: work_dir.into(),
            store,
            nodes,
            time: short,
            threads: 1,
        },
        runs: 1,
        pairs: 1,
        neighbours_time: short,
        long_queue: 100,
        only: only.iter().map(|part| (*part).to_owned()).collect(),
        neighbourhoods: Vec::new(),
    }
}

/// The ids of the rows that have a figure, and of those that have none.
fn ids(table: &Table) -> (Vec<&str>, Vec<&str>) {
    let named = |has_figure| {
        let rows = table.rows().iter().filter(move |row| row.figure().is_some() == has_figure);
        rows.map(|row| &*row.id).collect()
    };
    (named(true), named(false))
}

#[test]
fn the_matrix_fills_its_rows() {
    let work_dir = tempfile::tempdir().expect("a temporary directory");
    let plan = plan(work_dir.path(), Store::Sqlite, 1, &["single", "latency", "start"]);
    let table = matrix::run(&plan).expect("it runs");
    let (ids, without) = ids(&table);
    for id in
        ["ceiling.posts", "single", "single.cpu", "single.disk", "latency.p50", "start.empty", "memory.idle"]
    {
        assert!(ids.contains(&id), "{id} in {ids:?}");
    }
    assert!(without.is_empty(), "{without:?}");
    assert_eq!(std::fs::read_dir(work_dir.path()).expect("it reads").count(), 0, "nothing is left behind");
}

#[test]
fn the_matrix_fills_its_rows_on_postgres_with_two_nodes_and_says_what_it_leaves_out() {
    let work_dir = tempfile::tempdir().expect("a temporary directory");
    let Some(store) = postgres(work_dir.path()) else { return };
    let plan = plan(work_dir.path(), store, 2, &["single", "latency", "start", "nodes"]);
    let table = matrix::run(&plan).expect("it runs");
    let (ids, without) = ids(&table);
    for id in [
        "single",
        "single.cpu",
        "single.postgres_cpu",
        "single.1k",
        "latency.p50",
        "start.empty",
        "nodes.1",
        "nodes.1.postgres_cpu",
        "nodes.2",
        "nodes.3",
        "nodes.3.cpu",
    ] {
        assert!(ids.contains(&id), "{id} in {ids:?}");
    }
    assert!(!ids.contains(&"single.disk"), "there is no file");
    assert_eq!(without, ["store"], "what is left out is said: {:?}", table.rows());
    drop(plan);
    assert_eq!(std::fs::read_dir(work_dir.path()).expect("it reads").count(), 0, "nothing is left behind");
}

/// A cluster of its own: a measurement is synced, and the tests' cluster is not. `None`, said aloud, where Postgres is
/// not installed.
fn postgres(work_dir: &Path) -> Option<Store> {
    match Store::postgres(work_dir) {
        Ok(store) => Some(store),
        Err(error) if matches!(error.downcast_ref(), Some(postgres::Error::NoBinaries)) => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{error}");
            println!("skipped: {error}; scripts/test installs it");
            None
        }
        Err(error) => panic!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_takes_as_much_longer_as_the_switch_says() {
    let settings = [("INKHOOK_MEASURE__COMMIT_DELAY_MS", "200")];
    let server = block_in_place(|| RunningServer::start_with(&settings));
    assert!(server.log().contains("slow on purpose"), "{}", server.log());
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let began = now();
    api.identity("help").await;
    assert!(now() - began >= Duration::from_millis(200));
}

//! The write-ahead log stays short, whoever reads meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use inkhook_server::store::accept::NewEvent;
use inkhook_server::store::keeper::WAL_LIMIT_BYTES;
use rusqlite::Connection;

use crate::support::books::needs_a_file;
use crate::support::store::{Agent, StoreBench};

fn log_bytes(bench: &StoreBench) -> u64 {
    bench.directory.path().join("inkhook.db-wal").metadata().map_or(0, |file| file.len())
}

async fn write(bench: &StoreBench, agent: Agent, mebibytes: usize) -> u64 {
    let mut longest = 0;
    for _ in 0..mebibytes {
        let large = || NewEvent { payload: vec![b' '; 256 * 1024].into(), ..bench.mail(agent) };
        let accepted = (0..4).map(|_| bench.store().accept(large()));
        for accepted in futures_util::future::join_all(accepted).await {
            accepted.expect("stored");
        }
        longest = longest.max(log_bytes(bench));
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_short_while_others_read_and_write() {
    if !needs_a_file("a write-ahead log") {
        return;
    }
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    let done = Arc::new(AtomicBool::new(false));
    // Readers that follow one another without a gap, so that there is always one.
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (store, done, scope) = (bench.store().clone(), done.clone(), help.admin());
            tokio::spawn(async move {
                let mut reads = 0_usize;
                while !done.load(Ordering::Relaxed) {
                    store.events(scope, crate::store::conformance::lists::events_page()).await.expect("read");
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    let longest = write(&bench, help, 256).await;
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.expect("no panic") > 0);
    }
    assert!(longest < WAL_LIMIT_BYTES, "{longest} bytes");
    assert!(longest > 1024 * 1024, "it was used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_keeps_the_log_is_waited_for() {
    if !needs_a_file("a write-ahead log") {
        return;
    }
    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    // Not one of the store's own, so nobody cuts it off: it ends by itself.
    let path = inkhook_server::store::database_path(bench.directory.path());
    let (held, released) = (Connection::open(path).expect("opens"), Arc::new(AtomicBool::new(false)));
    held.execute_batch("BEGIN; SELECT count(*) FROM events").expect("a snapshot");
    let told = released.clone();
    let watched = bench.directory.path().join("inkhook.db-wal");
    let reader = std::thread::spawn(move || {
        crate::support::running::wait_for("a log that grew", || {
            (watched.metadata().is_ok_and(|file| file.len() > 32 * 1024 * 1024)).then_some(())
        });
        told.store(true, Ordering::Relaxed);
        held.execute_batch("COMMIT").expect("it ends");
    });
    let longest = write(&bench, help, 160).await;
    reader.join().expect("no panic");
    assert!(released.load(Ordering::Relaxed));
    assert!(longest < WAL_LIMIT_BYTES, "{longest} bytes");
}

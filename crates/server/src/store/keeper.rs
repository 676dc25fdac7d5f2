//! What watches over the files while others read and write: a thread with a connection of its own.
//!
//! - **The write-ahead log** is folded back into the database by passive checkpoints here, so that the
//!   writer pays neither the copying nor its syncs. A passive checkpoint never finishes while the writer goes
//!   on writing, and an unfinished log only grows: when it has grown, the writer is asked to fold back the
//!   little that is left between two groups, after which the next group begins the log anew. Only when a
//!   reader has kept the log from ending for long does the writer wait for that reader.
//! - **A reader's transaction ends** after [`READER_LIMIT`]: it is interrupted, and interrupted again at every
//!   look until it is gone. No answer takes that long unless something is wrong.
//! - **The disk**: how much is free, once a second, off everybody's path. Below the limits nothing new is
//!   taken, so that what is left is there for settles.
//!
//! On a crash nothing is lost: a log is read again at the next start, however long it is.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle};

use super::error::StoreError;
use crate::domain::metrics::Metrics;
use crate::domain::time::Clock;

/// How long one read may take.
pub const READER_LIMIT: Duration = Duration::from_secs(2);
/// The log never gets longer, give or take one group.
pub const WAL_LIMIT_BYTES: u64 = 64 * 1024 * 1024;
/// SQLite's page.
const PAGE_BYTES: u64 = 4_096;
/// The log is folded back whenever this many of its pages are not in the database yet: 4 MiB.
const CHECKPOINT_PAGES: u64 = 1_024;
/// From this length on the writer is asked to finish a checkpoint: 16 MiB.
const FINISH_PAGES: u64 = 4_096;
/// From this length on it waits for readers to do so: 40 MiB. A group stays below the rest of the limit.
const WAIT_PAGES: u64 = 10_240;
/// How often the log is looked at while it grows, and while it does not.
const BUSY_LOOK: Duration = Duration::from_millis(20);
const IDLE_LOOK: Duration = Duration::from_millis(250);
/// How often the disk is looked at.
const DISK_LOOK: Duration = Duration::from_secs(1);

/// Free space below which nothing new is taken; either is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskLimit {
    /// Of the whole, 0 to 100.
    pub free_percent: u8,
    /// In bytes.
    pub free_bytes: u64,
}

impl Default for DiskLimit {
    fn default() -> Self {
        Self { free_percent: 5, free_bytes: 1024 * 1024 * 1024 }
    }
}

impl DiskLimit {
    fn is_low(self, free_bytes: u64, total_bytes: u64) -> bool {
        let share = u128::from(free_bytes) * 100;
        free_bytes < self.free_bytes || share < u128::from(total_bytes) * u128::from(self.free_percent)
    }
}

/// The part that readers and the writer see. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Watch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// The writer is to fold the rest back.
    finish: AtomicBool,
    /// Held by whoever folds the log back.
    folding: Mutex<()>,
    /// The length, in pages, at which the writer waits for readers.
    wait_pages: AtomicU64,
    low_disk: AtomicBool,
    clock: Clock,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    closed: bool,
    next_reader: u64,
    readers: Vec<Reading>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("readers", &self.readers.len()).finish_non_exhaustive()
    }
}

struct Reading {
    no: u64,
    since: Duration,
    cut_off: bool,
    handle: InterruptHandle,
}

/// A read under way; dropping it says that it has ended.
#[derive(Debug)]
pub(super) struct ReadGuard {
    watch: Watch,
    no: u64,
}

impl Watch {
    pub(super) fn new(clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            wake: Condvar::new(),
            finish: AtomicBool::new(false),
            folding: Mutex::default(),
            wait_pages: AtomicU64::new(WAIT_PAGES),
            low_disk: AtomicBool::new(false),
            clock,
            metrics,
        }))
    }

    /// Where this is counted.
    pub(super) fn metrics(&self) -> Arc<Metrics> {
        self.0.metrics.clone()
    }

    /// A read begins.
    pub(super) fn reading(&self, connection: &Connection) -> ReadGuard {
        let since = self.0.clock.monotonic();
        let mut state = self.lock();
        let no = state.next_reader;
        state.next_reader += 1;
        let handle = connection.get_interrupt_handle();
        state.readers.push(Reading { no, since, cut_off: false, handle });
        drop(state);
        ReadGuard { watch: self.clone(), no }
    }

    /// Whether the disk has less free than it must have for something new.
    pub(super) fn is_disk_low(&self) -> bool {
        self.0.low_disk.load(Ordering::Relaxed)
    }

    /// Interrupts whoever reads for too long. The lock keeps their connections from being used for another
    /// read meanwhile.
    fn cut_off_readers(&self) {
        let now = self.0.clock.monotonic();
        for reading in &mut self.lock().readers {
            if now.saturating_sub(reading.since) >= READER_LIMIT {
                reading.handle.interrupt();
                if !reading.cut_off {
                    reading.cut_off = true;
                    self.0.metrics.readers_cut_off.add(1);
                    tracing::warn!("a read took too long and was cut off");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ReadGuard {
    fn drop(&mut self) {
        self.watch.lock().readers.retain(|reading| reading.no != self.no);
    }
}

/// The thread; dropping this ends it and waits until its connection is closed.
#[derive(Debug)]
pub(super) struct Keeper {
    watch: Watch,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Looks at the disk once, then watches.
    pub(super) fn start(path: &Path, disk: DiskLimit, watch: Watch) -> Result<Self, StoreError> {
        let connection = super::migrate::open_checkpointer(path)?;
        let mut worker = Worker {
            connection,
            watch: watch.clone(),
            path: path.into(),
            disk,
            disk_looked: None,
            log: Log::default(),
        };
        worker.look_at_disk();
        let thread = thread::Builder::new().name("store-keeper".into()).spawn(move || worker.run());
        let thread = thread.map_err(|source| StoreError::Directory { path: path.into(), source })?;
        Ok(Self { watch, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.watch.lock().closed = true;
        self.watch.0.wake.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that watches over the store's files panicked");
        }
    }
}

/// Where the log is, in pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Log {
    pages: u64,
    folded: u64,
}

impl Log {
    /// What is not in the database yet.
    fn rest(self) -> u64 {
        self.pages.saturating_sub(self.folded)
    }
}

struct Worker {
    connection: Connection,
    watch: Watch,
    path: PathBuf,
    disk: DiskLimit,
    disk_looked: Option<Duration>,
    log: Log,
}

const LOOK: &str = "PRAGMA wal_checkpoint(NOOP)";
const FOLD: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const FOLD_AND_WAIT: &str = "PRAGMA wal_checkpoint(RESTART)";

impl Worker {
    fn run(mut self) {
        let mut pause = IDLE_LOOK;
        while self.wait(pause) {
            self.watch.cut_off_readers();
            let before = self.log.pages;
            self.look_at_log();
            pause = if self.log.pages == before { IDLE_LOOK } else { BUSY_LOOK };
            let now = self.watch.0.clock.monotonic();
            if self.disk_looked.is_none_or(|looked| now.saturating_sub(looked) >= DISK_LOOK) {
                self.look_at_disk();
            }
        }
    }

    /// False when it is over.
    fn wait(&self, pause: Duration) -> bool {
        let state = self.watch.lock();
        let waited = self.watch.0.wake.wait_timeout_while(state, pause, |state| !state.closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    fn look_at_log(&mut self) {
        let shared = &self.watch.0;
        let Some(log) = run(&self.connection, LOOK) else { return };
        self.log = log;
        if log.rest() >= CHECKPOINT_PAGES && !shared.finish.load(Ordering::Relaxed) {
            let folding = shared.folding.lock();
            if let Some(folded) = run(&self.connection, FOLD) {
                self.log = folded;
            }
            drop(folding);
        }
        shared.metrics.wal_bytes.set(bytes(self.log.pages));
        if self.log.pages >= FINISH_PAGES {
            shared.finish.store(true, Ordering::Relaxed);
        }
    }

    fn look_at_disk(&mut self) {
        self.disk_looked = Some(self.watch.0.clock.monotonic());
        let metrics = &self.watch.0.metrics;
        if let Ok(file) = self.path.metadata() {
            metrics.db_bytes.set(i64::try_from(file.len()).unwrap_or(i64::MAX));
        }
        let found = match rustix::fs::statvfs(self.path.parent().unwrap_or(&self.path)) {
            Ok(found) => found,
            Err(error) => return tracing::warn!(%error, "the disk's free space is not known"),
        };
        let (free, total) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
        metrics.disk_free_bytes.set(i64::try_from(free).unwrap_or(i64::MAX));
        let low = self.disk.is_low(free, total);
        if self.watch.0.low_disk.swap(low, Ordering::Relaxed) != low {
            if low {
                tracing::error!(free_bytes = free, "little of the disk is free: publishing is refused");
            } else {
                tracing::info!(free_bytes = free, "the disk has room again: publishing goes on");
            }
        }
    }
}

fn bytes(pages: u64) -> i64 {
    i64::try_from(pages * PAGE_BYTES).unwrap_or(i64::MAX)
}

/// Runs a checkpoint. One that cannot write has lost nothing: what it did not copy is in the log.
fn run(connection: &Connection, sql: &'static str) -> Option<Log> {
    let looked = connection.prepare_cached(sql).and_then(|mut statement| {
        // A log that was never written says -1.
        let count = |pages: i64| u64::try_from(pages).unwrap_or(0);
        statement.query_row([], |row| Ok(Log { pages: count(row.get(1)?), folded: count(row.get(2)?) }))
    });
    looked
        .map_err(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the write-ahead log could not be folded back"
            );
        })
        .ok()
}

/// What the writer does for the log between two groups, on its own connection: nothing; or fold back the rest
/// when the keeper asks for it; or, when the log has got too long all the same, wait until nobody folds it
/// and nobody reads from it, and fold it all.
pub(super) fn finish(connection: &Connection, watch: &Watch) {
    let shared = &watch.0;
    let Some(log) = run(connection, LOOK) else { return };
    let wait_pages = shared.wait_pages.load(Ordering::Relaxed);
    if log.pages >= wait_pages {
        let folding = shared.folding.lock();
        let after = run(connection, FOLD_AND_WAIT);
        drop(folding);
        if after.is_none_or(|after| after.rest() > 0) {
            // Somebody else's reader, such as a backup: it is not waited for at every group.
            tracing::warn!(bytes = log.pages * PAGE_BYTES, "a reader keeps the write-ahead log from ending");
            shared.wait_pages.store(log.pages.saturating_mul(2), Ordering::Relaxed);
        }
    } else if shared.finish.load(Ordering::Relaxed) {
        // Whoever folds it now has most of it; the rest comes after the next group.
        let Ok(folding) = shared.folding.try_lock() else { return };
        run(connection, FOLD);
        drop(folding);
    } else {
        if wait_pages > WAIT_PAGES && log.pages < WAIT_PAGES {
            shared.wait_pages.store(WAIT_PAGES, Ordering::Relaxed);
        }
        return;
    }
    shared.finish.store(false, Ordering::Relaxed);
}

/// Whether the file system itself says that it has no room, or that its owner's quota is used up. SQLite
/// tells the second apart from a broken disk no more than by this.
pub(super) fn has_no_room(data_dir: &Path) -> bool {
    let path = data_dir.join(".room");
    let wrote = std::fs::write(&path, [0; 4096]).and_then(|()| std::fs::File::open(&path)?.sync_all());
    drop(std::fs::remove_file(&path));
    wrote.is_err_and(|error| is_room(&error))
}

fn is_room(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_below_either_limit_is_low() {
        let limit = DiskLimit { free_percent: 5, free_bytes: 1_000 };
        assert!(!limit.is_low(1_000, 20_000));
        assert!(limit.is_low(999, 19_000), "too few bytes");
        assert!(limit.is_low(1_000, 20_001), "too small a share");
        assert!(!DiskLimit { free_percent: 0, free_bytes: 0 }.is_low(0, 20_000), "turned off");
    }

    #[test]
    fn a_used_up_quota_is_a_full_disk_and_a_broken_disk_is_not() {
        let error = |number| std::io::Error::from_raw_os_error(number);
        let (enospc, edquot, eio) = (28, 122, 5);
        assert!(is_room(&error(enospc)) && is_room(&error(edquot)) && !is_room(&error(eio)));
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(!has_no_room(directory.path()), "it has");
        assert_eq!(directory.path().read_dir().expect("it reads").count(), 0, "nothing is left");
    }
}

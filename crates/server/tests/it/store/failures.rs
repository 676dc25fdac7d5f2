//! A group that fails: who is told what, and what is written all the same.

mod disk;
mod group;
mod http;
mod log;
mod unknown;

use std::path::Path;

use rusqlite::Connection;

/// Keeps the writer from beginning its next group until it is dropped: whatever is queued meanwhile is in
/// one group. The writer waits for this lock for 5 s at most.
struct Blocked(Connection);

fn block_writer(data_dir: &Path) -> Blocked {
    let path = inkhook_server::store::database_path(data_dir);
    let connection = Connection::open(path).expect("the store's file opens");
    connection.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    Blocked(connection)
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").expect("the lock is released");
    }
}

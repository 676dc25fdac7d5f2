//! A group that fails: who is told what, and what is written all the same.

mod disk;
mod group;
mod http;
mod log;
mod unknown;

use inkhook_server::store::faults::Faults;

/// Keeps the writer from beginning its next group until it is dropped: whatever is queued meanwhile is in
/// one group.
struct Blocked(Faults);

fn block_writer(faults: &Faults) -> Blocked {
    faults.hold();
    Blocked(faults.clone())
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.resume();
    }
}

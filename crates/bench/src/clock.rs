//! The one clock of a measurement: the wall clock when it was made, monotonic from there.
//!
//! Times are unix microseconds, so that a publisher and a receiver that are two processes of one machine mean
//! the same by them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    began_us: u64,
}

impl Clock {
    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock; this is the one place")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_us: micros(wall) }
    }

    /// Now, in unix microseconds.
    pub fn now_us(&self) -> u64 {
        self.began_us + micros(self.now() - self.began)
    }

    /// Now.
    #[expect(clippy::disallowed_methods, reason = "a measurement reads the clock; this is the one place")]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// These unix microseconds on the monotonic clock.
    pub fn instant(&self, at_us: u64) -> Instant {
        self.began + Duration::from_micros(at_us.saturating_sub(self.began_us))
    }
}

/// Whole microseconds.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Lets time pass on this thread: the pace of a load, or looking again at what gives no sign.
#[expect(clippy::disallowed_methods, reason = "a load is paced, and another process gives no sign")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Lets time pass in a task: a receiver that is slow on purpose.
#[expect(clippy::disallowed_methods, reason = "slowness is what some receivers are for")]
pub(crate) async fn linger(time: Duration) {
    tokio::time::sleep(time).await;
}

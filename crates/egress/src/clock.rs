//! The one place that reads the monotonic clock.
//!
//! Deadlines and durations of an attempt are real time by nature: sockets do
//! not wait for a clock that is passed in.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the deadline of a network attempt is real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

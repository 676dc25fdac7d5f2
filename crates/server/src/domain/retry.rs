//! When a failed delivery is tried again.

use std::time::Duration;

use super::time::TimeMs;

/// Share by which each wait varies, so that deliveries that failed together do not come back together.
pub const JITTER: f64 = 0.2;

/// The longest that a receiver's `Retry-After` is obeyed.
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(12);

/// The waits between attempts; one attempt more than there are waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl Default for RetrySchedule {
    /// 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h, 8 h, 12 h: eleven attempts in about 28 hours.
    fn default() -> Self {
        Self([5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200].map(Duration::from_secs).into())
    }
}

impl RetrySchedule {
    /// A schedule with these waits.
    #[must_use]
    pub fn new(waits: Vec<Duration>) -> Self {
        Self(waits)
    }

    /// The wait after the `failures`th failure (1 for the first), varied by `jitter`; `None` when no
    /// attempt is left.
    #[must_use]
    pub fn wait_after(&self, failures: u32, jitter: f64) -> Option<Duration> {
        let index = usize::try_from(failures).ok()?.checked_sub(1)?;
        self.0.get(index).map(|wait| wait.mul_f64(jitter))
    }

    /// How often a delivery is tried at most.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.0.len() + 1
    }
}

/// Reads a `Retry-After` header: whole seconds or an HTTP date, at most [`MAX_RETRY_AFTER`] from `now`.
/// `None` when it is neither or lies in the past.
#[must_use]
pub fn parse_retry_after(value: &str, now: TimeMs) -> Option<Duration> {
    let value = value.trim();
    let wait = if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        // More digits than a u64 holds still means "as long as allowed".
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = jiff::fmt::rfc2822::parse(value).ok()?;
        TimeMs(date.timestamp().as_millisecond()).since(now)
    };
    (!wait.is_zero()).then(|| wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_schedule_is_eleven_attempts_in_about_28_hours() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.attempts(), 11);
        let total: Duration = (1..=10).filter_map(|n| schedule.wait_after(n, 1.0)).sum();
        assert_eq!(total, Duration::from_secs(99_755), "27.7 hours");
        assert_eq!(schedule.wait_after(11, 1.0), None);
        assert_eq!(schedule.wait_after(0, 1.0), None);
    }

    #[test]
    fn jitter_scales_the_wait() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.wait_after(1, 0.8), Some(Duration::from_secs(4)));
        assert_eq!(schedule.wait_after(1, 1.2), Some(Duration::from_secs(6)));
    }

    #[test]
    fn retry_after_reads_seconds_and_dates_and_is_capped() {
        let now = TimeMs(1_780_000_000_000); // Thu, 28 May 2026 20:26:40 GMT
        assert_eq!(parse_retry_after("120", now), Some(Duration::from_mins(2)));
        assert_eq!(parse_retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(parse_retry_after("Thu, 28 May 2026 20:27:40 GMT", now), Some(Duration::from_mins(1)));
        assert_eq!(parse_retry_after("43201", now), Some(MAX_RETRY_AFTER));
        assert_eq!(parse_retry_after("99999999999999999999999", now), Some(MAX_RETRY_AFTER));
        for nothing in ["", "0", "-5", "1.5", "soon", "Thu, 28 May 2026 20:25:40 GMT"] {
            assert_eq!(parse_retry_after(nothing, now), None, "{nothing:?}");
        }
    }
}

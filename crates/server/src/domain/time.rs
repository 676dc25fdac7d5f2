//! Time as a value.
//!
//! [`TimeMs`] is milliseconds since the Unix epoch, UTC, as stored. [`Clock`] is the only way to get one;
//! production uses [`Clock::system`], tests a [`Clock::manual`] that moves when told to.
//!
//! Two readings, because they answer different questions: *wall* time goes on the wire (signatures,
//! timestamps); *schedule* time decides when something is due. Schedule time is the start's wall time plus
//! monotonic time, so that a clock that wavers moves nothing. What has gone apart by [`STEP`] or more, because the
//! clock was put right or the machine slept, is brought together in steps ([`Clock::follow_wall`]).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeMs(pub i64);

impl TimeMs {
    /// Due at once.
    pub const ZERO: Self = Self(0);
    /// Later than anything.
    pub const NEVER: Self = Self(i64::MAX);

    /// This much later; saturates.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This much sooner; saturates.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long from `earlier` to `self`; zero when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole seconds since the epoch, as signatures use them.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// RFC 3339 with milliseconds and `Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_string()
    }

    /// Parses an RFC 3339 date-time with an offset; precision below a millisecond is cut.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        if !is_rfc3339(text) {
            return None;
        }
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        Some(Self(timestamp.as_millisecond()))
    }
}

/// The one spelling that every receiver reads: `2026-11-20T09:30:01Z`, with 1 to 9 digits of a fraction if
/// any, and `Z` or an offset of hours and minutes. What the parser takes beyond it (basic format, no seconds,
/// a zone in brackets) would reach receivers as it came.
fn is_rfc3339(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let fits = |shape: &[u8], text: &[u8]| {
        let same =
            |(shape, byte): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { shape == byte };
        shape.len() == text.len() && shape.iter().zip(text).all(same)
    };
    let Some((whole, mut rest)) = text.as_bytes().split_at_checked(SHAPE.len()) else { return false };
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        rest = &fraction[digits..];
    }
    fits(SHAPE, whole) && (rest == b"Z" || fits(b"+00:00", rest) || fits(b"-00:00", rest))
}

impl fmt::Display for TimeMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for TimeMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where the time comes from. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

/// How far schedule time may be from wall time.
pub const STEP: Duration = Duration::from_secs(1);

enum Source {
    System(System),
    Manual { now: AtomicI64 },
}

struct System {
    start: Instant,
    /// What the wall clock said then; moved in steps.
    start_wall: AtomicI64,
    /// Where a clock of tests is ahead of the machine's.
    #[cfg(feature = "failpoints")]
    ahead_ms: Arc<AtomicI64>,
}

impl System {
    #[cfg_attr(
        not(feature = "failpoints"),
        expect(clippy::unused_self, reason = "only tests have a clock that is wrong")
    )]
    fn wall(&self) -> TimeMs {
        let wall = system_wall();
        #[cfg(feature = "failpoints")]
        let wall = TimeMs(wall.0 + self.ahead_ms.load(Ordering::SeqCst));
        wall
    }

    fn monotonic(&self) -> Duration {
        system_instant().saturating_duration_since(self.start)
    }

    fn schedule(&self) -> TimeMs {
        TimeMs(self.start_wall.load(Ordering::SeqCst)).after(self.monotonic())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.0 {
            Source::System(_) => "Clock::System",
            Source::Manual { .. } => "Clock::Manual",
        })
    }
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::of(System {
            start: system_instant(),
            start_wall: AtomicI64::default(),
            #[cfg(feature = "failpoints")]
            ahead_ms: Arc::default(),
        })
    }

    /// The machine's clock, which is wrong by as many milliseconds as this says just now.
    #[cfg(feature = "failpoints")]
    #[must_use]
    pub fn ahead_by(ahead_ms: Arc<AtomicI64>) -> Self {
        Self::of(System { start: system_instant(), start_wall: AtomicI64::default(), ahead_ms })
    }

    fn of(system: System) -> Self {
        system.start_wall.store(system.wall().0, Ordering::SeqCst);
        Self(Arc::new(Source::System(system)))
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(now: TimeMs) -> Self {
        Self(Arc::new(Source::Manual { now: AtomicI64::new(now.0) }))
    }

    /// What the calendar says: for signatures and timestamps.
    #[must_use]
    pub fn wall(&self) -> TimeMs {
        match &*self.0 {
            Source::System(system) => system.wall(),
            Source::Manual { now } => TimeMs(now.load(Ordering::SeqCst)),
        }
    }

    /// What decides whether something is due: goes on evenly, but for the steps of [`Clock::follow_wall`].
    #[must_use]
    pub fn schedule(&self) -> TimeMs {
        match &*self.0 {
            Source::System(system) => system.schedule(),
            Source::Manual { now } => TimeMs(now.load(Ordering::SeqCst)),
        }
    }

    /// Time since some moment before, to the microsecond: for measuring how long work takes.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        match &*self.0 {
            Source::System(system) => system.monotonic(),
            Source::Manual { now } => {
                Duration::from_millis(u64::try_from(now.load(Ordering::SeqCst)).unwrap_or(0))
            }
        }
    }

    /// Brings schedule time to wall time where they are [`STEP`] or more apart; by how many milliseconds it moved.
    #[must_use]
    pub fn follow_wall(&self) -> Option<i64> {
        let Source::System(system) = &*self.0 else { return None };
        let by_ms = system.wall().0 - system.schedule().0;
        if Duration::from_millis(by_ms.unsigned_abs()) < STEP {
            return None;
        }
        system.start_wall.fetch_add(by_ms, Ordering::SeqCst);
        Some(by_ms)
    }

    /// Moves a manual clock forward. Does nothing to the system's.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { now } = &*self.0 {
            now.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_wall() -> TimeMs {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn system_instant() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_milliseconds_and_z() {
        assert_eq!(TimeMs(1_780_000_000_250).to_string(), "2026-05-28T20:26:40.250Z");
        assert_eq!(TimeMs(1_780_000_000_000).to_string(), "2026-05-28T20:26:40.000Z");
    }

    #[test]
    fn parses_what_it_prints_and_offsets() {
        assert_eq!(TimeMs::parse_rfc3339("2026-05-28T20:26:40.250Z"), Some(TimeMs(1_780_000_000_250)));
        assert_eq!(TimeMs::parse_rfc3339("2026-05-28T22:26:40.25+02:00"), Some(TimeMs(1_780_000_000_250)));
        assert_eq!(TimeMs::parse_rfc3339("2026-05-28"), None);
        assert_eq!(TimeMs::parse_rfc3339("yesterday"), None);
        assert!(TimeMs::parse_rfc3339("2026-05-28T20:26:40.123456789-00:30").is_some());
        for other in [
            "2026-05-28T20:26:40.1234567890Z",
            "2026-05-28T20:26:40.Z",
            "2026-05-28T20:26:40",
            "2026-05-28T20:26Z",
            "20260528T202640Z",
            "2026-05-28T20:26:40Z[UTC]",
            "2026-05-28T20:26:40+0200",
            "-002026-05-28T20:26:40Z",
            "2026-02-30T20:26:40Z",
        ] {
            assert_eq!(TimeMs::parse_rfc3339(other), None, "{other}");
        }
    }

    #[cfg(feature = "failpoints")]
    #[test]
    fn schedule_time_follows_the_wall_in_steps() {
        let ahead_ms = Arc::new(AtomicI64::new(3_600_000));
        let clock = Clock::ahead_by(ahead_ms.clone());
        let apart = |clock: &Clock| (clock.wall().0 - clock.schedule().0) / 500;
        let since = |clock: &Clock| clock.wall().0 - Clock::system().wall().0;
        assert_eq!((apart(&clock), since(&clock) / 1_000), (0, 3_600), "wrong from the start");
        assert_eq!(clock.follow_wall(), None);
        ahead_ms.store(3_600_700, Ordering::SeqCst);
        assert_eq!(clock.follow_wall(), None, "a clock that wavers moves nothing");
        let before = clock.monotonic();
        ahead_ms.store(0, Ordering::SeqCst);
        assert_eq!(apart(&clock) / 2, -3_600);
        let moved = clock.follow_wall().expect("an hour is a step");
        assert!((-3_600_500..-3_599_500).contains(&moved), "{moved}");
        assert_eq!((apart(&clock), clock.follow_wall()), (0, None));
        assert!(clock.monotonic() >= before && clock.monotonic() < Duration::from_mins(1));
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(TimeMs(5));
        assert_eq!(clock.wall(), TimeMs(5));
        clock.advance(Duration::from_secs(1));
        assert_eq!((clock.wall(), clock.schedule()), (TimeMs(1005), TimeMs(1005)));
    }
}

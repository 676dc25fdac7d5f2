//! Where the primary was when, and so how far behind a replica is that has come to somewhere.
//!
//! Positions are those of the primary's log, noted with this node's own clock just before they were asked for. A
//! replica that has come to one has all that was committed before it was noted. So no clock of two machines is
//! compared, and a primary that writes nothing is no replica's lag.

use std::collections::VecDeque;
use std::time::Duration;

/// Positions that are kept; at ten a second those of the last few minutes. Who is behind the oldest is behind by more
/// than its age.
const MAX_POSITIONS: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Positions {
    noted: VecDeque<Position>,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    /// On the clock that only goes on.
    at: Duration,
    /// In the log, from its beginning.
    bytes: i64,
}

impl Positions {
    /// The primary had come to `bytes` no earlier than `at`.
    pub(super) fn note(&mut self, at: Duration, bytes: i64) {
        if self.noted.back().is_some_and(|newest| bytes < newest.bytes) {
            // Another server has taken the primary's place, and had not come as far.
            self.noted.clear();
        }
        if self.noted.len() == MAX_POSITIONS {
            self.noted.pop_front();
        }
        self.noted.push_back(Position { at, bytes });
    }

    /// How far who has come to `bytes` is behind now, at most; nothing where that is not known: by more than the age
    /// of all that was noted.
    pub(super) fn behind(&self, bytes: i64, now: Duration) -> Option<Duration> {
        let reached = self.noted.partition_point(|position| position.bytes <= bytes);
        let newest = self.noted.get(reached.checked_sub(1)?)?;
        Some(now.saturating_sub(newest.at))
    }

    /// How long ago the oldest was noted.
    pub(super) fn age(&self, now: Duration) -> Duration {
        self.noted.front().map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn who_has_come_to_a_position_has_what_was_there_when_it_was_noted() {
        let mut positions = Positions::default();
        assert_eq!(positions.behind(9, ms(5)), None, "nothing is known");
        for (at, bytes) in [(100, 10), (200, 20), (300, 20), (400, 30)] {
            positions.note(ms(at), bytes);
        }
        let behind = |bytes| positions.behind(bytes, ms(450));
        assert_eq!(behind(9), None, "behind all of them");
        assert_eq!(behind(10), Some(ms(350)));
        assert_eq!(behind(19), Some(ms(350)));
        assert_eq!(behind(20), Some(ms(150)), "the later of two: nothing was written in between");
        assert_eq!(behind(30), Some(ms(50)));
        assert_eq!(behind(99), Some(ms(50)), "ahead of what was noted");
        assert_eq!(positions.age(ms(450)), ms(350));
    }

    #[test]
    fn what_another_primary_says_replaces_what_the_first_said() {
        let mut positions = Positions::default();
        positions.note(ms(100), 50);
        positions.note(ms(200), 40);
        assert_eq!(positions.behind(45, ms(200)), Some(ms(0)));
        assert_eq!(positions.behind(39, ms(200)), None);
    }

    #[test]
    fn one_more_than_are_kept_drops_the_oldest() {
        let mut positions = Positions::default();
        for n in 0..=i64::try_from(MAX_POSITIONS).expect("it fits") {
            positions.note(ms(n.unsigned_abs()), n);
        }
        assert_eq!(positions.noted.len(), MAX_POSITIONS);
        assert_eq!((positions.behind(0, ms(9_999)), positions.behind(1, ms(9_999))), (None, Some(ms(9_998))));
    }
}

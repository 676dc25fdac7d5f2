//! Whether what answers may be read in place of the primary: pure.

use std::time::Duration;

use super::positions::Positions;

/// What a server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// It follows another, and takes no writes.
    pub(super) follows: bool,
    /// How far it has come in the primary's log.
    pub(super) replayed: Option<i64>,
    /// The cluster that it is a copy of.
    pub(super) cluster: i64,
}

/// What is known of the primary.
#[derive(Debug, Default)]
pub(super) struct Primary {
    pub(super) positions: Positions,
    pub(super) cluster: Option<i64>,
}

/// What the replica is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To be read. It is at most this far behind.
    Good(Duration),
    /// Too far behind: by this, or by more than all that is known.
    Behind(Option<Duration>),
    /// It takes writes itself: it is no replica, or not any more.
    TakesWrites,
    /// It is a copy of something else.
    Foreign,
}

impl Primary {
    /// Decides, at this time.
    pub(super) fn judge(&self, standing: Standing, now: Duration, max_lag: Duration) -> Verdict {
        if !standing.follows {
            return Verdict::TakesWrites;
        }
        match self.cluster {
            None => return Verdict::Behind(None),
            Some(cluster) if cluster != standing.cluster => return Verdict::Foreign,
            Some(_) => {}
        }
        match standing.replayed.and_then(|replayed| self.positions.behind(replayed, now)) {
            Some(lag) if lag <= max_lag => Verdict::Good(lag),
            lag => Verdict::Behind(lag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_copy_of_this_very_database_that_is_near_enough_is_good() {
        let ms = Duration::from_millis;
        let mut primary = Primary::default();
        let standing = Standing { follows: true, replayed: Some(10), cluster: 7 };
        let most = ms(1_000);
        assert_eq!(primary.judge(standing, ms(0), most), Verdict::Behind(None), "nothing is known yet");
        primary.positions.note(ms(100), 10);
        primary.cluster = Some(7);
        assert_eq!(primary.judge(standing, ms(1_100), most), Verdict::Good(ms(1_000)));
        assert_eq!(primary.judge(standing, ms(1_101), most), Verdict::Behind(Some(ms(1_001))), "one past it");
        let judge = |standing| primary.judge(standing, ms(100), most);
        assert_eq!(judge(Standing { replayed: Some(9), ..standing }), Verdict::Behind(None));
        assert_eq!(judge(Standing { replayed: None, ..standing }), Verdict::Behind(None));
        assert_eq!(judge(Standing { cluster: 8, ..standing }), Verdict::Foreign);
        assert_eq!(judge(Standing { follows: false, ..standing }), Verdict::TakesWrites);
    }
}

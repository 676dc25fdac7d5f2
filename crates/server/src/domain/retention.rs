//! How long history is kept: events, ended deliveries, lines of the attempt log.

use std::collections::HashMap;
use std::time::Duration;

use super::number::OrganizationNo;
use super::time::TimeMs;

const DAY: Duration = Duration::from_hours(24);

/// Days for everybody, and days of their own for some organisations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// For an organisation that has no other.
    pub days: u32,
    /// For these.
    pub own_days: HashMap<OrganizationNo, u32>,
}

impl Retention {
    /// What is not younger than this is not kept any longer.
    #[must_use]
    pub fn cutoff(&self, organization: OrganizationNo, now: TimeMs) -> TimeMs {
        let days = self.own_days.get(&organization).copied().unwrap_or(self.days);
        cutoff(days, now)
    }

    /// The same for what belongs to no organisation in particular: the longest that anybody keeps.
    #[must_use]
    pub fn longest_cutoff(&self, now: TimeMs) -> TimeMs {
        cutoff(self.own_days.values().copied().fold(self.days, u32::max), now)
    }
}

fn cutoff(days: u32, now: TimeMs) -> TimeMs {
    let kept = i64::try_from((DAY * days).as_millis()).unwrap_or(i64::MAX);
    TimeMs(now.0.saturating_sub(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organisations_own_days_count_for_it_alone() {
        let own_days = HashMap::from([(OrganizationNo(2), 1), (OrganizationNo(3), 90)]);
        let retention = Retention { days: 30, own_days };
        let day = 24 * 3600 * 1000;
        let now = TimeMs(1_780_000_000_000);
        let days = |organization| (now.0 - retention.cutoff(OrganizationNo(organization), now).0) / day;
        assert_eq!([days(1), days(2), days(3)], [30, 1, 90]);
        assert_eq!((now.0 - retention.longest_cutoff(now).0) / day, 90);
    }
}

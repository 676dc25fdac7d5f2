//! `[calls]`: incoming calls that are decided by asking a URL.

use serde::{Deserialize, Serialize};

use super::{Problem, require};
use crate::domain::call::Bounds;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Calls {
    /// Calls about which somebody is being asked at the same time; deliveries have none of these places.
    pub max_concurrent: usize,
    /// Calls of one organisation, in parts of a hundred of all.
    pub max_concurrent_per_organization_percent: usize,
}

impl Default for Calls {
    fn default() -> Self {
        let Bounds { total, organization_percent, .. } = Bounds::default();
        Self { max_concurrent: total, max_concurrent_per_organization_percent: organization_percent }
    }
}

impl Calls {
    /// How many, as they are taken.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds {
            total: self.max_concurrent,
            organization_percent: self.max_concurrent_per_organization_percent,
            ..Bounds::default()
        }
    }

    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        let counts = [
            ("calls.max_concurrent", self.max_concurrent, 10_000),
            (
                "calls.max_concurrent_per_organization_percent",
                self.max_concurrent_per_organization_percent,
                100,
            ),
        ];
        for (field, value, most) in counts {
            let problem = format!("{value} is not between 1 and {most}");
            require(problems, (1..=most).contains(&value), field, problem);
        }
    }
}

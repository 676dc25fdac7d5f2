//! `[limits]`: how much callers may ask for.

use serde::{Deserialize, Serialize};

use super::{Problem, require};

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Reads and changes of one key in a second; twice that may come at once. Publishing does not count.
    pub requests_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_second: 100 }
    }
}

impl Limits {
    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        require(
            problems,
            (1..=1_000_000).contains(&self.requests_per_second),
            "limits.requests_per_second",
            format!("{} is not between 1 and 1000000", self.requests_per_second),
        );
    }
}

//! `[storage]`: how long things are kept, and how much there may be.

use serde::{Deserialize, Serialize};

use super::{Problem, require};

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// Days that events, ended deliveries and attempts are kept.
    pub retention_days: u32,
    /// Deliveries that one organisation may have queued.
    pub max_queued: u64,
    /// GiB that one organisation's queued events and deliveries may take.
    pub max_queued_gib: u64,
    /// Publishing is refused when less than this share of the disk is free, in percent.
    pub min_free_percent: u8,
    /// Publishing is refused when less than this many MiB of the disk are free.
    pub min_free_mib: u64,
}

/// Ten years.
const MAX_RETENTION_DAYS: u32 = 3_650;

impl Default for Storage {
    fn default() -> Self {
        Self {
            retention_days: 30,
            max_queued: 10_000_000,
            max_queued_gib: 20,
            min_free_percent: 5,
            min_free_mib: 1_024,
        }
    }
}

impl Storage {
    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        require(
            problems,
            (1..=MAX_RETENTION_DAYS).contains(&self.retention_days),
            "storage.retention_days",
            format!("{} is not between 1 and {MAX_RETENTION_DAYS}", self.retention_days),
        );
        require(
            problems,
            (1..=1_000_000_000).contains(&self.max_queued),
            "storage.max_queued",
            format!("{} is not between 1 and 1000000000", self.max_queued),
        );
        require(
            problems,
            (1..=1_000_000).contains(&self.max_queued_gib),
            "storage.max_queued_gib",
            format!("{} is not between 1 and 1000000", self.max_queued_gib),
        );
        require(
            problems,
            self.min_free_percent <= 90,
            "storage.min_free_percent",
            format!("{} is more than 90", self.min_free_percent),
        );
        require(
            problems,
            self.min_free_mib <= 1_000_000_000,
            "storage.min_free_mib",
            format!("{} is more than 1000000000", self.min_free_mib),
        );
    }
}

//! `measure.*`: for measurements only, never for a server that serves somebody.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Problem, require};

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measure {
    /// Makes each commit take so much longer: shows on a fast disk what a slow one would do.
    pub commit_delay_ms: u64,
}

/// Slower than any disk that is worth measuring.
const MAX_COMMIT_DELAY_MS: u64 = 1_000;

impl Measure {
    /// By how much each commit is delayed.
    #[must_use]
    pub fn commit_delay(&self) -> Duration {
        Duration::from_millis(self.commit_delay_ms)
    }

    /// Says in the log that this server is slow on purpose.
    pub fn warn(&self) {
        if !self.is_off() {
            tracing::warn!(
                commit_delay_ms = self.commit_delay_ms,
                "measure.commit_delay_ms is set: this server is slow on purpose"
            );
        }
    }

    pub(super) fn is_off(&self) -> bool {
        self.commit_delay_ms == 0
    }

    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        require(
            problems,
            self.commit_delay_ms <= MAX_COMMIT_DELAY_MS,
            "measure.commit_delay_ms",
            format!("{} is more than {MAX_COMMIT_DELAY_MS}", self.commit_delay_ms),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn it_is_shown_only_when_it_is_set_and_has_a_bound() {
        let mut config = Config::default();
        assert!(!config.to_masked_toml().unwrap().contains("measure"));
        config.measure.commit_delay_ms = 1_000;
        assert!(config.to_masked_toml().unwrap().contains("commit_delay_ms = 1000"));
        config.validate().expect("as slow as it may be");
        config.measure.commit_delay_ms = 1_001;
        let problems = config.problems();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].key, "measure.commit_delay_ms");
    }
}

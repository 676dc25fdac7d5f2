//! `[bootstrap]`: what the first start of an empty store makes.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Problem, require};
use crate::domain::api_key;
use crate::domain::secret::Secret;

/// See the module.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bootstrap {
    /// The text of the first admin key, instead of a random one.
    pub admin_key: Option<String>,
    /// A file that holds it.
    pub admin_key_file: Option<PathBuf>,
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap").field("admin_key_file", &self.admin_key_file).finish_non_exhaustive()
    }
}

impl Bootstrap {
    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        require(
            problems,
            self.admin_key.is_none() || self.admin_key_file.is_none(),
            "bootstrap.admin_key",
            "give admin_key or admin_key_file, not both",
        );
        match self.admin_key() {
            Ok(Some(key)) => require(
                problems,
                api_key::validate(key.expose()).is_ok(),
                "bootstrap.admin_key",
                "must be at least 20 visible ASCII characters",
            ),
            Ok(None) => {}
            Err(error) => require(problems, false, "bootstrap.admin_key_file", error.to_string()),
        }
    }

    /// The first admin key, when one is given.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn admin_key(&self) -> std::io::Result<Option<Secret>> {
        match (&self.admin_key, &self.admin_key_file) {
            (Some(key), _) => Ok(Some(Secret::new(key.clone()))),
            (None, Some(path)) => Ok(Some(Secret::new(fs::read_to_string(path)?.trim().to_owned()))),
            (None, None) => Ok(None),
        }
    }
}

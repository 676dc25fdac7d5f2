//! `[database]`: a Postgres server instead of a file in the data directory.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Problem, Security, require};
use crate::domain::secret::Secret;

/// See the module.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `postgres://user:password@host:5432/name`; without it, SQLite in the data directory.
    pub url: Option<String>,
    /// A file that holds it.
    pub url_file: Option<PathBuf>,
    /// Certificate authorities that sign the server's certificate, PEM; without it, the operating system's.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("url_file", &self.url_file).finish_non_exhaustive()
    }
}

impl Database {
    pub(super) fn validate(&self, security: &Security, problems: &mut Vec<Problem>) {
        require(
            problems,
            self.url.is_none() || self.url_file.is_none(),
            "database.url",
            "give url or url_file, not both",
        );
        if let Err(error) = self.url() {
            require(problems, false, "database.url_file", error.to_string());
        }
        require(
            problems,
            self.is_used() || self.ca_file.is_none(),
            "database.ca_file",
            "is only for a database server, and database.url names none",
        );
        // Every node needs the same one, and none may make one of its own.
        require(
            problems,
            !self.is_used() || security.is_given(),
            "security.master_key",
            "must be given with a database server: 32 random bytes in base64, the same for every node \
             (openssl rand -base64 32)",
        );
    }

    /// Whether a server is used.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.url.is_some() || self.url_file.is_some()
    }

    /// The URL, if a server is used.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn url(&self) -> std::io::Result<Option<Secret>> {
        match (&self.url, &self.url_file) {
            (Some(url), _) => Ok(Some(Secret::new(url.clone()))),
            (None, Some(file)) => Ok(Some(Secret::new(fs::read_to_string(file)?.trim().to_owned()))),
            (None, None) => Ok(None),
        }
    }
}

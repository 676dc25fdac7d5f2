//! `[database]`: a Postgres server instead of a file in the data directory.

use std::fs;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Problem, Security, require};
use crate::domain::secret::Secret;

/// The bounds of [`Database::replica_max_lag_ms`].
const REPLICA_MAX_LAG_MS: RangeInclusive<u64> = 100..=60_000;

/// See the module.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `postgres://user:password@host:5432/name`; without it, SQLite in the data directory.
    pub url: Option<String>,
    /// A file that holds it.
    pub url_file: Option<PathBuf>,
    /// Certificate authorities that sign the server's certificate, PEM; without it, the operating system's.
    pub ca_file: Option<PathBuf>,
    /// A replica of that server, for lists and charts; of several hosts, the first that is one.
    pub replica_url: Option<String>,
    /// A file that holds it.
    pub replica_url_file: Option<PathBuf>,
    /// How old what is read from the replica may be, 100 to 60,000 ms; while the replica is further behind, the server
    /// is asked.
    pub replica_max_lag_ms: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            ca_file: None,
            replica_url: None,
            replica_url_file: None,
            replica_max_lag_ms: 1_000,
        }
    }
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
        self.validate_replica(problems);
        // Every node needs the same one, and none may make one of its own.
        require(
            problems,
            !self.is_used() || security.is_given(),
            "security.master_key",
            "must be given with a database server: 32 random bytes in base64, the same for every node \
             (openssl rand -base64 32)",
        );
    }

    fn validate_replica(&self, problems: &mut Vec<Problem>) {
        for (key, given) in [
            ("database.replica_url", self.replica_url.is_some()),
            ("database.replica_url_file", self.replica_url_file.is_some()),
        ] {
            require(
                problems,
                self.is_used() || !given,
                key,
                "is only for a database server, and database.url names none",
            );
        }
        require(
            problems,
            self.replica_url.is_none() || self.replica_url_file.is_none(),
            "database.replica_url",
            "give replica_url or replica_url_file, not both",
        );
        if let Err(error) = self.replica_url() {
            require(problems, false, "database.replica_url_file", error.to_string());
        }
        require(
            problems,
            REPLICA_MAX_LAG_MS.contains(&self.replica_max_lag_ms),
            "database.replica_max_lag_ms",
            "must be 100 to 60000",
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
        given(self.url.as_ref(), self.url_file.as_ref())
    }

    /// The replica's URL, if there is one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn replica_url(&self) -> std::io::Result<Option<Secret>> {
        given(self.replica_url.as_ref(), self.replica_url_file.as_ref())
    }
}

fn given(url: Option<&String>, file: Option<&PathBuf>) -> std::io::Result<Option<Secret>> {
    match (url, file) {
        (Some(url), _) => Ok(Some(Secret::new(url.clone()))),
        (None, Some(file)) => Ok(Some(Secret::new(fs::read_to_string(file)?.trim().to_owned()))),
        (None, None) => Ok(None),
    }
}

//! Configuration: small sections, complete and valid before any socket or file opens.
//!
//! Precedence: flags, then `INKHOOK_<SECTION>__<KEY>`, then `inkhook.toml` in the working directory (or the
//! file that `--config` names), then the defaults. Every key that no section knows is an error, and all
//! errors of validation are reported together.

mod bootstrap;
mod calls;
mod database;
mod delivery;
mod egress;
mod limits;
mod measure;
pub mod security;
mod server;
mod signup;
mod smtp;
mod sources;
mod storage;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use bootstrap::Bootstrap;
pub use calls::Calls;
pub use database::Database;
pub use delivery::Delivery;
pub use egress::Egress;
pub use limits::Limits;
pub use measure::Measure;
pub use security::Security;
pub use server::{Role, Server};
pub use signup::{Relay, RelayTls, Signup};
pub use smtp::Smtp;
pub use storage::Storage;

/// Stands for a secret where the configuration is shown.
const MASK: &str = "(set, not shown)";

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the server listens and keeps its data.
    pub server: Server,
    /// The database server, if one is used.
    pub database: Database,
    /// Mail that comes in.
    pub smtp: Smtp,
    /// What may be connected to.
    pub egress: Egress,
    /// How deliveries are made.
    pub delivery: Delivery,
    /// How incoming calls are decided.
    pub calls: Calls,
    /// Agents that sign up by themselves.
    pub signup: Signup,
    /// How much callers may ask for.
    pub limits: Limits,
    /// How long things are kept, and how much there may be.
    pub storage: Storage,
    /// Keys to what is stored.
    pub security: Security,
    /// What the first start makes.
    pub bootstrap: Bootstrap,
    /// For measurements only; not shown while nothing of it is set.
    #[serde(skip_serializing_if = "Measure::is_off")]
    pub measure: Measure,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `section.key`.
    pub key: Cow<'static, str>,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or variable cannot be read as what it should be.
    #[error("{0}")]
    Unreadable(#[from] Box<figment::Error>),
    /// Values that are not valid, all of them.
    #[error("{}", Problems(.0))]
    Invalid(Vec<Problem>),
}

struct Problems<'a>(&'a [Problem]);

impl fmt::Display for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not valid:")?;
        for problem in self.0 {
            write!(f, "\n  {}: {}", problem.key, problem.what)?;
        }
        Ok(())
    }
}

/// Reads defaults, file and environment. Flags come on top, by the caller; then [`Config::validate`].
///
/// # Errors
/// The file cannot be read, or values cannot be: all of them are named.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let (config, problems) = read(file)?;
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid(problems)) }
}

/// Reads what can be read, with the default for what cannot, and says what that was.
///
/// # Errors
/// The file cannot be read at all.
pub fn read(file: Option<&Path>) -> Result<(Config, Vec<Problem>), ConfigError> {
    Ok(sources::read(file)?)
}

impl Config {
    /// Checks every section and reports all that is wrong.
    ///
    /// # Errors
    /// At least one value is not valid.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }

    /// Everything that [`Config::validate`] objects to.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.server.validate(&self.database, &mut problems);
        self.database.validate(&self.security, &mut problems);
        self.smtp.validate(&mut problems);
        self.egress.validate(&mut problems);
        self.delivery.validate(&mut problems);
        self.calls.validate(&mut problems);
        self.signup.validate(self.server.dev, &mut problems);
        self.limits.validate(&mut problems);
        self.storage.validate(&mut problems);
        self.security.validate(&mut problems);
        self.bootstrap.validate(&mut problems);
        self.measure.validate(&mut problems);
        problems
    }

    /// As TOML, to be shown: secrets are masked.
    ///
    /// # Errors
    /// A value has no form in TOML, such as a path that is not UTF-8.
    pub fn to_masked_toml(&self) -> Result<String, toml::ser::Error> {
        let mut shown = self.clone();
        let secrets = [
            &mut shown.database.url,
            &mut shown.database.replica_url,
            &mut shown.signup.relay_password,
            &mut shown.security.master_key,
            &mut shown.bootstrap.admin_key,
        ];
        for secret in secrets {
            if secret.is_some() {
                *secret = Some(MASK.into());
            }
        }
        toml::to_string_pretty(&shown)
    }
}

/// Adds a problem when `ok` is false.
fn require(problems: &mut Vec<Problem>, ok: bool, key: &'static str, what: impl Into<String>) {
    if !ok {
        problems.push(Problem { key: key.into(), what: what.into() });
    }
}

#[cfg(test)]
mod tests;

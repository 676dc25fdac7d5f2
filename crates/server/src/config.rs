//! Configuration: small sections, complete and valid before any socket or file opens.
//!
//! Precedence: flags, then `INKHOOK_<SECTION>__<KEY>`, then `inkhook.toml` in the working directory (or the
//! file that `--config` names), then the defaults. Every key that no section knows is an error, and all
//! errors of validation are reported together.

mod bootstrap;
mod delivery;
mod egress;
mod limits;
pub mod security;
mod server;
mod smtp;

use std::fmt;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::{Deserialize, Serialize};

pub use bootstrap::Bootstrap;
pub use delivery::Delivery;
pub use egress::Egress;
pub use limits::Limits;
pub use security::Security;
pub use server::Server;
pub use smtp::Smtp;

/// What environment variables begin with.
const ENV_PREFIX: &str = "INKHOOK_";
/// The file that is read when there is one.
const DEFAULT_FILE: &str = "inkhook.toml";

/// Everything that can be set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the server listens and keeps its data.
    pub server: Server,
    /// Mail that comes in.
    pub smtp: Smtp,
    /// What may be connected to.
    pub egress: Egress,
    /// How deliveries are made.
    pub delivery: Delivery,
    /// How much callers may ask for.
    pub limits: Limits,
    /// Keys to what is stored.
    pub security: Security,
    /// What the first start makes.
    pub bootstrap: Bootstrap,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `section.key`.
    pub key: &'static str,
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
/// A file or variable cannot be read as what it should be.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let toml = match file {
        Some(file) => Toml::file_exact(file),
        None => Toml::file(DEFAULT_FILE),
    };
    let figment = Figment::from(Serialized::defaults(Config::default()))
        .merge(toml)
        .merge(Env::prefixed(ENV_PREFIX).split("__"));
    figment.extract().map_err(|error| ConfigError::Unreadable(Box::new(error)))
}

impl Config {
    /// Checks every section and reports all that is wrong.
    ///
    /// # Errors
    /// At least one value is not valid.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        self.server.validate(&mut problems);
        self.smtp.validate(&mut problems);
        self.egress.validate(&mut problems);
        self.delivery.validate(&mut problems);
        self.limits.validate(&mut problems);
        self.security.validate(&mut problems);
        self.bootstrap.validate(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems)) }
    }
}

/// Adds a problem when `ok` is false.
fn require(problems: &mut Vec<Problem>, ok: bool, key: &'static str, what: impl Into<String>) {
    if !ok {
        problems.push(Problem { key, what: what.into() });
    }
}

#[cfg(test)]
mod tests;

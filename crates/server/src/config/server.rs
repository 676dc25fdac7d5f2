//! `[server]`: where the server listens and keeps its data.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Database, Problem, require};

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Answers the API.
    Api,
    /// Takes mail.
    Smtp,
    /// Delivers, and keeps house.
    Deliver,
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The API.
    pub listen: SocketAddr,
    /// Database, lock, master key and first key.
    pub data_dir: PathBuf,
    /// Proxies in front of the API whose `X-Forwarded-For` is believed, for example `["10.0.0.0/8"]`.
    pub trusted_proxies: Vec<IpNet>,
    /// What this node does; all of it when empty. For several nodes on one database server.
    pub only: Vec<Role>,
    /// Opens loopback as a target, for developing on one machine.
    pub dev: bool,
    /// Allows `dev` on a listener that is not loopback.
    pub dev_public: bool,
    /// How long a stop waits for what is under way.
    pub shutdown_timeout_s: u64,
    /// Lets everybody who reaches the API read `/metrics`; otherwise it takes an operator key.
    pub public_metrics: bool,
    /// `/readyz` says `degraded` when a delivery that nothing of its own holds back has been due for longer.
    pub degraded_after_s: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            data_dir: PathBuf::from("./inkhook-data"),
            trusted_proxies: Vec::new(),
            only: Vec::new(),
            dev: false,
            dev_public: false,
            shutdown_timeout_s: 30,
            public_metrics: false,
            degraded_after_s: 60,
        }
    }
}

impl Server {
    /// Whether this node does this.
    #[must_use]
    pub fn does(&self, role: Role) -> bool {
        self.only.is_empty() || self.only.contains(&role)
    }

    pub(super) fn validate(&self, database: &Database, problems: &mut Vec<Problem>) {
        require(
            problems,
            self.only.is_empty() || database.is_used(),
            "server.only",
            "is for one of several nodes, and database.url names no database that they could share",
        );
        require(
            problems,
            !self.dev || self.dev_public || self.listen.ip().is_loopback(),
            "server.dev",
            format!(
                "--dev opens loopback addresses as targets, and {} can be reached from outside; listen on \
                 127.0.0.1, or say --dev-public",
                self.listen
            ),
        );
        require(
            problems,
            (1..=3600).contains(&self.shutdown_timeout_s),
            "server.shutdown_timeout_s",
            format!("{} is not between 1 and 3600 seconds", self.shutdown_timeout_s),
        );
        require(
            problems,
            (1..=86_400).contains(&self.degraded_after_s),
            "server.degraded_after_s",
            format!("{} is not between 1 and 86400 seconds", self.degraded_after_s),
        );
        require(problems, !self.data_dir.as_os_str().is_empty(), "server.data_dir", "must name a directory");
    }
}

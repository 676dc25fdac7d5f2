//! `[egress]`: what may be connected to besides public https addresses.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Problem, require};

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    /// Allows http to addresses that `allow_cidrs` opens.
    pub allow_http: bool,
    /// Opens these networks, for example `["10.2.0.0/16"]`.
    pub allow_cidrs: Vec<IpNet>,
    /// Opens these host names and the names below them, whatever form they have.
    pub allow_hosts: Vec<String>,
    /// Asks these name servers instead of the system's.
    pub nameservers: Vec<SocketAddr>,
    /// Keeps answers from opened networks in the log, where tenants read them.
    pub keep_inside_bodies: bool,
}

impl Egress {
    pub(super) fn validate(&self, problems: &mut Vec<Problem>) {
        require(
            problems,
            self.allow_hosts.iter().all(|host| !host.is_empty()),
            "egress.allow_hosts",
            "a host name is empty",
        );
    }
}

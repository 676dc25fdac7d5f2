//! What the operator has opened, and the verdict on an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::address;
use crate::target::{Target, UrlError};

/// What is opened beyond https to public addresses. The default opens nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Lets `http` URLs through, and then only toward addresses listed in
    /// `allow_cidrs`.
    pub allow_http: bool,
    /// Networks that are reachable although they are not public. A listed
    /// IPv4 network also covers its IPv4-mapped and NAT64 forms.
    pub allow_cidrs: Vec<IpNet>,
    /// Names that may be single labels or special-use names; each opens itself
    /// and every name below it. Their addresses are vetted like all others.
    pub allow_hosts: Vec<String>,
}

/// What a [`Policy`] says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Reachable by anyone.
    Public,
    /// Not public; reachable only because `allow_cidrs` lists it.
    Opened,
    /// Never connected to. The reason completes "the address … is …".
    Forbidden(&'static str),
}

impl Policy {
    /// For development on one machine: loopback, http to it, and `localhost`.
    pub fn loopback_dev() -> Self {
        let v4 = IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8);
        let v6 = IpNet::new_assert(IpAddr::V6(Ipv6Addr::LOCALHOST), 128);
        Self { allow_http: true, allow_cidrs: vec![v4, v6], allow_hosts: vec!["localhost".to_owned()] }
    }

    /// Parses a URL and says whether a request may go there, as far as that is
    /// known without asking DNS. The names' addresses are judged per attempt.
    pub fn check_url(&self, text: &str) -> Result<Target, UrlError> {
        Target::parse(self, text)
    }

    /// Judges one address.
    pub fn judge(&self, ip: IpAddr) -> Verdict {
        match address::forbidden(ip) {
            None => Verdict::Public,
            Some(_) if self.lists(ip) => Verdict::Opened,
            Some(reason) => Verdict::Forbidden(reason),
        }
    }

    /// Whether `allow_cidrs` lists the address, public or not.
    pub(crate) fn lists(&self, ip: IpAddr) -> bool {
        let translated = match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => address::translated(v6).map(IpAddr::V4),
        };
        self.allow_cidrs.iter().any(|net| net.contains(&ip) || translated.is_some_and(|v4| net.contains(&v4)))
    }

    /// Whether `allow_hosts` opens the name, itself or by a name above it.
    pub(crate) fn opens_host(&self, host: &str) -> bool {
        self.allow_hosts.iter().any(|entry| {
            let Some(split) = host.len().checked_sub(entry.len()) else {
                return false;
            };
            !entry.is_empty()
                && host.is_char_boundary(split)
                && host[split..].eq_ignore_ascii_case(entry)
                && (split == 0 || host[..split].ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests;

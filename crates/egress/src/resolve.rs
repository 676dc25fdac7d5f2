//! From a target to the addresses a connection may go to.
//!
//! Every attempt comes through here, also one that will find an open
//! connection. All answers are vetted, and one forbidden address among them
//! refuses the name: a name that mixes public and private addresses has no
//! honest use for a receiver. Answers are cached for as long as their TTL says,
//! within bounds, and judged anew each time. The search list of the system's
//! configuration is never applied.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig as HickoryConfig,
    ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::failure::FailureKind;
use crate::policy::{Policy, Verdict};
use crate::target::Target;

/// Longest time an answer is used, whatever its TTL.
const MAX_POSITIVE_TTL: Duration = Duration::from_mins(5);
/// Longest time "no such name" is believed: a receiver's owner who mends their
/// DNS should not wait for a cache.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// How long one name server may take before the next is asked.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// Where names are looked up.
#[derive(Clone, Debug)]
pub enum ResolverConfig {
    /// The system's name servers and hosts file.
    System,
    /// These name servers (UDP, and TCP for long answers), and no hosts file.
    Nameservers(Vec<SocketAddr>),
}

/// An address that passed the policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vetted {
    pub(crate) address: SocketAddr,
    /// Whether only the operator's `allow_cidrs` made it reachable.
    pub(crate) opened: bool,
}

pub(crate) fn build(config: ResolverConfig) -> Result<TokioResolver, NetError> {
    let mut builder = match config {
        ResolverConfig::System => TokioResolver::builder_tokio()?,
        ResolverConfig::Nameservers(servers) => {
            let servers = servers.into_iter().map(name_server).collect();
            let config = HickoryConfig::from_parts(None, Vec::new(), servers);
            let provider = TokioRuntimeProvider::default();
            let mut builder = TokioResolver::builder_with_config(config, provider);
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder
        }
    };
    set_options(builder.options_mut());
    builder.build()
}

fn set_options(options: &mut ResolverOpts) {
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.positive_max_ttl = Some(MAX_POSITIVE_TTL);
    options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
    options.timeout = SERVER_TIMEOUT;
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
    NameServerConfig::new(server.ip(), true, connections)
}

/// The addresses of `target`, families alternating, each allowed by `policy`;
/// never empty.
pub(crate) async fn vetted(
    resolver: &TokioResolver,
    policy: &Policy,
    target: &Target,
) -> Result<Vec<Vetted>, FailureKind> {
    if let Some(address) = target.address() {
        return Ok(vec![vet(policy, target, address)?]);
    }
    // The final dot keeps the resolver from trying the search list.
    let name = format!("{}.", target.host());
    let answers = resolver.lookup_ip(name).await.map_err(|error| FailureKind::Resolve {
        host: target.host().to_owned(),
        reason: resolve_reason(&error),
    })?;
    let (mut v6, mut v4) = (Vec::new(), Vec::new());
    for address in answers.iter() {
        let vetted = vet(policy, target, address)?;
        let family = if address.is_ipv6() { &mut v6 } else { &mut v4 };
        if !family.iter().any(|seen: &Vetted| seen.address == vetted.address) {
            family.push(vetted);
        }
    }
    let vetted = alternate(v6, v4);
    if vetted.is_empty() {
        return Err(FailureKind::Resolve { host: target.host().to_owned(), reason: NO_ADDRESS });
    }
    Ok(vetted)
}

fn vet(policy: &Policy, target: &Target, address: IpAddr) -> Result<Vetted, FailureKind> {
    let opened = match policy.judge(address) {
        Verdict::Forbidden(reason) => return Err(FailureKind::Forbidden { address, reason }),
        Verdict::Opened => true,
        Verdict::Public => false,
    };
    let plain_allowed = policy.allow_http && policy.lists(address);
    if !target.is_tls() && !plain_allowed {
        return Err(FailureKind::HttpToUnopened(address));
    }
    Ok(Vetted { address: SocketAddr::new(address, target.port()), opened })
}

/// Takes from both in turn, so that one dead family costs one try.
fn alternate(first: Vec<Vetted>, second: Vec<Vetted>) -> Vec<Vetted> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let before = all.len();
        all.extend(first.next());
        all.extend(second.next());
        if all.len() == before {
            return all;
        }
    }
}

const NO_ADDRESS: &str = "has no address";

fn resolve_reason(error: &NetError) -> &'static str {
    if error.is_nx_domain() {
        "does not exist"
    } else if error.is_no_records_found() {
        NO_ADDRESS
    } else if matches!(error, NetError::Timeout) {
        "could not be looked up: the name servers did not answer"
    } else {
        "could not be looked up: the name servers answered with an error"
    }
}

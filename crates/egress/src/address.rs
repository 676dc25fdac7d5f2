//! Which addresses are not public, and why.
//!
//! The table follows the IANA special-purpose address registries for IPv4 and
//! IPv6, plus the addresses at which clouds serve instance metadata. Of IPv6
//! only 2000::/3 is handed out to the public, so everything outside it is
//! reserved unless it carries an IPv4 address. An IPv6 address that carries an
//! IPv4 address (mapped, 6to4, Teredo, NAT64) is judged by the one it carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const METADATA: &str = "a cloud metadata address";
const LOOPBACK: &str = "loopback";
const PRIVATE: &str = "private";
const LINK_LOCAL: &str = "link-local";
const SHARED: &str = "carrier-grade NAT";
const MULTICAST: &str = "multicast";
const BROADCAST: &str = "broadcast";
const UNSPECIFIED: &str = "unspecified";
const DOCUMENTATION: &str = "for documentation";
const BENCHMARKING: &str = "for benchmarking";
const RESERVED: &str = "reserved";

/// Azure's platform address: public by number, but answered by the host.
const AZURE_PLATFORM: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// Instance metadata of AWS, Azure, Google, Oracle, DigitalOcean and others.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Instance metadata of Alibaba Cloud.
const METADATA_ALIBABA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
/// Instance metadata of AWS over IPv6.
const METADATA_AWS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
/// Instance metadata of Google Cloud over IPv6.
const METADATA_GOOGLE_V6: Ipv6Addr = Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254);

/// Network, prefix length, reason. First match wins.
const V4: &[(Ipv4Addr, u32, &str)] = &[
    (METADATA_V4, 32, METADATA),
    (METADATA_ALIBABA, 32, METADATA),
    (AZURE_PLATFORM, 32, METADATA),
    (Ipv4Addr::UNSPECIFIED, 8, UNSPECIFIED),
    (Ipv4Addr::new(10, 0, 0, 0), 8, PRIVATE),
    (Ipv4Addr::new(100, 64, 0, 0), 10, SHARED),
    (Ipv4Addr::new(127, 0, 0, 0), 8, LOOPBACK),
    (Ipv4Addr::new(169, 254, 0, 0), 16, LINK_LOCAL),
    (Ipv4Addr::new(172, 16, 0, 0), 12, PRIVATE),
    (Ipv4Addr::new(192, 0, 0, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 0, 2, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(192, 88, 99, 0), 24, RESERVED),
    (Ipv4Addr::new(192, 168, 0, 0), 16, PRIVATE),
    (Ipv4Addr::new(198, 18, 0, 0), 15, BENCHMARKING),
    (Ipv4Addr::new(198, 51, 100, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(203, 0, 113, 0), 24, DOCUMENTATION),
    (Ipv4Addr::new(224, 0, 0, 0), 4, MULTICAST),
    (Ipv4Addr::BROADCAST, 32, BROADCAST),
    (Ipv4Addr::new(240, 0, 0, 0), 4, RESERVED),
];

/// As [`V4`], for addresses that carry no IPv4 address.
const V6: &[(Ipv6Addr, u32, &str)] = &[
    (METADATA_AWS_V6, 128, METADATA),
    (METADATA_GOOGLE_V6, 128, METADATA),
    (Ipv6Addr::UNSPECIFIED, 128, UNSPECIFIED),
    (Ipv6Addr::LOCALHOST, 128, LOOPBACK),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "unique-local"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, LINK_LOCAL),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, MULTICAST),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, BENCHMARKING),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, RESERVED),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, DOCUMENTATION),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, DOCUMENTATION),
];

/// Why `address` is not public, or `None` when it is.
pub(crate) fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => forbidden_v4(v4),
        IpAddr::V6(v6) => forbidden_v6(v6),
    }
}

/// The IPv4 address that a connection to `address` really goes to, when
/// `address` is its mapped form or its form behind a NAT64 translator.
pub(crate) fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        // ::ffff:0:0/96, the well-known prefix 64:ff9b::/96 and the first /96
        // of the local-use prefix 64:ff9b:1::/48.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0 | 1, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        _ => None,
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    V4.iter()
        .find(|(net, prefix, _)| (bits ^ net.to_bits()) >> (32 - prefix) == 0)
        .map(|(_, _, reason)| *reason)
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(v4) = translated(address) {
        return forbidden_v4(v4);
    }
    match address.segments() {
        // 6to4.
        [0x2002, high, low, ..] => return forbidden_v4(join(high, low)),
        // Teredo: its server in the clear, its client with every bit turned.
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            return forbidden_v4(join(server_high, server_low)).or_else(|| forbidden_v4(join(!high, !low)));
        }
        // IPv4-compatible: no longer routed at all; the reason names what it carries.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
            return forbidden_v4(join(high, low)).or(Some(RESERVED));
        }
        _ => {}
    }
    let bits = address.to_bits();
    let special = V6
        .iter()
        .find(|(net, prefix, _)| (bits ^ net.to_bits()) >> (128 - prefix) == 0)
        .map(|(_, _, reason)| *reason);
    let public = address.segments()[0] & 0xe000 == 0x2000;
    special.or(if public { None } else { Some(RESERVED) })
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests;

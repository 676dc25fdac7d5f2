use super::*;

fn reason(address: &str) -> Option<&'static str> {
    forbidden(address.parse().unwrap())
}

#[test]
fn both_sides_of_each_ipv4_border() {
    let cases = [
        ("0.0.0.0", Some(UNSPECIFIED)),
        ("0.255.255.255", Some(UNSPECIFIED)),
        ("1.0.0.0", None),
        ("9.255.255.255", None),
        ("10.0.0.0", Some(PRIVATE)),
        ("10.255.255.255", Some(PRIVATE)),
        ("11.0.0.0", None),
        ("100.63.255.255", None),
        ("100.64.0.0", Some(SHARED)),
        ("100.100.100.199", Some(SHARED)),
        ("100.100.100.200", Some(METADATA)),
        ("100.127.255.255", Some(SHARED)),
        ("100.128.0.0", None),
        ("126.255.255.255", None),
        ("127.0.0.0", Some(LOOPBACK)),
        ("127.0.0.1", Some(LOOPBACK)),
        ("127.255.255.255", Some(LOOPBACK)),
        ("128.0.0.0", None),
        ("168.63.129.15", None),
        ("168.63.129.16", Some(METADATA)),
        ("168.63.129.17", None),
        ("169.253.255.255", None),
        ("169.254.0.0", Some(LINK_LOCAL)),
        ("169.254.169.254", Some(METADATA)),
        ("169.254.255.255", Some(LINK_LOCAL)),
        ("169.255.0.0", None),
        ("172.15.255.255", None),
        ("172.16.0.0", Some(PRIVATE)),
        ("172.31.255.255", Some(PRIVATE)),
        ("172.32.0.0", None),
        ("191.255.255.255", None),
        ("192.0.0.0", Some(RESERVED)),
        ("192.0.0.192", Some(RESERVED)),
        ("192.0.0.255", Some(RESERVED)),
        ("192.0.1.255", None),
        ("192.0.2.0", Some(DOCUMENTATION)),
        ("192.0.2.255", Some(DOCUMENTATION)),
        ("192.0.3.0", None),
        ("192.88.98.255", None),
        ("192.88.99.0", Some(RESERVED)),
        ("192.88.100.0", None),
        ("192.167.255.255", None),
        ("192.168.0.0", Some(PRIVATE)),
        ("192.168.255.255", Some(PRIVATE)),
        ("192.169.0.0", None),
        ("198.17.255.255", None),
        ("198.18.0.0", Some(BENCHMARKING)),
        ("198.19.255.255", Some(BENCHMARKING)),
        ("198.20.0.0", None),
        ("198.51.99.255", None),
        ("198.51.100.0", Some(DOCUMENTATION)),
        ("198.51.101.0", None),
        ("203.0.112.255", None),
        ("203.0.113.0", Some(DOCUMENTATION)),
        ("203.0.114.0", None),
        ("223.255.255.255", None),
        ("224.0.0.0", Some(MULTICAST)),
        ("239.255.255.255", Some(MULTICAST)),
        ("240.0.0.0", Some(RESERVED)),
        ("255.255.255.254", Some(RESERVED)),
        ("255.255.255.255", Some(BROADCAST)),
    ];
    for (address, expected) in cases {
        assert_eq!(reason(address), expected, "{address}");
    }
}

#[test]
fn both_sides_of_each_ipv6_border() {
    let cases = [
        ("::", Some(UNSPECIFIED)),
        ("::1", Some(LOOPBACK)),
        ("::2", Some(RESERVED)),
        ("100::1", Some(RESERVED)),
        ("1fff:ffff::", Some(RESERVED)),
        ("2000::", None),
        ("2001:1ff:ffff::", Some(RESERVED)),
        ("2001:200::", None),
        ("2001:2::", Some(BENCHMARKING)),
        ("2001:2:0:ffff::", Some(BENCHMARKING)),
        ("2001:2:1::", Some(RESERVED)),
        ("2001:20::1", Some(RESERVED)),
        ("2001:db7:ffff::", None),
        ("2001:db8::", Some(DOCUMENTATION)),
        ("2001:db8:ffff:ffff::", Some(DOCUMENTATION)),
        ("2001:db9::", None),
        ("2606:4700:4700::1111", None),
        ("3ffe:ffff::", None),
        ("3fff::", Some(DOCUMENTATION)),
        ("3fff:fff::1", Some(DOCUMENTATION)),
        ("3fff:1000::", None),
        ("3fff:ffff::", None),
        ("4000::", Some(RESERVED)),
        ("5f00::1", Some(RESERVED)),
        ("fbff:ffff::", Some(RESERVED)),
        ("fc00::", Some("unique-local")),
        ("fd00:ec2::253", Some("unique-local")),
        ("fd00:ec2::254", Some(METADATA)),
        ("fd20:ce::254", Some(METADATA)),
        ("fdff:ffff::", Some("unique-local")),
        ("fe00::", Some(RESERVED)),
        ("fe7f:ffff::", Some(RESERVED)),
        ("fe80::", Some(LINK_LOCAL)),
        ("febf:ffff::", Some(LINK_LOCAL)),
        ("fec0::1", Some(RESERVED)),
        ("feff:ffff::", Some(RESERVED)),
        ("ff00::", Some(MULTICAST)),
        ("ff02::1", Some(MULTICAST)),
    ];
    for (address, expected) in cases {
        assert_eq!(reason(address), expected, "{address}");
    }
}

#[test]
fn an_address_that_carries_another_is_judged_by_it() {
    let cases = [
        // Mapped.
        ("::ffff:127.0.0.1", Some(LOOPBACK)),
        ("::ffff:169.254.169.254", Some(METADATA)),
        ("::ffff:8.8.8.8", None),
        ("::fffe:8.8.8.8", Some(RESERVED)),
        // Compatible: never public.
        ("::10.0.0.1", Some(PRIVATE)),
        ("::127.0.0.1", Some(LOOPBACK)),
        ("::8.8.8.8", Some(RESERVED)),
        // IPv4-translated (RFC 2765).
        ("::ffff:0:8.8.8.8", Some(RESERVED)),
        // NAT64, well-known prefix.
        ("64:ff9b::10.0.0.1", Some(PRIVATE)),
        ("64:ff9b::168.63.129.16", Some(METADATA)),
        ("64:ff9b::8.8.8.8", None),
        ("64:ff9a::8.8.8.8", Some(RESERVED)),
        ("64:ff9b:0:0:0:1:808:808", Some(RESERVED)),
        // NAT64, local-use prefix: only its first /96 tells what it carries.
        ("64:ff9b:1::192.168.0.1", Some(PRIVATE)),
        ("64:ff9b:1::8.8.8.8", None),
        ("64:ff9b:1:a00:0:100::", Some(RESERVED)),
        ("64:ff9b:1:ffff:ffff:ffff:808:808", Some(RESERVED)),
        ("64:ff9b:2::8.8.8.8", Some(RESERVED)),
        // 6to4.
        ("2002:a00:1::", Some(PRIVATE)),
        ("2002:7f00:1::1", Some(LOOPBACK)),
        ("2002:808:808::1", None),
        ("2003::", None),
        // Teredo: server 8.8.8.8 or 10.0.0.1, client 8.8.4.4 or 192.168.0.1.
        ("2001:0:808:808:0:0:f7f7:fbfb", None),
        ("2001:0:a00:1:0:0:f7f7:fbfb", Some(PRIVATE)),
        ("2001:0:808:808:0:0:3f57:fffe", Some(PRIVATE)),
    ];
    for (address, expected) in cases {
        assert_eq!(reason(address), expected, "{address}");
    }
}

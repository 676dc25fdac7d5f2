use proptest::prelude::*;

use super::*;

fn closed() -> Policy {
    Policy::default()
}

fn normalized(policy: &Policy, text: &str) -> String {
    policy.check_url(text).unwrap().normalized().to_owned()
}

fn refusal(text: &str) -> UrlError {
    closed().check_url(text).unwrap_err()
}

#[test]
fn normalises_as_the_url_standard_does_and_no_further() {
    let cases = [
        ("https://Example.COM", "https://example.com/"),
        ("https://example.com:443/a/../b", "https://example.com/b"),
        ("https://example.com:8443/", "https://example.com:8443/"),
        ("https://example.com/A?b=C%2f", "https://example.com/A?b=C%2f"),
        ("https://example.com?", "https://example.com/?"),
        ("https://bücher.example.com/", "https://xn--bcher-kva.example.com/"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://0x08080808/", "https://8.8.8.8/"),
        ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
    ];
    for (text, expected) in cases {
        assert_eq!(normalized(&closed(), text), expected, "{text}");
    }
}

#[test]
fn a_target_tells_its_parts() {
    let target = closed().check_url("https://Hooks.Example.com/x?y=1").unwrap();
    assert_eq!(target.host(), "hooks.example.com");
    assert_eq!(target.port(), 443);
    assert!(target.is_tls());
    let target = closed().check_url("https://[2606:4700:4700::1111]:8443").unwrap();
    assert_eq!(target.host(), "[2606:4700:4700::1111]");
    assert_eq!(target.port(), 8443);
}

#[test]
fn each_refusal_has_its_own_error() {
    let special = |host: &str, suffix| UrlError::SpecialUse { host: host.to_owned(), suffix };
    let cases = [
        ("", UrlError::NotAUrl),
        ("/relative", UrlError::NotAUrl),
        ("ftp://example.com/", UrlError::Scheme),
        ("mailto:a@example.com", UrlError::Scheme),
        ("http://example.com/", UrlError::HttpNotAllowed),
        ("https://user@example.com/", UrlError::UserInfo),
        ("https://:secret@example.com/", UrlError::UserInfo),
        ("https://example.com/#", UrlError::Fragment),
        ("https://example.com/#a", UrlError::Fragment),
        ("https://", UrlError::NoHost),
        ("https://exa mple.com/", UrlError::InvalidHost),
        ("https://xn--a.example.com/", UrlError::InvalidHost),
        ("https://a..example.com/", UrlError::InvalidHost),
        ("https://example.com./", UrlError::TrailingDot),
        ("https://intranet/", UrlError::SingleLabel("intranet".to_owned())),
        ("https://localhost/", special("localhost", "localhost")),
        ("https://a.localhost/", special("a.localhost", "localhost")),
        ("https://printer.local/", special("printer.local", "local")),
        ("https://db.internal/", special("db.internal", "internal")),
        ("https://a.test/", special("a.test", "test")),
        ("https://a.example/", special("a.example", "example")),
        ("https://a.invalid/", special("a.invalid", "invalid")),
        ("https://a.onion/", special("a.onion", "onion")),
        ("https://a.alt/", special("a.alt", "alt")),
        ("https://a.home.arpa/", special("a.home.arpa", "arpa")),
        ("https://[fe80::1%25eth0]/", UrlError::ZoneId),
        ("https://[fe80::1%eth0]/", UrlError::ZoneId),
        ("https://[::g]/", UrlError::InvalidAddress),
        ("https://1.2.3.256/", UrlError::InvalidAddress),
        ("https://example.com:0/", UrlError::PortZero),
        ("https://example.com:65536/", UrlError::InvalidPort),
        ("https://example.com/\n", UrlError::ControlCharacter),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn every_notation_of_an_address_is_seen_through() {
    for text in [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://0x7f.1/",
        "https://127.0.0.1./",
        "https://１２７.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[64:ff9b::127.0.0.1]/",
    ] {
        let refused = matches!(refusal(text), UrlError::Address { reason: "loopback", .. });
        assert!(refused, "{text}: {:?}", refusal(text));
    }
}

#[test]
fn user_info_is_never_repeated() {
    for text in [
        "https://alice:hunter2@example.com/",
        "http://alice:hunter2@example.com/",
        "https://alice:hunter2@127.0.0.1/",
        "https://alice:hunter2@[::1%25x]/",
        "https://alice:hunter2@intranet/",
    ] {
        let sentence = refusal(text).to_string();
        assert!(!sentence.contains("alice") && !sentence.contains("hunter2"), "{sentence}");
    }
}

#[test]
fn the_longest_url_passes_and_one_more_byte_does_not() {
    let base = "https://example.com/";
    let longest = format!("{base}{}", "a".repeat(2_048 - base.len()));
    assert_eq!(normalized(&closed(), &longest), longest);
    assert_eq!(refusal(&format!("{longest}a")), UrlError::TooLong);
    // Short as given, long as sent.
    let swelling = format!("{base}{}", "é".repeat(2_000));
    assert_eq!(refusal(&swelling), UrlError::TooLong);
    // Short as sent, and in characters.
    let shrinking = |rest: usize| format!("{base}{}{}", "é/../".repeat(300), "a".repeat(rest));
    let rest = 2_048 - shrinking(0).len();
    assert!(closed().check_url(&shrinking(rest)).is_ok());
    assert_eq!(refusal(&shrinking(rest + 1)), UrlError::TooLong);
}

#[test]
fn names_have_the_lengths_of_dns() {
    let label = "a".repeat(63);
    assert!(closed().check_url(&format!("https://{label}.example.com/")).is_ok());
    assert_eq!(refusal(&format!("https://{label}a.example.com/")), UrlError::InvalidHost);
    let named = |last: usize| {
        let name = format!("{label}.{label}.{label}.{}.com", "a".repeat(last));
        (name.len(), format!("https://{name}/"))
    };
    let (length, longest) = named(57);
    assert_eq!(length, 253);
    assert!(closed().check_url(&longest).is_ok());
    assert_eq!(refusal(&named(58).1), UrlError::InvalidHost);
}

#[test]
fn what_the_operator_opens_passes() {
    let dev = Policy::loopback_dev();
    for text in [
        "http://localhost:3000/hook",
        "http://app.localhost/",
        "https://localhost/",
        "http://127.0.0.1:3000/",
        "http://127.9.9.9/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://example.com/",
    ] {
        assert!(dev.check_url(text).is_ok(), "{text}");
    }
    let public: IpAddr = "8.8.8.8".parse().unwrap();
    assert_eq!(dev.check_url("http://8.8.8.8/").unwrap_err(), UrlError::HttpToUnopened(public));
    assert!(dev.check_url("http://10.0.0.1/").is_err());
    assert!(dev.check_url("https://10.0.0.1/").is_err());
    assert!(dev.check_url("https://notlocalhost/").is_err());
    assert!(dev.check_url("https://printer.local/").is_err());
}

#[test]
fn a_host_opens_itself_and_what_is_below_it() {
    let policy = Policy { allow_hosts: vec!["Corp.Internal".to_owned(), String::new()], ..Policy::default() };
    assert!(policy.check_url("https://corp.internal/").is_ok());
    assert!(policy.check_url("https://hooks.corp.internal/").is_ok());
    assert!(policy.check_url("https://evilcorp.internal/").is_err());
    assert!(policy.check_url("https://internal/").is_err());
    assert!(policy.check_url("https://intranet/").is_err());
}

#[test]
fn verdicts_tell_public_from_opened() {
    let policy = Policy {
        allow_cidrs: vec!["10.1.0.0/16".parse().unwrap(), "8.8.8.0/24".parse().unwrap()],
        ..Policy::default()
    };
    let judge = |address: &str| policy.judge(address.parse().unwrap());
    assert_eq!(judge("8.8.8.8"), Verdict::Public);
    assert_eq!(judge("10.1.255.255"), Verdict::Opened);
    assert_eq!(judge("::ffff:10.1.0.1"), Verdict::Opened);
    assert_eq!(judge("64:ff9b::10.1.0.1"), Verdict::Opened);
    assert_eq!(judge("10.2.0.0"), Verdict::Forbidden("private"));
    assert_eq!(judge("::ffff:10.2.0.0"), Verdict::Forbidden("private"));
    assert_eq!(judge("2002:a01:1::"), Verdict::Forbidden("private"));
}

fn url_like() -> impl Strategy<Value = String> {
    let scheme = prop_oneof!["https?", "HTTPS", "ftp"];
    let host = prop_oneof![
        "[a-z0-9.-]{1,12}\\.(com|test|local|COM)",
        "[0-9]{1,3}(\\.[0-9x]{1,4}){0,3}",
        "\\[[0-9a-f:.%]{2,20}\\]",
        "\\PC{1,8}",
    ];
    (scheme, host, "(:[0-9]{0,6})?", "[/?#\\\\]?\\PC{0,20}")
        .prop_map(|(scheme, host, port, rest)| format!("{scheme}://{host}{port}{rest}"))
}

proptest! {
    #[test]
    fn checking_never_panics_and_normalising_twice_changes_nothing(
        text in prop_oneof![url_like(), "\\PC*", ".*"],
        dev in any::<bool>(),
    ) {
        let policy = if dev { Policy::loopback_dev() } else { Policy::default() };
        if let Ok(target) = policy.check_url(&text) {
            let again = policy.check_url(target.normalized());
            prop_assert!(again.is_ok(), "{:?} {:?}", target, again);
            let again = again.unwrap();
            prop_assert_eq!(again.normalized(), target.normalized());
            prop_assert_eq!(again.host(), target.host());
        }
    }
}

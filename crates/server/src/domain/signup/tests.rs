use super::*;
use crate::domain::names;

const NOW: TimeMs = TimeMs(1_780_000_000_000);

#[test]
fn an_address_is_plain_and_a_humans() {
    let read = |text: &str| human_email(text, "mail.test");
    assert_eq!(read("Ana.Lee+bots@Example.COM").as_deref(), Ok("ana.lee+bots@example.com"));
    for bad in [
        "",
        "ana",
        "@example.com",
        "ana@",
        "ana@example",
        "ana@@example.com",
        "ana@exam ple.com",
        "ana lee@example.com",
        ".ana@example.com",
        "ana..lee@example.com",
        "ana@-example.com",
        "ana@example.com.",
        "ana@example.com\r\nBcc: x@example.com",
        "ana@example.com>\r\nRCPT TO:<x@example.com",
        "\"ana\"@example.com",
        "ana<x@example.com",
        "änä@example.com",
        "ana@exämple.com",
        "ana@[127.0.0.1]",
        "ana,lee@example.com",
        "ana@example.com\0",
    ] {
        assert_eq!(read(bad), Err(BadAddress::Form), "{bad:?}");
    }
    assert_eq!(read("help@Mail.Test"), Err(BadAddress::Ours), "an agent would vouch for itself");
    let longest = format!("ana@{}.com", ["d"; 123].join("."));
    assert_eq!(longest.len(), ADDRESS_BYTES - 1);
    assert!(read(&longest).is_ok());
    assert_eq!(read(&format!("{longest}xx")), Err(BadAddress::TooLong));
    assert!(read(&format!("{}@example.com", "a".repeat(64))).is_ok());
    assert_eq!(read(&format!("{}@example.com", "a".repeat(65))), Err(BadAddress::Form));
}

#[test]
fn what_reaches_one_human_is_counted_together() {
    for email in ["ana@example.com", "ana+1@example.com", "ana+1+2@example.com"] {
        assert_eq!(counted_as(email), "ana@example.com");
    }
    assert_ne!(counted_as("ana@example.com"), counted_as("lee@example.com"));
}

#[test]
fn a_block_is_what_one_customer_has() {
    for (address, expected) in [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
    ] {
        assert_eq!(block(address.parse().expect("an address")), expected);
    }
}

#[test]
fn every_name_gets_an_ending_and_stays_one() {
    let entropy = Entropy::seeded(1);
    let ending = suffix(&entropy);
    assert_eq!(ending.len(), SUFFIX_CHARS);
    assert_ne!(ending, suffix(&entropy));
    let longest = "h".repeat(names::HANDLE_CHARS);
    let dotted = format!("{}.x", "h".repeat(names::HANDLE_CHARS - SUFFIX_CHARS - 2));
    for base in ["help", "a", longest.as_str(), dotted.as_str()] {
        let name = named(base, &ending, names::HANDLE_CHARS);
        assert_eq!(names::handle(&name).as_deref(), Ok(name.as_str()), "{base}");
        assert!(name.ends_with(&ending) && name.len() <= names::HANDLE_CHARS, "{name}");
    }
    assert_eq!(name_of("  Sales & Support Agent! ").as_deref(), Some("sales-support-agent"));
    assert_eq!(name_of("–"), None);
}

#[test]
fn a_code_is_six_digits() {
    assert_eq!(code(&[0; 32]).expose(), "000000");
    let one = code(&[7; 32]);
    assert!(is_code(one.expose()), "{}", one.expose());
    assert_ne!(one, code(&[8; 32]));
    for bad in ["", "12345", "1234567", "12345a", "１２３４５６", "12 456"] {
        assert!(!is_code(bad), "{bad:?}");
    }
}

#[test]
fn a_token_is_what_the_client_libraries_take_for_one() {
    let token = invitation_token(&Entropy::seeded(1));
    assert_eq!(token.expose().len(), 48);
    assert!(is_invitation_token(token.expose()));
    for bad in ["", "a2ai_", &token.expose()[1..], &format!("{}x", token.expose()), &"x".repeat(48)] {
        assert!(!is_invitation_token(bad), "{bad:?}");
    }
}

#[test]
fn one_past_each_bound_is_closed() {
    let open = Standing {
        guesses: 0,
        guesses_of_code: 0,
        resends: 0,
        code_made_at: NOW,
        expires_at: NOW.after(LASTS),
    };
    assert_eq!(open.may_guess(NOW), Ok(()));
    let last = open.expires_at.before(Duration::from_millis(1));
    assert_eq!(open.may_guess(last), Ok(()));
    assert_eq!(open.may_guess(open.expires_at), Err(Closed::Expired));
    assert_eq!(open.may_resend(open.expires_at), Err(Closed::Expired));

    let soon = Duration::from_millis(299_999);
    let cooling = Closed::Wait(Wait::Cooldown, Duration::from_millis(1));
    assert_eq!(open.may_resend(NOW.after(soon)), Err(cooling));
    assert_eq!(open.may_resend(NOW.after(RESEND_COOLDOWN)), Ok(()));
    let last = Standing { resends: RESENDS - 1, ..open };
    assert_eq!(last.may_resend(NOW.after(RESEND_COOLDOWN)), Ok(()));
    let none = Standing { resends: RESENDS, ..open };
    assert_eq!(
        none.may_resend(NOW.after(RESEND_COOLDOWN)),
        Err(Closed::Wait(Wait::Resends, Duration::from_mins(48 * 60 - 5)))
    );

    let last = Standing { guesses: 4, guesses_of_code: GUESSES_OF_CODE - 1, ..open };
    assert_eq!(last.may_guess(NOW), Ok(()));
    let none = Standing { guesses: 5, guesses_of_code: GUESSES_OF_CODE, ..open };
    assert_eq!(none.may_guess(NOW), Err(Closed::Wait(Wait::Guesses, RESEND_COOLDOWN)));
    let later = NOW.after(RESEND_COOLDOWN);
    assert_eq!(none.may_guess(later), Err(Closed::Wait(Wait::Guesses, Duration::ZERO)), "until another code");
    assert_eq!(none.may_resend(later), Ok(()));
    let last = Standing { guesses: GUESSES - 1, ..open };
    assert_eq!(last.may_guess(NOW), Ok(()));
    let dead = Standing { guesses: GUESSES, ..open };
    assert_eq!(dead.may_guess(NOW), Err(Closed::UsedUp));
    assert_eq!(dead.may_resend(later), Err(Closed::UsedUp));
}

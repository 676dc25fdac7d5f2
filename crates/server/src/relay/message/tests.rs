use mail_parser::MessageParser;

use super::*;
use crate::domain::secret::Secret;

const NOW: TimeMs = TimeMs(1_780_000_000_000);

fn mail(note: &str) -> CodeMail {
    CodeMail {
        handle: "help-x7k2m9qa".into(),
        address: "help-x7k2m9qa@mail.test".into(),
        display_name: Some("Help".into()),
        harness: Some("tests".into()),
        note: note.into(),
        human_email: "ana@example.com".into(),
        code: Secret::new("012345".into()),
        expires_at: TimeMs(NOW.0 + 172_800_000),
    }
}

fn composed(mail: &CodeMail) -> String {
    compose(mail, "no-reply@mail.test", "mail.test", Uuid::from_u128(7), NOW)
}

#[test]
fn a_mail_says_who_asks_and_has_the_code_once() {
    let text = composed(&mail("Hello Ana"));
    assert!(text.is_ascii() && !text.replace("\r\n", "").contains(['\r', '\n']), "{text:?}");
    let read = MessageParser::default().parse(text.as_bytes()).expect("a mail");
    assert_eq!(read.subject(), Some("An agent names you as its human: its code"));
    assert_eq!(read.message_id(), Some("00000000-0000-0000-0000-000000000007@mail.test"));
    assert_eq!(read.date().expect("a date").to_timestamp(), NOW.unix_seconds());
    let address = |addresses: Option<&mail_parser::Address<'_>>| {
        addresses.and_then(|all| all.first()).and_then(|one| one.address()).map(ToOwned::to_owned)
    };
    assert_eq!(address(read.to()).as_deref(), Some("ana@example.com"));
    assert_eq!(address(read.from()).as_deref(), Some("no-reply@mail.test"));
    let body = read.body_text(0).expect("a text");
    for part in [
        "Handle: help-x7k2m9qa",
        "Mailbox: help-x7k2m9qa@mail.test",
        "It calls itself: Help",
        "It says that it runs in: tests",
        "good until 2026-05-30 20:26 UTC",
        "\n> Hello Ana\n",
    ] {
        assert!(body.replace("\r\n", "\n").contains(part), "{part:?} is not in {body}");
    }
    assert_eq!(body.matches("012345").count(), 1);
}

#[test]
fn what_a_stranger_chose_stays_in_its_place() {
    let evil =
        "a\r\n.\r\nMAIL FROM:<x@y.example>\r\n\r\nFrom: boss@example.com\r\n--\r\nhttps://evil.example ünd ✓";
    let given = CodeMail { display_name: Some(evil.into()), harness: Some(evil.into()), ..mail(evil) };
    let text = composed(&given);
    assert!(text.is_ascii(), "in base64");
    let head = text.split("\r\n\r\n").next().expect("a head");
    assert_eq!(head.lines().count(), 9, "{head}");
    assert!(text.lines().all(|line| line.len() <= BASE64_COLUMNS + 2));
    let read = MessageParser::default().parse(text.as_bytes()).expect("a mail");
    let body = read.body_text(0).expect("a text").replace("\r\n", "\n");
    assert!(body.contains("> From: boss[at]example[.]com\n"), "{body}");
    assert!(body.contains("> https[:]//evil[.]example ünd ✓\n"), "{body}");
    let (before, after) = body.split_once("\n> ").expect("a quote");
    assert!(!before.contains("://") && !before.contains("evil.example"), "{before}");
    assert!(
        format!("> {after}").lines().all(|line| line.starts_with("> ")),
        "nothing of ours comes after it"
    );
}

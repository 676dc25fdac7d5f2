//! One past each bound that the corpus does not reach, and mails made to cost more than they weigh.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::super::*;

fn mail(header: &str, text: &str) -> Result<ParsedMail, MailError> {
    parse(format!("From: a@client.test\r\n{header}\r\n\r\n{text}").as_bytes(), None)
}

#[test]
fn the_subject_is_cut_at_its_bound() {
    let subject = |chars: usize| {
        let line = format!("Subject: {}", "é".repeat(chars));
        mail(&line, "").unwrap().subject.unwrap().chars().count()
    };
    assert_eq!(subject(MAX_SUBJECT_CHARS), MAX_SUBJECT_CHARS);
    assert_eq!(subject(MAX_SUBJECT_CHARS + 1), MAX_SUBJECT_CHARS);
}

#[test]
fn the_snippet_is_cut_at_its_bound() {
    let snippet = |chars: usize| mail("X: y", &"x".repeat(chars)).unwrap().snippet.unwrap().len();
    assert_eq!(snippet(MAX_SNIPPET_CHARS), MAX_SNIPPET_CHARS);
    assert_eq!(snippet(MAX_SNIPPET_CHARS + 1), MAX_SNIPPET_CHARS);
}

#[test]
fn the_body_is_cut_at_its_bound() {
    let state = |bytes: usize| mail("X: y", &"x".repeat(bytes)).unwrap().body;
    assert_eq!(state(MAX_BODY_BYTES).state, BodyState::Complete);
    let cut = state(MAX_BODY_BYTES + 1);
    assert_eq!(cut.state, BodyState::Truncated);
    assert_eq!((cut.included_chars, cut.total_chars), (MAX_BODY_BYTES, MAX_BODY_BYTES + 1));
}

#[test]
fn addresses_are_counted_over_all_fields() {
    let list = |n: usize| (0..n).map(|i| format!("u{i}@x.test")).collect::<Vec<_>>().join(",\r\n ");
    let spread = |to: usize, cc: usize, more: usize| {
        let header = format!("To: {}\r\nCc: {}\r\nTo: {}", list(to), list(cc), list(more));
        mail(&header, "").map(|_| ())
    };
    assert_eq!(spread(400, 400, 199), Ok(()));
    assert_eq!(spread(400, 400, 200), Err(MailError::TooManyAddresses));
}

#[test]
fn ids_are_kept_up_to_their_bound() {
    let ids = (0..=MAX_PARENTS).map(|n| format!("<{n}@x>")).collect::<Vec<_>>().join("\r\n ");
    let parsed = mail(&format!("References: {ids}\r\nIn-Reply-To: {ids}"), "").unwrap();
    assert_eq!(parsed.references.len(), MAX_PARENTS);
    assert_eq!(parsed.references[0], "<1@x>");
    assert_eq!(parsed.in_reply_to.len(), MAX_PARENTS);
    assert_eq!(parsed.in_reply_to[0], "<0@x>");
}

#[test]
fn endless_words_are_refused_one_past_their_bound() {
    let words = |n: usize| {
        let subject = format!("{}{}", "=?ab?q?a ".repeat(n), "x".repeat(1024));
        mail(&format!("Subject: {subject}"), "").map(|_| ())
    };
    assert_eq!(words(MAX_ENDLESS_WORDS), Ok(()));
    assert_eq!(words(MAX_ENDLESS_WORDS + 1), Err(MailError::BrokenHeader));
}

#[test]
fn a_part_has_the_same_bound_on_its_header() {
    let part = format!("--b\r\nX: {}\r\n\r\ntext\r\n--b--", "x".repeat(MAX_HEADER_BYTES));
    let refused = mail("Content-Type: multipart/mixed; boundary=b", &part);
    assert_eq!(refused.unwrap_err(), MailError::HeaderTooLarge);
}

#[test]
fn parts_are_counted_at_every_depth() {
    let inner = "--i\r\n\r\nx\r\n".repeat(100);
    let branch = format!("--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n{inner}--i--\r\n");
    let mixed = |branches: &str| mail("Content-Type: multipart/mixed; boundary=o", branches);
    assert!(mixed(&branch).is_ok());
    assert_eq!(mixed(&branch.repeat(2)).unwrap_err(), MailError::TooManyParts);
}

#[test]
fn an_overlong_content_type_is_cut_not_refused() {
    let header = format!("Content-Type: text/plain; x=\"{}\"; charset=koi8-r", "y".repeat(9000));
    assert_eq!(mail(&header, "text").unwrap().body.text, "text");
}

/// Fails when the mail is not read (or refused) within `DEADLINE`: tens of times what it takes
/// when the cost grows with the size, a fraction of what it takes when it grows with its square.
fn in_time(what: &str, header: String, text: String) {
    const DEADLINE: Duration = Duration::from_secs(10);
    let (done, read) = mpsc::channel();
    thread::spawn(move || done.send(mail(&header, &text).map(|_| ())));
    let outcome = read.recv_timeout(DEADLINE);
    assert!(outcome.is_ok(), "{what:?} took more than {DEADLINE:?}");
}

#[test]
fn hostile_html_costs_no_more_than_it_weighs() {
    let units = [
        "<a \"",
        "<a b=\"",
        "<style>",
        "</style",
        "<!--",
        "<",
        "&",
        ";",
        "<a href=x>",
        "<p>",
        " <div>",
        " <td>",
        "<a href=http://x>y",
    ];
    for unit in units {
        in_time(unit, "Content-Type: text/html".to_owned(), unit.repeat(200_000));
    }
}

#[test]
fn hostile_fields_cost_no_more_than_they_weigh() {
    let units = ["(", "<", "\"", "=?", "=?a?", "a@b(", ":;", "\\", "=?ab?b?YQ ", "=?ab?q?a ", ",", "a:"];
    for unit in units {
        for name in ["From", "To", "Subject", "References", "Content-Type", "Date"] {
            let value = unit.repeat(MAX_HEADER_BYTES / 2 / unit.len());
            in_time(unit, format!("{name}: {value}"), String::new());
        }
    }
}

#[test]
fn hostile_parts_cost_no_more_than_they_weigh() {
    let mixed = || "Content-Type: multipart/mixed; boundary=b".to_owned();
    let open = "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
    for unit in [open, "--\r\n", "--b", "\n", "--b--\n"] {
        in_time(unit, mixed(), unit.repeat(100_000));
    }
    let fields = format!("--b\r\nContent-Type: text/plain; {}\r\n\r\n", "a*=''b; ".repeat(10_000));
    in_time("parameters", mixed(), fields.repeat(MAX_PARTS));
    in_time("attached mails", "Content-Type: message/rfc822\r\n\r\n".repeat(100_000), String::new());
}

#[test]
fn two_mails_to_two_mailboxes_have_one_hash() {
    let mail = "From: a@client.test\r\n\r\nx";
    let first = format!("Received: a\r\nReturn-Path: <a@client.test>\r\n{mail}");
    let second = format!("Delivered-To: other@inkhook.test\r\nReceived: b\r\n c\r\n{mail}");
    assert_eq!(content_hash(first.as_bytes()), content_hash(second.as_bytes()));
}

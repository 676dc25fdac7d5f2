//! One past each bound that the corpus does not reach, and mails made to cost more than they weigh.

use super::super::*;

fn mail(header: &str, text: &str) -> Result<ParsedMail, MailError> {
    parse(
        format!("From: a@client.test\r\n{header}\r\n\r\n{text}").as_bytes(),
        None,
    )
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
    let snippet = |chars: usize| {
        mail("X: y", &"x".repeat(chars))
            .unwrap()
            .snippet
            .unwrap()
            .len()
    };
    assert_eq!(snippet(MAX_SNIPPET_CHARS), MAX_SNIPPET_CHARS);
    assert_eq!(snippet(MAX_SNIPPET_CHARS + 1), MAX_SNIPPET_CHARS);
}

#[test]
fn the_body_is_cut_at_its_bound() {
    let state = |bytes: usize| mail("X: y", &"x".repeat(bytes)).unwrap().body;
    assert_eq!(state(MAX_BODY_BYTES).state, BodyState::Complete);
    let cut = state(MAX_BODY_BYTES + 1);
    assert_eq!(cut.state, BodyState::Truncated);
    assert_eq!(
        (cut.included_chars, cut.total_chars),
        (MAX_BODY_BYTES, MAX_BODY_BYTES + 1)
    );
}

#[test]
fn addresses_are_counted_over_all_fields() {
    let list = |n: usize| {
        (0..n)
            .map(|i| format!("u{i}@x.test"))
            .collect::<Vec<_>>()
            .join(",\r\n ")
    };
    let spread = |to: usize, cc: usize, more: usize| {
        let header = format!("To: {}\r\nCc: {}\r\nTo: {}", list(to), list(cc), list(more));
        mail(&header, "").map(|_| ())
    };
    assert_eq!(spread(400, 400, 199), Ok(()));
    assert_eq!(spread(400, 400, 200), Err(MailError::TooManyAddresses));
}

#[test]
fn ids_are_kept_up_to_their_bound() {
    let ids = (0..=MAX_PARENTS)
        .map(|n| format!("<{n}@x>"))
        .collect::<Vec<_>>()
        .join("\r\n ");
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
    let part = format!(
        "--b\r\nX: {}\r\n\r\ntext\r\n--b--",
        "x".repeat(MAX_HEADER_BYTES)
    );
    let refused = mail("Content-Type: multipart/mixed; boundary=b", &part);
    assert_eq!(refused.unwrap_err(), MailError::HeaderTooLarge);
}

#[test]
fn parts_are_counted_at_every_depth() {
    let inner = "--i\r\n\r\nx\r\n".repeat(100);
    let branch =
        format!("--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n{inner}--i--\r\n");
    let mixed = |branches: &str| mail("Content-Type: multipart/mixed; boundary=o", branches);
    assert!(mixed(&branch).is_ok());
    assert_eq!(
        mixed(&branch.repeat(2)).unwrap_err(),
        MailError::TooManyParts
    );
}

#[test]
fn an_overlong_content_type_is_cut_not_refused() {
    let header = format!(
        "Content-Type: text/plain; x=\"{}\"; charset=koi8-r",
        "y".repeat(9000)
    );
    assert_eq!(mail(&header, "text").unwrap().body.text, "text");
}

/// Each of these would take minutes, or the whole stack, if its cost grew with the square of its
/// size or with its depth; the test run's own limit is the deadline.
#[test]
fn hostile_mails_cost_no_more_than_they_weigh() {
    const MANY: usize = 200_000;
    let html = |unit: &str| {
        mail("Content-Type: text/html", &unit.repeat(MANY)).unwrap();
    };
    for unit in [
        "<a \"",
        "<a b=\"",
        "<style>",
        "<!--",
        "<",
        "&",
        "<a href=x>",
        "<p>",
        " <div>",
    ] {
        html(unit);
    }
    let open_parts = "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".repeat(MANY / 10);
    let refused = mail("Content-Type: multipart/mixed; boundary=b", &open_parts).unwrap_err();
    assert_eq!(refused, MailError::TooManyParts);
    mail(
        "Content-Type: multipart/mixed; boundary=b",
        &"--\r\n".repeat(MANY),
    )
    .unwrap();
    for unit in [
        "(",
        "<",
        "\"",
        "=?",
        "=?a?",
        "a@b(",
        ":;",
        "\\",
        "=?ab?b?YQ ",
    ] {
        let header = format!("To: {}", unit.repeat(MAX_HEADER_BYTES / 2 / unit.len()));
        let _ = mail(&header, "");
    }
}

#[test]
fn two_mails_to_two_mailboxes_have_one_hash() {
    let mail = "From: a@client.test\r\n\r\nx";
    let first = format!("Received: a\r\nReturn-Path: <a@client.test>\r\n{mail}");
    let second = format!("Delivered-To: other@inkhook.test\r\nReceived: b\r\n c\r\n{mail}");
    assert_eq!(
        content_hash(first.as_bytes()),
        content_hash(second.as_bytes())
    );
}

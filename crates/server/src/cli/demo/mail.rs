//! The mail that the demo sends: what a mail program writes when somebody uses an umlaut, formats a word
//! and attaches a file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Who writes.
pub(super) const FROM: &str = "zoe@customer.example";
/// What the receiver must find as `subject`.
pub(super) const SUBJECT: &str = "Grüße aus Zürich – Rechnung №42 ✉";
/// What the receiver must find in `body`.
pub(super) const SENTENCE: &str = "could you check the attached invoice? Merci vielmal – Zoë";

/// The mail's bytes, lines ended by CRLF. `id` makes it a mail of its own.
pub(super) fn compose(to: &str, id: &str) -> String {
    let encoded = |text: &str| STANDARD.encode(text);
    let text = format!("Hello Scout,\r\n\r\n{SENTENCE}\r\n");
    let html = format!("<p>Hello <b>Scout</b>,</p><p>{SENTENCE}</p>");
    let lines = [
        format!("From: =?UTF-8?B?{}?= <{FROM}>", encoded("Zoë")),
        format!("To: <{to}>"),
        format!("Subject: =?UTF-8?B?{}?=", encoded(SUBJECT)),
        format!("Message-ID: <{id}@customer.example>"),
        "MIME-Version: 1.0".into(),
        "Content-Type: multipart/mixed; boundary=\"outer\"".into(),
        String::new(),
        "--outer".into(),
        "Content-Type: multipart/alternative; boundary=\"inner\"".into(),
        String::new(),
        part("inner", "text/plain; charset=utf-8", None, &encoded(&text)),
        part("inner", "text/html; charset=utf-8", None, &encoded(&html)),
        "--inner--".into(),
        part("outer", "text/csv", Some("invoice-42.csv"), &encoded("item,francs\r\nfondue,42\r\n")),
        "--outer--".into(),
        String::new(),
    ];
    lines.join("\r\n")
}

fn part(boundary: &str, content_type: &str, file: Option<&str>, base64: &str) -> String {
    let disposition = file.map(|name| format!("Content-Disposition: attachment; filename=\"{name}\"\r\n"));
    let disposition = disposition.unwrap_or_default();
    format!(
        "--{boundary}\r\nContent-Type: {content_type}\r\n{disposition}\
         Content-Transfer-Encoding: base64\r\n\r\n{}",
        folded(base64)
    )
}

/// In lines of 76 characters (RFC 2045 section 6.8).
fn folded(base64: &str) -> String {
    let lines: Vec<_> = base64.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
    lines.join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::mail;

    #[test]
    fn it_reads_back_as_it_was_meant() {
        let mail = compose("scout@mail.localhost", "1");
        assert!(mail.is_ascii() && mail.split("\r\n").all(|line| line.len() <= 78 && !line.contains('\n')));
        let parsed = mail::parse(mail.as_bytes(), None).unwrap();
        assert_eq!(parsed.subject.as_deref(), Some(SUBJECT));
        assert_eq!(parsed.from_address, FROM);
        assert!(parsed.has_attachments);
    }
}

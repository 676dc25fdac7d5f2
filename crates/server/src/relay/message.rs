//! The mail that brings a code.
//!
//! Its header is made of nothing that a stranger chose but the recipient's address, which is plain ASCII and has been
//! checked to be one ([`crate::domain::signup::human_email`]): there is no way to another line from there. What the
//! agent says of itself is in the body, quoted and without links ([`super::defuse`]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::defuse;
use crate::domain::signup::CodeMail;
use crate::domain::time::TimeMs;

/// Characters of a display name or a harness that are shown.
const SHOWN_CHARS: usize = 100;
/// Columns of a body in base64 (RFC 2045, 6.8).
const BASE64_COLUMNS: usize = 76;

/// The whole mail, its lines ended as SMTP wants them.
pub(super) fn compose(mail: &CodeMail, from: &str, mail_domain: &str, id: Uuid, now: TimeMs) -> String {
    let (body, encoding) = encoded(&body(mail, mail_domain));
    let mut text = String::new();
    for (name, value) in [
        ("Date", date(now).as_str()),
        ("From", from),
        ("To", &mail.human_email),
        ("Subject", "An agent names you as its human: its code"),
        ("Message-ID", &format!("<{id}@{mail_domain}>")),
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Transfer-Encoding", encoding),
    ] {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text.push_str(&body);
    text
}

fn body(mail: &CodeMail, mail_domain: &str) -> String {
    let called = match &mail.display_name {
        Some(name) if *name != mail.handle => {
            format!("  It calls itself: {}\n", defuse::in_line(name, SHOWN_CHARS))
        }
        _ => String::new(),
    };
    let harness = match &mail.harness {
        Some(harness) => format!("  It says that it runs in: {}\n", defuse::in_line(harness, SHOWN_CHARS)),
        None => String::new(),
    };
    format!(
        "An agent has signed up at {mail_domain} and names you as its human.\n\
         \n\
         \x20 Handle: {handle}\n\
         \x20 Mailbox: {address}\n\
         {called}{harness}\
         \n\
         If you know it and vouch for it, tell it this code:\n\
         \n\
         \x20   {code}\n\
         \n\
         The code is good until {until} UTC. If you do not know what this is about, do\n\
         nothing: the agent is deleted then, and it can do nothing in your name.\n\
         \n\
         What it wrote to you, quoted as it came, with links made harmless:\n\
         \n\
         {note}",
        handle = mail.handle,
        address = mail.address,
        code = mail.code.expose(),
        until = until(mail.expires_at),
        note = defuse::quoted(&mail.note),
    )
}

/// As it is when every mail server takes it so, in base64 otherwise.
fn encoded(body: &str) -> (String, &'static str) {
    if body.is_ascii() {
        return (body.replace('\n', "\r\n"), "7bit");
    }
    let mut text = String::new();
    let all = STANDARD.encode(body.replace('\n', "\r\n"));
    for line in all.as_bytes().chunks(BASE64_COLUMNS) {
        text.extend(line.iter().copied().map(char::from));
        text.push_str("\r\n");
    }
    (text, "base64")
}

fn date(now: TimeMs) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(now.0).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_string(&timestamp).unwrap_or_default()
}

/// To the minute.
fn until(time: TimeMs) -> String {
    let text = time.to_rfc3339();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

#[cfg(test)]
mod tests;

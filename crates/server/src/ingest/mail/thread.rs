//! What decides which thread a mail belongs to.
//!
//! The store looks for the first of [`ThreadKey::parents`] that it knows in the same mailbox, and
//! lets the mail join that thread only if its sender is among the participants of an earlier mail of
//! it. A Message-ID is easily guessed or read in a forwarded mail; having taken part is not.

use std::borrow::Cow;

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

use super::fields::Header;
use super::{MAX_MESSAGE_ID_BYTES, MAX_PARENTS, ParsedMail};
use crate::domain::mail_address::normalize;

/// What the store needs to find a mail's thread and to remember who took part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadKey {
    /// Message-IDs that this mail may answer, nearest first: `In-Reply-To`, then `References` from
    /// the last to the first. Each once, at most [`MAX_PARENTS`], never the mail's own.
    pub parents: Vec<String>,
    /// The sender, as [`normalize`] writes it.
    pub sender: String,
    /// Sender, `To` and `Cc`, as [`normalize`] writes them, sorted, each once.
    pub participants: Vec<String>,
}

/// The thread key of a mail.
pub fn thread_key(mail: &ParsedMail) -> ThreadKey {
    let mut parents: Vec<String> = Vec::new();
    for id in mail.in_reply_to.iter().chain(mail.references.iter().rev()) {
        if parents.len() == MAX_PARENTS {
            break;
        }
        if mail.message_id.as_ref() != Some(id) && !parents.contains(id) {
            parents.push(id.clone());
        }
    }
    let copied = mail.cc_addresses.iter().flatten();
    let others = mail.to_addresses.iter().chain(copied);
    let mut participants: Vec<String> =
        std::iter::once(&mail.from_address).chain(others).map(|a| normalize(a)).collect();
    participants.sort_unstable();
    participants.dedup();
    ThreadKey { parents, sender: normalize(&mail.from_address), participants }
}

/// The ids of every field called `name`, in order, with angle brackets, which an id that came
/// without them is given. White space that folding left in an id is taken out; an id longer than
/// [`MAX_MESSAGE_ID_BYTES`] is left out.
pub(super) fn ids(header: &Header<'_>, name: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for value in header.all(name) {
        match MessageStream::new(&value).parse_id() {
            HeaderValue::Text(id) => found.extend(bracketed(&id)),
            HeaderValue::TextList(list) => {
                found.extend(list.iter().filter_map(|id: &Cow<'_, str>| bracketed(id)));
            }
            _ => {}
        }
    }
    found
}

fn bracketed(id: &str) -> Option<String> {
    let inner: String = id.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    (!inner.is_empty() && inner.len() + 2 <= MAX_MESSAGE_ID_BYTES).then(|| format!("<{inner}>"))
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn mail(header: &str) -> ParsedMail {
        let raw = format!("From: Ana@Example.com\r\n{header}\r\n\r\n");
        parse(raw.as_bytes(), None).unwrap()
    }

    #[test]
    fn parents_go_from_the_nearest_to_the_oldest() {
        let key = thread_key(&mail(
            "Message-ID: <d@x>\r\nIn-Reply-To: <c@x>\r\nReferences: <a@x> <b@x>\r\n <c@x> <d@x>",
        ));
        assert_eq!(key.parents, ["<c@x>", "<b@x>", "<a@x>"]);
    }

    #[test]
    fn of_many_references_the_last_are_kept() {
        let ids: Vec<String> = (0..=MAX_PARENTS).map(|n| format!("<{n}@x>")).collect();
        let key = thread_key(&mail(&format!("References: {}", ids.join("\r\n "))));
        assert_eq!(key.parents.len(), MAX_PARENTS);
        assert_eq!(key.parents.first(), ids.last());
        assert_eq!(key.parents.last().map(String::as_str), Some("<1@x>"));
        let both = format!("In-Reply-To: <new@x>\r\nReferences: {}", ids.join("\r\n "));
        let key = thread_key(&mail(&both));
        assert_eq!(key.parents.len(), MAX_PARENTS);
        assert_eq!(key.parents[0], "<new@x>");
    }

    #[test]
    fn participants_are_sender_to_and_cc_in_one_form() {
        let key = thread_key(&mail("To: B@x.test, ana@example.com\r\nCc: C@x.test\r\nBcc: d@x.test"));
        assert_eq!(key.sender, "ana@example.com");
        assert_eq!(key.participants, ["ana@example.com", "b@x.test", "c@x.test"]);
    }

    #[test]
    fn an_id_is_at_most_as_long_as_its_bound() {
        let id = |len: usize| format!("Message-ID: <{}>", "i".repeat(len - 2));
        assert!(mail(&id(MAX_MESSAGE_ID_BYTES)).message_id.is_some());
        assert!(mail(&id(MAX_MESSAGE_ID_BYTES + 1)).message_id.is_none());
    }
}

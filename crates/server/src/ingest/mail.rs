//! From the bytes of a mail to what a `message.received` event says about it.
//!
//! Promises: [`parse`] is pure, never panics, and its work and its answer are bounded whatever it
//! is given. A mail that is merely broken is read as well as it can be (an unknown charset, a
//! boundary that never ends, a header without its colon); only one that is past a bound, or that
//! names no sender at all, is refused, and the refusal is final: the same bytes are refused again.
//!
//! Never: opens an attached mail. A `message/rfc822` part is one opaque attachment, so nothing in
//! it is counted, decoded or recursed into. Never verifies the sender, and never trusts a header
//! for more than what it says.
//!
//! The library `mail-parser` reads the fields (addresses, encoded words, ids, dates, content
//! types), undoes the transfer encodings and converts the charsets. The walk over the parts is
//! ours ([`mime`]), because the library (0.11) has no bound on parts or depth and frees nested
//! mails by recursion.
//!
//! # What is kept
//!
//! * `subject`: decoded, white space collapsed, control characters gone, at most
//!   [`MAX_SUBJECT_CHARS`]; of several the first.
//! * addresses: bare `local@domain`, domain in lower case, order and repeats as in the mail; groups
//!   are flattened; several `To` or `Cc` fields are joined; what is no address is left out.
//! * `body`: every `text/plain` part that is shown in line, in order, joined by an empty line;
//!   of alternatives the plain one, unless it is blank; else the HTML turned into text. Line ends
//!   are LF, trailing line ends are gone, NUL is shown as U+FFFD. Quotes, signatures and
//!   `format=flowed` line breaks stay as they came. Cut at [`MAX_BODY_BYTES`].
//! * `has_attachments`: see [`mime::Part::has_attachments`].

mod address;
mod data;
mod fields;
mod html;
mod mime;
mod text;
mod thread;

#[cfg(test)]
mod tests;

pub use data::{MessageFacts, message_data};
pub use fields::content_hash;
pub use text::{Body, BodyState};
pub use thread::{ThreadKey, thread_key};

use fields::Header;
use mail_parser::DateTime;
use mail_parser::parsers::MessageStream;

/// Largest header section, of the mail or of one part, in bytes without its closing empty line.
pub const MAX_HEADER_BYTES: usize = 256 * 1024;
/// Most `Received` fields: a mail with more is going in circles (RFC 5321 section 6.3).
pub const MAX_RECEIVED: usize = 50;
/// Most parts, each being what follows one boundary line. The mail itself is not counted.
pub const MAX_PARTS: usize = 200;
/// Most multiparts around one part.
pub const MAX_DEPTH: usize = 20;
/// Most addresses in one event: sender, `to_addresses` and `cc_addresses` together.
pub const MAX_ADDRESSES: usize = 1_000;
/// Longest address, in bytes: 64 for the local part, the `@`, 255 for the domain (RFC 5321 4.5.3.1).
pub const MAX_ADDRESS_BYTES: usize = 320;
/// Longest `body`, in bytes of UTF-8; cut before the character that would go past it.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest `snippet`, in characters.
pub const MAX_SNIPPET_CHARS: usize = 200;
/// Longest `subject`, in characters: as long as one header line may be (RFC 5322 section 2.1.1).
pub const MAX_SUBJECT_CHARS: usize = 998;
/// Longest Message-ID that is kept, in bytes with its brackets; a longer one counts as none.
pub const MAX_MESSAGE_ID_BYTES: usize = 998;
/// Most ids kept of `In-Reply-To` and of `References` (there the last ones), and most candidates
/// in a [`ThreadKey`].
pub const MAX_PARENTS: usize = 50;
/// Most encoded words in the mail's header that do not end within 1 KiB. Each makes the library
/// look ahead to the end of its field, so many of them would cost the square of the header's size.
pub const MAX_ENDLESS_WORDS: usize = 64;

/// Why a mail is refused for good: an SMTP listener answers 554 with this text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// A header section is larger than [`MAX_HEADER_BYTES`].
    #[error("header section is larger than {MAX_HEADER_BYTES} bytes")]
    HeaderTooLarge,
    /// More than [`MAX_RECEIVED`] `Received` fields.
    #[error("more than {MAX_RECEIVED} Received fields: mail loop")]
    TooManyHops,
    /// More than [`MAX_PARTS`] parts.
    #[error("more than {MAX_PARTS} parts")]
    TooManyParts,
    /// A part inside more than [`MAX_DEPTH`] multiparts.
    #[error("parts nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More than [`MAX_ADDRESSES`] addresses.
    #[error("more than {MAX_ADDRESSES} addresses in From, To and Cc")]
    TooManyAddresses,
    /// More than [`MAX_ENDLESS_WORDS`] encoded words without an end.
    #[error("header is full of broken encoded words")]
    BrokenHeader,
    /// Neither `From` nor the envelope names a sender.
    #[error("no usable sender in From or in the envelope")]
    NoSender,
}

/// What an event needs to know of a mail. See the module for what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedMail {
    /// With angle brackets.
    pub message_id: Option<String>,
    /// The first usable address of `From`, else the envelope's sender.
    pub from_address: String,
    /// Empty when there is none.
    pub to_addresses: Vec<String>,
    /// `None` when there is none.
    pub cc_addresses: Option<Vec<String>>,
    /// `None` when the field is absent or blank.
    pub subject: Option<String>,
    /// The first [`MAX_SNIPPET_CHARS`] of the body, white space collapsed; `None` when blank.
    pub snippet: Option<String>,
    /// The text of the mail.
    pub body: Body,
    /// Whether a person would say that something is attached.
    pub has_attachments: bool,
    /// Ids of `In-Reply-To`, with angle brackets, at most [`MAX_PARENTS`].
    pub in_reply_to: Vec<String>,
    /// Ids of `References` in the mail's order, with angle brackets, the last [`MAX_PARENTS`].
    pub references: Vec<String>,
    /// The `Date` field in Unix seconds, when it is a date.
    pub date_s: Option<i64>,
}

/// Reads a mail as it came over the wire. `envelope_sender` is the reverse path (without
/// brackets; `None` or empty for the null path) and stands in for a `From` without an address.
pub fn parse(raw: &[u8], envelope_sender: Option<&str>) -> Result<ParsedMail, MailError> {
    let (header, content) = Header::split(raw)?;
    if header.all(b"received").count() > MAX_RECEIVED {
        return Err(MailError::TooManyHops);
    }
    let read = [&b"subject"[..], b"from", b"to", b"cc"];
    if read.iter().map(|name| header.endless_words(name)).sum::<usize>() > MAX_ENDLESS_WORDS {
        return Err(MailError::BrokenHeader);
    }
    let from_address = address::of(&header, b"from")
        .into_iter()
        .next()
        .or_else(|| envelope_sender.and_then(address::clean))
        .ok_or(MailError::NoSender)?;
    let to_addresses = address::of(&header, b"to");
    let cc_addresses = address::of(&header, b"cc");
    if 1 + to_addresses.len() + cc_addresses.len() > MAX_ADDRESSES {
        return Err(MailError::TooManyAddresses);
    }
    let message = mime::Part::message(&header, content)?;
    let text = text::of(&message);
    let mut references = thread::ids(&header, b"references");
    references.drain(..references.len().saturating_sub(MAX_PARENTS));
    let mut in_reply_to = thread::ids(&header, b"in-reply-to");
    in_reply_to.truncate(MAX_PARENTS);
    Ok(ParsedMail {
        message_id: thread::ids(&header, b"message-id").into_iter().next(),
        from_address,
        to_addresses,
        cc_addresses: Some(cc_addresses).filter(|list| !list.is_empty()),
        subject: subject(&header),
        snippet: text.as_deref().and_then(text::snippet),
        body: Body::cut(text),
        has_attachments: message.has_attachments(),
        in_reply_to,
        references,
        date_s: date_s(&header),
    })
}

/// The decoded subject in one line.
fn subject(header: &Header<'_>) -> Option<String> {
    let value = header.first(b"subject")?;
    let decoded = MessageStream::new(&value).parse_unstructured().into_text()?;
    text::one_line(&decoded, MAX_SUBJECT_CHARS)
}

fn date_s(header: &Header<'_>) -> Option<i64> {
    let value = header.first(b"date")?;
    let date = MessageStream::new(&value).parse_date().into_datetime()?;
    date.is_valid().then(|| DateTime::to_timestamp(&date))
}

//! Splits a header section into fields, and names a mail by what it says.
//!
//! Only the splitting is done here; what a field means is read elsewhere. A section ends at its
//! first empty line, or at the first line that cannot be a field: a mail that lost its empty line
//! keeps that line as text, as Python's `email` does it.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::{MAX_HEADER_BYTES, MailError};

/// An encoded word that does not end within this many bytes counts as endless. RFC 2047 allows 75
/// in all; some senders put a whole subject into one.
const MAX_WORD_BYTES: usize = 1024;

/// Fields that a relay puts on top of a mail. They differ between two copies of one mail.
const TRACE: [&[u8]; 3] = [b"return-path", b"received", b"delivered-to"];

/// One field: its name without the colon, and all that follows the colon up to and with the last
/// line end, folds included.
#[derive(Debug, Clone, Copy)]
struct Field<'x> {
    name: &'x [u8],
    value: &'x [u8],
}

/// The fields of one header section, in order.
#[derive(Debug, Default)]
pub(super) struct Header<'x> {
    fields: Vec<Field<'x>>,
}

impl<'x> Header<'x> {
    /// Splits `raw` into its header section and what comes after it. Looks no further than
    /// [`MAX_HEADER_BYTES`].
    pub(super) fn split(raw: &'x [u8]) -> Result<(Self, &'x [u8]), MailError> {
        let seen = &raw[..raw.len().min(MAX_HEADER_BYTES + 2)];
        let mut fields = Vec::new();
        // The envelope line of an mbox file is no field and no text.
        let mut at = if seen.starts_with(b"From ") { line_len(seen) } else { 0 };
        while let Some((field, len)) = Field::take(&seen[at..]) {
            fields.push(field);
            at += len;
        }
        let unread = seen.len() < raw.len();
        if at > MAX_HEADER_BYTES || (unread && !seen[at..].contains(&b'\n')) {
            return Err(MailError::HeaderTooLarge);
        }
        let rest = &raw[at..];
        let rest = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).unwrap_or(rest);
        Ok((Self { fields }, rest))
    }

    /// The values of every field called `name` (lower case), each ending with a line end.
    pub(super) fn all(&self, name: &[u8]) -> impl Iterator<Item = Cow<'x, [u8]>> {
        self.named(name).map(|value| {
            if value.ends_with(b"\n") { Cow::Borrowed(value) } else { Cow::Owned([value, b"\n"].concat()) }
        })
    }

    /// The value of the first field called `name` (lower case).
    pub(super) fn first(&self, name: &[u8]) -> Option<Cow<'x, [u8]>> {
        self.all(name).next()
    }

    /// How many encoded words in the fields called `name` do not end within [`MAX_WORD_BYTES`].
    pub(super) fn endless_words(&self, name: &[u8]) -> usize {
        self.named(name).map(endless_words).sum()
    }

    fn named(&self, name: &[u8]) -> impl Iterator<Item = &'x [u8]> {
        let matching = self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        matching.map(|field| field.value)
    }
}

impl<'x> Field<'x> {
    /// The field that `bytes` begins with, and its length.
    fn take(bytes: &'x [u8]) -> Option<(Self, usize)> {
        let name_len = bytes.iter().take_while(|b| b.is_ascii_graphic() && **b != b':').count();
        let blanks = bytes[name_len..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let colon = name_len + blanks;
        if name_len == 0 || bytes.get(colon) != Some(&b':') {
            return None;
        }
        let start = colon + 1;
        let mut end = start + line_len(&bytes[start..]);
        while matches!(bytes.get(end), Some(b' ' | b'\t')) {
            end += line_len(&bytes[end..]);
        }
        let field = Self { name: &bytes[..name_len], value: &bytes[start..end] };
        Some((field, end))
    }
}

/// Length of the first line with its line end.
pub(super) fn line_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1)
}

fn endless_words(value: &[u8]) -> usize {
    let starts = value.windows(2).enumerate().filter(|(_, pair)| *pair == b"=?");
    starts.filter(|(at, _)| is_endless(&value[at + 2..])).count()
}

/// Whether the encoded word whose `=?` comes just before `rest` has no end nearby. What cannot be
/// a word (no charset or encoding nearby) ends at once.
fn is_endless(rest: &[u8]) -> bool {
    let near = &rest[..rest.len().min(MAX_WORD_BYTES)];
    let mut marks = near.iter().enumerate().filter(|(_, b)| **b == b'?').map(|(at, _)| at);
    match (marks.next(), marks.next()) {
        (Some(charset_end), Some(encoding_end)) => {
            encoding_end == charset_end + 2 && !near[encoding_end + 1..].windows(2).any(|pair| pair == b"?=")
        }
        _ => rest.len() > MAX_WORD_BYTES,
    }
}

/// SHA-256 of the mail without the trace fields it begins with (`Return-Path`, `Received`,
/// `Delivered-To`, folded lines included), so that two copies of one mail that took different ways
/// here have one hash. A trace field after any other field counts as content.
pub fn content_hash(raw: &[u8]) -> [u8; 32] {
    let mut rest = raw;
    while let Some((field, len)) = Field::take(rest) {
        if !TRACE.iter().any(|name| field.name.eq_ignore_ascii_case(name)) {
            break;
        }
        rest = &rest[len..];
    }
    Sha256::digest(rest).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(header: &Header<'_>, name: &str) -> Vec<String> {
        header.all(name.as_bytes()).map(|v| String::from_utf8_lossy(&v).into_owned()).collect()
    }

    #[test]
    fn folds_belong_to_their_field_and_an_empty_line_ends_the_section() {
        let (header, rest) = Header::split(b"A: 1\r\n 2\r\nb : 3\nA:4\r\n\r\nC: 5").unwrap();
        assert_eq!(values(&header, "a"), [" 1\r\n 2\r\n", "4\r\n"]);
        assert_eq!(values(&header, "b"), [" 3\n"]);
        assert_eq!(rest, b"C: 5");
    }

    #[test]
    fn a_line_that_is_no_field_begins_the_text() {
        let (header, rest) = Header::split(b"A: 1\nhello there\nB: 2\n").unwrap();
        assert_eq!(values(&header, "a"), [" 1\n"]);
        assert_eq!(rest, b"hello there\nB: 2\n");
    }

    #[test]
    fn the_section_may_be_as_large_as_its_bound_and_no_larger() {
        let field = |len: usize| [b"A: ", &vec![b'x'; len - 5][..], b"\r\n"].concat();
        let mut mail = field(MAX_HEADER_BYTES);
        mail.extend_from_slice(b"\r\ntext");
        assert_eq!(Header::split(&mail).unwrap().1, b"text");
        let mut mail = field(MAX_HEADER_BYTES + 1);
        mail.extend_from_slice(b"\r\ntext");
        assert_eq!(Header::split(&mail).unwrap_err(), MailError::HeaderTooLarge);
        let name = vec![b'x'; MAX_HEADER_BYTES + 10];
        assert_eq!(Header::split(&name).unwrap_err(), MailError::HeaderTooLarge);
    }

    #[test]
    fn the_hash_leaves_out_only_leading_trace_fields() {
        let base = content_hash(b"Subject: a\r\nReceived: x\r\n\r\nb");
        let traced = b"Return-Path: <a@example.com>\r\nRECEIVED: from x\r\n\tby y\r\n \
            for z\r\nDelivered-To: b@example.test\r\nSubject: a\r\nReceived: x\r\n\r\nb";
        assert_eq!(content_hash(traced), base);
        assert_ne!(content_hash(b"Subject: a\r\nReceived: y\r\n\r\nb"), base);
        assert_ne!(content_hash(b"Subject: a\r\nReceived: x\r\n\r\nc"), base);
        assert_eq!(content_hash(b""), content_hash(b"Received: only"));
    }

    #[test]
    fn words_without_an_end_are_counted() {
        assert_eq!(endless_words(b"=?utf-8?q?a?= =?utf-8?b?YQ==?="), 0);
        let long = [&b"=?ab?q?"[..], &[b'a'; MAX_WORD_BYTES]].concat();
        assert_eq!(endless_words(&long), 1);
        assert_eq!(endless_words(&b"=?ab?q?a ".repeat(500)), 500);
    }
}

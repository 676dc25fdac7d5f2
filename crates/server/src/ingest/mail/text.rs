//! The text of a mail: which parts it comes from, decoded, cut, and in brief.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;

use super::mime::{Content, Encoding, Part};
use super::{MAX_BODY_BYTES, MAX_SNIPPET_CHARS, html};

/// Whether an event holds the whole text of its mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyState {
    /// All of it.
    Complete,
    /// The beginning, up to [`MAX_BODY_BYTES`].
    Truncated,
    /// The mail has no text: no part of it is `text/plain` or `text/html`.
    Unavailable,
}

/// The text of a mail as an event holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// At most [`MAX_BODY_BYTES`]; empty when unavailable.
    pub text: String,
    /// Whether `text` is all there is.
    pub state: BodyState,
    /// Characters (Unicode scalar values) of the mail's text.
    pub total_chars: usize,
    /// Characters of `text`.
    pub included_chars: usize,
}

impl Body {
    /// Cuts `text` to what an event holds.
    pub(super) fn cut(text: Option<String>) -> Self {
        let Some(mut text) = text else {
            let state = BodyState::Unavailable;
            return Self { text: String::new(), state, total_chars: 0, included_chars: 0 };
        };
        let total_chars = text.chars().count();
        if text.len() <= MAX_BODY_BYTES {
            let state = BodyState::Complete;
            return Self { text, state, total_chars, included_chars: total_chars };
        }
        text.truncate(text.floor_char_boundary(MAX_BODY_BYTES));
        text.shrink_to_fit();
        let included_chars = text.chars().count();
        Self { text, state: BodyState::Truncated, total_chars, included_chars }
    }
}

/// The text of a mail, whole; `None` when no part of it is text to show.
pub(super) fn of(message: &Part<'_>) -> Option<String> {
    let text = match message.content {
        // A mail of one part is its text, even one that calls itself an attachment.
        Content::Leaf(raw) if message.is_text() => Some(decode(message, raw)),
        _ => shown(message),
    }?;
    Some(without_last_line_ends(text))
}

/// Text to show of a part. Recursion ends at the depth that the tree was built with.
fn shown(part: &Part<'_>) -> Option<String> {
    match &part.content {
        Content::Leaf(raw) => part.is_shown_text().then(|| decode(part, raw)),
        Content::Parts(parts) if part.media == "multipart/alternative" => alternative(parts),
        // The first is what the others are resources or the signature of.
        Content::Parts(parts) if matches!(&*part.media, "multipart/related" | "multipart/signed") => {
            parts.iter().find_map(shown)
        }
        Content::Parts(parts) => joined(parts),
    }
}

/// The first alternative with plain text in it, unless it is blank; else the last one with text.
fn alternative(parts: &[Part<'_>]) -> Option<String> {
    let plain = parts.iter().filter(|part| has_plain(part)).find_map(shown);
    let plain = plain.filter(|text| !text.trim().is_empty());
    plain.or_else(|| parts.iter().rev().find_map(shown))
}

fn has_plain(part: &Part<'_>) -> bool {
    match &part.content {
        Content::Leaf(_) => part.is_shown_text() && part.media == "text/plain",
        Content::Parts(parts) => parts.iter().any(has_plain),
    }
}

fn joined(parts: &[Part<'_>]) -> Option<String> {
    let mut all: Option<String> = None;
    for text in parts.iter().filter_map(shown).map(without_last_line_ends) {
        match &mut all {
            None => all = Some(text),
            Some(_) if text.is_empty() => {}
            Some(all) if all.is_empty() => *all = text,
            Some(all) => {
                all.push_str("\n\n");
                all.push_str(&text);
            }
        }
    }
    all
}

fn without_last_line_ends(mut text: String) -> String {
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// The text of a leaf: transfer encoding undone, charset converted, line ends made LF.
fn decode(part: &Part<'_>, raw: &[u8]) -> String {
    let bytes = match part.encoding {
        Encoding::Base64 => base64(raw),
        Encoding::QuotedPrintable => MessageStream::new(raw).decode_quoted_printable_mime(b"").1,
        Encoding::Identity => Cow::Borrowed(raw),
    };
    let text = charset(part.charset.as_deref(), &bytes);
    let text = clean(text.strip_prefix('\u{feff}').unwrap_or(&text));
    if part.media == "text/html" { html::to_text(&text) } else { text }
}

/// Decodes base64 and passes over what is not of its alphabet, as RFC 2045 section 6.8 wants it.
/// A missing padding is made up for.
fn base64(raw: &[u8]) -> Cow<'_, [u8]> {
    let of_alphabet = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let mut kept: Vec<u8> = raw.iter().copied().filter(of_alphabet).collect();
    let open = kept.iter().rev().take_while(|b| **b != b'=').count() % 4;
    match open {
        1 => kept.truncate(kept.len() - 1),
        2 | 3 => kept.push(b'='),
        _ => {}
    }
    Cow::Owned(MessageStream::new(&kept).decode_base64_mime(b"").1.into_owned())
}

/// Converts `bytes` to text, lossily. What has no charset, an unknown one, or says that it is
/// ASCII, is UTF-8 if it can be.
fn charset<'x>(label: Option<&str>, bytes: &'x [u8]) -> Cow<'x, str> {
    let label = label.unwrap_or_default().trim().to_ascii_lowercase();
    let says_little = matches!(label.as_str(), "" | "us-ascii" | "ascii" | "utf-8" | "utf8");
    if says_little && let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    match charset_decoder(label.as_bytes()) {
        Some(decoder) if !label.is_empty() => Cow::Owned(decoder(bytes)),
        _ => String::from_utf8_lossy(bytes),
    }
}

/// CRLF and CR become LF; NUL becomes U+FFFD, which every database and terminal can hold.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                cleaned.push('\n');
            }
            '\0' => cleaned.push(char::REPLACEMENT_CHARACTER),
            c => cleaned.push(c),
        }
    }
    cleaned
}

/// The beginning of the text in one line.
pub(super) fn snippet(text: &str) -> Option<String> {
    one_line(text, MAX_SNIPPET_CHARS)
}

/// At most `max_chars` of `text`, runs of white space and control characters made one space, none
/// at the ends. `None` when nothing is left.
pub(super) fn one_line(text: &str, max_chars: usize) -> Option<String> {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let mut line = String::new();
    let mut room = max_chars;
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            if room < 2 {
                break;
            }
            line.push(' ');
            room -= 1;
        }
        let before = line.len();
        line.extend(word.chars().take(room));
        room -= line[before..].chars().count();
        if room == 0 {
            break;
        }
    }
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_cut_before_the_character_that_goes_past() {
        let whole = Body::cut(Some("x".repeat(MAX_BODY_BYTES)));
        assert_eq!(whole.state, BodyState::Complete);
        assert_eq!((whole.total_chars, whole.included_chars), (MAX_BODY_BYTES, MAX_BODY_BYTES));
        let cut = Body::cut(Some(format!("{}é!", "x".repeat(MAX_BODY_BYTES - 1))));
        assert_eq!(cut.state, BodyState::Truncated);
        assert_eq!(cut.text.len(), MAX_BODY_BYTES - 1);
        assert_eq!((cut.total_chars, cut.included_chars), (MAX_BODY_BYTES + 1, MAX_BODY_BYTES - 1));
        let none = Body::cut(None);
        assert_eq!((none.state, none.total_chars), (BodyState::Unavailable, 0));
    }

    #[test]
    fn one_line_is_cut_at_its_bound_and_has_no_space_at_its_ends() {
        assert_eq!(one_line(" a\t\r\n b\u{0}c ", 10).as_deref(), Some("a b c"));
        assert_eq!(one_line("ab cd", 3).as_deref(), Some("ab"));
        assert_eq!(one_line("ab cd", 4).as_deref(), Some("ab c"));
        assert_eq!(one_line(" \n ", 4), None);
        let long = "é".repeat(MAX_SNIPPET_CHARS + 1);
        assert_eq!(snippet(&long).unwrap().chars().count(), MAX_SNIPPET_CHARS);
    }

    #[test]
    fn base64_passes_over_junk_and_lost_padding() {
        assert_eq!(&*base64(b"aGVs!\r\n*bG8="), b"hello");
        assert_eq!(&*base64(b"aGVsbG8"), b"hello");
        assert_eq!(&*base64(b"aGVsbG9v\nZg"), b"helloof");
        assert_eq!(&*base64(b"aGVsbG8hh"), b"hello!");
        assert_eq!(&*base64(b"!!"), b"");
    }

    #[test]
    fn a_charset_never_fails() {
        assert_eq!(charset(Some("KOI8-R"), b"\xf0\xd2\xc9"), "При");
        assert_eq!(charset(Some("x-nowhere"), b"a\xe9"), "a\u{fffd}");
        assert_eq!(charset(Some("us-ascii"), "é".as_bytes()), "é");
        assert_eq!(charset(Some("us-ascii"), b"caf\xe9"), "café");
        assert_eq!(charset(Some(""), b"\xe9"), "\u{fffd}");
        assert_eq!(charset(None, "é".as_bytes()), "é");
    }

    #[test]
    fn line_ends_are_lf_and_nul_is_shown() {
        assert_eq!(clean("a\r\nb\rc\nd\0"), "a\nb\nc\nd\u{fffd}");
    }
}

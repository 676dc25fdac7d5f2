//! The tree of parts of a mail, its size and depth bounded while it is built.
//!
//! Outer boundaries are looked for before inner ones, so a part that never ends is ended by the
//! multipart around it, and one that nothing ends goes to the end of the mail. A boundary line is
//! exactly `--` and the boundary (and `--` when it is the last), then white space at most: a
//! boundary that begins with another one is not taken for it.

use mail_parser::ContentType;
use mail_parser::parsers::MessageStream;

use super::fields::{Header, line_len};
use super::{MAX_DEPTH, MAX_PARTS, MailError};

/// A content type or disposition longer than this is cut. No honest one comes near.
const MAX_MIME_FIELD_BYTES: usize = 4 * 1024;

/// How a leaf's bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Base64,
    QuotedPrintable,
    Identity,
}

/// How a part asks to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disposition {
    Attachment,
    Inline,
    /// It does not say, or says something else.
    Unsaid,
}

/// What a part holds.
#[derive(Debug)]
pub(super) enum Content<'x> {
    Parts(Vec<Part<'x>>),
    /// Still in its transfer encoding.
    Leaf(&'x [u8]),
}

/// One part of a mail, or the mail itself.
#[derive(Debug)]
pub(super) struct Part<'x> {
    /// `type/subtype` in lower case.
    pub(super) media: String,
    pub(super) charset: Option<String>,
    pub(super) encoding: Encoding,
    pub(super) content: Content<'x>,
    disposition: Disposition,
    named: bool,
    has_id: bool,
}

impl<'x> Part<'x> {
    /// The whole mail, from its header and what comes after it.
    pub(super) fn message(header: &Header<'x>, content: &'x [u8]) -> Result<Self, MailError> {
        Self::build(header, content, "text/plain", 0, &mut 0)
    }

    fn build(
        header: &Header<'x>,
        content: &'x [u8],
        default_media: &str,
        depth: usize,
        parts: &mut usize,
    ) -> Result<Self, MailError> {
        let ctype = mime_field(header, b"content-type");
        let disposition = mime_field(header, b"content-disposition");
        let media = ctype.as_ref().and_then(media).unwrap_or_else(|| default_media.to_owned());
        let attribute = |field: &Option<ContentType<'static>>, name: &str| {
            field.as_ref().and_then(|f| f.attribute(name)).map(str::to_owned)
        };
        let mut part = Self {
            media,
            charset: attribute(&ctype, "charset"),
            encoding: encoding(header),
            content: Content::Leaf(content),
            disposition: match &disposition {
                Some(field) if field.is_attachment() => Disposition::Attachment,
                Some(field) if field.is_inline() => Disposition::Inline,
                _ => Disposition::Unsaid,
            },
            named: attribute(&disposition, "filename").or(attribute(&ctype, "name")).is_some(),
            has_id: header.first(b"content-id").is_some(),
        };
        if part.media.starts_with("multipart/") {
            let boundary = attribute(&ctype, "boundary").unwrap_or_default();
            let child_media = match part.media.as_str() {
                "multipart/digest" => "message/rfc822",
                _ => "text/plain",
            };
            let mut children = Vec::new();
            for raw in Delimited::new(content, boundary.trim_end().as_bytes()) {
                *parts += 1;
                if *parts > MAX_PARTS {
                    return Err(MailError::TooManyParts);
                }
                if depth == MAX_DEPTH {
                    return Err(MailError::TooDeep);
                }
                let (header, content) = Header::split(raw)?;
                children.push(Self::build(&header, content, child_media, depth + 1, parts)?);
            }
            if children.is_empty() {
                // It says that it has parts and has none: what is there is text.
                "text/plain".clone_into(&mut part.media);
            } else {
                part.content = Content::Parts(children);
            }
        }
        Ok(part)
    }

    /// Whether this leaf is text that a reader shows where it stands.
    pub(super) fn is_shown_text(&self) -> bool {
        self.is_text() && self.disposition != Disposition::Attachment && !self.named
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.media.as_str(), "text/plain" | "text/html")
    }

    /// Whether a person would say that something is attached to this mail. Every leaf counts that
    /// is marked as an attachment, and of the others those that are not shown text, save:
    ///
    /// * what stands in line and is referred to: an `inline` image, sound or film with a
    ///   Content-ID (the logo in a signature), and everything in a `multipart/related`;
    /// * other forms of the text: everything in a `multipart/alternative` (an invitation's
    ///   calendar among them);
    /// * what belongs to the envelope: signatures, and the machine-readable parts and the returned
    ///   mail in a `multipart/report`.
    pub(super) fn has_attachments(&self) -> bool {
        // The text of a mail of one part is its body whatever the disposition says.
        match self.content {
            Content::Leaf(_) if self.is_text() => false,
            _ => self.holds_attachment(false),
        }
    }

    fn holds_attachment(&self, belongs: bool) -> bool {
        match &self.content {
            Content::Parts(parts) => {
                let kept = ["multipart/related", "multipart/alternative", "multipart/report"];
                let belongs = match self.media.as_str() {
                    "multipart/mixed" => false,
                    media => belongs || kept.contains(&media),
                };
                parts.iter().any(|part| part.holds_attachment(belongs))
            }
            Content::Leaf(_) if self.disposition == Disposition::Attachment => !self.is_signature(),
            Content::Leaf(_) => {
                let referred = self.disposition == Disposition::Inline && self.has_id && self.is_media();
                !(belongs || self.is_shown_text() || self.is_signature() || referred)
            }
        }
    }

    fn is_media(&self) -> bool {
        ["image/", "audio/", "video/"].iter().any(|kind| self.media.starts_with(kind))
    }

    fn is_signature(&self) -> bool {
        matches!(
            self.media.as_str(),
            "application/pgp-signature" | "application/pkcs7-signature" | "application/x-pkcs7-signature"
        )
    }
}

fn media(ctype: &ContentType<'_>) -> Option<String> {
    let subtype = ctype.subtype()?;
    Some(format!("{}/{}", ctype.ctype(), subtype).to_ascii_lowercase())
}

fn mime_field(header: &Header<'_>, name: &[u8]) -> Option<ContentType<'static>> {
    let mut value = header.first(name)?.into_owned();
    if value.len() > MAX_MIME_FIELD_BYTES {
        value.truncate(MAX_MIME_FIELD_BYTES);
        value.push(b'\n');
    }
    MessageStream::new(&value).parse_content_type().into_owned().into_content_type()
}

fn encoding(header: &Header<'_>) -> Encoding {
    let value = header.first(b"content-transfer-encoding").unwrap_or_default();
    let token = value.split(|b| matches!(b, b';' | b'(')).next().unwrap_or_default().trim_ascii();
    if token.eq_ignore_ascii_case(b"base64") {
        Encoding::Base64
    } else if token.eq_ignore_ascii_case(b"quoted-printable") {
        Encoding::QuotedPrintable
    } else {
        Encoding::Identity
    }
}

/// What stands between the boundary lines of one multipart, without the line end that belongs to
/// the boundary line after it.
struct Delimited<'x, 'b> {
    content: &'x [u8],
    boundary: &'b [u8],
    at: usize,
    begun: bool,
    ended: bool,
}

impl<'x, 'b> Delimited<'x, 'b> {
    fn new(content: &'x [u8], boundary: &'b [u8]) -> Self {
        Self { content, boundary, at: 0, begun: false, ended: boundary.is_empty() }
    }

    /// Moves past the next boundary line. Gives where that line begins and whether it is the last.
    fn next_line(&mut self) -> Option<(usize, bool)> {
        while self.at < self.content.len() {
            let begins = self.at;
            let line = &self.content[begins..begins + line_len(&self.content[begins..])];
            self.at += line.len();
            if let Some(last) = delimiter(line, self.boundary) {
                return Some((begins, last));
            }
        }
        None
    }
}

/// Whether `line` is a line of `boundary`, and if so whether it is the closing one.
fn delimiter(line: &[u8], boundary: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let (rest, last) = rest.strip_prefix(b"--").map_or((rest, false), |rest| (rest, true));
    rest.iter().all(u8::is_ascii_whitespace).then_some(last)
}

impl<'x> Iterator for Delimited<'x, '_> {
    type Item = &'x [u8];

    fn next(&mut self) -> Option<&'x [u8]> {
        if self.ended {
            return None;
        }
        if !self.begun {
            let first = self.next_line();
            self.begun = true;
            if first.is_none_or(|(_, last)| last) {
                self.ended = true;
                return None;
            }
        }
        let start = self.at;
        let Some((end, last)) = self.next_line() else {
            self.ended = true;
            return Some(&self.content[start..]);
        };
        self.ended = last;
        let part = &self.content[start..end];
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        Some(part.strip_suffix(b"\r").unwrap_or(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(content: &str, boundary: &str) -> Vec<String> {
        let parts = Delimited::new(content.as_bytes(), boundary.as_bytes());
        parts.map(|p| String::from_utf8_lossy(p).into_owned()).collect()
    }

    fn attachments(mail: &str) -> bool {
        let (header, content) = Header::split(mail.as_bytes()).unwrap();
        Part::message(&header, content).unwrap().has_attachments()
    }

    #[test]
    fn parts_are_what_stands_between_the_lines() {
        let mail = "preamble\r\n--b\r\none\r\n\r\n--b  \r\ntwo\n--b--\r\nepilogue\r\n--b\r\nno";
        assert_eq!(split(mail, "b"), ["one\r\n", "two"]);
        assert_eq!(split("--b\none", "b"), ["one"]);
        assert_eq!(split("--b", "b"), [""]);
        assert!(split("--b--\nx", "b").is_empty());
        assert!(split("text only", "b").is_empty());
        assert!(split("--\nx", "").is_empty());
    }

    #[test]
    fn a_longer_boundary_is_not_a_shorter_one() {
        assert_eq!(split("--ab\none\n--abc\ntwo\n--ab-\n--ab--", "ab"), ["one\n--abc\ntwo\n--ab-"]);
    }

    #[test]
    fn what_counts_as_attached() {
        let mixed = |part: &str| {
            attachments(&format!(
                "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n{part}\n\nx\n--b--\n"
            ))
        };
        assert!(mixed("Content-Type: application/pdf"));
        assert!(mixed("Content-Type: image/png\nContent-Disposition: inline"));
        assert!(mixed("Content-Type: text/plain; name=a.txt"));
        assert!(mixed("Content-Type: text/plain\nContent-Disposition: attachment"));
        assert!(mixed("Content-Type: message/rfc822"));
        assert!(!mixed("Content-Type: text/plain"));
        assert!(!mixed("Content-Type: image/png\nContent-ID: <a@b>\nContent-Disposition: inline"));
        assert!(!mixed("Content-Type: application/pgp-signature; name=signature.asc"));
        assert!(!attachments("Content-Type: text/plain; name=a.txt\n\nx"));
        assert!(attachments("Content-Type: application/pdf\n\nx"));
    }
}

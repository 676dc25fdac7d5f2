//! Replies in their wire form. Whatever text goes in, what comes out is printable ASCII in lines
//! of at most 512 octets (RFC 5321, 4.5.3.1.5), so that no answer can carry a line of its own.

use std::fmt;

/// Octets of a reply line with its CRLF.
const MAX_REPLY_LINE_BYTES: usize = 512;

/// One reply of the server, complete with CRLF.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    wire: String,
}

impl Reply {
    /// A reply of one line. `status` is the enhanced status code (RFC 3463), empty for the replies
    /// that have none.
    pub(crate) fn new(code: u16, status: &str, text: &str) -> Self {
        let separator = if status.is_empty() { "" } else { " " };
        let line = printable(&format!("{code} {status}{separator}{text}"));
        Self { code, wire: line + "\r\n" }
    }

    /// A reply of several lines, without enhanced status codes: the answer to EHLO.
    pub(crate) fn lines(code: u16, lines: &[String]) -> Self {
        let last = lines.len().saturating_sub(1);
        let mut wire = String::new();
        for (index, line) in lines.iter().enumerate() {
            let mark = if index == last { ' ' } else { '-' };
            wire += &printable(&format!("{code}{mark}{line}"));
            wire += "\r\n";
        }
        Self { code, wire }
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// What is to be written, CRLF included.
    pub fn as_bytes(&self) -> &[u8] {
        self.wire.as_bytes()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({:?})", self.wire)
    }
}

impl fmt::Display for Reply {
    /// The lines without the last CRLF, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire.trim_end())
    }
}

fn printable(line: &str) -> String {
    line.chars()
        .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
        .take(MAX_REPLY_LINE_BYTES - 2)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_bring_a_line_of_its_own() {
        let reply = Reply::new(550, "5.6.0", "bad\r\n250 2.0.0 fine\u{e9}");
        assert_eq!(reply.as_bytes(), b"550 5.6.0 bad??250 2.0.0 fine?\r\n");
    }

    #[test]
    fn a_line_is_cut_at_512() {
        let fits = Reply::new(250, "", &"x".repeat(506));
        assert_eq!(fits.as_bytes().len(), 512);
        let cut = Reply::new(250, "", &"x".repeat(507));
        assert_eq!(cut, fits);
    }

    #[test]
    fn only_the_last_line_has_a_space() {
        let reply = Reply::lines(250, &["a".into(), "b".into()]);
        assert_eq!(reply.as_bytes(), b"250-a\r\n250 b\r\n");
        assert_eq!(reply.to_string(), "250-a\r\n250 b");
    }
}

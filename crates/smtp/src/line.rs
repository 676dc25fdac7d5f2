//! Command lines out of a byte stream.
//!
//! A line ends with CRLF and with nothing else. A line that breaks a rule is reported once, at the
//! byte that broke it, and the rest of it up to its CRLF is dropped unread: what follows a bare LF
//! is never taken for a command.

/// By how much `SIZE` (RFC 1870) and `BODY` (RFC 6152) lengthen a `MAIL` line.
const MAIL_EXTENSION_BYTES: usize = 26 + 17;

const CR: u8 = b'\r';
const LF: u8 = b'\n';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFault {
    BareCr,
    BareLf,
    Nul,
    TooLong,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    /// All input is consumed, no line is complete.
    More,
    /// A line without its CRLF.
    Line(Vec<u8>),
    /// The beginning of a line that broke a rule.
    Fault(LineFault, Vec<u8>),
}

#[derive(Debug)]
pub(crate) struct LineReader {
    /// At most `max_bytes` and the extension of `MAIL`.
    line: Vec<u8>,
    max_bytes: usize,
    after_cr: bool,
    dropping: bool,
}

impl LineReader {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { line: Vec::new(), max_bytes, after_cr: false, dropping: false }
    }

    /// Takes bytes from the front of `input` up to the next line or fault.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Framed {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            let ended = self.after_cr && byte == LF;
            let bare_cr = self.after_cr && !ended;
            self.after_cr = byte == CR;
            if ended {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.dropping) {
                    return Framed::Line(line);
                }
            } else if !self.dropping {
                let fault = match byte {
                    _ if bare_cr => LineFault::BareCr,
                    LF => LineFault::BareLf,
                    0 => LineFault::Nul,
                    CR => continue,
                    _ if self.is_full() => LineFault::TooLong,
                    _ => {
                        self.line.push(byte);
                        continue;
                    }
                };
                self.dropping = true;
                return Framed::Fault(fault, std::mem::take(&mut self.line));
            }
        }
        Framed::More
    }

    /// Whether one more byte and the CRLF would pass the limit.
    fn is_full(&self) -> bool {
        let is_mail = self.line.len() >= 4 && self.line[..4].eq_ignore_ascii_case(b"MAIL");
        let extension = if is_mail { MAIL_EXTENSION_BYTES } else { 0 };
        self.line.len() + 3 > self.max_bytes + extension
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(mut input: &[u8]) -> Vec<Framed> {
        let mut reader = LineReader::new(16);
        let mut frames = Vec::new();
        loop {
            match reader.next(&mut input) {
                Framed::More => return frames,
                frame => frames.push(frame),
            }
        }
    }

    fn line(text: &str) -> Framed {
        Framed::Line(text.into())
    }

    fn fault(fault: LineFault, head: &str) -> Framed {
        Framed::Fault(fault, head.into())
    }

    #[test]
    fn a_line_may_have_exactly_the_limit() {
        assert_eq!(frame(b"12345678901234\r\n"), [line("12345678901234")]);
        assert_eq!(
            frame(b"123456789012345\r\nNOOP\r\n"),
            [fault(LineFault::TooLong, "12345678901234"), line("NOOP")]
        );
    }

    #[test]
    fn mail_may_be_longer_by_its_extensions() {
        let longest = format!("mail{}", "x".repeat(16 + 43 - 2 - 4));
        assert_eq!(frame(format!("{longest}\r\n").as_bytes()), [line(&longest)]);
        assert_eq!(frame(format!("{longest}x\r\n").as_bytes()), [fault(LineFault::TooLong, &longest)]);
    }

    #[test]
    fn what_follows_a_fault_is_dropped_up_to_crlf() {
        for (input, expected) in [
            (&b"a\nQUIT\nb\r\nc\r\n"[..], LineFault::BareLf),
            (b"a\rQUIT\r\nc\r\n", LineFault::BareCr),
            (b"a\r\r\nc\r\n", LineFault::BareCr),
            (b"a\0QUIT\r\nc\r\n", LineFault::Nul),
        ] {
            assert_eq!(frame(input), [fault(expected, "a"), line("c")]);
        }
    }
}

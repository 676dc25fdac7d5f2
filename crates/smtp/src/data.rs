//! The message itself: where it ends, what it may hold, how much of it is kept.
//!
//! The end is CRLF `.` CRLF, the first CRLF being that of the `DATA` line when the message is
//! empty. Everything else that looks like an end (`\n.\n`, `\r\n.\n`, `\n.\r\n`, `\r.\r` …) is text
//! with a bare CR or LF, for which the whole message is refused once its true end has come. From
//! the first fault on nothing is stored.
//!
//! Lines may be longer than the 1,000 octets of RFC 5321, 4.5.3.1.6: the size is bounded as a
//! whole, and refusing such mail would only lose it.

use crate::Limits;

/// Memory is asked for in steps of a quarter of what is held, but at least this.
const MIN_RESERVE_BYTES: usize = 64 * 1024;
/// Input that is looked at before memory is asked for again.
const WINDOW_BYTES: usize = 16 * 1024;

const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// Why a message is refused once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataFault {
    BareCr,
    BareLf,
    TooBig,
    HeaderTooBig,
    TooManyReceived,
    NoMemory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All input is consumed.
    More,
    /// [`DataReader::grant`] must be called before anything else is taken.
    Reserve(usize),
    /// The end mark is consumed, nothing after it.
    End,
}

/// What the last bytes were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    LineStart,
    /// A dot at the start of a line, not stored.
    Dot,
    /// The same and CR.
    DotCr,
    Text,
    /// CR in a line or at its start, not stored yet.
    Cr,
}

#[derive(Debug)]
pub(crate) struct DataReader {
    at: At,
    data: Vec<u8>,
    /// Bytes that may be held; the capacity of `data`.
    granted: usize,
    in_header: bool,
    line_start: usize,
    received: usize,
    fault: Option<DataFault>,
    max_message_bytes: usize,
    max_header_bytes: usize,
    max_received: usize,
}

impl DataReader {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            at: At::LineStart,
            data: Vec::new(),
            granted: 0,
            in_header: true,
            line_start: 0,
            received: 0,
            fault: None,
            max_message_bytes: limits.max_message_bytes,
            max_header_bytes: limits.max_header_bytes,
            max_received: limits.max_received,
        }
    }

    /// Bytes that are held or may be held without asking again.
    pub(crate) fn held(&self) -> usize {
        self.granted
    }

    /// Takes bytes from the front of `input` up to the end of the message.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Progress {
        while !input.is_empty() {
            let mut window = &input[..input.len().min(WINDOW_BYTES)];
            if let Some(bytes) = self.lacking(window.len()) {
                return Progress::Reserve(bytes);
            }
            let before = window.len();
            let ended = self.scan(&mut window);
            *input = &input[before - window.len()..];
            if ended {
                return Progress::End;
            }
        }
        Progress::More
    }

    /// The answer to [`Progress::Reserve`].
    pub(crate) fn grant(&mut self, bytes: Option<usize>) {
        match bytes {
            Some(bytes) => {
                self.granted += bytes;
                self.data.reserve_exact(self.granted - self.data.len());
            }
            None => self.fail(DataFault::NoMemory),
        }
    }

    /// The message with dots unstuffed, or why it is refused.
    pub(crate) fn finish(self) -> Result<Vec<u8>, DataFault> {
        self.fault.map_or(Ok(self.data), Err)
    }

    /// How much must be granted before `incoming` bytes, and a CR held back, can be stored.
    fn lacking(&self, incoming: usize) -> Option<usize> {
        let needed = (self.data.len() + incoming + 1).min(self.max_message_bytes);
        if self.fault.is_some() || needed <= self.granted {
            return None;
        }
        let step = MIN_RESERVE_BYTES.max(self.granted / 4);
        let target = (self.granted + step).max(needed);
        Some(target.min(self.max_message_bytes) - self.granted)
    }

    /// True when the end mark was reached.
    fn scan(&mut self, input: &mut &[u8]) -> bool {
        while let Some((&byte, rest)) = input.split_first() {
            self.at = match (self.at, byte) {
                (At::DotCr, LF) => {
                    *input = rest;
                    return true;
                }
                (At::Cr, LF) => self.end_line(),
                (At::Cr | At::DotCr, _) => {
                    // This byte is looked at again, as text: it may be the CR of a true CRLF.
                    self.fail(DataFault::BareCr);
                    self.at = At::Text;
                    continue;
                }
                (_, LF) => {
                    self.fail(DataFault::BareLf);
                    At::Text
                }
                (At::Dot, CR) => At::DotCr,
                (At::LineStart | At::Text, CR) => At::Cr,
                (At::LineStart, b'.') => At::Dot,
                (At::LineStart | At::Dot | At::Text, _) => {
                    let end = input.iter().position(|b| matches!(*b, CR | LF));
                    let (text, after) = input.split_at(end.unwrap_or(input.len()));
                    self.store(text);
                    *input = after;
                    self.at = At::Text;
                    continue;
                }
            };
            *input = rest;
        }
        false
    }

    fn end_line(&mut self) -> At {
        let start = self.line_start.min(self.data.len());
        let line = &self.data[start..];
        if self.in_header && line.is_empty() {
            self.in_header = false;
        } else if self.in_header && is_received(line) {
            self.received += 1;
            if self.received > self.max_received {
                self.fail(DataFault::TooManyReceived);
            }
        }
        self.store(b"\r\n");
        self.line_start = self.data.len();
        At::LineStart
    }

    fn store(&mut self, bytes: &[u8]) {
        let length = self.data.len() + bytes.len();
        if self.fault.is_some() {
            return;
        }
        // Of two bounds passed at once the lower one is named, as if the octets came one by one.
        let header_is_lower = self.max_header_bytes < self.max_message_bytes;
        if self.in_header && header_is_lower && length > self.max_header_bytes {
            self.fail(DataFault::HeaderTooBig);
        } else if length > self.max_message_bytes {
            self.fail(DataFault::TooBig);
        } else {
            self.data.extend_from_slice(bytes);
        }
    }

    /// Keeps the first fault and gives the memory back.
    fn fail(&mut self, fault: DataFault) {
        self.fault.get_or_insert(fault);
        self.data = Vec::new();
        self.granted = 0;
    }
}

fn is_received(line: &[u8]) -> bool {
    const NAME: &[u8] = b"received";
    line.len() > NAME.len()
        && line[..NAME.len()].eq_ignore_ascii_case(NAME)
        && line[NAME.len()..].trim_ascii_start().starts_with(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it all, granting what is asked for; what is really allocated is what was granted.
    fn read(reader: &mut DataReader, mut input: &[u8]) {
        while let Progress::Reserve(bytes) = reader.read(&mut input) {
            reader.grant(Some(bytes));
            assert!(reader.data.capacity() <= reader.held());
        }
        assert!(input.is_empty());
    }

    #[test]
    fn memory_is_held_as_granted_up_to_the_cap() {
        let limits = Limits { max_message_bytes: 1_000_000, ..Limits::default() };
        let mut reader = DataReader::new(&limits);
        assert_eq!((reader.held(), reader.data.capacity()), (0, 0));
        read(&mut reader, b"\r\n");
        read(&mut reader, &vec![b'x'; 999_998]);
        assert_eq!(reader.data.len(), 1_000_000);
        assert_eq!((reader.held(), reader.data.capacity()), (1_000_000, 1_000_000));
        read(&mut reader, b"x");
        assert_eq!((reader.held(), reader.data.capacity()), (0, 0));
    }

    #[test]
    fn a_fault_gives_memory_back_and_takes_no_more() {
        let mut reader = DataReader::new(&Limits::default());
        read(&mut reader, b"Subject: hi\r\n");
        assert_eq!(reader.held(), MIN_RESERVE_BYTES);
        read(&mut reader, b"bare\nLF");
        read(&mut reader, &vec![b'x'; 100_000]);
        assert_eq!((reader.held(), reader.data.capacity()), (0, 0));
        assert_eq!(reader.finish(), Err(DataFault::BareLf));
    }
}

//! The mark that a publisher puts into a payload, so that the receiver knows which event it has and since when
//! it is under way: `inkhook-bench:<number>:<unix microseconds>:`.

use std::io::Write;
use std::sync::LazyLock;

use memchr::memmem::Finder;

/// What a mark starts with.
pub const START: &str = "inkhook-bench:";

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(START));

/// Writes the mark of an event that was sent, or should have been, at this time.
pub fn write(into: &mut Vec<u8>, number: u64, at_us: u64) {
    write!(into, "{START}{number}:{at_us}:").expect("memory takes what is written");
}

/// The first mark in a body: number and time.
pub fn find(body: &[u8]) -> Option<(u64, u64)> {
    let start = FINDER.find(body)? + START.len();
    let mut numbers = body[start..].split(|byte| *byte == b':').map(|digits| {
        let text = std::str::from_utf8(digits.get(..20).unwrap_or(digits)).ok()?;
        text.parse().ok()
    });
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found() {
        let mut body = b"{\"subject\":\"".to_vec();
        write(&mut body, 42, 1_780_000_000_000_000);
        body.extend_from_slice(b" hello\"}");
        assert_eq!(find(&body), Some((42, 1_780_000_000_000_000)));
    }

    #[test]
    fn what_is_no_mark_is_not_found() {
        for body in ["", "nothing", "inkhook-bench:", "inkhook-bench:1", "inkhook-bench:x:1:"] {
            assert_eq!(find(body.as_bytes()), None, "{body}");
        }
    }
}

//! How a receiver behaves.

use std::fmt;
use std::str::FromStr;

/// See the module. Its text is the first segment of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `ok`: 200 at once.
    Ok,
    /// `decline`: 200 at once, with a body that declines a call.
    Decline,
    /// `slow-N`: 200 after so many milliseconds.
    Slow(u32),
    /// `hang`: no answer, until the sender gives up.
    Hang,
    /// `fail-N`: 500 to so many of a hundred, evenly spread; 200 to the others.
    Fail(u32),
    /// `reset`: reads the request, then resets the connection.
    Reset,
    /// `close`: reads the request, then closes the connection without an answer.
    Close,
    /// `drip`: 200, then one byte of the body every half second, for ever.
    Drip,
    /// `flood`: 200 with a body of 256 MiB.
    Flood,
    /// `bomb`: 200 with a gzipped body that would be 256 MiB.
    Bomb,
    /// `garbage`: bytes that are no HTTP.
    Garbage,
    /// `early`: 100 and 103, then 200.
    Early,
    /// `busy-N`: 429 with `Retry-After: N`.
    Busy(u32),
    /// `redirect`: 307 to `/redirected` of the same receiver.
    Redirect,
    /// `status-N`: this status and no body; `status-410` ends a delivery for good.
    Status(u32),
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Decline => f.write_str("decline"),
            Self::Slow(millis) => write!(f, "slow-{millis}"),
            Self::Hang => f.write_str("hang"),
            Self::Fail(percent) => write!(f, "fail-{percent}"),
            Self::Reset => f.write_str("reset"),
            Self::Close => f.write_str("close"),
            Self::Drip => f.write_str("drip"),
            Self::Flood => f.write_str("flood"),
            Self::Bomb => f.write_str("bomb"),
            Self::Garbage => f.write_str("garbage"),
            Self::Early => f.write_str("early"),
            Self::Busy(seconds) => write!(f, "busy-{seconds}"),
            Self::Redirect => f.write_str("redirect"),
            Self::Status(status) => write!(f, "status-{status}"),
        }
    }
}

/// A text that names no mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownMode(String);

impl std::error::Error for UnknownMode {}

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is none of ok, decline, slow-MS, hang, fail-PERCENT, reset, close, drip, flood, bomb, garbage, early, \
             busy-SECONDS, redirect, status-CODE",
            self.0
        )
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let (name, number) = match text.split_once('-') {
            Some((name, number)) => (name, number.parse().ok()),
            None => (text, None),
        };
        let mode = match (name, number) {
            ("slow", Some(millis)) => Self::Slow(millis),
            ("fail", Some(percent @ 0..=100)) => Self::Fail(percent),
            ("busy", Some(seconds)) => Self::Busy(seconds),
            ("status", Some(status @ 101..=599)) => Self::Status(status),
            _ => match text {
                "ok" => Self::Ok,
                "decline" => Self::Decline,
                "hang" => Self::Hang,
                "reset" => Self::Reset,
                "close" => Self::Close,
                "drip" => Self::Drip,
                "flood" => Self::Flood,
                "bomb" => Self::Bomb,
                "garbage" => Self::Garbage,
                "early" => Self::Early,
                "redirect" => Self::Redirect,
                _ => return Err(UnknownMode(text.to_owned())),
            },
        };
        Ok(mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_reads_as_it_is_written() {
        use Mode::{
            Bomb, Busy, Close, Decline, Drip, Early, Fail, Flood, Garbage, Hang, Ok, Redirect, Reset, Slow,
            Status,
        };
        let all = [
            Ok,
            Decline,
            Slow(250),
            Hang,
            Fail(30),
            Reset,
            Close,
            Drip,
            Flood,
            Bomb,
            Garbage,
            Early,
            Busy(5),
            Redirect,
            Status(410),
        ];
        for mode in all {
            assert_eq!(mode.to_string().parse(), Result::Ok(mode));
        }
        for text in ["", "slow", "slow-x", "fail-101", "status-100", "status-600", "hang-1"] {
            assert!(text.parse::<Mode>().is_err(), "{text}");
        }
    }
}

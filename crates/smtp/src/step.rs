//! What passes between a session and its listener: steps, questions, answers.

#[cfg(doc)]
use crate::Session;

use crate::Reply;

/// What the listener does next.
#[derive(Debug)]
#[must_use]
pub enum Step {
    /// Everything was consumed; read more, or answer the open question.
    NeedMore,
    /// Write this. Replies may be gathered and written together (RFC 2920).
    Reply(Reply),
    /// Write this, flush, and call [`Session::turn_written`]: the answer to `DATA`. A byte that
    /// came before it was written is to be given to [`Session::advance`] instead, which closes.
    Turn(Reply),
    /// Is this address ours? Answer with [`Session::recipient_answer`].
    Recipient {
        /// `local@domain`, ASCII, at most 254 octets, letters as sent. A bare `postmaster` comes
        /// with the local domain.
        address: String,
    },
    /// May the session hold this many bytes more? Answer with [`Session::reserve_answer`].
    Reserve {
        /// How many, on top of [`Session::data_held`].
        bytes: usize,
    },
    /// A whole message. Answer with [`Session::message_answer`] once it is safe, or refused.
    Message(Envelope),
    /// Write this and close; the session takes no further byte.
    Close(Reply),
}

/// A message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the client called itself in EHLO or HELO; unverified.
    pub helo: String,
    /// Reverse-path, `local@domain`; `None` is `<>`. Unverified.
    pub sender: Option<String>,
    /// The accepted recipients, at least one, in the order they came. One given twice is here
    /// twice.
    pub recipients: Vec<String>,
    /// Header and body, dots unstuffed, every line ended by CRLF.
    pub data: Vec<u8>,
}

/// Answer to [`Step::Recipient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientVerdict {
    /// 250
    Accept,
    /// 550 5.1.1: our domain, no such mailbox.
    Unknown,
    /// 550 5.7.1: not our domain; we do not relay.
    NotOurs,
    /// 451 4.3.0: it cannot be told now.
    TryLater,
}

/// Answer to [`Step::Message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageVerdict {
    /// 250, with a name for the message that both sides can look up in their logs.
    Accepted { id: String },
    /// 550 5.1.1: none of the recipients exists any more.
    NoneLeft,
    /// 550 5.6.0 with this text: the message will never be taken.
    Refused(String),
    /// 451 4.3.0 with this text: our fault; the client keeps the message and tries again.
    TryLater(String),
    /// 452 4.3.1: no space.
    NoSpace,
}

/// Why the listener ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The client was silent for too long.
    Idle,
    /// The server stops.
    ShuttingDown,
    /// All connections are in use.
    TooManyConnections,
    /// All connections of one client are in use.
    TooManyFromClient,
}

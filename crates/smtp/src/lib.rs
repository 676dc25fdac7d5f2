//! `inkhook-smtp`: the server's side of one SMTP session, as a pure state machine.
//!
//! Bytes go in, replies and finished envelopes come out. The crate knows no socket, no clock and
//! no mailbox: a listener reads and writes, keeps the time, and answers the three questions that
//! a [`Session`] asks (is this recipient ours, may I hold this much, was the message taken).
//!
//! What it promises:
//! - a message ends at CRLF `.` CRLF and at nothing else; one with a bare CR or LF is refused
//!   after its true end, so nothing inside a message can start a second one;
//! - nothing that a client sent before it had our answer to `DATA` is read as a message;
//! - it stores no byte past [`Limits::max_message_bytes`], and none that was not granted before;
//! - but for input sent ahead of that answer, what it replies does not depend on how the network
//!   cut the input into pieces.
//!
//! What it never does: decide that a recipient is ours (so it cannot relay), send mail, or verify
//! a sender. `STARTTLS`, `AUTH`, `CHUNKING` and `SMTPUTF8` are not offered.
//!
//! Sources: RFC 5321 (SMTP), 1870 (SIZE), 6152 (8BITMIME), 2920 (PIPELINING), 2034 and 3463
//! (enhanced status codes).
//!
//! ```
//! use inkhook_smtp::{Limits, MessageVerdict, RecipientVerdict, Session, Step};
//!
//! let mut session = Session::new("mx.example.com", "example.com", Limits::default());
//! assert_eq!(session.greeting().code(), 220);
//! let mut read: &[u8] = b"EHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n";
//! let mut codes = Vec::new();
//! loop {
//!     match session.advance(&mut read) {
//!         Step::NeedMore => break, // everything was consumed
//!         Step::Reply(reply) => codes.push(reply.code()),
//!         Step::Recipient { .. } => {
//!             let Step::Reply(reply) = session.recipient_answer(RecipientVerdict::Accept) else { panic!() };
//!             codes.push(reply.code());
//!         }
//!         Step::Turn(reply) => {
//!             codes.push(reply.code());
//!             session.turn_written();
//!         }
//!         step => panic!("{step:?}"),
//!     }
//! }
//! assert_eq!(codes, [250, 250, 250, 354]);
//! let mut read: &[u8] = b"Subject: hi\r\n\r\n..\r\n.\r\n";
//! assert!(matches!(session.advance(&mut read), Step::Reserve { .. }));
//! session.reserve_answer(true);
//! let Step::Message(envelope) = session.advance(&mut read) else { panic!() };
//! assert_eq!(envelope.data, b"Subject: hi\r\n\r\n.\r\n");
//! let Step::Reply(reply) = session.message_answer(MessageVerdict::Accepted { id: "evt_1".into() }) else { panic!() };
//! assert_eq!(reply.code(), 250);
//! ```

mod address;
mod command;
mod data;
mod limits;
mod line;
mod reply;
mod session;
mod step;

pub use limits::Limits;
pub use reply::Reply;
pub use session::Session;
pub use step::{Envelope, Goodbye, MessageVerdict, RecipientVerdict, Step};

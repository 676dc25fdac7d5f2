//! The session: which command may come when, what is asked of the listener, what is answered.
//!
//! [`Session::advance`] takes bytes and returns one [`Step`]. Some steps are questions; until one
//! is answered the session takes no further byte, so that commands sent ahead (PIPELINING) wait in
//! the listener's buffer while it looks something up.

use crate::Limits;
use crate::Reply;
use crate::command::{self, Command, Refused};
use crate::data::{DataFault, DataReader, Progress};
use crate::line::{Framed, LineFault, LineReader};
use crate::step::{Envelope, Goodbye, MessageVerdict, RecipientVerdict, Step};

/// One connection's SMTP session.
#[derive(Debug)]
pub struct Session {
    host_name: String,
    local_domain: String,
    limits: Limits,
    lines: LineReader,
    helo: Option<String>,
    transaction: Option<Transaction>,
    state: State,
    errors: usize,
    unknown_recipients: usize,
}

#[derive(Debug)]
struct Transaction {
    sender: Option<String>,
    recipients: Vec<String>,
}

#[derive(Debug)]
enum State {
    Command,
    /// [`Step::Recipient`] is open.
    Recipient(String),
    /// [`Step::Turn`] is to be written; data follows, or another command.
    Turn {
        data: bool,
    },
    Data(DataReader),
    /// [`Step::Reserve`] is open.
    Reserve(DataReader, usize),
    /// [`Step::Message`] is open.
    Message,
    Closed,
}

impl Session {
    /// `host_name` is what the server calls itself; `local_domain` completes a bare `postmaster`.
    pub fn new(host_name: &str, local_domain: &str, limits: Limits) -> Self {
        Self {
            host_name: host_name.to_owned(),
            local_domain: local_domain.to_owned(),
            lines: LineReader::new(limits.max_command_bytes),
            limits,
            helo: None,
            transaction: None,
            state: State::Command,
            errors: 0,
            unknown_recipients: 0,
        }
    }

    /// What is written first.
    pub fn greeting(&self) -> Reply {
        let text = format!("{} ESMTP inkhook, ready", self.host_name);
        Reply::new(220, "", &text)
    }

    /// Takes bytes from the front of `input` up to the next step.
    pub fn advance(&mut self, input: &mut &[u8]) -> Step {
        match self.state {
            State::Command => self.next_command(input),
            State::Data(_) => self.next_data(input),
            State::Turn { .. } if !input.is_empty() => self.early(),
            State::Turn { .. } | State::Recipient(_) | State::Reserve(..) | State::Message => Step::NeedMore,
            State::Closed => {
                *input = &[];
                Step::NeedMore
            }
        }
    }

    /// The reply of [`Step::Turn`] is written; what comes now is the client's answer to it.
    pub fn turn_written(&mut self) {
        if let State::Turn { data } = self.state {
            self.state = if data { State::Data(DataReader::new(&self.limits)) } else { State::Command };
        }
    }

    /// Answers [`Step::Recipient`]; without such a question nothing happens. Returns a reply, or the end of a session that keeps guessing.
    pub fn recipient_answer(&mut self, verdict: RecipientVerdict) -> Step {
        let address = match &mut self.state {
            State::Recipient(address) => std::mem::take(address),
            _ => return Step::NeedMore,
        };
        self.state = State::Command;
        let reply = match verdict {
            RecipientVerdict::Accept => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.recipients.push(address);
                }
                return Step::Reply(Reply::new(250, "2.1.5", "Recipient ok"));
            }
            RecipientVerdict::TryLater => {
                let text = "Recipients cannot be checked now, try again later";
                return Step::Reply(Reply::new(451, "4.3.0", text));
            }
            RecipientVerdict::Unknown => Reply::new(550, "5.1.1", &format!("No mailbox here: <{address}>")),
            RecipientVerdict::NotOurs => {
                let text = format!("No mail is relayed, and this is no domain of ours: <{address}>");
                Reply::new(550, "5.7.1", &text)
            }
        };
        self.unknown_recipients += 1;
        if self.unknown_recipients > self.limits.max_unknown_recipients {
            let text = format!("{} Too many unknown recipients, closing", self.host_name);
            return self.close(Reply::new(421, "4.7.0", &text));
        }
        Step::Reply(reply)
    }

    /// Answers [`Step::Reserve`]. Without memory the message is read to its end, not stored, and
    /// answered 452.
    pub fn reserve_answer(&mut self, granted: bool) {
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Reserve(mut reader, bytes) => {
                reader.grant(granted.then_some(bytes));
                State::Data(reader)
            }
            other => other,
        };
    }

    /// Answers [`Step::Message`]; without such a question nothing happens. Returns a reply.
    pub fn message_answer(&mut self, verdict: MessageVerdict) -> Step {
        if !matches!(self.state, State::Message) {
            return Step::NeedMore;
        }
        self.state = State::Command;
        Step::Reply(match verdict {
            MessageVerdict::Accepted { id } => Reply::new(250, "2.0.0", &format!("Message accepted as {id}")),
            MessageVerdict::NoneLeft => Reply::new(550, "5.1.1", "None of the recipients exists any more"),
            MessageVerdict::Refused(text) => Reply::new(550, "5.6.0", &text),
            MessageVerdict::TryLater(text) => Reply::new(451, "4.3.0", &text),
            MessageVerdict::NoSpace => no_space(),
        })
    }

    /// Ends the session from our side: what to write before closing.
    pub fn goodbye(&mut self, reason: Goodbye) -> Reply {
        self.state = State::Closed;
        let (status, text) = match reason {
            Goodbye::Idle => ("4.4.2", "Nothing came for too long, closing"),
            Goodbye::ShuttingDown => ("4.3.2", "Server is shutting down, try again later"),
            Goodbye::TooManyConnections => ("4.3.2", "Too many connections, try again later"),
            Goodbye::TooManyFromClient => {
                ("4.7.0", "Too many connections from your address, try again later")
            }
        };
        Reply::new(421, status, &format!("{} {text}", self.host_name))
    }

    /// Whether a message is on its way: between the 354 and its end mark.
    pub fn is_receiving_data(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Reserve(..))
    }

    /// Bytes of message that this session holds or may hold without asking again. 0 once a message
    /// is handed out or refused.
    pub fn data_held(&self) -> usize {
        match &self.state {
            State::Data(reader) | State::Reserve(reader, _) => reader.held(),
            _ => 0,
        }
    }

    fn next_command(&mut self, input: &mut &[u8]) -> Step {
        let line = match self.lines.next(input) {
            Framed::More => return Step::NeedMore,
            Framed::Line(line) => line,
            Framed::Fault(_, head) if command::is_http(&head) => {
                return self.close(command::http_reply());
            }
            Framed::Fault(fault, _) => return self.error(line_refused(fault)),
        };
        match command::parse(&line) {
            Ok(command) => self.obey(command, input),
            Err(Refused { reply, closes: true }) => self.close(reply),
            Err(Refused { reply, .. }) => self.error(reply),
        }
    }

    fn obey(&mut self, command: Command, input: &[u8]) -> Step {
        let reply = match command {
            Command::Ehlo(name) => {
                self.greet(name);
                self.extensions()
            }
            Command::Helo(name) => {
                self.greet(name);
                Reply::new(250, "", &self.host_name)
            }
            Command::Mail { sender, size } => return self.mail(sender, size),
            Command::Rcpt(address) => return self.rcpt(address),
            Command::Data => return self.data(input),
            Command::Rset => {
                self.transaction = None;
                Reply::new(250, "2.0.0", "Forgotten")
            }
            Command::Noop => Reply::new(250, "2.0.0", "Ok"),
            Command::Vrfy => {
                let text = "Addresses are not verified; send mail and see";
                Reply::new(252, "2.5.2", text)
            }
            Command::Help => {
                let text = "Commands: EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT";
                Reply::new(214, "2.0.0", text)
            }
            Command::Quit => {
                let text = format!("{} Goodbye", self.host_name);
                return self.close(Reply::new(221, "2.0.0", &text));
            }
        };
        Step::Reply(reply)
    }

    fn greet(&mut self, name: String) {
        self.helo = Some(name);
        self.transaction = None;
    }

    fn extensions(&self) -> Reply {
        let lines = [
            self.host_name.clone(),
            format!("SIZE {}", self.limits.max_message_bytes),
            "8BITMIME".to_owned(),
            "PIPELINING".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        Reply::lines(250, &lines)
    }

    fn mail(&mut self, sender: Option<String>, size: Option<u128>) -> Step {
        if self.helo.is_none() {
            return self.out_of_order("Say EHLO or HELO first");
        }
        if self.transaction.is_some() {
            return self.out_of_order("A sender is already given; RSET to start again");
        }
        if size.is_some_and(|size| size > self.limits.max_message_bytes as u128) {
            return Step::Reply(self.too_big());
        }
        self.transaction = Some(Transaction { sender, recipients: Vec::new() });
        Step::Reply(Reply::new(250, "2.1.0", "Sender ok"))
    }

    fn rcpt(&mut self, address: Option<String>) -> Step {
        let Some(transaction) = &self.transaction else {
            return self.out_of_order("MAIL comes before RCPT");
        };
        if transaction.recipients.len() >= self.limits.max_recipients {
            let text = "Too many recipients; send the rest in another message";
            return Step::Reply(Reply::new(452, "4.5.3", text));
        }
        let address = address.unwrap_or_else(|| format!("postmaster@{}", self.local_domain));
        self.state = State::Recipient(address.clone());
        Step::Recipient { address }
    }

    /// The client must wait for the answer to `DATA` (RFC 2920, 3.1), whatever it will be: what it
    /// sent with the command could be a message as well as commands.
    fn data(&mut self, input: &[u8]) -> Step {
        if !input.is_empty() {
            return self.early();
        }
        let reply = match &self.transaction {
            Some(transaction) if !transaction.recipients.is_empty() => {
                self.state = State::Turn { data: true };
                let text = "Send the message, end it with a line that holds one dot";
                return Step::Turn(Reply::new(354, "", text));
            }
            Some(_) => Reply::new(554, "5.5.1", "No recipient was accepted"),
            None => Reply::new(503, "5.5.1", "MAIL and RCPT come before DATA"),
        };
        match self.error(reply) {
            Step::Reply(reply) => {
                self.state = State::Turn { data: false };
                Step::Turn(reply)
            }
            step => step,
        }
    }

    fn next_data(&mut self, input: &mut &[u8]) -> Step {
        let State::Data(reader) = &mut self.state else {
            return Step::NeedMore;
        };
        let progress = reader.read(input);
        if progress == Progress::More {
            return Step::NeedMore;
        }
        let State::Data(reader) = std::mem::replace(&mut self.state, State::Command) else {
            return Step::NeedMore;
        };
        if let Progress::Reserve(bytes) = progress {
            self.state = State::Reserve(reader, bytes);
            return Step::Reserve { bytes };
        }
        let transaction = self.transaction.take();
        match (reader.finish(), transaction) {
            (Ok(data), Some(Transaction { sender, recipients })) => {
                self.state = State::Message;
                Step::Message(Envelope {
                    helo: self.helo.clone().unwrap_or_default(),
                    sender,
                    recipients,
                    data,
                })
            }
            (Err(fault), _) => Step::Reply(self.data_refused(fault)),
            (Ok(_), None) => unreachable!("data without a transaction"),
        }
    }

    fn data_refused(&self, fault: DataFault) -> Reply {
        let hops = self.limits.max_received;
        let header = self.limits.max_header_bytes;
        match fault {
            DataFault::BareCr | DataFault::BareLf => {
                let name = if fault == DataFault::BareCr { "CR" } else { "LF" };
                let text = format!("Message holds a bare {name}; lines must end with CRLF");
                Reply::new(550, "5.6.0", &text)
            }
            DataFault::TooBig => self.too_big(),
            DataFault::HeaderTooBig => Reply::new(554, "5.6.0", &format!("Header is over {header} octets")),
            DataFault::TooManyReceived => {
                let text = format!("More than {hops} Received fields: the mail goes in circles");
                Reply::new(554, "5.4.6", &text)
            }
            DataFault::NoMemory => no_space(),
        }
    }

    fn too_big(&self) -> Reply {
        let max = self.limits.max_message_bytes;
        Reply::new(552, "5.3.4", &format!("Message is over {max} octets"))
    }

    fn early(&mut self) -> Step {
        let text = "Input before the answer to DATA; closing";
        self.close(Reply::new(554, "5.5.0", text))
    }

    fn out_of_order(&mut self, text: &str) -> Step {
        self.error(Reply::new(503, "5.5.1", text))
    }

    /// Refuses a command, or ends a session that has had too many refused.
    fn error(&mut self, reply: Reply) -> Step {
        self.errors += 1;
        if self.errors > self.limits.max_errors {
            let text = format!("{} Too many errors, closing", self.host_name);
            return self.close(Reply::new(421, "4.7.0", &text));
        }
        Step::Reply(reply)
    }

    fn close(&mut self, reply: Reply) -> Step {
        self.state = State::Closed;
        self.transaction = None;
        Step::Close(reply)
    }
}

fn no_space() -> Reply {
    Reply::new(452, "4.3.1", "No space for this message now, try again later")
}

fn line_refused(fault: LineFault) -> Reply {
    let text = match fault {
        LineFault::BareCr => "Line holds a bare CR; lines must end with CRLF",
        LineFault::BareLf => "Line holds a bare LF; lines must end with CRLF",
        LineFault::Nul => "Line holds a NUL",
        LineFault::TooLong => "Line is too long",
    };
    Reply::new(500, "5.5.2", text)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

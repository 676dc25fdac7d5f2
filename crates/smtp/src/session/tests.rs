//! Transcripts. `C:` is a line of the client (CRLF is added; `\r \n \0` are written so), `S:` the
//! beginning of each reply line, `M:` a message handed out. Consecutive `C:` lines go out together,
//! as the client may (PIPELINING); each transcript is also played split at every byte.

use super::*;

/// What the scripted listener knows: `jo` and `ann` at `example.com`, and `postmaster`.
fn lookup(address: &str) -> RecipientVerdict {
    match address.split_once('@') {
        Some(("jo" | "ann" | "postmaster", "example.com")) => RecipientVerdict::Accept,
        Some(("later", "example.com")) => RecipientVerdict::TryLater,
        Some((_, "example.com")) => RecipientVerdict::Unknown,
        _ => RecipientVerdict::NotOurs,
    }
}

/// The message's subject decides.
fn judge(data: &[u8]) -> MessageVerdict {
    match str::from_utf8(data).unwrap_or_default().lines().next() {
        Some("Subject: refuse") => MessageVerdict::Refused("Too many parts".into()),
        Some("Subject: later") => MessageVerdict::TryLater("Store is busy".into()),
        Some("Subject: full") => MessageVerdict::NoSpace,
        Some("Subject: gone") => MessageVerdict::NoneLeft,
        _ => MessageVerdict::Accepted { id: "evt_1".into() },
    }
}

/// A client and a listener around one session, with everything that was said in `log`.
pub(super) struct Play {
    session: Session,
    memory: usize,
    max_message_bytes: usize,
    pub(super) log: Vec<String>,
    pub(super) messages: Vec<Envelope>,
    pub(super) closed: bool,
}

impl Play {
    pub(super) fn new(limits: &Limits) -> Self {
        let session = Session::new("mx.example.com", "example.com", limits.clone());
        let greeting = session.greeting();
        let mut play = Self {
            session,
            memory: usize::MAX,
            max_message_bytes: limits.max_message_bytes,
            log: Vec::new(),
            messages: Vec::new(),
            closed: false,
        };
        play.say(&greeting);
        play
    }

    /// Everything up to the next moment at which the session waits for more.
    pub(super) fn feed(&mut self, mut input: &[u8]) {
        let mut step = self.session.advance(&mut input);
        loop {
            assert!(self.session.data_held() <= self.max_message_bytes);
            step = match step {
                Step::NeedMore => break,
                Step::Reply(reply) => {
                    self.say(&reply);
                    self.session.advance(&mut input)
                }
                Step::Turn(reply) => {
                    self.say(&reply);
                    self.session.turn_written();
                    self.session.advance(&mut input)
                }
                Step::Recipient { address } => self.session.recipient_answer(lookup(&address)),
                Step::Reserve { bytes } => {
                    let granted = self.session.data_held() + bytes <= self.memory;
                    self.session.reserve_answer(granted);
                    self.session.advance(&mut input)
                }
                Step::Message(envelope) => {
                    assert!(envelope.data.len() <= self.max_message_bytes);
                    self.hear(&envelope);
                    let verdict = judge(&envelope.data);
                    self.messages.push(envelope);
                    self.session.message_answer(verdict)
                }
                Step::Close(reply) => {
                    self.say(&reply);
                    self.closed = true;
                    self.session.advance(&mut input)
                }
            };
        }
        assert!(input.is_empty(), "NeedMore leaves nothing behind");
    }

    fn say(&mut self, reply: &Reply) {
        let text = str::from_utf8(reply.as_bytes()).unwrap();
        assert!(!self.closed, "nothing is said after the end: {text}");
        let lines = text.strip_suffix("\r\n").unwrap().split("\r\n");
        self.log.extend(lines.map(|line| format!("S: {line}")));
    }

    fn hear(&mut self, envelope: &Envelope) {
        let sender = envelope.sender.as_deref().unwrap_or_default();
        let recipients = envelope.recipients.join(",");
        let data = String::from_utf8_lossy(&envelope.data).escape_debug().to_string();
        self.log.push(format!("M: <{sender}> {recipients} {data}"));
    }
}

fn unescape(text: &str) -> String {
    text.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0")
}

/// Plays `script` whole and split at every byte of every flight.
fn transcript_with(limits: &Limits, script: &str) {
    let (mut flights, mut expected) = (Vec::<String>::new(), Vec::new());
    let mut talking = false;
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(said) = line.strip_prefix("C:") {
            if !talking {
                flights.push(String::new());
            }
            let said = unescape(said.strip_prefix(' ').unwrap_or(said));
            flights.last_mut().unwrap().push_str(&(said + "\r\n"));
            talking = true;
        } else {
            expected.push(line);
            talking = false;
        }
    }
    let play = |split: Option<(usize, usize)>| {
        let mut play = Play::new(limits);
        for (index, flight) in flights.iter().enumerate() {
            let at = split.map_or(0, |(flight, at)| if flight == index { at } else { 0 });
            play.feed(&flight.as_bytes()[..at]);
            play.feed(&flight.as_bytes()[at..]);
        }
        play.log
    };
    let log = play(None);
    let matches =
        log.len() == expected.len() && log.iter().zip(&expected).all(|(line, start)| line.starts_with(start));
    assert!(matches, "got:\n{}\n\nexpected:\n{}", log.join("\n"), expected.join("\n"));
    for (index, flight) in flights.iter().enumerate() {
        for at in 1..flight.len() {
            assert_eq!(play(Some((index, at))), log, "flight {index} split at {at}");
        }
    }
}

fn transcript(script: &str) {
    transcript_with(&Limits::default(), script);
}

/// The replies to `input` in a session that has said EHLO, as codes.
fn codes(limits: &Limits, flights: &[&[u8]]) -> Vec<u16> {
    let mut play = Play::new(limits);
    play.feed(b"HELO me\r\n");
    play.log.clear();
    for flight in flights {
        play.feed(flight);
    }
    let replies = play.log.iter().filter_map(|line| line.strip_prefix("S: "));
    replies.map(|line| line[..3].parse().unwrap()).collect()
}

const ENVELOPE: &[u8] = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<jo@example.com>\r\nDATA\r\n";

#[test]
fn a_mail_as_most_clients_send_it() {
    transcript(
        r"
        S: 220 mx.example.com ESMTP
        C: EHLO client.example
        S: 250-mx.example.com
        S: 250-SIZE 26214400
        S: 250-8BITMIME
        S: 250-PIPELINING
        S: 250 ENHANCEDSTATUSCODES
        C: MAIL FROM:<a@b.example> SIZE=40 BODY=8BITMIME
        C: RCPT TO:<jo@example.com>
        C: RCPT TO:<nobody@example.com>
        C: RCPT TO:<later@example.com>
        C: RCPT TO:<x@elsewhere.example>
        C: RCPT TO:<Postmaster>
        C: DATA
        S: 250 2.1.0
        S: 250 2.1.5
        S: 550 5.1.1 No mailbox here: <nobody@example.com>
        S: 451 4.3.0
        S: 550 5.7.1 No mail is relayed
        S: 250 2.1.5
        S: 354
        C: Subject: hi
        C:
        C: ..
        C: ..two
        C: .
        C: MAIL FROM:<>
        C: RCPT TO:<ann@example.com>
        C: DATA
        M: <a@b.example> jo@example.com,postmaster@example.com Subject: hi\r\n\r\n.\r\n.two\r\n
        S: 250 2.0.0 Message accepted as evt_1
        S: 250 2.1.0
        S: 250 2.1.5
        S: 354
        C: .
        C: QUIT
        C: NOOP
        M: <> ann@example.com
        S: 250 2.0.0
        S: 221 2.0.0
        ",
    );
}

#[test]
fn each_command_has_its_answer() {
    transcript(
        r"
        S: 220
        C: HELO client.example
        C: NOOP
        C: VRFY jo
        C: HELP
        C: RSET
        C: EXPN all
        C: XYZZY
        C:
        C: STARTTLS
        S: 250 mx.example.com
        S: 250 2.0.0
        S: 252 2.5.2
        S: 214 2.0.0
        S: 250 2.0.0
        S: 502 5.5.1
        S: 500 5.5.1
        S: 500 5.5.1
        S: 502 5.5.1
        C: QUIT
        S: 221 2.0.0
        ",
    );
}

#[test]
fn commands_out_of_order() {
    transcript(
        r"
        S: 220
        C: MAIL FROM:<a@b.example>
        S: 503 5.5.1 Say EHLO
        C: HELO me
        C: RCPT TO:<jo@example.com>
        S: 250
        S: 503 5.5.1 MAIL comes before RCPT
        C: DATA
        S: 503 5.5.1 MAIL and RCPT
        C: MAIL FROM:<a@b.example>
        C: MAIL FROM:<c@d.example>
        C: RCPT TO:<nobody@example.com>
        C: DATA
        S: 250 2.1.0
        S: 503 5.5.1 A sender is already given
        S: 550 5.1.1
        S: 554 5.5.1 No recipient
        C: RSET
        C: RCPT TO:<jo@example.com>
        C: MAIL FROM:<c@d.example>
        C: RCPT TO:<jo@example.com>
        C: EHLO again
        C: RCPT TO:<jo@example.com>
        S: 250 2.0.0
        S: 503 5.5.1
        S: 250 2.1.0
        S: 250 2.1.5
        S: 250-mx
        S: 250-SIZE
        S: 250-8BIT
        S: 250-PIPE
        S: 250 ENH
        S: 503 5.5.1
        ",
    );
}

#[test]
fn what_the_listener_says_of_a_message() {
    transcript(
        r"
        S: 220
        C: HELO me
        C: MAIL FROM:<a@b.example>
        C: RCPT TO:<jo@example.com>
        C: DATA
        S: 250
        S: 250
        S: 250
        S: 354
        C: Subject: refuse
        C: .
        C: MAIL FROM:<a@b.example>
        C: RCPT TO:<jo@example.com>
        C: DATA
        M: <a@b.example>
        S: 550 5.6.0 Too many parts
        S: 250
        S: 250
        S: 354
        C: Subject: later
        C: .
        C: MAIL FROM:<a@b.example>
        C: RCPT TO:<jo@example.com>
        C: DATA
        M: <a@b.example>
        S: 451 4.3.0 Store is busy
        S: 250
        S: 250
        S: 354
        C: Subject: full
        C: .
        C: MAIL FROM:<a@b.example>
        C: RCPT TO:<jo@example.com>
        C: DATA
        M: <a@b.example>
        S: 452 4.3.1
        S: 250
        S: 250
        S: 354
        C: Subject: gone
        C: .
        M: <a@b.example>
        S: 550 5.1.1
        ",
    );
}

#[test]
fn nothing_but_crlf_ends_a_command() {
    transcript(
        r"
        S: 220
        C: HELO me\nQUIT
        C: HELO me\rQUIT
        C: HELO me\r
        C: HELO \0me
        C: HELO me
        S: 500 5.5.2 Line holds a bare LF
        S: 500 5.5.2 Line holds a bare CR
        S: 500 5.5.2 Line holds a bare CR
        S: 500 5.5.2 Line holds a NUL
        S: 250 mx
        ",
    );
}

#[test]
fn no_variant_of_the_end_starts_a_second_mail() {
    let variants = [
        "\\n.\\n",
        "\\n.\\r\\n",
        "\\r\\n.\\n",
        "\\r.\\r",
        "\\r.\\r\\n",
        "\\r\\n.\\r",
        "\\n\\n.\\r\\n",
        "\\r\\r\\n.\\n",
        "\\r\\n.\\r\\r\\n",
        "\\n\\r\\n.\\r\\r\\n",
        "\\n.\\r",
        "\\r.\\n",
        "\\r\\n\\0.\\n",
        "\\r\\n.\\0\\r\\n\\n",
    ];
    for end in variants {
        transcript(&format!(
            r"
            S: 220
            C: HELO me
            C: MAIL FROM:<a@b.example>
            C: RCPT TO:<jo@example.com>
            C: DATA
            S: 250
            S: 250
            S: 250
            S: 354
            C: Subject: one{end}MAIL FROM:<x@b.example>\r\nRCPT TO:<jo@example.com>\r\nDATA\r\nSubject: two
            C: .
            C: NOOP
            S: 550 5.6.0 Message holds a bare
            S: 250 2.0.0 Ok
            "
        ));
    }
}

#[test]
fn a_nul_before_the_dot_is_text() {
    let data = b"Subject: one\r\n\r\n\0.\r\nMAIL FROM:<x@y>\r\n.\r\n";
    let mut play = Play::new(&Limits::default());
    for flight in [b"HELO me\r\n", ENVELOPE, data] {
        play.feed(flight);
    }
    assert_eq!(play.messages.len(), 1);
    assert_eq!(play.messages[0].data, data[..data.len() - 3]);
}

#[test]
fn input_before_the_answer_to_data_closes() {
    let limits = Limits::default();
    let early = [ENVELOPE, b"Subject: one\r\n.\r\n"].concat();
    assert_eq!(codes(&limits, &[&early, b"NOOP\r\n"]), [250, 250, 554]);
    assert_eq!(codes(&limits, &[b"DATA\r\nNOOP\r\n", b"NOOP\r\n"]), [554]);

    let mut session = Session::new("mx", "example.com", limits);
    let mut input: &[u8] = b"HELO me\r\nDATA\r\n";
    assert!(matches!(session.advance(&mut input), Step::Reply(_)));
    assert!(matches!(session.advance(&mut input), Step::Turn(_)));
    assert!(matches!(session.advance(&mut input), Step::NeedMore));
    let mut late: &[u8] = b"x";
    assert!(matches!(session.advance(&mut late), Step::Close(_)));
}

#[test]
fn a_web_client_or_a_chunk_closes_at_once() {
    let limits = Limits::default();
    for verb in ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI"] {
        let request = format!("{verb} / HTTP/1.1\r\nNOOP\r\n");
        assert_eq!(codes(&limits, &[request.as_bytes(), b"NOOP\r\n"]), [554], "{verb}");
        let long = format!("{verb} /{}", "x".repeat(600));
        assert_eq!(codes(&limits, &[long.as_bytes(), b"\r\nNOOP\r\n"]), [554], "{verb}");
        let unix = format!("{verb} / HTTP/1.1\nNOOP\r\n");
        assert_eq!(codes(&limits, &[unix.as_bytes()]), [554], "{verb}");
    }
    assert_eq!(codes(&limits, &[b"BDAT 6 LAST\r\nNOOP\r\n"]), [502]);
}

#[test]
fn a_command_line_and_one_octet_more() {
    let limits = Limits::default();
    let line = |bytes: usize| format!("NOOP {}\r\n", "x".repeat(bytes - 7));
    assert_eq!(codes(&limits, &[line(512).as_bytes()]), [250]);
    assert_eq!(codes(&limits, &[line(513).as_bytes(), b"NOOP\r\n"]), [500, 250]);
    let tail = format!("NOOP {} \tQUIT\rQUIT\nQUIT\r\n", "x".repeat(600));
    assert_eq!(codes(&limits, &[tail.as_bytes(), b"NOOP\r\n"]), [500, 250]);
}

#[test]
fn a_message_of_the_declared_size_and_one_octet_more() {
    let limits = Limits { max_message_bytes: 100, ..Limits::default() };
    assert_eq!(codes(&limits, &[b"MAIL FROM:<a@b> SIZE=100\r\n"]), [250]);
    assert_eq!(codes(&limits, &[b"MAIL FROM:<a@b> SIZE=101\r\n"]), [552]);
    let huge = b"MAIL FROM:<a@b> SIZE=99999999999999999999\r\nNOOP\r\n";
    assert_eq!(codes(&limits, &[huge]), [552, 250]);
}

#[test]
fn a_message_of_the_real_size_and_one_octet_more() {
    let limits = Limits { max_message_bytes: 100, ..Limits::default() };
    for (bytes, expected) in [(100, 250), (101, 552), (100_000, 552)] {
        // The stuffed dot and the end mark do not count.
        let data = format!("..{}\r\n.\r\nNOOP\r\n", "x".repeat(bytes - 3));
        let codes = codes(&limits, &[ENVELOPE, data.as_bytes()]);
        assert_eq!(codes, [250, 250, 354, expected, 250]);
    }
}

#[test]
fn a_header_of_the_limit_and_one_octet_more() {
    let limits = Limits::default();
    let field = format!("X: {}\r\n", "x".repeat(1019));
    for (extra, expected) in [("X: y\r\n", 554), ("", 250)] {
        let header = field.repeat(256) + extra;
        assert_eq!(header.len(), 256 * 1024 + extra.len());
        let data = format!("{header}\r\n{}.\r\nNOOP\r\n", "body\r\n".repeat(9));
        let codes = codes(&limits, &[ENVELOPE, data.as_bytes()]);
        assert_eq!(codes, [250, 250, 354, expected, 250]);
    }
    let one_more = format!("{}X{}.\r\nNOOP\r\n", field.repeat(255), field);
    assert_eq!(codes(&limits, &[ENVELOPE, one_more.as_bytes()])[3], 554);
}

#[test]
fn of_two_bounds_in_one_line_the_lower_speaks() {
    for (max_header_bytes, expected) in [(20, "554"), (40, "552"), (60, "552")] {
        let limits = Limits { max_message_bytes: 40, max_header_bytes, ..Limits::default() };
        transcript_with(
            &limits,
            &format!(
                r"
                S: 220
                C: HELO me
                C: MAIL FROM:<a@b.example>
                C: RCPT TO:<jo@example.com>
                C: DATA
                S: 250
                S: 250
                S: 250
                S: 354
                C: X: {}
                C: .
                S: {expected}
                ",
                "x".repeat(80)
            ),
        );
    }
}

#[test]
fn fifty_received_fields_and_one_more() {
    let limits = Limits::default();
    for (count, expected) in [(50, 250), (51, 554)] {
        let received = "received : from a\r\n by b\r\nReceivedX: no\r\n".repeat(count);
        let data = format!("{received}\r\n{}.\r\n", "Received: in the body\r\n".repeat(99));
        let codes = codes(&limits, &[ENVELOPE, data.as_bytes()]);
        assert_eq!(codes, [250, 250, 354, expected]);
    }
}

#[test]
fn a_hundred_recipients_and_one_more() {
    let limits = Limits::default();
    let mut expected = vec![250; 101];
    expected.extend([452, 354, 250, 250, 250]);
    let many = "RCPT TO:<jo@example.com>\r\n".repeat(101);
    let first = format!("MAIL FROM:<a@b>\r\n{many}DATA\r\n");
    let then = b".\r\nMAIL FROM:<a@b>\r\nRCPT TO:<jo@example.com>\r\n";
    assert_eq!(codes(&limits, &[first.as_bytes(), then]), expected);
}

#[test]
fn ten_unknown_recipients_and_one_more() {
    let both = "RCPT TO:<no@example.com>\r\nRCPT TO:<x@y>\r\n";
    let many = format!("MAIL FROM:<a@b>\r\n{}NOOP\r\n", both.repeat(6));
    let mut expected = vec![250];
    expected.extend([550; 10]);
    expected.push(421);
    assert_eq!(codes(&Limits::default(), &[many.as_bytes()]), expected);
}

#[test]
fn twenty_errors_and_one_more() {
    let mut expected = vec![500; 20];
    expected.push(421);
    let many = "XYZZY\r\n".repeat(22);
    assert_eq!(codes(&Limits::default(), &[many.as_bytes()]), expected);
    let twenty = "XYZZY\r\n".repeat(20) + "DATA\r\n";
    assert_eq!(codes(&Limits::default(), &[twenty.as_bytes()]), expected);
}

#[test]
fn without_memory_a_message_is_read_to_its_end() {
    let mut play = Play::new(&Limits::default());
    play.feed(b"HELO me\r\n");
    play.feed(ENVELOPE);
    play.log.clear();
    play.memory = 150_000;
    play.feed("x".repeat(90_000).as_bytes());
    assert_eq!(play.session.data_held(), 128 * 1024);
    play.feed("x".repeat(90_000).as_bytes());
    assert_eq!(play.session.data_held(), 0);
    assert!(play.session.is_receiving_data());
    play.feed(b"\r\n.\r\n");
    assert!(play.log[0].starts_with("S: 452 4.3.1"), "{:?}", play.log);
    play.feed(ENVELOPE);
    play.feed(b"Subject: small\r\n\r\n.\r\n");
    assert_eq!(play.messages.len(), 1);
}

#[test]
fn while_a_question_is_open_nothing_is_read() {
    let mut session = Session::new("mx", "example.com", Limits::default());
    let mut input: &[u8] = b"HELO me\r\nMAIL FROM:<>\r\nRCPT TO:<jo@example.com>\r\nNOOP\r\n";
    assert!(matches!(session.advance(&mut input), Step::Reply(_)));
    assert!(matches!(session.advance(&mut input), Step::Reply(_)));
    assert!(matches!(session.advance(&mut input), Step::Recipient { .. }));
    assert!(matches!(session.advance(&mut input), Step::NeedMore));
    assert_eq!(input, b"NOOP\r\n");
    let accepted = MessageVerdict::NoneLeft;
    assert!(matches!(session.message_answer(accepted), Step::NeedMore));
    let verdict = RecipientVerdict::Accept;
    assert!(matches!(session.recipient_answer(verdict), Step::Reply(_)));
    assert!(matches!(session.recipient_answer(verdict), Step::NeedMore));
    assert!(matches!(session.advance(&mut input), Step::Reply(_)));
}

#[test]
fn after_goodbye_nothing_is_interpreted() {
    for reason in
        [Goodbye::Idle, Goodbye::ShuttingDown, Goodbye::TooManyConnections, Goodbye::TooManyFromClient]
    {
        let mut session = Session::new("mx", "example.com", Limits::default());
        let reply = session.goodbye(reason);
        assert!(reply.to_string().starts_with("421 4."), "{reply}");
        let mut input: &[u8] = b"NOOP\r\n";
        assert!(matches!(session.advance(&mut input), Step::NeedMore));
        assert!(input.is_empty());
    }
}

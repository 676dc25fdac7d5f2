//! One command line, read into a [`Command`] or into the reply that refuses it.

use crate::Reply;
use crate::address::{self, Path, PathError};

/// Octets of the name a client gives itself (RFC 5321, 4.5.3.1.2).
const MAX_HELO_BYTES: usize = 255;
/// Digits of a `SIZE` value (RFC 1870, 3).
const MAX_SIZE_DIGITS: usize = 20;

/// First words of HTTP requests and of the HTTP/2 preface. A browser or a confused HTTP client
/// that was pointed at this port must not get to speak SMTP in its headers or body.
const HTTP_VERBS: [&str; 10] =
    ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Ehlo(String),
    Helo(String),
    Mail {
        /// `None` is the null reverse-path.
        sender: Option<String>,
        /// What `SIZE` declares, octets.
        size: Option<u128>,
    },
    /// `None` is postmaster without a domain.
    Rcpt(Option<String>),
    Data,
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reply: Reply,
    /// Nothing after this line may be interpreted.
    pub(crate) closes: bool,
}

impl From<Reply> for Refused {
    fn from(reply: Reply) -> Self {
        Self { reply, closes: false }
    }
}

/// Whether a line, or the beginning of one, is an HTTP request.
pub(crate) fn is_http(line: &[u8]) -> bool {
    let (word, _) = split_word(line);
    HTTP_VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb.as_bytes()))
}

/// The answer to an HTTP request, before the connection closes.
pub(crate) fn http_reply() -> Reply {
    Reply::new(554, "5.5.1", "This is a mail server, not a web server; closing")
}

/// Reads a line without its CRLF.
pub(crate) fn parse(line: &[u8]) -> Result<Command, Refused> {
    if is_http(line) {
        return Err(Refused { reply: http_reply(), closes: true });
    }
    let (verb, argument) = split_word(line);
    let argument = argument.trim_ascii();
    match verb.to_ascii_uppercase().as_slice() {
        b"EHLO" => name(argument).map(Command::Ehlo),
        b"HELO" => name(argument).map(Command::Helo),
        b"MAIL" => mail(argument),
        b"RCPT" => rcpt(argument),
        b"DATA" => bare(argument, Command::Data),
        b"RSET" => bare(argument, Command::Rset),
        b"QUIT" => bare(argument, Command::Quit),
        b"NOOP" => Ok(Command::Noop),
        b"HELP" => Ok(Command::Help),
        b"VRFY" if argument.is_empty() => Err(syntax("VRFY needs a name").into()),
        b"VRFY" => Ok(Command::Vrfy),
        b"BDAT" => Err(Refused {
            // Its chunk follows at once and would be read as commands.
            reply: Reply::new(502, "5.5.1", "CHUNKING is not offered here; closing"),
            closes: true,
        }),
        b"EXPN" | b"TURN" | b"ETRN" | b"SEND" | b"SOML" | b"SAML" | b"AUTH" | b"STARTTLS" => {
            Err(Reply::new(502, "5.5.1", "This command is not implemented here").into())
        }
        _ => Err(Reply::new(500, "5.5.1", "Command not recognized; try HELP").into()),
    }
}

fn syntax(text: &str) -> Reply {
    Reply::new(501, "5.5.4", text)
}

/// The bytes up to the first space, and those from it on.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    text.split_at(end)
}

fn bare(argument: &[u8], command: Command) -> Result<Command, Refused> {
    if argument.is_empty() { Ok(command) } else { Err(syntax("This command takes no argument").into()) }
}

/// Names are only recorded, so any visible ASCII passes: clients call themselves many things.
fn name(argument: &[u8]) -> Result<String, Refused> {
    let visible = argument.iter().all(u8::is_ascii_graphic);
    if !visible || !(1..=MAX_HELO_BYTES).contains(&argument.len()) {
        return Err(syntax("Give the name of your host: EHLO mail.example.com").into());
    }
    Ok(argument.iter().copied().map(char::from).collect())
}

fn mail(argument: &[u8]) -> Result<Command, Refused> {
    let (path, parameters) = path_after(argument, b"FROM:", "MAIL FROM:<address>", "5.1.7")?;
    let sender = match path {
        Path::Null => None,
        Path::Address(address) => Some(address),
        Path::Postmaster => return Err(bad_path(PathError::Domain, "5.1.7").into()),
    };
    let (mut size, mut body) = (None, None);
    for parameter in parameters_of(parameters) {
        let (key, value) = match parameter.iter().position(|b| *b == b'=') {
            Some(at) => (&parameter[..at], &parameter[at + 1..]),
            None => (parameter, &b""[..]),
        };
        let again = if key.eq_ignore_ascii_case(b"SIZE") {
            size.replace(size_value(value)?).is_some()
        } else if key.eq_ignore_ascii_case(b"BODY") {
            body.replace(body_value(value)?).is_some()
        } else {
            return Err(unknown_parameter(parameter));
        };
        if again {
            return Err(syntax("A parameter of MAIL is given twice").into());
        }
    }
    Ok(Command::Mail { sender, size })
}

fn rcpt(argument: &[u8]) -> Result<Command, Refused> {
    let (path, parameters) = path_after(argument, b"TO:", "RCPT TO:<address>", "5.1.3")?;
    if let Some(parameter) = parameters_of(parameters).next() {
        return Err(unknown_parameter(parameter));
    }
    match path {
        Path::Address(address) => Ok(Command::Rcpt(Some(address))),
        Path::Postmaster => Ok(Command::Rcpt(None)),
        Path::Null => Err(Reply::new(501, "5.1.3", "A recipient cannot be empty").into()),
    }
}

/// A space after the colon passes: many clients write one, and nothing depends on it.
fn path_after<'a>(
    argument: &'a [u8],
    keyword: &[u8],
    form: &str,
    status: &str,
) -> Result<(Path, &'a [u8]), Refused> {
    let wrong_form = || syntax(&format!("Write {form} in angle brackets"));
    let (head, rest) = argument.split_at_checked(keyword.len()).ok_or_else(wrong_form)?;
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(wrong_form().into());
    }
    let (path, rest) = match address::parse(rest.trim_ascii_start()) {
        Ok(parsed) => parsed,
        Err(PathError::NoBrackets) => return Err(wrong_form().into()),
        Err(error) => return Err(bad_path(error, status).into()),
    };
    if !rest.is_empty() && !rest.starts_with(b" ") {
        return Err(wrong_form().into());
    }
    Ok((path, rest))
}

fn bad_path(error: PathError, status: &str) -> Reply {
    match error {
        PathError::NotAscii => {
            Reply::new(553, "5.6.7", "Addresses beyond ASCII need SMTPUTF8, which is not offered here")
        }
        PathError::TooLong => Reply::new(501, status, "The address is too long"),
        PathError::Local => Reply::new(501, status, "The part before the @ is not well formed"),
        PathError::Domain | PathError::NoBrackets => {
            Reply::new(501, status, "The address needs an @ and a valid domain")
        }
    }
}

fn parameters_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b' ').filter(|word| !word.is_empty())
}

fn unknown_parameter(parameter: &[u8]) -> Refused {
    let shown = String::from_utf8_lossy(&parameter[..parameter.len().min(40)]);
    Reply::new(555, "5.5.4", &format!("Parameter not offered here: {shown}")).into()
}

fn size_value(value: &[u8]) -> Result<u128, Refused> {
    let digits = value.iter().all(u8::is_ascii_digit);
    if !digits || !(1..=MAX_SIZE_DIGITS).contains(&value.len()) {
        return Err(syntax("SIZE is a number of octets, of at most 20 digits").into());
    }
    Ok(value.iter().fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0')))
}

/// Both values mean the same here: eight bits always pass.
fn body_value(value: &[u8]) -> Result<(), Refused> {
    if value.eq_ignore_ascii_case(b"7BIT") || value.eq_ignore_ascii_case(b"8BITMIME") {
        Ok(())
    } else {
        Err(syntax("BODY is 7BIT or 8BITMIME here").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &str) -> u16 {
        parse(line.as_bytes()).unwrap_err().reply.code()
    }

    #[test]
    fn commands_in_any_case() {
        let mail = |sender: Option<&str>, size| Command::Mail { sender: sender.map(Into::into), size };
        for (line, expected) in [
            ("ehlo a.example", Command::Ehlo("a.example".into())),
            ("HELO  [192.0.2.1] ", Command::Helo("[192.0.2.1]".into())),
            ("MAIL FROM:<>", mail(None, None)),
            ("mail from:<a@b> size=12 body=8bitmime", mail(Some("a@b"), Some(12))),
            ("MAIL FROM: <a@b> BODY=7BIT", mail(Some("a@b"), None)),
            ("RCPT TO:<a@b>", Command::Rcpt(Some("a@b".into()))),
            ("RCPT TO:<Postmaster>", Command::Rcpt(None)),
            ("DATA ", Command::Data),
            ("RSET", Command::Rset),
            ("NOOP anything", Command::Noop),
            ("VRFY jo", Command::Vrfy),
            ("HELP MAIL", Command::Help),
            ("QUIT", Command::Quit),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_refused_and_how() {
        for (line, expected) in [
            ("", 500),
            ("MAILFROM:<a@b>", 500),
            ("XYZZY", 500),
            ("EHLO", 501),
            ("EHLO two words", 501),
            ("EHLO b\u{fc}ro", 501),
            ("MAIL", 501),
            ("MAIL FROM", 501),
            ("MAIL FROM:a@b", 501),
            ("MAIL FROM:<a@b", 501),
            ("MAIL FROM:<a@b>x", 501),
            ("MAIL TO:<a@b>", 501),
            ("MAIL FROM:<postmaster>", 501),
            ("MAIL FROM:<\u{fc}@b>", 553),
            ("MAIL FROM:<a@b> SMTPUTF8", 555),
            ("MAIL FROM:<a@b> AUTH=<>", 555),
            ("MAIL FROM:<a@b> SIZE", 501),
            ("MAIL FROM:<a@b> SIZE=1x", 501),
            ("MAIL FROM:<a@b> SIZE=1 SIZE=1", 501),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", 501),
            ("MAIL FROM:<a@b> BODY=7BIT BODY=7BIT", 501),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a@b> NOTIFY=NEVER", 555),
            ("RCPT TO:a@b", 501),
            ("RCPT TO:<a@\u{fc}>", 553),
            ("VRFY", 501),
            ("DATA now", 501),
            ("QUIT now", 501),
            ("RSET now", 501),
            ("EXPN list", 502),
            ("STARTTLS", 502),
            ("AUTH PLAIN", 502),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
    }

    #[test]
    fn size_has_at_most_twenty_digits() {
        let line = |digits| format!("MAIL FROM:<a@b> SIZE={}", "9".repeat(digits));
        assert!(parse(line(20).as_bytes()).is_ok());
        assert_eq!(code(&line(21)), 501);
    }

    #[test]
    fn a_name_has_at_most_255_octets() {
        let line = |bytes| format!("EHLO {}", "x".repeat(bytes));
        assert!(parse(line(255).as_bytes()).is_ok());
        assert_eq!(code(&line(256)), 501);
    }

    #[test]
    fn http_and_chunks_close() {
        for line in ["GET / HTTP/1.1", "post /x HTTP/1.1", "PRI * HTTP/2.0", "BDAT 5 LAST"] {
            assert!(parse(line.as_bytes()).unwrap_err().closes, "{line}");
        }
        assert!(!is_http(b"GETTING"));
    }
}

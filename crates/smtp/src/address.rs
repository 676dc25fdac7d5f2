//! Paths of `MAIL` and `RCPT` (RFC 5321, 4.1.2), read strictly: angle brackets are required,
//! a source route is read and ignored, bytes past ASCII are refused.
//!
//! An address leaves here in one form: a quoted local part that needs no quotes loses them
//! (`"jo"@x` and `jo@x` are the same mailbox), one that needs them has the fewest escapes.
//! Letters keep their case.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Octets of a local part (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_BYTES: usize = 64;
/// Octets of a domain (RFC 5321, 4.5.3.1.2).
const MAX_DOMAIN_BYTES: usize = 255;
/// Octets of a label (RFC 1035, 2.3.4).
const MAX_LABEL_BYTES: usize = 63;
/// Octets of a path with its brackets (RFC 5321, 4.5.3.1.3).
const MAX_PATH_BYTES: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    NoBrackets,
    NotAscii,
    TooLong,
    Local,
    Domain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// `<>`
    Null,
    /// `<postmaster>`, in any case of letters
    Postmaster,
    /// `local@domain`
    Address(String),
}

/// Reads a path at the front of `text`; what follows the closing bracket is returned with it.
pub(crate) fn parse(text: &[u8]) -> Result<(Path, &[u8]), PathError> {
    let inside = text.strip_prefix(b"<").ok_or(PathError::NoBrackets)?;
    let end = closing_bracket(inside).ok_or(PathError::NoBrackets)?;
    let (path, rest) = (&inside[..end], &inside[end + 1..]);
    if path.len() + 2 > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    let path = str::from_utf8(path).map_err(|_| PathError::NotAscii)?;
    if !path.is_ascii() {
        return Err(PathError::NotAscii);
    }
    if path.is_empty() {
        return Ok((Path::Null, rest));
    }
    if path.eq_ignore_ascii_case("postmaster") {
        return Ok((Path::Postmaster, rest));
    }
    let mailbox = skip_route(path)?;
    let (local, domain) = split_local(mailbox)?;
    check_domain(domain)?;
    Ok((Path::Address(format!("{local}@{domain}")), rest))
}

/// The first `>` outside quotes.
fn closing_bracket(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|&byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' => return !quoted,
            _ => {}
        }
        false
    })
}

/// `@one,@two:mailbox` gives `mailbox` (RFC 5321, appendix C: ignore the route).
fn skip_route(path: &str) -> Result<&str, PathError> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    let (route, mailbox) = path.split_once(':').ok_or(PathError::Domain)?;
    for hop in route.split(',') {
        check_domain(hop.strip_prefix('@').ok_or(PathError::Domain)?)?;
    }
    Ok(mailbox)
}

/// The local part in its plain form, and the domain.
fn split_local(mailbox: &str) -> Result<(String, &str), PathError> {
    let (local, plain, domain) = if let Some(quoted) = mailbox.strip_prefix('"') {
        let (content, after) = unquote(quoted)?;
        let plain = is_dot_string(&content);
        let domain = after.strip_prefix('@').ok_or(PathError::Local)?;
        (content, plain, domain)
    } else {
        let (local, domain) = mailbox.split_once('@').ok_or(PathError::Domain)?;
        if !is_dot_string(local) {
            return Err(PathError::Local);
        }
        (local.to_owned(), true, domain)
    };
    let local = if plain { local } else { quote(&local) };
    if local.len() > MAX_LOCAL_BYTES {
        return Err(PathError::TooLong);
    }
    Ok((local, domain))
}

/// Content of a quoted string whose opening quote is gone, and what follows the closing one.
fn unquote(text: &str) -> Result<(String, &str), PathError> {
    let mut content = String::new();
    let mut chars = text.char_indices();
    while let Some((index, c)) = chars.next() {
        let c = match c {
            '"' => return Ok((content, &text[index + 1..])),
            '\\' => chars.next().ok_or(PathError::Local)?.1,
            c => c,
        };
        if !matches!(c, ' '..='~') {
            return Err(PathError::Local);
        }
        content.push(c);
    }
    Err(PathError::Local)
}

fn quote(content: &str) -> String {
    let mut quoted = String::from("\"");
    for c in content.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

/// `Dot-string`: atoms of RFC 5322, 3.2.3, joined by single dots.
fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// A host name or an address literal. An underscore passes, as it does in senders seen in the wild.
fn check_domain(domain: &str) -> Result<(), PathError> {
    if domain.len() > MAX_DOMAIN_BYTES {
        return Err(PathError::TooLong);
    }
    let valid = if let Some(literal) = domain.strip_prefix('[') {
        literal.strip_suffix(']').is_some_and(is_literal)
    } else {
        domain.split('.').all(is_label)
    };
    if valid { Ok(()) } else { Err(PathError::Domain) }
}

fn is_literal(literal: &str) -> bool {
    match literal.split_once(':') {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6") => address.parse::<Ipv6Addr>().is_ok(),
        _ => literal.parse::<Ipv4Addr>().is_ok(),
    }
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL_BYTES).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<String, PathError> {
        match parse(text.as_bytes())? {
            (Path::Address(address), b"") => Ok(address),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn addresses_in_their_one_form() {
        for (path, expected) in [
            ("<jo@example.com>", "jo@example.com"),
            ("<Jo+tag@Example.COM>", "Jo+tag@Example.COM"),
            ("<\"jo\"@example.com>", "jo@example.com"),
            ("<\"j\\o\"@example.com>", "jo@example.com"),
            ("<\"a b\"@example.com>", "\"a b\"@example.com"),
            ("<\"a>\\\"@b\"@example.com>", "\"a>\\\"@b\"@example.com"),
            ("<\"\"@example.com>", "\"\"@example.com"),
            ("<@a.example,@b.example:jo@c.example>", "jo@c.example"),
            ("<jo@[192.0.2.1]>", "jo@[192.0.2.1]"),
            ("<jo@[IPv6:2001:db8::1]>", "jo@[IPv6:2001:db8::1]"),
            ("<postmaster@example.com>", "postmaster@example.com"),
            ("<jo@bounce_1.example>", "jo@bounce_1.example"),
        ] {
            assert_eq!(address(path), Ok(expected.into()), "{path}");
        }
    }

    #[test]
    fn what_is_no_path() {
        use PathError::{Domain, Local, NoBrackets, NotAscii};
        for (path, expected) in [
            ("jo@example.com", NoBrackets),
            ("<jo@example.com", NoBrackets),
            ("<\"jo@example.com>", NoBrackets),
            ("<jo>", Domain),
            ("<jo@>", Domain),
            ("<jo@example..com>", Domain),
            ("<jo@example.com.>", Domain),
            ("<jo@-a.example>", Domain),
            ("<jo@a@b>", Domain),
            ("<jo@[300.0.2.1]>", Domain),
            ("<jo@[192.0.2.1>", Domain),
            ("<@a.example>", Domain),
            ("<@a.example,b.example:jo@c.example>", Domain),
            ("<@>", Domain),
            ("<.jo@example.com>", Local),
            ("<j..o@example.com>", Local),
            ("<j o@example.com>", Local),
            ("<@a.example:@c.example>", Local),
            ("<\"jo\"x@example.com>", Local),
            ("<\"j\to\"@example.com>", Local),
            ("<j\u{f6}@example.com>", NotAscii),
            ("<jo@ex\u{e4}mple.com>", NotAscii),
        ] {
            assert_eq!(address(path), Err(expected), "{path}");
        }
        assert_eq!(parse(b"<j\xff@example.com>"), Err(NotAscii));
    }

    #[test]
    fn each_length_and_one_more() {
        let local = "l".repeat(64);
        assert!(address(&format!("<{local}@x>")).is_ok());
        assert_eq!(address(&format!("<{local}l@x>")), Err(PathError::TooLong));

        let label = "d".repeat(63);
        assert!(address(&format!("<jo@{label}>")).is_ok());
        assert_eq!(address(&format!("<jo@{label}d>")), Err(PathError::Domain));

        let fits = format!("<{}@{label}.{label}.{}>", "l".repeat(64), "d".repeat(61));
        assert_eq!(fits.len(), 256);
        assert!(address(&fits).is_ok());
        let over = format!("<{}@{label}.{label}.{}>", "l".repeat(64), "d".repeat(62));
        assert_eq!(address(&over), Err(PathError::TooLong));
    }

    #[test]
    fn null_and_postmaster_and_what_follows() {
        assert_eq!(parse(b"<> SIZE=1"), Ok((Path::Null, &b" SIZE=1"[..])));
        assert_eq!(parse(b"<PostMaster>"), Ok((Path::Postmaster, &b""[..])));
    }
}

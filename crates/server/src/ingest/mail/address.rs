//! Addresses: out of a field, and checked.

use mail_parser::parsers::MessageStream;

use super::fields::Header;
use super::{MAX_ADDRESS_BYTES, MAX_ADDRESSES};

/// The usable addresses of every field called `name`, in order. Stops one past
/// [`MAX_ADDRESSES`], so that the caller sees that there are too many.
pub(super) fn of(header: &Header<'_>, name: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for value in header.all(name) {
        let Some(list) = MessageStream::new(&value).parse_address().into_address() else {
            continue;
        };
        let room = (MAX_ADDRESSES + 1).saturating_sub(found.len());
        found.extend(list.iter().filter_map(|entry| clean(entry.address()?)).take(room));
    }
    found
}

/// `address` with its domain in lower case, or `None` when it is not `local@domain`, has white
/// space or control characters in it, or is longer than [`MAX_ADDRESS_BYTES`].
pub(super) fn clean(address: &str) -> Option<String> {
    let address = address.trim();
    let (local, domain) = address.rsplit_once('@')?;
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | ',');
    let usable = !local.is_empty()
        && !domain.is_empty()
        && address.len() <= MAX_ADDRESS_BYTES
        && address.chars().all(plain);
    let cleaned = usable.then(|| format!("{local}@{}", domain.to_lowercase()))?;
    // Lower case may be longer than what it came from.
    (cleaned.len() <= MAX_ADDRESS_BYTES).then_some(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(value: &str) -> Vec<String> {
        let raw = format!("To: {value}\r\n\r\n");
        let (header, _) = Header::split(raw.as_bytes()).unwrap();
        of(&header, b"to")
    }

    #[test]
    fn groups_comments_and_quoted_names_leave_bare_addresses() {
        assert_eq!(
            to("Team: a@example.com, B <b@Example.COM>;, c@d.test"),
            ["a@example.com", "b@example.com", "c@d.test"]
        );
        assert!(to("undisclosed-recipients:;").is_empty());
        assert_eq!(to("\"Doe, Jane\" <Jane@example.com> (home)"), ["Jane@example.com"]);
        assert_eq!(to("(x) a@example.com (y)"), ["a@example.com"]);
    }

    #[test]
    fn what_is_no_address_is_left_out() {
        assert!(to("nobody").is_empty());
        assert!(to("<@example.com>, <a@>, <>").is_empty());
        assert_eq!(to("<a b@example.com>, <c@example.com>"), ["c@example.com"]);
    }

    #[test]
    fn an_address_is_at_most_as_long_as_its_bound() {
        let domain = format!("{}.test", "d".repeat(250));
        let longest = format!("{}@{domain}", "l".repeat(64));
        assert_eq!(longest.len(), MAX_ADDRESS_BYTES);
        assert_eq!(clean(&longest).as_deref(), Some(&*longest));
        assert_eq!(clean(&format!("l{longest}")), None);
        let grows = format!("l@{}", "İ".repeat(150));
        assert_eq!(clean(&grows), None);
    }
}

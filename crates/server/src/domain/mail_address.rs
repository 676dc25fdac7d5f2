//! Telling mail addresses from other texts, and comparing them.

/// Bytes of an address at most: 64 for the local part, the `@`, 255 for the domain (RFC 5321, 4.5.3.1).
pub const ADDRESS_BYTES: usize = 320;

/// Whether a text can be the address of a mail: `local@domain`, without white space, control characters and what
/// sets addresses apart in a list.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | ',');
    text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
        && text.chars().all(plain)
        && text.len().max(normalize(text).len()) <= ADDRESS_BYTES
}

/// The form in which two addresses are compared and stored: trimmed and lower case, the local part
/// included. RFC 5321 would let a local part be case sensitive; no mailbox here is.
#[must_use]
pub fn normalize(address: &str) -> String {
    address.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_two_parts_and_an_end() {
        let long = |bytes: usize| format!("{}@client.test", "a".repeat(bytes - "@client.test".len()));
        for text in ["ana@client.test", "a@b", "\u{e4}@b", "a@b@c", "\"a\"@b", &long(ADDRESS_BYTES)] {
            assert!(is_address(text), "{text}");
        }
        let over = long(ADDRESS_BYTES + 1);
        for text in ["", "@", "a@", "@b", "ana", "a b@c", "a@b\n", "<a@b>", "a@b,c@d", &over] {
            assert!(!is_address(text), "{text}");
        }
    }

    #[test]
    fn case_and_surrounding_white_space_do_not_count() {
        assert_eq!(normalize(" Ana@Example.COM\t"), "ana@example.com");
    }
}

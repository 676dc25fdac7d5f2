//! Comparing mail addresses.

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
    fn case_and_surrounding_white_space_do_not_count() {
        assert_eq!(normalize(" Ana@Example.COM\t"), "ana@example.com");
    }
}

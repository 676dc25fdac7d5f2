//! How a body of its own is stored: compressed, for a context says much alike many times over, and whoever writes it
//! waits in line with everybody else's events.
//!
//! A byte that no JSON begins with, then an LZ4 block behind its length. What would not get shorter is stored as it is.

use std::borrow::Cow;

use crate::store::error::StoreError;

const TAG: u8 = 1;
/// Longer than any body: an event and a context. What says that it is longer is not believed.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// As it is stored.
pub(super) fn pack(body: &[u8]) -> Cow<'_, [u8]> {
    let mut packed = vec![TAG];
    packed.append(&mut lz4_flex::compress_prepend_size(body));
    if packed.len() < body.len() { packed.into() } else { body.into() }
}

/// As it was before, from a stored body or an event's payload.
pub(in crate::store) fn unpack(stored: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let Some((&TAG, packed)) = stored.split_first() else { return Ok(stored) };
    let broken = |_| StoreError::Corrupt("a delivery's own body");
    let (length, block) = lz4_flex::block::uncompressed_size(packed).map_err(broken)?;
    if length > MAX_BYTES {
        return Err(StoreError::Corrupt("a delivery's own body"));
    }
    let body = lz4_flex::decompress(block, length).map_err(broken)?;
    if body.len() == length { Ok(body) } else { Err(StoreError::Corrupt("a delivery's own body")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_alike_is_stored_shorter_and_the_rest_as_it_is() {
        let mails = r#"{"from_address":"ana@client.test","subject":"Invoice"},"#.repeat(50);
        let body = format!("{{\"items\":[{mails}]}}");
        let packed = pack(body.as_bytes()).into_owned();
        assert!(packed.len() * 5 < body.len(), "{} of {}", packed.len(), body.len());
        assert_eq!(unpack(packed).expect("it is whole"), body.as_bytes());
        assert_eq!(*pack(b"{}"), *b"{}");
        assert_eq!(unpack(b"{}".to_vec()).expect("it is whole"), b"{}");
    }

    #[test]
    fn what_is_broken_is_refused_and_allocates_nothing() {
        for broken in [
            &[TAG][..],
            &[TAG, 0, 0, 0],
            &[TAG, 255, 255, 255, 255, 0],
            &[TAG, 9, 0, 0, 0, 0xf0],
            &[TAG, 9, 0, 0, 0, 0x10, b'{'],
        ] {
            assert!(matches!(unpack(broken.to_vec()), Err(StoreError::Corrupt(_))), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn a_body_comes_back_as_it_was(text in "\\{[a-e\"]{0,400}\\}") {
            prop_assert_eq!(unpack(pack(text.as_bytes()).into_owned()).expect("it is whole"), text.as_bytes());
        }
    }
}

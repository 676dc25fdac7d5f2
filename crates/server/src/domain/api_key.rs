//! API keys: their text, and what of it may be shown.
//!
//! A key made here is its public id, a dot and 32 random bytes: `ApiKey_<uuid>.<secret>`. A key that the
//! operator chose for the first start is any text of [`MIN_CHARS`] to [`MAX_CHARS`] visible ASCII
//! characters. Shown later are only the beginning of the id, which is public anyway, and the last four
//! characters of the text.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use inkhook_wire::id::ApiKeyId;

use super::entropy::Entropy;
use super::secret::Secret;

/// Characters that a key has at least.
pub const MIN_CHARS: usize = 20;
/// Characters that a key has at most.
pub const MAX_CHARS: usize = 512;
/// Hex digits of the id that are shown.
const SHOWN_DIGITS: usize = 8;
/// Characters of the text that are shown.
const SHOWN_LAST: usize = 4;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyScope {
    /// Everything in its organisation.
    Admin,
    /// What belongs to its identity.
    Agent,
    /// Everything in the organisation that each request names.
    Operator,
}

impl KeyScope {
    /// The word that stands for it in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Operator => "operator",
        }
    }

    /// Reads [`KeyScope::name`] back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Admin, Self::Agent, Self::Operator].into_iter().find(|scope| scope.name() == name)
    }
}

/// A text that cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is {MIN_CHARS} to {MAX_CHARS} visible ASCII characters")]
pub struct NotAKey;

/// A new key's text.
#[must_use]
pub fn generate(entropy: &Entropy, id: ApiKeyId) -> Secret {
    let secret: [u8; 32] = entropy.bytes();
    Secret::new(format!("{id}.{}", URL_SAFE_NO_PAD.encode(secret)))
}

/// Whether `text` can be a key at all.
///
/// # Errors
/// It is too short, too long, or has a character that a header cannot carry.
pub fn validate(text: &str) -> Result<(), NotAKey> {
    let fits = (MIN_CHARS..=MAX_CHARS).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(()) } else { Err(NotAKey) }
}

/// What is shown of a key's id.
#[must_use]
pub fn display_prefix(id: ApiKeyId) -> String {
    id.to_string().chars().take(ApiKeyId::PREFIX.len() + SHOWN_DIGITS).collect()
}

/// What is shown of a key's text.
#[must_use]
pub fn last4(text: &Secret) -> String {
    let text = text.expose();
    text.get(text.len().saturating_sub(SHOWN_LAST)..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_one_and_shows_little() {
        let entropy = Entropy::seeded(1);
        let id = ApiKeyId::from(entropy.uuid());
        let key = generate(&entropy, id);
        assert_eq!(validate(key.expose()), Ok(()));
        let (public, secret) = key.expose().split_once('.').expect("a dot");
        assert_eq!(public, id.to_string());
        assert_eq!(secret.len(), 43, "32 bytes of base64");
        assert!(public.starts_with(&display_prefix(id)));
        assert_eq!(display_prefix(id).len(), "ApiKey_".len() + 8);
        assert!(secret.ends_with(&last4(&key)));
        assert_ne!(generate(&entropy, id), key);
    }

    #[test]
    fn the_bounds_of_a_chosen_key() {
        assert_eq!(validate(&"k".repeat(MIN_CHARS)), Ok(()));
        assert_eq!(validate(&"k".repeat(MIN_CHARS - 1)), Err(NotAKey));
        assert_eq!(validate(&"k".repeat(MAX_CHARS)), Ok(()));
        assert_eq!(validate(&"k".repeat(MAX_CHARS + 1)), Err(NotAKey));
        for bad in ["space is not visible here", "neither-is-a-newline\n", "nor-is-an-ümlaut-good"] {
            assert_eq!(validate(bad), Err(NotAKey), "{bad:?}");
        }
    }
}

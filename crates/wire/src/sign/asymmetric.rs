//! Signatures that a public key verifies: Standard Webhooks `v1a`, which is Ed25519 (feature
//! `ed25519`).
//!
//! Whoever can verify an HMAC can also sign with it. Here the sender keeps a [`SecretKey`] and gives
//! receivers its [`PublicKey`], so that a receiver's leak lets nobody sign. What is signed is the
//! same, `id.timestamp.body`, and so are the headers; the entries of
//! [`HEADER_WEBHOOK_SIGNATURE`] begin with `v1a,` and may stand beside those of other keys and
//! schemes.
//!
//! | key | text |
//! |---|---|
//! | secret | `whsk_` and the base64 of the 32-byte seed and the 32-byte public key; read without the second half, too |
//! | public | `whpk_` and the base64 of its 32 bytes |

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::{Claim, HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, VerifyError};

/// What the text of a secret key starts with.
pub const SECRET_KEY_PREFIX: &str = "whsk_";
/// What the text of a public key starts with.
pub const PUBLIC_KEY_PREFIX: &str = "whpk_";

/// Most `v1a` signatures that a request may carry: each costs a verification.
pub const MAX_SIGNATURES: usize = 16;

const PREFIX: &str = "v1a,";
const KEY_BYTES: usize = 32;

/// A text that is not the key it should be. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseKeyError {
    /// Not a secret key.
    #[error("not `whsk_` and the base64 of 32 or 64 bytes")]
    Secret,
    /// A secret key whose second half is not the public key of the first.
    #[error("the two halves of the secret key do not belong together")]
    Halves,
    /// Not a public key.
    #[error("not `whpk_` and the base64 of 32 bytes")]
    Public,
}

/// The sender's key. Does not print itself.
pub struct SecretKey {
    seed: [u8; KEY_BYTES],
    pair: Ed25519KeyPair,
}

impl SecretKey {
    /// A new key from 32 random bytes of the caller's.
    pub fn from_random_bytes(seed: [u8; KEY_BYTES]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed of 32 bytes");
        Self { seed, pair }
    }

    /// The key's text, which only its owner may see.
    pub fn secret(&self) -> String {
        let bytes = [self.seed, self.public_key().0].concat();
        format!("{SECRET_KEY_PREFIX}{}", BASE64.encode(bytes))
    }

    /// What receivers verify with.
    pub fn public_key(&self) -> PublicKey {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(bytes)
    }
}

impl FromStr for SecretKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let bytes = decode(text, SECRET_KEY_PREFIX).ok_or(ParseKeyError::Secret)?;
        let (seed, public) = bytes.split_first_chunk().ok_or(ParseKeyError::Secret)?;
        let key = Self::from_random_bytes(*seed);
        match public.len() {
            0 => Ok(key),
            KEY_BYTES if public == key.public_key().0 => Ok(key),
            KEY_BYTES => Err(ParseKeyError::Halves),
            _ => Err(ParseKeyError::Secret),
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([redacted])")
    }
}

/// A receiver's key: it verifies and cannot sign. Its text is `Display` and `FromStr`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    /// Its bytes, as RFC 8032 writes them.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let bytes = decode(text, PUBLIC_KEY_PREFIX).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(ParseKeyError::Public)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_KEY_PREFIX}{}", BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn decode(text: &str, prefix: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.strip_prefix(prefix)?).ok()
}

/// One entry of [`HEADER_WEBHOOK_SIGNATURE`]: `v1a,` and base64. Entries of several keys, also of
/// [`sign_standard`](super::sign_standard), are joined with a space.
pub fn sign(key: &SecretKey, msg_id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let message = message(msg_id, &unix_seconds.to_string(), body);
    format!("{PREFIX}{}", BASE64.encode(key.pair.sign(&message)))
}

/// Verifies the asymmetric signature of a request: one of the listed `v1a` signatures must be this
/// key's. Arguments as for [`verify_inkbox`](super::verify_inkbox).
///
/// Take the key from your own settings, never from the request.
pub fn verify<H, N, V>(
    key: &PublicKey,
    headers: H,
    body: &[u8],
    now_unix: Option<i64>,
) -> Result<(), VerifyError>
where
    H: IntoIterator<Item = (N, V)>,
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    let names = [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE];
    let claim = Claim::read(names, headers)?;
    let entries = || claim.signature.split(' ').filter_map(|entry| entry.strip_prefix(PREFIX));
    if !(1..=MAX_SIGNATURES).contains(&entries().count()) {
        return Err(VerifyError::Malformed(HEADER_WEBHOOK_SIGNATURE));
    }
    claim.check_time(now_unix, HEADER_WEBHOOK_TIMESTAMP)?;
    let message = message(&claim.id, &claim.timestamp, body);
    let key = UnparsedPublicKey::new(&ED25519, key.0);
    let mut signatures = entries().filter_map(|entry| BASE64.decode(entry).ok());
    if signatures.any(|signature| key.verify(&message, &signature).is_ok()) {
        Ok(())
    } else {
        Err(VerifyError::Mismatch)
    }
}

/// What is signed. Ed25519 goes over it twice, so it must be in one piece.
fn message(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), timestamp.as_bytes(), body].join(&b'.')
}

#[cfg(test)]
mod tests;

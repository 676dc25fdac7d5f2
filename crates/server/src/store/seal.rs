//! Secrets at rest: what is sealed in a row opens only in that row.
//!
//! Everything is derived from the master key, 32 bytes that the operator keeps. Signing keys and auth
//! tokens are sealed with XChaCha20-Poly1305; organisation, column and row are authenticated with them, so
//! that a sealed value copied to another row does not open. API keys are not sealed but looked up by an
//! HMAC, so that a stolen database does not hold them. Codes of sign-ups are in no row: they are made of an HMAC.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use inkhook_wire::sign::asymmetric::SecretKey;
use sha2::Sha256;
use uuid::Uuid;

use super::error::StoreError;
use crate::domain::entropy::Entropy;
use crate::domain::number::OrganizationNo;
use crate::domain::secret::Secret;
use crate::store::sql::{Connection, params};

/// Bytes of a nonce, written before the ciphertext.
const NONCE_BYTES: usize = 24;

/// A sealed value that does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was changed, moved to another row, or sealed with another master key.
    #[error("a sealed value does not open")]
    DoesNotOpen,
}

/// Where a sealed value belongs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) column: &'static str,
    pub(super) organization: OrganizationNo,
    pub(super) row: Uuid,
}

impl Place {
    /// An identity's signing key.
    pub(super) fn identity_key(organization: OrganizationNo, identity: Uuid) -> Self {
        Self { column: "identities.signing_key", organization, row: identity }
    }

    /// An organisation's signing key.
    pub(super) fn organization_key(organization: OrganizationNo) -> Self {
        Self { column: "organizations.signing_key", organization, row: Uuid::nil() }
    }

    /// The key that follows an identity's.
    pub(super) fn next_identity_key(organization: OrganizationNo, identity: Uuid) -> Self {
        Self { column: "identities.next_key", organization, row: identity }
    }

    /// The key that follows an organisation's.
    pub(super) fn next_organization_key(organization: OrganizationNo) -> Self {
        Self { column: "organizations.next_key", organization, row: Uuid::nil() }
    }

    /// An organisation's key pair.
    pub(super) fn asymmetric_key(organization: OrganizationNo) -> Self {
        Self { column: "organizations.asymmetric_key", organization, row: Uuid::nil() }
    }

    /// The key pair that follows an organisation's.
    pub(super) fn next_asymmetric_key(organization: OrganizationNo) -> Self {
        Self { column: "organizations.next_asymmetric_key", organization, row: Uuid::nil() }
    }

    /// A subscription's auth token.
    pub(super) fn auth_token(organization: OrganizationNo, subscription: Uuid) -> Self {
        Self { column: "subscriptions.auth_token", organization, row: subscription }
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = self.organization.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.row.as_bytes());
        bytes.extend_from_slice(self.column.as_bytes());
        bytes
    }
}

/// What a sign-up's HMAC is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignupMac {
    /// A code is made of it.
    Code = 1,
    /// Sign-ups that name one human are counted by it.
    Human = 2,
    /// An invitation is found by it.
    Invitation = 3,
}

/// Seals, opens, and computes the lookup value of API keys. Cheap to clone.
#[derive(Clone)]
pub struct Sealer(Arc<Keys>);

struct Keys {
    cipher: XChaCha20Poly1305,
    lookup: Hmac<Sha256>,
    signups: Hmac<Sha256>,
    check: [u8; 32],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

impl Sealer {
    /// Derives its keys from the master key.
    #[must_use]
    pub fn new(master_key: &[u8; 32]) -> Self {
        let sealing = derive(master_key, "inkhook sealing 1");
        Self(Arc::new(Keys {
            cipher: XChaCha20Poly1305::new(&sealing.into()),
            lookup: keyed(&derive(master_key, "inkhook api keys 1")),
            signups: keyed(&derive(master_key, "inkhook sign-ups 1")),
            check: derive(master_key, "inkhook check 1"),
        }))
    }

    /// The value by which an API key is looked up.
    #[must_use]
    pub fn api_key_mac(&self, key: &str) -> [u8; 32] {
        let mut mac = self.0.lookup.clone();
        mac.update(key.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// The value of a sign-up's secret: what a code is made of, and what addresses and tokens are looked up by.
    /// No two purposes share values.
    pub(super) fn signup_mac(&self, purpose: SignupMac, text: &[u8]) -> [u8; 32] {
        let mut mac = self.0.signups.clone();
        mac.update(&[purpose as u8]);
        mac.update(text);
        mac.finalize().into_bytes().into()
    }

    pub(super) fn seal(
        &self,
        entropy: &Entropy,
        place: Place,
        secret: &Secret,
    ) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_BYTES] = entropy.bytes();
        let payload = Payload { msg: secret.expose().as_bytes(), aad: &place.bytes() };
        let sealed = self.0.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| SealError::DoesNotOpen)?;
        Ok([&nonce[..], &sealed].concat())
    }

    pub(super) fn open(&self, place: Place, sealed: &[u8]) -> Result<Secret, SealError> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::DoesNotOpen)?;
        let payload = Payload { msg: sealed, aad: &place.bytes() };
        let opened = self.0.cipher.decrypt(&XNonce::from(*nonce), payload);
        let text = String::from_utf8(opened.map_err(|_| SealError::DoesNotOpen)?);
        text.map(Secret::new).map_err(|_| SealError::DoesNotOpen)
    }

    /// The same for a key pair; what is none was not sealed by us.
    pub(super) fn open_pair(&self, place: Place, sealed: &[u8]) -> Result<SecretKey, SealError> {
        self.open(place, sealed)?.expose().parse().map_err(|_| SealError::DoesNotOpen)
    }
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    use hmac::KeyInit;
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn derive(master_key: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut mac = keyed(master_key);
    mac.update(purpose.as_bytes());
    mac.finalize().into_bytes().into()
}

const READ_CHECK: &str = "SELECT value FROM meta WHERE key = 'master_key_check'";
const WRITE_CHECK: &str = "INSERT INTO meta (key, value) VALUES ('master_key_check', $1)";

/// A new store remembers what its master key derives; an old one refuses any other key.
pub(super) fn check_master_key(connection: &Connection, sealer: &Sealer) -> Result<(), StoreError> {
    let stored: Option<Vec<u8>> = connection.scalar(READ_CHECK, params![])?;
    match stored {
        Some(stored) if stored == sealer.0.check => Ok(()),
        Some(_) => Err(StoreError::WrongMasterKey),
        None => {
            connection.run(WRITE_CHECK, params![&sealer.0.check[..]])?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(row: u128) -> Place {
        Place::auth_token(OrganizationNo(1), Uuid::from_u128(row))
    }

    #[test]
    fn opens_only_where_it_was_sealed_and_with_the_same_key() {
        let sealer = Sealer::new(&[7; 32]);
        let entropy = Entropy::seeded(1);
        let token = sealer.seal(&entropy, place(1), &Secret::new("token".into())).unwrap();
        assert_eq!(sealer.open(place(1), &token).unwrap().expose(), "token");
        assert_eq!(sealer.open(place(2), &token), Err(SealError::DoesNotOpen), "another row");
        let other = Place { organization: OrganizationNo(2), ..place(1) };
        assert_eq!(sealer.open(other, &token), Err(SealError::DoesNotOpen), "another organisation");
        let other = Place { column: "x", ..place(1) };
        assert_eq!(sealer.open(other, &token), Err(SealError::DoesNotOpen), "another column");
        assert_eq!(Sealer::new(&[8; 32]).open(place(1), &token), Err(SealError::DoesNotOpen));
        assert_eq!(sealer.open(place(1), &token[..NONCE_BYTES - 1]), Err(SealError::DoesNotOpen));
        assert!(!token.windows(5).any(|window| window == b"token"));
    }

    #[test]
    fn the_same_secret_seals_differently_each_time() {
        let (sealer, entropy) = (Sealer::new(&[7; 32]), Entropy::seeded(1));
        let secret = Secret::new("token".into());
        let first = sealer.seal(&entropy, place(1), &secret).unwrap();
        assert_ne!(first, sealer.seal(&entropy, place(1), &secret).unwrap());
    }

    #[test]
    fn lookup_values_depend_on_the_master_key() {
        let (one, two) = (Sealer::new(&[1; 32]), Sealer::new(&[2; 32]));
        assert_eq!(one.api_key_mac("k"), one.api_key_mac("k"));
        assert_ne!(one.api_key_mac("k"), two.api_key_mac("k"));
        assert_ne!(one.api_key_mac("k"), one.api_key_mac("l"));
        let purposes = [SignupMac::Code, SignupMac::Human, SignupMac::Invitation];
        let macs = purposes.map(|purpose| one.signup_mac(purpose, b"k"));
        assert_eq!(macs, purposes.map(|purpose| one.signup_mac(purpose, b"k")));
        assert_ne!(macs, purposes.map(|purpose| two.signup_mac(purpose, b"k")));
        assert!(macs[0] != macs[1] && macs[1] != macs[2] && macs[0] != macs[2]);
    }
}

//! Signing a delivery and verifying one.
//!
//! Two schemes travel with every POST, both HMAC-SHA-256 over `id.timestamp.body`:
//!
//! | | Inkbox | Standard Webhooks |
//! |---|---|---|
//! | id | [`HEADER_REQUEST_ID`] | [`HEADER_WEBHOOK_ID`] |
//! | unix seconds | [`HEADER_TIMESTAMP`] | [`HEADER_WEBHOOK_TIMESTAMP`] |
//! | signature | [`HEADER_SIGNATURE`]: `sha256=` and lower-case hex | [`HEADER_WEBHOOK_SIGNATURE`]: `v1,` and base64, several separated by spaces |
//! | key | the secret's text without a leading `whsec_` | the bytes that text stands for in base64; the text itself when it is not base64 |
//!
#![cfg_attr(
    feature = "ed25519",
    doc = "Standard Webhooks knows a third, whose verifier cannot sign: [`asymmetric`] (feature `ed25519`).\n"
)]
//! Signing takes the body as bytes and verifying takes the bytes that were read: nothing is ever
//! re-serialised in between. HMAC signatures are compared in constant time, as text, so that no second
//! spelling of a right signature passes. There is no clock in here; a verifier that wants the
//! timestamp checked passes its own time.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

#[cfg(feature = "ed25519")]
pub mod asymmetric;

/// The request id, which names a delivery.
pub const HEADER_REQUEST_ID: &str = "X-Inkbox-Request-ID";
/// When the attempt was signed: unix seconds, decimal.
pub const HEADER_TIMESTAMP: &str = "X-Inkbox-Timestamp";
/// The Inkbox signature.
pub const HEADER_SIGNATURE: &str = "X-Inkbox-Signature";
/// Standard Webhooks: the event id.
pub const HEADER_WEBHOOK_ID: &str = "webhook-id";
/// Standard Webhooks: when the attempt was signed, unix seconds, decimal.
pub const HEADER_WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// Standard Webhooks: the signatures.
pub const HEADER_WEBHOOK_SIGNATURE: &str = "webhook-signature";
/// Number of the attempt within its delivery, from 1.
pub const HEADER_ATTEMPT: &str = "inkhook-attempt";
/// `true` when an earlier attempt of the delivery may have reached the receiver.
pub const HEADER_POSSIBLE_DUPLICATE: &str = "inkhook-possible-duplicate";

/// How far a timestamp may be from the verifier's clock, either way. Source: Inkbox's receiver
/// documentation, and the reference libraries of Standard Webhooks.
pub const TOLERANCE_SECONDS: u64 = 300;

/// What a secret's text usually starts with. It is not part of the key.
pub const SECRET_PREFIX: &str = "whsec_";

const INKBOX_PREFIX: &str = "sha256=";
const STANDARD_PREFIX: &str = "v1,";
const DIGEST_BYTES: usize = 32;

type HmacSha256 = Hmac<Sha256>;

/// A signing secret with the key schedule of both schemes done, so that a signature costs only
/// the hashing of its message. Does not print itself.
#[derive(Clone)]
pub struct SigningKey {
    secret: String,
    inkbox: HmacSha256,
    standard: HmacSha256,
}

impl SigningKey {
    /// From the secret's text, with or without `whsec_`.
    pub fn new(secret: impl Into<String>) -> Self {
        let secret = secret.into();
        let text = key_text(&secret);
        let inkbox = keyed(text.as_bytes());
        let standard = match BASE64.decode(text) {
            Ok(bytes) => keyed(&bytes),
            Err(_) => inkbox.clone(),
        };
        Self { secret, inkbox, standard }
    }

    /// A new secret from 32 random bytes of the caller's: `whsec_` and their standard base64, so
    /// that it serves both schemes.
    pub fn from_random_bytes(bytes: [u8; 32]) -> Self {
        Self::new(format!("{SECRET_PREFIX}{}", BASE64.encode(bytes)))
    }

    /// The secret's text, as it is shown once to its owner.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    fn check(&self) -> Result<(), VerifyError> {
        if key_text(&self.secret).is_empty() { Err(VerifyError::EmptySecret) } else { Ok(()) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

fn key_text(secret: &str) -> &str {
    secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret)
}

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// The value of [`HEADER_SIGNATURE`]: `sha256=` and 64 lower-case hex digits.
pub fn sign_inkbox(key: &SigningKey, request_id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let mut mac = key.inkbox.clone();
    update(&mut mac, request_id, Timestamp::Number(unix_seconds), body);
    hex_signature(mac)
}

/// One entry of [`HEADER_WEBHOOK_SIGNATURE`]: `v1,` and base64. Entries of several keys are joined
/// with a space.
pub fn sign_standard(key: &SigningKey, msg_id: &str, unix_seconds: i64, body: &[u8]) -> String {
    let mut mac = key.standard.clone();
    update(&mut mac, msg_id, Timestamp::Number(unix_seconds), body);
    base64_signature(mac)
}

/// A signer writes a number; a verifier must feed back the text that it read.
#[derive(Clone, Copy)]
enum Timestamp<'a> {
    Number(i64),
    Text(&'a str),
}

fn update(mac: &mut HmacSha256, id: &str, timestamp: Timestamp<'_>, body: &[u8]) {
    struct Feed<'a>(&'a mut HmacSha256);
    impl fmt::Write for Feed<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }

    mac.update(id.as_bytes());
    mac.update(b".");
    match timestamp {
        Timestamp::Number(seconds) => {
            write!(Feed(mac), "{seconds}").expect("the feed takes everything");
        }
        Timestamp::Text(text) => mac.update(text.as_bytes()),
    }
    mac.update(b".");
    mac.update(body);
}

fn hex_signature(mac: HmacSha256) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(INKBOX_PREFIX.len() + 2 * DIGEST_BYTES);
    text.push_str(INKBOX_PREFIX);
    for byte in mac.finalize().into_bytes() {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn base64_signature(mac: HmacSha256) -> String {
    let mut text = String::with_capacity(STANDARD_PREFIX.len() + DIGEST_BYTES.div_ceil(3) * 4);
    text.push_str(STANDARD_PREFIX);
    BASE64.encode_string(mac.finalize().into_bytes(), &mut text);
    text
}

/// Why a request is not what it claims to be. The first three are the sender's mistakes, the
/// others mean that it must not be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A header that the scheme needs is not there.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header that must come once came more than once.
    #[error("header {0} came more than once")]
    Duplicate(&'static str),
    /// A header's value does not have the scheme's form.
    #[error("header {0} is malformed")]
    Malformed(&'static str),
    /// The timestamp is further than [`TOLERANCE_SECONDS`] from the verifier's clock.
    #[error("the timestamp is more than {TOLERANCE_SECONDS} seconds off")]
    OutOfTolerance,
    /// The signature is not this key's over these bytes.
    #[error("the signature does not match")]
    Mismatch,
    /// The verifier's own secret is empty: anybody could sign with it.
    #[error("the secret is empty")]
    EmptySecret,
}

/// Verifies the Inkbox signature of a request.
///
/// `headers` is anything that yields name and value: an `&http::HeaderMap`, an array of pairs.
/// Names are matched without regard to case. With `now_unix` (seconds) the timestamp is checked
/// too, which keeps a recorded request from being played again later; without it, it is not.
pub fn verify_inkbox<H, N, V>(
    secret: &str,
    headers: H,
    body: &[u8],
    now_unix: Option<i64>,
) -> Result<(), VerifyError>
where
    H: IntoIterator<Item = (N, V)>,
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    verify_inkbox_with(&SigningKey::new(secret), headers, body, now_unix)
}

/// [`verify_inkbox`] with a key that was prepared once.
pub fn verify_inkbox_with<H, N, V>(
    key: &SigningKey,
    headers: H,
    body: &[u8],
    now_unix: Option<i64>,
) -> Result<(), VerifyError>
where
    H: IntoIterator<Item = (N, V)>,
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    let names = [HEADER_REQUEST_ID, HEADER_TIMESTAMP, HEADER_SIGNATURE];
    let claim = Claim::read(names, headers)?;
    let digits = claim.signature.strip_prefix(INKBOX_PREFIX);
    let is_hex =
        |d: &str| d.len() == 2 * DIGEST_BYTES && d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !digits.is_some_and(is_hex) {
        return Err(VerifyError::Malformed(HEADER_SIGNATURE));
    }
    key.check()?;
    claim.check_time(now_unix, HEADER_TIMESTAMP)?;
    let mut mac = key.inkbox.clone();
    update(&mut mac, &claim.id, Timestamp::Text(&claim.timestamp), body);
    let right = hex_signature(mac);
    verdict(right.as_bytes().ct_eq(claim.signature.as_bytes()))
}

/// Verifies the Standard Webhooks signature of a request: one of the listed `v1` signatures must
/// be this key's. Arguments as for [`verify_inkbox`].
pub fn verify_standard<H, N, V>(
    secret: &str,
    headers: H,
    body: &[u8],
    now_unix: Option<i64>,
) -> Result<(), VerifyError>
where
    H: IntoIterator<Item = (N, V)>,
    N: AsRef<str>,
    V: AsRef<[u8]>,
{
    verify_standard_with(&SigningKey::new(secret), headers, body, now_unix)
}

/// [`verify_standard`] with a key that was prepared once.
pub fn verify_standard_with<H, N, V>(
    key: &SigningKey,
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
    let entries = || {
        let entries = claim.signature.split(' ');
        entries.filter(|entry| entry.starts_with(STANDARD_PREFIX))
    };
    if entries().next().is_none() {
        return Err(VerifyError::Malformed(HEADER_WEBHOOK_SIGNATURE));
    }
    key.check()?;
    claim.check_time(now_unix, HEADER_WEBHOOK_TIMESTAMP)?;
    let mut mac = key.standard.clone();
    update(&mut mac, &claim.id, Timestamp::Text(&claim.timestamp), body);
    let right = base64_signature(mac);
    let none = Choice::from(0);
    let found = entries().fold(none, |found, entry| found | right.as_bytes().ct_eq(entry.as_bytes()));
    verdict(found)
}

fn verdict(matches: Choice) -> Result<(), VerifyError> {
    if matches.into() { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// What a request says about itself.
struct Claim {
    id: String,
    timestamp: String,
    signature: String,
}

impl Claim {
    /// Finds the three headers in one pass.
    fn read<H, N, V>(names: [&'static str; 3], headers: H) -> Result<Self, VerifyError>
    where
        H: IntoIterator<Item = (N, V)>,
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut found: [Option<String>; 3] = [None, None, None];
        for (name, value) in headers {
            let name = name.as_ref();
            let Some(i) = names.iter().position(|n| n.eq_ignore_ascii_case(name)) else {
                continue;
            };
            let value = str::from_utf8(value.as_ref()).map_err(|_| VerifyError::Malformed(names[i]))?;
            if found[i].replace(value.to_owned()).is_some() {
                return Err(VerifyError::Duplicate(names[i]));
            }
        }
        let [id, timestamp, signature] = found;
        let claim = Self {
            id: id.ok_or(VerifyError::Missing(names[0]))?,
            timestamp: timestamp.ok_or(VerifyError::Missing(names[1]))?,
            signature: signature.ok_or(VerifyError::Missing(names[2]))?,
        };
        // A dot in the id would let bytes move between id, timestamp and body without changing
        // what was signed. No sender of either scheme puts one there.
        if claim.id.is_empty() || claim.id.contains('.') {
            return Err(VerifyError::Malformed(names[0]));
        }
        Ok(claim)
    }

    fn check_time(&self, now_unix: Option<i64>, timestamp_header: &'static str) -> Result<(), VerifyError> {
        let digits = !self.timestamp.is_empty() && self.timestamp.bytes().all(|b| b.is_ascii_digit());
        let seconds = match self.timestamp.parse::<i64>() {
            Ok(seconds) if digits => seconds,
            _ => return Err(VerifyError::Malformed(timestamp_header)),
        };
        match now_unix {
            Some(now) if now.abs_diff(seconds) > TOLERANCE_SECONDS => Err(VerifyError::OutOfTolerance),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

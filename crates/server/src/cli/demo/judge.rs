//! The verdict on one delivery, by what the receiver read and nothing else.
//!
//! Verified means four things: both signatures are the key's over exactly these bytes, and with one bit
//! of the body changed neither is. A check that cannot say no proves nothing.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::HeaderMap;
use inkhook_wire::sign::{SigningKey, VerifyError, verify_inkbox_with, verify_standard_with};

/// What the public verify functions said.
#[derive(Debug)]
pub(super) struct Judgement {
    inkbox: Result<(), VerifyError>,
    standard: Result<(), VerifyError>,
    tampered_inkbox: Result<(), VerifyError>,
    tampered_standard: Result<(), VerifyError>,
}

/// Asks them, about the body as it was read and about one with a bit flipped.
pub(super) fn judge(key: &SigningKey, headers: &HeaderMap, body: &Bytes, now_unix: i64) -> Judgement {
    let (now, flipped) = (Some(now_unix), flip_one_bit(body));
    Judgement {
        inkbox: verify_inkbox_with(key, headers, body, now),
        standard: verify_standard_with(key, headers, body, now),
        tampered_inkbox: verify_inkbox_with(key, headers, &flipped, now),
        tampered_standard: verify_standard_with(key, headers, &flipped, now),
    }
}

impl Judgement {
    /// Both signatures are right.
    ///
    /// # Errors
    /// Names the scheme and says why not.
    pub(super) fn genuine(&self) -> anyhow::Result<()> {
        self.inkbox.context("the Inkbox signature does not verify")?;
        self.standard.context("the Standard Webhooks signature does not verify")
    }

    /// Neither is over a body with one bit changed, for that reason and no other.
    ///
    /// # Errors
    /// Names the scheme that let it pass.
    pub(super) fn tamper_proof(&self) -> anyhow::Result<()> {
        for (scheme, said) in
            [("Inkbox", self.tampered_inkbox), ("Standard Webhooks", self.tampered_standard)]
        {
            ensure!(
                said == Err(VerifyError::Mismatch),
                "a tampered body was not refused by the {scheme} signature: {said:?}"
            );
        }
        Ok(())
    }
}

/// The lowest bit of the byte in the middle.
fn flip_one_bit(body: &[u8]) -> Vec<u8> {
    let mut flipped = body.to_vec();
    let middle = flipped.len() / 2;
    if let Some(byte) = flipped.get_mut(middle) {
        *byte ^= 1;
    }
    flipped
}

#[cfg(test)]
pub(super) mod tests {
    use http::HeaderValue;
    use inkhook_wire::sign;

    use super::*;

    pub(in super::super) const NOW: i64 = 1_780_000_000;

    pub(in super::super) fn key() -> SigningKey {
        SigningKey::from_random_bytes([7; 32])
    }

    /// A request as a server would send it.
    pub(in super::super) fn signed(key: &SigningKey, body: &'static [u8]) -> (HeaderMap, Bytes) {
        let value = |text: String| HeaderValue::from_str(&text).unwrap();
        let headers = [
            ("x-inkbox-request-id", value("req_1".into())),
            ("x-inkbox-timestamp", value(NOW.to_string())),
            ("x-inkbox-signature", value(sign::sign_inkbox(key, "req_1", NOW, body))),
            ("webhook-id", value("evt_1".into())),
            ("webhook-timestamp", value(NOW.to_string())),
            ("webhook-signature", value(sign::sign_standard(key, "evt_1", NOW, body))),
        ];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value));
        (headers.into_iter().collect(), Bytes::from_static(body))
    }

    #[test]
    fn what_the_server_sends_is_genuine_and_tamper_proof() {
        let (headers, body) = signed(&key(), b"{\"id\":\"evt_1\"}");
        let judgement = judge(&key(), &headers, &body, NOW);
        judgement.genuine().unwrap();
        judgement.tamper_proof().unwrap();
    }

    #[test]
    fn another_key_another_body_and_another_time_are_not_genuine() {
        let (headers, body) = signed(&key(), b"body");
        let other = SigningKey::from_random_bytes([8; 32]);
        assert!(judge(&other, &headers, &body, NOW).genuine().is_err());
        assert!(judge(&key(), &headers, &Bytes::from_static(b"bodz"), NOW).genuine().is_err());
        assert!(judge(&key(), &headers, &body, NOW + 301).genuine().is_err());
    }

    #[test]
    fn each_scheme_is_needed() {
        for (name, scheme) in [("x-inkbox-signature", "Inkbox"), ("webhook-signature", "Standard Webhooks")] {
            let (mut headers, body) = signed(&key(), b"body");
            headers.remove(name);
            let judgement = judge(&key(), &headers, &body, NOW);
            let refused = format!("{:#}", judgement.genuine().unwrap_err());
            assert!(refused.contains(scheme) && refused.contains("missing"), "{refused}");
            assert!(judgement.tamper_proof().is_err(), "a missing header is not a refusal of the bytes");
        }
    }

    #[test]
    fn a_body_that_cannot_be_tampered_with_proves_nothing() {
        let (headers, body) = signed(&key(), b"");
        assert!(judge(&key(), &headers, &body, NOW).tamper_proof().is_err());
    }
}

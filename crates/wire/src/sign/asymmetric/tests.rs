use proptest::prelude::*;

use super::super::{SigningKey, sign_standard, verify_standard};
use super::*;

/// A seed, the key pair of it, and a signed message. Made with the Ed25519 of Python's
/// `cryptography`.
struct Vector {
    seed: &'static str,
    secret: &'static str,
    public: &'static str,
    id: &'static str,
    seconds: i64,
    body: &'static [u8],
    signature: &'static str,
}

const VECTORS: &[Vector] = &[
    Vector {
        seed: "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        secret: "whsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==",
        public: "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
        id: "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        seconds: 1_674_087_231,
        body: br#"{"type":"contact.created"}"#,
        signature: "v1a,dmvgrAo639dy8KVWbVty0vxDNFmmbx16my7yJo78JM2PT3yVMPMLtjoWbkzZs3hmP19mIKEbovBWKFGxLy/BDA==",
    },
    Vector {
        seed: "whsk_//////////////////////////////////////////8=",
        secret: "whsk_//////////////////////////////////////////92oVkgRKbk9REmW8pzpgTZCwUp0d9gK+MKGakldmDR9Q==",
        public: "whpk_dqFZIESm5PURJlvKc6YE2QsFKdHfYCvjChmpJXZg0fU=",
        id: "evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001",
        seconds: 1_780_000_000,
        body: b"Gr\xc3\xb6\xc3\x9fe \xe2\x9c\x93\x00\xff",
        signature: "v1a,LVthDZj7TF5G7KE9dfRt7KnkXwK82LAXsnRK9DQPCsUYyHb7GF50ngDyEH6c3dJgxALhN68tg8A/D7ALNQZtDg==",
    },
    // The key pair of RFC 8032, section 7.1, test 1.
    Vector {
        seed: "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=",
        secret: "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==",
        public: "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        id: "m",
        seconds: 0,
        body: b"",
        signature: "v1a,iSyUmXuOv+EbZrVYkZZcyFVySumTYhBxiaM1F3sHscHhB7BbXrXg6N2cRJJxWo2nO3qDDw7qM/biMeSp2kKxAg==",
    },
];

fn headers(id: &str, timestamp: &str, signature: &str) -> [(String, Vec<u8>); 3] {
    [
        ("Webhook-Id".to_owned(), id.into()),
        ("webhook-timestamp".to_owned(), timestamp.into()),
        ("webhook-signature".to_owned(), signature.into()),
    ]
}

/// The first vector's, with another signature header.
fn verdict(signature: &str) -> Result<(), VerifyError> {
    let Vector { public, id, seconds, body, .. } = &VECTORS[0];
    verify(&public.parse().unwrap(), headers(id, &seconds.to_string(), signature), body, None)
}

#[test]
fn the_vectors_are_made_and_accepted() {
    for vector in VECTORS {
        for text in [vector.seed, vector.secret] {
            let key: SecretKey = text.parse().unwrap();
            assert_eq!(key.secret(), vector.secret);
            assert_eq!(key.public_key().to_string(), vector.public);
            assert_eq!(sign(&key, vector.id, vector.seconds, vector.body), vector.signature);
        }
        let key: PublicKey = vector.public.parse().unwrap();
        let headers = headers(vector.id, &vector.seconds.to_string(), vector.signature);
        assert_eq!(verify(&key, headers, vector.body, Some(vector.seconds + 300)), Ok(()));
    }
}

#[test]
fn keys_that_are_none_are_refused_without_being_repeated() {
    let Vector { seed, secret, public, .. } = &VECTORS[0];
    let other = &VECTORS[1];
    let mixed =
        [&BASE64.decode(&seed[5..]).unwrap()[..], &BASE64.decode(&other.public[5..]).unwrap()].concat();
    let mixed = format!("whsk_{}", BASE64.encode(mixed));
    assert_eq!(mixed.parse::<SecretKey>().unwrap_err(), ParseKeyError::Halves);
    let short = format!("whsk_{}", BASE64.encode([1; 31]));
    let long = format!("whsk_{}", BASE64.encode([1; 65]));
    for text in ["", "whsk_", public, &seed[5..], &short, &long, "whsk_ä", &format!("{seed} ")] {
        let error = text.parse::<SecretKey>().unwrap_err();
        assert_eq!(error, ParseKeyError::Secret, "{text:?}");
        assert_eq!(error.to_string(), "not `whsk_` and the base64 of 32 or 64 bytes");
    }
    let short = format!("whpk_{}", BASE64.encode([1; 31]));
    for text in ["", "whpk_", seed, secret, &public[5..], &short, &format!("whpk_{}", &secret[5..])] {
        assert_eq!(text.parse::<PublicKey>(), Err(ParseKeyError::Public), "{text:?}");
    }
}

#[test]
fn the_secret_does_not_print() {
    let key: SecretKey = VECTORS[0].seed.parse().unwrap();
    assert_eq!(format!("{key:?}"), "SecretKey([redacted])");
    assert_eq!(format!("{:?}", key.public_key()), VECTORS[0].public);
}

#[test]
fn one_of_several_signatures_will_do_up_to_the_bound() {
    let good = VECTORS[0].signature;
    let other = VECTORS[1].signature;
    assert_eq!(verdict(&format!("v1,abc {other} v1a,! {good}")), Ok(()));
    assert_eq!(verdict(&format!("{other} v1a,!")), Err(VerifyError::Mismatch));
    let before = |count: usize| format!("{}{good}", format!("{other} ").repeat(count));
    assert_eq!(verdict(&before(MAX_SIGNATURES - 1)), Ok(()));
    let malformed = Err(VerifyError::Malformed(HEADER_WEBHOOK_SIGNATURE));
    assert_eq!(verdict(&before(MAX_SIGNATURES)), malformed);
    for none in ["", "v1,abc", "v1a", &good.replace("v1a,", "v1,"), &good.replace("v1a,", "V1A,")] {
        assert_eq!(verdict(none), malformed, "{none:?}");
    }
}

#[test]
fn a_right_signature_has_one_spelling() {
    let good = VECTORS[0].signature;
    assert_eq!(verdict(good), Ok(()));
    // The last character before the padding has four bits that say nothing.
    let spare = good.replace("DA==", "DB==");
    for odd in [&spare, good.trim_end_matches('='), &good.replace('/', "_"), &good.replace("==", "= =")] {
        assert_eq!(verdict(odd), Err(VerifyError::Mismatch), "{odd}");
    }
    // Its second half plus the order of the group, which a careless verifier takes for the same.
    let mut bytes = BASE64.decode(&good[4..]).unwrap();
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + add + carry;
        *byte = u8::try_from(sum % 256).unwrap();
        carry = sum / 256;
    }
    assert_eq!(carry, 0);
    assert_eq!(verdict(&format!("v1a,{}", BASE64.encode(bytes))), Err(VerifyError::Mismatch));
}

#[test]
fn old_timestamps_and_missing_headers_are_told_apart() {
    let Vector { public, id, seconds, body, signature, .. } = &VECTORS[0];
    let key = public.parse().unwrap();
    let headers = headers(id, &seconds.to_string(), signature);
    let at = |now: i64| verify(&key, headers.clone(), body, Some(now));
    assert_eq!(at(seconds - 300), Ok(()));
    assert_eq!(at(seconds + 301), Err(VerifyError::OutOfTolerance));
    for (missing, name) in
        [HEADER_WEBHOOK_ID, HEADER_WEBHOOK_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE].iter().enumerate()
    {
        let some = headers.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, h)| h.clone());
        assert_eq!(verify(&key, some, body, None), Err(VerifyError::Missing(name)));
    }
}

#[test]
fn both_schemes_stand_side_by_side() {
    let hmac = SigningKey::new("whsec_demo-secret");
    let key = SecretKey::from_random_bytes([7; 32]);
    let body = b"{}";
    let both = format!("{} {}", sign_standard(&hmac, "evt_1", 5, body), sign(&key, "evt_1", 5, body));
    let headers = headers("evt_1", "5", &both);
    assert_eq!(verify(&key.public_key(), headers.clone(), body, None), Ok(()));
    assert_eq!(verify_standard("whsec_demo-secret", headers, body, None), Ok(()));
}

proptest! {
    #[test]
    fn what_was_signed_verifies_and_nothing_else(
        seed: [u8; 32], seconds in 0_i64..1 << 40, body: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8,
    ) {
        let key = SecretKey::from_random_bytes(seed);
        let signature = sign(&key, "evt_1", seconds, &body);
        let verify = |id: &str, body: &[u8], public: &PublicKey| {
            verify(public, headers(id, &seconds.to_string(), &signature), body, None)
        };
        let public = key.public_key();
        prop_assert_eq!(verify("evt_1", &body, &public), Ok(()));
        prop_assert_eq!(verify("evt_2", &body, &public), Err(VerifyError::Mismatch));
        let other = SecretKey::from_random_bytes(seed.map(|byte| !byte)).public_key();
        prop_assert_eq!(verify("evt_1", &body, &other), Err(VerifyError::Mismatch));
        let longer = [body.as_slice(), b" "].concat();
        prop_assert_eq!(verify("evt_1", &longer, &public), Err(VerifyError::Mismatch));
        if !body.is_empty() {
            let mut tampered = body.clone();
            tampered[at.index(body.len())] ^= 1_u8 << bit;
            prop_assert_eq!(verify("evt_1", &tampered, &public), Err(VerifyError::Mismatch));
        }
    }

    #[test]
    fn keys_and_their_texts_are_inverses(seed: [u8; 32]) {
        let key = SecretKey::from_random_bytes(seed);
        let again: SecretKey = key.secret().parse().unwrap();
        prop_assert_eq!(again.seed, seed);
        prop_assert_eq!(key.public_key().to_string().parse(), Ok(key.public_key()));
    }
}

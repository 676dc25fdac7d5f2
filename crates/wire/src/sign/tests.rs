use proptest::prelude::*;

use super::*;

const SECRET: &str = "whsec_demo-secret";
const ID: &str = "req_demo_1";
const SECONDS: i64 = 1_780_000_000;
const BODY: &[u8] = br#"{"id":"evt_demo","event_type":"message.sent"}"#;
const VECTOR: &str = "sha256=707b0187979f5754cf51905bce85d80f33d7c9753969e76351165582e22a8fa6";

const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STANDARD_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const STANDARD_SECONDS: i64 = 1_614_265_330;
const STANDARD_BODY: &[u8] = br#"{"test": 2432232314}"#;
const STANDARD_VECTOR: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn inkbox(id: &str, timestamp: &str, signature: &str) -> [(String, Vec<u8>); 3] {
    [
        ("x-inkbox-request-id".to_owned(), id.into()),
        ("X-INKBOX-TIMESTAMP".to_owned(), timestamp.into()),
        ("X-Inkbox-Signature".to_owned(), signature.into()),
    ]
}

fn standard(id: &str, timestamp: &str, signature: &str) -> [(String, Vec<u8>); 3] {
    [
        ("Webhook-Id".to_owned(), id.into()),
        ("webhook-timestamp".to_owned(), timestamp.into()),
        ("webhook-signature".to_owned(), signature.into()),
    ]
}

#[test]
fn the_inkbox_vector_is_made_and_accepted() {
    let key = SigningKey::new(SECRET);
    assert_eq!(sign_inkbox(&key, ID, SECONDS, BODY), VECTOR);
    let headers = inkbox(ID, "1780000000", VECTOR);
    assert_eq!(verify_inkbox(SECRET, headers.clone(), BODY, None), Ok(()));
    // The prefix is not part of the key.
    assert_eq!(verify_inkbox("demo-secret", headers, BODY, None), Ok(()));
}

#[test]
fn the_standard_webhooks_vector_is_made_and_accepted() {
    let key = SigningKey::new(STANDARD_SECRET);
    let signature = sign_standard(&key, STANDARD_ID, STANDARD_SECONDS, STANDARD_BODY);
    assert_eq!(signature, STANDARD_VECTOR);
    let headers = standard(STANDARD_ID, "1614265330", STANDARD_VECTOR);
    assert_eq!(verify_standard(STANDARD_SECRET, headers, STANDARD_BODY, None), Ok(()));
}

#[test]
fn a_secret_that_is_not_base64_is_its_own_standard_key() {
    let key = SigningKey::new(SECRET);
    let inkbox = key.inkbox.clone().chain_update(b"x").finalize().into_bytes();
    let standard = key.standard.clone().chain_update(b"x").finalize().into_bytes();
    assert_eq!(inkbox, standard);
}

#[test]
fn any_of_several_standard_signatures_will_do() {
    let check = |list: &str| {
        let headers = standard(STANDARD_ID, "1614265330", list);
        verify_standard(STANDARD_SECRET, headers, STANDARD_BODY, None)
    };
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(check(&format!("{wrong} {STANDARD_VECTOR}")), Ok(()));
    assert_eq!(check(&format!("{STANDARD_VECTOR} {wrong} v1a,zzz")), Ok(()));
    assert_eq!(check(wrong), Err(VerifyError::Mismatch));
    let malformed = Err(VerifyError::Malformed(HEADER_WEBHOOK_SIGNATURE));
    assert_eq!(check(""), malformed);
    assert_eq!(check("v1a,zzz"), malformed);
    assert_eq!(check(&STANDARD_VECTOR[3..]), malformed);
}

#[test]
fn the_tolerance_is_five_minutes_either_way() {
    let check = |now| verify_inkbox(SECRET, inkbox(ID, "1780000000", VECTOR), BODY, Some(now));
    assert_eq!(check(SECONDS), Ok(()));
    assert_eq!(check(SECONDS + 300), Ok(()));
    assert_eq!(check(SECONDS - 300), Ok(()));
    assert_eq!(check(SECONDS + 301), Err(VerifyError::OutOfTolerance));
    assert_eq!(check(SECONDS - 301), Err(VerifyError::OutOfTolerance));
    assert_eq!(check(i64::MIN), Err(VerifyError::OutOfTolerance));
    let headers = standard(STANDARD_ID, "1614265330", STANDARD_VECTOR);
    assert_eq!(
        verify_standard(STANDARD_SECRET, headers, STANDARD_BODY, Some(SECONDS)),
        Err(VerifyError::OutOfTolerance)
    );
}

#[test]
fn each_fault_has_its_own_error() {
    let all = inkbox(ID, "1780000000", VECTOR);
    for (i, name) in [HEADER_REQUEST_ID, HEADER_TIMESTAMP, HEADER_SIGNATURE].into_iter().enumerate() {
        let mut without = all.to_vec();
        without.remove(i);
        let found = verify_inkbox(SECRET, without, BODY, None);
        assert_eq!(found, Err(VerifyError::Missing(name)));

        let mut twice = all.to_vec();
        twice.push(all[i].clone());
        let found = verify_inkbox(SECRET, twice, BODY, None);
        assert_eq!(found, Err(VerifyError::Duplicate(name)));

        let mut bytes = all.clone();
        bytes[i].1 = vec![0xff];
        let found = verify_inkbox(SECRET, bytes, BODY, None);
        assert_eq!(found, Err(VerifyError::Malformed(name)));
    }
    let no_headers: [(&str, &str); 0] = [];
    assert_eq!(verify_inkbox(SECRET, no_headers, BODY, None), Err(VerifyError::Missing(HEADER_REQUEST_ID)));
    let other = verify_inkbox("whsec_other", all.clone(), BODY, None);
    assert_eq!(other, Err(VerifyError::Mismatch));
    for empty in ["", SECRET_PREFIX] {
        let found = verify_inkbox(empty, all.clone(), BODY, None);
        assert_eq!(found, Err(VerifyError::EmptySecret));
    }
}

#[test]
fn malformed_values_are_told_from_wrong_ones() {
    let upper = VECTOR.to_uppercase().replace("SHA256", "sha256");
    for signature in ["", "sha256=", &VECTOR[7..], &VECTOR[..70], &upper] {
        let found = verify_inkbox(SECRET, inkbox(ID, "1780000000", signature), BODY, None);
        let malformed = Err(VerifyError::Malformed(HEADER_SIGNATURE));
        assert_eq!(found, malformed, "{signature}");
    }
    for timestamp in ["", "soon", "-1", "+1780000000", "1780000000.0", "99999999999999999999"] {
        let found = verify_inkbox(SECRET, inkbox(ID, timestamp, VECTOR), BODY, None);
        let malformed = Err(VerifyError::Malformed(HEADER_TIMESTAMP));
        assert_eq!(found, malformed, "{timestamp}");
    }
}

#[test]
fn bytes_cannot_move_between_id_timestamp_and_body() {
    let key = SigningKey::new(SECRET);
    let signature = sign_inkbox(&key, "req", 1, b"2.{}");
    let moved = verify_inkbox(SECRET, inkbox("req.1", "2", &signature), b"{}", None);
    assert_eq!(moved, Err(VerifyError::Malformed(HEADER_REQUEST_ID)));
}

#[test]
fn the_secret_does_not_print() {
    let key = SigningKey::from_random_bytes([7; 32]);
    assert_eq!(key.secret(), "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
    assert_eq!(format!("{key:?}"), "SigningKey([redacted])");
}

/// Changes one byte of `text` to another digit or letter.
fn tamper(text: &str, at: prop::sample::Index, with: u8) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.index(bytes.len());
    let changed = std::mem::replace(&mut bytes[at], with) != with;
    changed.then(|| String::from_utf8(bytes).unwrap())
}

proptest! {
    #[test]
    fn what_was_signed_verifies(
        secret in "[ -~]{1,40}", id in "[a-z0-9_]{1,40}", seconds in 0..i64::MAX,
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        prop_assume!(secret != SECRET_PREFIX);
        let key = SigningKey::new(secret.as_str());
        let timestamp = seconds.to_string();
        let headers = inkbox(&id, &timestamp, &sign_inkbox(&key, &id, seconds, &body));
        prop_assert_eq!(verify_inkbox(&secret, headers, &body, Some(seconds)), Ok(()));
        let headers = standard(&id, &timestamp, &sign_standard(&key, &id, seconds, &body));
        prop_assert_eq!(verify_standard_with(&key, headers, &body, Some(seconds)), Ok(()));
    }

    #[test]
    fn any_tampered_body_byte_is_refused(at: prop::sample::Index, flip in 1..=255_u8) {
        let mut body = BODY.to_vec();
        body[at.index(BODY.len())] ^= flip;
        let headers = inkbox(ID, "1780000000", VECTOR);
        prop_assert_eq!(verify_inkbox(SECRET, headers, &body, None), Err(VerifyError::Mismatch));

        let mut body = STANDARD_BODY.to_vec();
        body[at.index(STANDARD_BODY.len())] ^= flip;
        let headers = standard(STANDARD_ID, "1614265330", STANDARD_VECTOR);
        let found = verify_standard(STANDARD_SECRET, headers, &body, None);
        prop_assert_eq!(found, Err(VerifyError::Mismatch));
    }

    #[test]
    fn any_tampered_header_byte_is_refused(at: prop::sample::Index, with in b'0'..=b'z') {
        for i in 0..3 {
            let mut values = [ID.to_owned(), "1780000000".to_owned(), VECTOR.to_owned()];
            if let Some(changed) = tamper(&values[i], at, with) {
                values[i] = changed;
                let headers = inkbox(&values[0], &values[1], &values[2]);
                prop_assert!(verify_inkbox(SECRET, headers, BODY, None).is_err());
            }
            let mut values = [STANDARD_ID.to_owned(), "1614265330".to_owned(), STANDARD_VECTOR.to_owned()];
            if let Some(changed) = tamper(&values[i], at, with) {
                values[i] = changed;
                let headers = standard(&values[0], &values[1], &values[2]);
                prop_assert!(verify_standard(STANDARD_SECRET, headers, STANDARD_BODY, None).is_err());
            }
        }
    }
}

//! From a claim to the request: headers and signatures, made fresh for every attempt.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use inkhook_egress::{Policy, Request, UrlError};
use inkhook_wire::id::RequestId;
use inkhook_wire::sign::{self, asymmetric};
use uuid::Uuid;

use crate::domain::alert::ClaimedAlert;
use crate::domain::call::Question;
use crate::domain::delivery::Claimed;
use crate::domain::number::OrganizationNo;
use crate::domain::signing::Signer;
use crate::domain::time::TimeMs;

/// How receivers see us.
pub const USER_AGENT_VALUE: &str = concat!("inkhook/", env!("CARGO_PKG_VERSION"));

static REQUEST_ID: HeaderName = HeaderName::from_static("x-inkbox-request-id");
static TIMESTAMP: HeaderName = HeaderName::from_static("x-inkbox-timestamp");
static SIGNATURE: HeaderName = HeaderName::from_static("x-inkbox-signature");
static STANDARD_ID: HeaderName = HeaderName::from_static("webhook-id");
static STANDARD_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
static STANDARD_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
static ATTEMPT: HeaderName = HeaderName::from_static("inkhook-attempt");
static POSSIBLE_DUPLICATE: HeaderName = HeaderName::from_static("inkhook-possible-duplicate");
static GAP: HeaderName = HeaderName::from_static("inkhook-gap");
static TEST: HeaderName = HeaderName::from_static("inkhook-test");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Why no request can be made of a claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The URL may no longer be delivered to: the rules changed since it was stored.
    #[error("{0}")]
    Url(#[from] UrlError),
    /// A stored value cannot be a header; the API refuses such values.
    #[error("the auth token cannot be sent as a header")]
    Header,
}

/// Makes the request, signed at `now` (wall clock), to be answered within `deadline`. `trace` names the
/// attempt for the receiver's tracing.
///
/// # Errors
/// The URL is not one that may be delivered to now.
pub fn prepare(
    claimed: &Claimed,
    policy: &Policy,
    now: TimeMs,
    deadline: Duration,
    trace: Uuid,
) -> Result<Request, PrepareError> {
    let stamp = Stamp {
        organization: claimed.target.organization,
        signer: &claimed.target.signer,
        body: &claimed.event.payload,
        request_id: claimed.request_id,
        message_id: claimed.event.id.to_string(),
        attempt_no: claimed.attempt_no,
        maybe_received: claimed.maybe_received,
    };
    let mut request = stamp.request(&claimed.target.url, policy, now, deadline, trace)?;
    let headers = &mut request.headers;
    if let Some(passed) = claimed.gap {
        headers.insert(GAP.clone(), text(&passed.to_string())?);
    }
    if claimed.is_test() {
        headers.insert(TEST.clone(), HeaderValue::from_static("true"));
    }
    if let Some(token) = &claimed.target.auth_token {
        let mut value = text(&format!("Bearer {}", token.expose()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(request)
}

/// The same for an operational event.
///
/// # Errors
/// The URL is not one that may be delivered to now.
pub fn prepare_alert(
    alert: &ClaimedAlert,
    policy: &Policy,
    now: TimeMs,
    deadline: Duration,
    trace: Uuid,
) -> Result<Request, PrepareError> {
    let stamp = Stamp {
        organization: alert.organization,
        signer: &alert.signer,
        body: &alert.payload,
        request_id: alert.request_id,
        message_id: alert.id.to_string(),
        attempt_no: alert.attempt_no,
        maybe_received: alert.maybe_received,
    };
    stamp.request(&alert.url, policy, now, deadline, trace)
}

/// The same for a question about a call.
///
/// # Errors
/// The URL is not one that may be asked now.
pub fn prepare_question(
    question: &Question,
    policy: &Policy,
    now: TimeMs,
    deadline: Duration,
    trace: Uuid,
) -> Result<Request, PrepareError> {
    let stamp = Stamp {
        organization: question.organization,
        signer: &question.signer,
        body: &question.body,
        request_id: question.request_id,
        message_id: question.call_id.to_string(),
        attempt_no: question.attempt_no,
        maybe_received: question.maybe_received,
    };
    stamp.request(&question.url, policy, now, deadline, trace)
}

/// What every POST carries, whatever it is about.
struct Stamp<'a> {
    organization: OrganizationNo,
    signer: &'a Signer,
    body: &'a Bytes,
    request_id: RequestId,
    /// What it is about: the same whenever that is sent.
    message_id: String,
    attempt_no: u32,
    maybe_received: bool,
}

impl Stamp<'_> {
    fn request(
        &self,
        url: &str,
        policy: &Policy,
        now: TimeMs,
        deadline: Duration,
        trace: Uuid,
    ) -> Result<Request, PrepareError> {
        Ok(Request {
            tenant: self.organization.0.unsigned_abs(),
            target: policy.check_url(url)?,
            headers: stamped(self, now, trace)?,
            body: self.body.clone(),
            deadline,
        })
    }
}

fn stamped(stamp: &Stamp<'_>, now: TimeMs, trace: Uuid) -> Result<HeaderMap, PrepareError> {
    let Stamp { signer, body, message_id, .. } = stamp;
    let request_id = stamp.request_id.to_string();
    let seconds = now.unix_seconds();
    let mut headers = HeaderMap::with_capacity(14);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
    headers.insert(SIGNATURE.clone(), text(&sign::sign_inkbox(signer.key(now), &request_id, seconds, body))?);
    headers.insert(REQUEST_ID.clone(), text(&request_id)?);
    headers.insert(TIMESTAMP.clone(), HeaderValue::from(seconds));
    headers.insert(STANDARD_SIGNATURE.clone(), text(&standard_signatures(stamp, now))?);
    headers.insert(STANDARD_ID.clone(), text(message_id)?);
    headers.insert(STANDARD_TIMESTAMP.clone(), HeaderValue::from(seconds));
    headers.insert(ATTEMPT.clone(), HeaderValue::from(stamp.attempt_no));
    headers.insert(TRACEPARENT.clone(), text(&traceparent(trace, stamp.request_id))?);
    if stamp.maybe_received {
        headers.insert(POSSIBLE_DUPLICATE.clone(), HeaderValue::from_static("true"));
    }
    Ok(headers)
}

/// One of the key that signs; one of the key that will sign next, so that a receiver may change over before or after
/// we do; and one for those who know the public key only.
fn standard_signatures(stamp: &Stamp<'_>, now: TimeMs) -> String {
    let Stamp { signer, body, message_id, .. } = stamp;
    let seconds = now.unix_seconds();
    let mut all = sign::sign_standard(signer.key(now), message_id, seconds, body);
    if let Some(pending) = signer.pending(now) {
        all.push(' ');
        all.push_str(&sign::sign_standard(pending, message_id, seconds, body));
    }
    if let Some(key) = signer.asymmetric(now) {
        all.push(' ');
        all.push_str(&asymmetric::sign(key, message_id, seconds, body));
    }
    all
}

fn text(value: &str) -> Result<HeaderValue, PrepareError> {
    HeaderValue::from_str(value).map_err(|_| PrepareError::Header)
}

/// W3C Trace Context: one trace a delivery (its request id), one span an attempt.
fn traceparent(trace: Uuid, request_id: RequestId) -> String {
    let span = trace.as_u64_pair().1 | 1;
    format!("00-{}-{span:016x}-01", request_id.as_uuid().simple())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use inkhook_wire::event::EventType;
    use inkhook_wire::sign::SigningKey;
    use inkhook_wire::sign::asymmetric::SecretKey;

    use super::*;
    use crate::domain::delivery::{ClaimedEvent, Class, DeliveryTarget};
    use crate::domain::number::{DeliveryNo, Seq, SubscriptionNo, UrlNo};
    use crate::domain::secret::Secret;
    use crate::domain::signing::KeyPair;
    use crate::domain::subscription::Ordering;

    fn claimed() -> Claimed {
        Claimed {
            delivery: DeliveryNo(64),
            claim_no: 1,
            lease_until: TimeMs(60_000),
            claimed_at: TimeMs(0),
            attempt_no: 3,
            failures: 2,
            class: Class::Retry,
            is_probe: false,
            early_for: None,
            request_id: Uuid::from_u128(7).into(),
            maybe_received: false,
            expires_at: None,
            gap: None,
            event: ClaimedEvent {
                seq: Seq(1),
                id: Uuid::from_u128(9).into(),
                event_type: EventType::MessageReceived,
                payload: Bytes::from_static(b"{\"id\":\"evt_x\"}"),
            },
            target: Arc::new(DeliveryTarget {
                subscription: SubscriptionNo(1),
                subscription_id: Uuid::from_u128(5).into(),
                organization: OrganizationNo(4),
                generation: 1,
                url: "https://hooks.client.com/in".into(),
                url_no: UrlNo(1),
                auth_token: None,
                signer: Arc::new(Signer::new(SigningKey::new("whsec_demo-secret"))),
                timeout: Duration::from_secs(30),
                host: 0,
                server_timeout: Duration::from_secs(30),
                retry_schedule: None,
                max_per_second: None,
                max_in_flight: None,
                ordering: Ordering::None,
                context: None,
            }),
        }
    }

    fn prepared(claimed: &Claimed) -> Request {
        let now = TimeMs(1_780_000_000_500);
        prepare(claimed, &Policy::default(), now, Duration::from_secs(30), Uuid::from_u128(1)).unwrap()
    }

    #[test]
    fn both_signatures_verify_over_the_bytes_that_are_sent() {
        let request = prepared(&claimed());
        let (headers, body) = (&request.headers, &request.body);
        let now = Some(1_780_000_001);
        sign::verify_inkbox("whsec_demo-secret", headers, body, now).expect("ours verifies");
        sign::verify_standard("whsec_demo-secret", headers, body, now).expect("the standard one too");
        assert_eq!(request.headers["x-inkbox-timestamp"], "1780000000");
        assert_eq!(request.headers["x-inkbox-request-id"], format!("req_{}", Uuid::from_u128(7)));
        assert_eq!(request.headers["webhook-id"], format!("evt_{}", Uuid::from_u128(9)));
        assert_eq!(request.headers["inkhook-attempt"], "3");
        assert_eq!(request.tenant, 4);
    }

    #[test]
    fn a_question_about_a_call_is_signed_under_the_id_of_the_call() {
        let question = Question {
            organization: OrganizationNo(4),
            url: "https://hooks.client.com/calls".into(),
            signer: Arc::new(Signer::new(SigningKey::new("whsec_demo-secret"))),
            call_id: Uuid::from_u128(9),
            request_id: Uuid::from_u128(7).into(),
            body: Bytes::from_static(b"{}"),
            attempt_no: 2,
            maybe_received: true,
        };
        let now = TimeMs(1_780_000_000_500);
        let made = prepare_question(&question, &Policy::default(), now, Duration::from_secs(5), Uuid::nil());
        let Request { headers, body, tenant, .. } = made.expect("a request");
        let now = Some(1_780_000_001);
        sign::verify_inkbox("whsec_demo-secret", &headers, &body, now).expect("ours verifies");
        sign::verify_standard("whsec_demo-secret", &headers, &body, now).expect("the standard one too");
        assert_eq!(headers["webhook-id"], Uuid::from_u128(9).to_string());
        assert_eq!(
            (&headers["inkhook-attempt"], &headers["inkhook-possible-duplicate"]),
            (&"2".parse().unwrap(), &"true".parse().unwrap())
        );
        assert_eq!(tenant, 4);
        assert!(!headers.contains_key("authorization"));
    }

    #[test]
    fn while_a_key_is_to_follow_both_are_listed_and_the_first_one_signs() {
        let mut claimed = claimed();
        let signer =
            Signer::new(SigningKey::new("whsec_old")).then(TimeMs(1_780_000_001_000), SigningKey::new("new"));
        let sign_with = |claimed: &mut Claimed, signer: Signer| {
            let target = DeliveryTarget { signer: Arc::new(signer), ..(*claimed.target).clone() };
            claimed.target = Arc::new(target);
        };
        sign_with(&mut claimed, signer.clone());
        let prepared_at = |claimed: &Claimed, now: i64| {
            let second = Duration::from_secs(1);
            prepare(claimed, &Policy::default(), TimeMs(now), second, Uuid::from_u128(1)).unwrap()
        };
        let verifies = |request: &Request, key: &str| {
            let now = Some(1_780_000_000);
            let (inkbox, standard) = (
                sign::verify_inkbox(key, &request.headers, &request.body, now),
                sign::verify_standard(key, &request.headers, &request.body, now),
            );
            (inkbox.is_ok(), standard.is_ok())
        };

        let before = prepared_at(&claimed, 1_780_000_000_999);
        assert_eq!((verifies(&before, "old"), verifies(&before, "new")), ((true, true), (false, true)));
        let after = prepared_at(&claimed, 1_780_000_001_000);
        assert_eq!((verifies(&after, "old"), verifies(&after, "new")), ((false, false), (true, true)));
    }

    #[test]
    fn a_public_key_verifies_from_its_time_on_beside_the_secret_ones() {
        let mut claimed = claimed();
        let pairs = [1, 2].map(|seed| SecretKey::from_random_bytes([seed; 32]));
        let kept = |pair: &SecretKey| Arc::new(KeyPair::new(Secret::new(pair.secret())));
        let signer = Signer::new(SigningKey::new("whsec_demo-secret"))
            .then_asymmetric(TimeMs::ZERO, kept(&pairs[0]))
            .then_asymmetric(TimeMs(1_780_000_001_000), kept(&pairs[1]));
        let target = DeliveryTarget { signer: Arc::new(signer), ..(*claimed.target).clone() };
        claimed.target = Arc::new(target);
        for (now, good) in [(1_780_000_000_500, 0), (1_780_000_001_000, 1)] {
            let second = Duration::from_secs(1);
            let trace = Uuid::from_u128(1);
            let request = prepare(&claimed, &Policy::default(), TimeMs(now), second, trace).unwrap();
            let seconds = Some(1_780_000_000);
            for (place, pair) in pairs.iter().enumerate() {
                let verdict =
                    asymmetric::verify(&pair.public_key(), &request.headers, &request.body, seconds);
                assert_eq!(verdict.is_ok(), place == good, "at {now}, key {place}");
            }
            sign::verify_standard("demo-secret", &request.headers, &request.body, seconds)
                .expect("still there");
        }
    }

    #[test]
    fn a_possible_duplicate_says_so_and_no_other() {
        assert!(!prepared(&claimed()).headers.contains_key("inkhook-possible-duplicate"));
        let again = Claimed { maybe_received: true, ..claimed() };
        assert_eq!(prepared(&again).headers["inkhook-possible-duplicate"], "true");
    }

    #[test]
    fn an_event_that_was_passed_is_named_and_otherwise_none() {
        assert!(!prepared(&claimed()).headers.contains_key("inkhook-gap"));
        let passed = Uuid::from_u128(11);
        let next = Claimed { gap: Some(passed.into()), ..claimed() };
        assert_eq!(prepared(&next).headers["inkhook-gap"], format!("evt_{passed}"));
    }

    #[test]
    fn the_auth_token_is_a_bearer_and_does_not_print() {
        let mut claimed = claimed();
        let target =
            DeliveryTarget { auth_token: Some(Secret::new("t0ken".into())), ..(*claimed.target).clone() };
        claimed.target = Arc::new(target);
        let request = prepared(&claimed);
        assert_eq!(request.headers["authorization"], "Bearer t0ken");
        assert!(!format!("{:?}", request.headers).contains("t0ken"));
    }

    #[test]
    fn a_url_that_the_rules_forbid_now_is_not_sent_to() {
        let mut claimed = claimed();
        let target = DeliveryTarget { url: "https://10.0.0.1/".into(), ..(*claimed.target).clone() };
        claimed.target = Arc::new(target);
        let now = TimeMs(1_780_000_000_500);
        let refused = prepare(&claimed, &Policy::default(), now, Duration::from_secs(1), Uuid::nil());
        assert!(matches!(refused, Err(PrepareError::Url(_))));
    }
}

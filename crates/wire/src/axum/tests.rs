use axum::Router;
use axum::routing::post;
use tower::ServiceExt as _;

use super::*;
use crate::envelope;
use crate::event::EventType;
use crate::payload::mail::MailData;
use crate::sign::{
    HEADER_TIMESTAMP, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, sign_inkbox, sign_standard,
};

const SECRET: &str = "whsec_demo-secret";
const EVENT: &str = "evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001";
const REQUEST: &str = "req_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d002";
const SIGNED_AT: i64 = 1_780_000_000;

async fn any_event(webhook: VerifiedWebhook) -> String {
    assert_eq!(webhook.event.data["message"]["status"], "received");
    format!("{} {}", webhook.event.event_type, webhook.signed.id)
}

async fn mail_event(webhook: VerifiedWebhook<MailData>) -> String {
    webhook.event.data.message.from_address
}

async fn typed_event(webhook: VerifiedWebhook<Payload>) -> String {
    match webhook.event.data {
        Payload::Mail(mail) => mail.message.from_address,
        other => format!("{other:?}"),
    }
}

async fn bytes(signed: SignedBody) -> Bytes {
    signed.bytes
}

fn app(secret: WebhookSecret) -> Router {
    Router::new()
        .route("/any", post(any_event))
        .route("/mail", post(mail_event))
        .route("/typed", post(typed_event))
        .route("/bytes", post(bytes))
        .with_state(secret)
}

fn mail_body() -> String {
    let data = EventType::MessageReceived.sample().to_string();
    envelope::write(EVENT.parse().unwrap(), EventType::MessageReceived, "2026-03-14T15:09:26.535Z", &data)
}

/// A request with the Inkbox signature.
fn inkbox(path: &str, body: impl Into<Bytes>) -> Request {
    let body = body.into();
    let signature = sign_inkbox(&SigningKey::new(SECRET), REQUEST, SIGNED_AT, &body);
    Request::post(path)
        .header(HEADER_REQUEST_ID, REQUEST)
        .header(HEADER_TIMESTAMP, SIGNED_AT)
        .header(HEADER_SIGNATURE, signature)
        .body(Body::from(body))
        .unwrap()
}

/// A request with the Standard Webhooks signature.
fn standard(path: &str, body: String) -> Request {
    let key = SigningKey::new(SECRET);
    let signature = sign_standard(&key, EVENT, SIGNED_AT, body.as_bytes());
    Request::post(path)
        .header(HEADER_WEBHOOK_ID, EVENT)
        .header(HEADER_WEBHOOK_TIMESTAMP, SIGNED_AT)
        .header(HEADER_WEBHOOK_SIGNATURE, signature)
        .body(Body::from(body))
        .unwrap()
}

async fn answer(secret: WebhookSecret, request: Request) -> (StatusCode, String) {
    let response = app(secret).oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask(request: Request) -> (StatusCode, String) {
    answer(WebhookSecret::new(SECRET), request).await
}

#[tokio::test]
async fn a_signed_event_reaches_the_handler() {
    let (status, text) = ask(inkbox("/any", mail_body())).await;
    assert_eq!((status, text), (StatusCode::OK, format!("message.received {REQUEST}")));
    let (status, text) = ask(standard("/any", mail_body())).await;
    assert_eq!((status, text), (StatusCode::OK, format!("message.received {EVENT}")));
    for path in ["/mail", "/typed"] {
        let (status, text) = ask(inkbox(path, mail_body())).await;
        assert_eq!((status, &*text), (StatusCode::OK, "noor@example.org"));
    }
}

#[tokio::test]
async fn a_signed_event_that_is_not_what_its_type_says_is_400() {
    let body = mail_body().replace(r#""message.received""#, r#""text.received""#);
    let (status, text) = ask(inkbox("/typed", body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("text_message"), "{text}");
}

#[tokio::test]
async fn a_tampered_body_is_401() {
    let tampered = mail_body().replace("noor@", "n00r@");
    for mut request in [inkbox("/any", mail_body()), standard("/any", mail_body())] {
        *request.body_mut() = Body::from(tampered.clone());
        let (status, text) = ask(request).await;
        assert_eq!((status, &*text), (StatusCode::UNAUTHORIZED, "the signature does not match"));
    }
}

#[tokio::test]
async fn a_wrong_inkbox_signature_is_not_saved_by_a_right_standard_one() {
    let mut request = standard("/any", mail_body());
    let other = inkbox("/any", "other");
    request.headers_mut().extend(other.headers().clone());
    let (status, _) = ask(request).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn missing_and_doubled_headers_are_400() {
    let mut request = inkbox("/any", mail_body());
    request.headers_mut().remove(HEADER_TIMESTAMP);
    let (status, text) = ask(request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(text, "header X-Inkbox-Timestamp is missing");

    let mut request = inkbox("/any", mail_body());
    let again = request.headers()[HEADER_SIGNATURE].clone();
    request.headers_mut().append(HEADER_SIGNATURE, again);
    assert_eq!(ask(request).await.0, StatusCode::BAD_REQUEST);

    let unsigned = Request::post("/any").body(Body::from(mail_body())).unwrap();
    let (status, text) = ask(unsigned).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(text, "header webhook-id is missing");
}

#[tokio::test]
async fn old_timestamps_are_401_for_whoever_has_a_clock() {
    let secret = |off| WebhookSecret::with_clock(SECRET, move || SIGNED_AT + off);
    let (status, _) = answer(secret(300), inkbox("/any", mail_body())).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = answer(secret(301), inkbox("/any", mail_body())).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_signed_body_that_is_no_event_is_400() {
    let (status, text) = ask(inkbox("/any", r#"{"id":"x"}"#)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.starts_with("the body is not the expected event: "), "{text}");
    let (status, text) = ask(inkbox("/bytes", r#"{"id":"x"}"#)).await;
    assert_eq!((status, &*text), (StatusCode::OK, r#"{"id":"x"}"#));
}

#[tokio::test]
async fn the_body_stops_at_the_bound() {
    let (status, text) = ask(inkbox("/bytes", vec![b'x'; MAX_BODY_BYTES])).await;
    assert_eq!((status, text.len()), (StatusCode::OK, MAX_BODY_BYTES));
    let (status, _) = ask(inkbox("/bytes", vec![b'x'; MAX_BODY_BYTES + 1])).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_empty_secret_verifies_nothing() {
    let (status, _) = answer(WebhookSecret::new(""), inkbox("/any", mail_body())).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let shown = format!("{:?}", WebhookSecret::new(SECRET));
    assert_eq!(shown, "WebhookSecret([redacted])");
}

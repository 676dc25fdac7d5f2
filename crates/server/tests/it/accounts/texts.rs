//! U+0000, which no text of a Postgres database can hold: refused by name where it would be kept, and nothing where
//! it is looked for.

use serde_json::{Value, json};

use crate::support::TestServer;

const IDENTITIES: &str = "/api/v1/identities";
const KEYS: &str = "/api/v1/api-keys";
const MAILBOXES: &str = "/api/v1/mail/mailboxes";
const NUMBERS: &str = "/api/v1/phone/numbers";
const SUBSCRIPTIONS: &str = "/api/v1/webhooks/subscriptions";

#[tokio::test]
async fn a_text_with_u_0000_is_refused_by_name() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity_with_number("help").await;
    let number = format!("{NUMBERS}/{}", help.phone_number.as_ref().unwrap().0);
    let post = async |path: &str, body: Value| server.post(path).by(&acme).json(body).send().await;
    let patch = async |path: &str, body: Value| server.patch(path).by(&acme).json(body).send().await;
    for field in ["display_name", "description"] {
        let loc = ["body", field];
        post(IDENTITIES, json!({"agent_handle": "x", field: "a\0b"})).await.invalid(&loc, "invalid");
        patch(&format!("{IDENTITIES}/help"), json!({field: "a\0b"})).await.invalid(&loc, "invalid");
    }
    for field in ["label", "description"] {
        let mut body = json!({"label": "x", "scoped_identity_id": help.id});
        body[field] = "a\0b".into();
        post(KEYS, body).await.invalid(&["body", field], "invalid");
    }
    for field in ["client_websocket_url", "incoming_call_webhook_url"] {
        let scheme = if field.starts_with("client") { "wss" } else { "https" };
        let body = json!({field: format!("{scheme}://a.example.com/\0")});
        patch(&number, body).await.invalid(&["body", field], "invalid");
    }
    post(IDENTITIES, json!({"agent_handle": "a\0b"})).await.invalid(&["body", "agent_handle"], "invalid");
    let subscription = json!({"mailbox_id": help.mailbox, "event_types": ["message.received"],
        "url": "https://a.example.com/\0"});
    post(SUBSCRIPTIONS, subscription).await.invalid(&["body", "url"], "invalid");
}

#[tokio::test]
async fn what_only_passes_through_may_have_it() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let signature = json!({"signature_text": "a\0b"});
    let mailbox = format!("{MAILBOXES}/{}", help.address);
    let kept = server.patch(&mailbox).by(&acme).json(signature.clone()).send().await.expect(200);
    assert_eq!(kept.json["signature_text"], signature["signature_text"]);
    for key in ["a", "b"] {
        let data = json!({"message": {"from_address": "ana@client.test", "to_addresses": [help.address],
            "subject": "a\0b", "direction": "inbound", "status": "received", "has_attachments": false,
            "body": "a\0b"}});
        let body = json!({"event_type": "message.received", "mailbox_id": help.mailbox, "data": data});
        let publish = server.post("/api/v1/events").by(&acme).header("idempotency-key", key);
        publish.json(body).send().await.expect(202);
    }
}

#[tokio::test]
async fn nothing_is_found_under_a_name_with_it() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    acme.identity("help").await;
    for path in [
        format!("{IDENTITIES}/he%00lp"),
        format!("{MAILBOXES}/help%00@mail.test"),
        format!("{MAILBOXES}/%00"),
    ] {
        server.get(&path).by(&acme).send().await.refused(404);
    }
    let url = format!("{SUBSCRIPTIONS}?url=https%3A%2F%2Fa.example.com%2F%00");
    server.get(&url).by(&acme).send().await.expect(200);
}

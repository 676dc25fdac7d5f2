//! A mail becomes `message.received` in the shape of the contract.

use serde_json::{Value, json};

use super::Post;
use crate::support::{Receiver, START};

const MAIL: &str = "Received: from a by b\r\nMessage-ID: <q1@client.test>\r\n\
    From: =?utf-8?q?An=C3=A1?= <ana@Client.test>\r\nTo: Help <help@mail.test>\r\n\
    Cc: lee@client.test, Sales <Sales@mail.test>\r\nSubject: =?iso-8859-1?q?Caf=E9?= 42\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n\
    --outer\r\nContent-Type: multipart/alternative; boundary=inner\r\n\r\n\
    --inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
    Could you=20\r\nresend caf=C3=A9 42?\r\n\
    --inner\r\nContent-Type: text/html\r\n\r\n<p>Could you resend?</p>\r\n--inner--\r\n\
    --outer\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--outer--\r\n";

/// The keys of the contract's sample, in its order.
const KEYS: [&str; 27] = [
    "id",
    "event_type",
    "timestamp",
    "data",
    "message",
    "id",
    "mailbox_id",
    "thread_id",
    "message_id",
    "from_address",
    "to_addresses",
    "cc_addresses",
    "bcc_addresses",
    "subject",
    "snippet",
    "email_address",
    "body",
    "body_state",
    "body_truncated",
    "body_total_chars",
    "body_included_chars",
    "direction",
    "status",
    "has_attachments",
    "created_at",
    "contacts",
    "agent_identities",
];

#[tokio::test]
async fn a_mail_with_parts_arrives_as_message_received() {
    let post = Post::new().await;
    let sales = post.acme.identity("sales").await;
    let receiver = Receiver::start().await;
    let body = json!({"mailbox_id": post.help.mailbox, "url": receiver.url("/in"),
        "event_types": ["message.received"]});
    let made = post.server.post("/api/v1/webhooks/subscriptions").by(&post.acme).json(body).send().await;
    let secret = made.expect(201).text("signing_key");
    let event = post.accepted(&["Help@Mail.Test"], MAIL).await;
    post.server.pump().run_until_idle().await.expect("the store works");

    let received = receiver.received();
    assert_eq!(received.len(), 1);
    received[0].verify(&secret);
    let got = received[0].json();
    let uuid = |value: &Value| value.as_str().expect("text").parse::<uuid::Uuid>().expect("a UUID");
    uuid(&got["data"]["message"]["id"]);
    uuid(&got["data"]["message"]["thread_id"]);
    let expected = json!({"id": event, "event_type": "message.received", "timestamp": START.to_string(), "data": {
        "message": {
            "id": got["data"]["message"]["id"], "mailbox_id": post.help.mailbox,
            "thread_id": got["data"]["message"]["thread_id"], "message_id": "<q1@client.test>",
            "from_address": "ana@client.test", "to_addresses": ["help@mail.test"],
            "cc_addresses": ["lee@client.test", "Sales@mail.test"], "bcc_addresses": null,
            "subject": "Café 42", "snippet": "Could you resend café 42?", "email_address": "help@mail.test",
            "body": "Could you \nresend café 42?", "body_state": "complete", "body_truncated": false,
            "body_total_chars": 26, "body_included_chars": 26, "direction": "inbound", "status": "received",
            "has_attachments": true, "created_at": START.to_string(),
        },
        "contacts": [],
        "agent_identities": [{"bucket": "cc", "address": "Sales@mail.test", "id": sales.id,
            "agent_handle": "sales", "display_name": null}],
    }});
    let mut expected = expected;
    // What an identity is called when nobody named it is the business of other tests.
    let name = &got["data"]["agent_identities"][0]["display_name"];
    expected["data"]["agent_identities"][0]["display_name"] = name.clone();
    assert_eq!(got, expected);
    let text = std::str::from_utf8(&received[0].body).expect("UTF-8");
    let mut at = 0;
    for key in KEYS {
        let key = format!("\"{key}\":");
        at += text[at..].find(&key).unwrap_or_else(|| panic!("{key} not after {}", &text[..at]));
    }
}

#[tokio::test]
async fn who_of_from_and_cc_is_an_agent_is_told_inside_an_organisation_only() {
    let post = Post::new().await;
    let globex = post.server.organization("globex").await;
    let (spy, mole) = (globex.identity("spy").await, globex.identity("mole").await);
    let sales = post.acme.identity("sales").await;
    let mail =
        "From: Help@mail.test\r\nTo: spy@mail.test, sales@mail.test\r\nCc: mole@mail.test\r\n\r\nHi\r\n";
    post.accepted(&[&spy.address, &sales.address], mail).await;
    let agents = async |organization| {
        let payloads = post.payloads(organization).await;
        assert_eq!(payloads.len(), 1);
        let agents = payloads[0]["data"]["agent_identities"].as_array().expect("a list").clone();
        agents.into_iter().map(|agent| (agent["bucket"].clone(), agent["id"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(agents(&post.acme).await, [(json!("from"), json!(post.help.id))]);
    assert_eq!(agents(&globex).await, [(json!("cc"), json!(mole.id))]);
}

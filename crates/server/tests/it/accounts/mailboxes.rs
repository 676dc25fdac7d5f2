use serde_json::{Value, json};

use crate::support::TestServer;

const MAILBOXES: &str = "/api/v1/mail/mailboxes";

#[tokio::test]
async fn a_mailbox_is_found_by_its_address_or_its_local_part() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let list = server.get(&format!("{MAILBOXES}/")).by(&acme).send().await.expect(200).json;
    assert_eq!(list.as_array().unwrap().len(), 1);
    let mailbox = &list[0];
    assert_eq!(mailbox["id"], json!(help.mailbox));
    assert_eq!(mailbox["email_address"], help.address);
    assert_eq!(mailbox["sending_domain"], "mail.test");
    assert_eq!(mailbox["filter_mode"], "blacklist");
    for name in ["help@mail.test", "help%40mail.test", "HELP@mail.test", "help", "help@mail.test/"] {
        let found = server.get(&format!("{MAILBOXES}/{name}")).by(&acme).send().await.expect(200).json;
        assert_eq!(&found, mailbox, "{name}");
    }
    for name in ["nobody", "help@other.test", "help@mail.test@mail.test"] {
        server.get(&format!("{MAILBOXES}/{name}")).by(&acme).send().await.refused(404);
    }
}

#[tokio::test]
async fn what_may_be_changed_and_by_whom() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let path = format!("{MAILBOXES}/help@mail.test");
    let mode = json!({"filter_mode": "whitelist"});
    server.patch(&path).by_agent(&help).json(mode.clone()).send().await.refused(403);
    let changed = server.patch(&path).by(&acme).json(mode).send().await.expect(200).json;
    assert_eq!(changed["filter_mode"], "whitelist");
    let body = json!({"signature_html": "<b>x</b>", "signature_text": "x", "signature_enabled": true});
    let set = server.patch(&path).by_agent(&help).json(body).send().await.expect(200).json;
    assert_eq!(set["signature_html"], "<b>x</b>");
    assert_eq!(set["signature_enabled"], true);
    let cleared = json!({"signature_html": null});
    let cleared = server.patch(&path).by_agent(&help).json(cleared).send().await.expect(200).json;
    assert_eq!((&cleared["signature_html"], &cleared["signature_text"]), (&Value::Null, &json!("x")));
    assert_eq!(cleared["filter_mode"], "whitelist");
    let kept = server.patch(&path).by_agent(&help).json(json!({})).send().await.expect(200).json;
    assert_eq!(kept["signature_text"], "x");
    for retired in ["display_name", "webhook_url"] {
        let reply = server.patch(&path).by(&acme).json(json!({retired: "x"})).send().await;
        reply.invalid(&["body", retired], "unknown_field");
    }
    let long = json!({"signature_text": "x".repeat(20_001)});
    server.patch(&path).by(&acme).json(long).send().await.invalid(&["body", "signature_text"], "too_long");
    server.patch(&format!("{MAILBOXES}/nobody")).by(&acme).json(json!({})).send().await.refused(404);
    server.post(MAILBOXES).by(&acme).json(json!({})).send().await.refused(405);
    server.delete(&path).by(&acme).send().await.refused(405);
}

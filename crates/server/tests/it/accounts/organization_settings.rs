use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Organization, Request, TestServer};

const PATH: &str = "/api/v1/organization";
const URL: &str = "https://127.0.0.1/alerts";

fn get(server: &TestServer, by: &Organization) -> Request {
    server.get(PATH).by(by)
}

fn patch(server: &TestServer, by: &Organization, change: Value) -> Request {
    server.patch(PATH).by(by).json(change)
}

#[tokio::test]
async fn what_is_not_set_is_null() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let shown = get(&server, &acme).send().await.expect(200).json;
    let expected = json!({"id": acme.id, "name": "acme", "created_at": "2026-05-28T20:26:40.000Z",
        "alerts_url": null, "retention_days": null, "limits": {"publish_per_second": null, "max_queued": null}});
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn each_setting_is_kept_cleared_or_replaced() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    let theirs = get(&server, &globex).send().await.expect(200).json;
    let mut expected = get(&server, &acme).send().await.expect(200).json;
    let limits = |rate: Value, queued: Value| json!({"publish_per_second": rate, "max_queued": queued});
    let null = || Value::Null;
    let steps = [
        (json!({"alerts_url": URL}), "alerts_url", json!(URL)),
        (json!({"retention_days": 3650}), "retention_days", json!(3650)),
        (json!({"limits": {"max_queued": 1}}), "limits", limits(null(), json!(1))),
        (json!({"limits": {"publish_per_second": 5}}), "limits", limits(json!(5), json!(1))),
        (json!({"limits": {"max_queued": null}}), "limits", limits(json!(5), null())),
        (json!({"limits": null}), "limits", limits(null(), null())),
        (json!({}), "retention_days", json!(3650)),
        (json!({"retention_days": null}), "retention_days", null()),
        (json!({"alerts_url": null}), "alerts_url", null()),
    ];
    for (change, field, value) in steps {
        expected[field] = value;
        let mut patched = patch(&server, &acme, change.clone()).send().await.expect(200).json;
        patched.as_object_mut().expect("an object").remove("signing_key").expect("null or not");
        assert_eq!(patched, expected, "{change}");
        assert_eq!(get(&server, &acme).send().await.expect(200).json, expected, "{change}");
    }
    assert_eq!(get(&server, &globex).send().await.expect(200).json, theirs, "theirs is theirs");
}

#[tokio::test]
async fn a_setting_that_is_not_one_is_named() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let before = server.snapshot();
    let wrong: [(Value, &[&str], &str); 15] = [
        (json!({"alerts_url": "ftp://x"}), &["body", "alerts_url"], "invalid"),
        (json!({"alerts_url": "https://10.0.0.1/"}), &["body", "alerts_url"], "invalid"),
        (json!({"alerts_url": "https://u:p@127.0.0.1/"}), &["body", "alerts_url"], "invalid"),
        (json!({"alerts_url": 5}), &["body", "alerts_url"], "invalid"),
        (json!({"retention_days": 0}), &["body", "retention_days"], "invalid"),
        (json!({"retention_days": 3651}), &["body", "retention_days"], "invalid"),
        (json!({"retention_days": 1.5}), &["body", "retention_days"], "invalid"),
        (json!({"limits": {"publish_per_second": 0}}), &["body", "limits", "publish_per_second"], "invalid"),
        (
            json!({"limits": {"publish_per_second": 1_000_001}}),
            &["body", "limits", "publish_per_second"],
            "invalid",
        ),
        (json!({"limits": {"max_queued": 0}}), &["body", "limits", "max_queued"], "invalid"),
        (json!({"limits": {"max_queued": 10_000_001}}), &["body", "limits", "max_queued"], "invalid"),
        (json!({"limits": {"max_queued": "5"}}), &["body", "limits", "max_queued"], "invalid"),
        (json!({"limits": {"colour": 1}}), &["body", "limits", "colour"], "unknown_field"),
        (json!({"limits": [5, 5]}), &["body", "limits"], "invalid"),
        (json!({"name": "other"}), &["body", "name"], "unknown_field"),
    ];
    for (change, loc, kind) in wrong {
        let refused = patch(&server, &acme, change.clone()).send().await.invalid(loc, kind);
        assert!(!refused.contains("u:p"), "{refused}");
    }
    assert_eq!(server.snapshot(), before, "a refusal has written nothing");
}

#[tokio::test]
async fn it_is_for_those_who_manage_the_organisation() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    let help = acme.identity("help").await;
    server.get(PATH).by_agent(&help).send().await.refused(403);
    server.patch(PATH).by_agent(&help).json(json!({"retention_days": 1})).send().await.refused(403);
    let operator = server.operator_key().await;
    server.get(PATH).key(&operator).send().await.refused(403);
    let named = server.patch(PATH).key(&operator).header("inkhook-organization", &acme.id.to_string());
    let patched = named.json(json!({"retention_days": 7})).send().await.expect(200);
    assert_eq!(patched.json["name"], "acme");
    assert_eq!(get(&server, &acme).send().await.json["retention_days"], 7);
    assert_eq!(get(&server, &globex).send().await.json["retention_days"], Value::Null);
}

#[tokio::test]
async fn the_first_alerts_url_comes_with_a_key_that_is_told_once() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let first = patch(&server, &acme, json!({"alerts_url": URL})).send().await.expect(200);
    let key = first.text("signing_key");
    assert!(key.starts_with("whsec_"), "{key}");
    assert!(!server.stores(key.as_bytes()), "sealed");
    for change in [json!({"alerts_url": URL}), json!({"alerts_url": null}), json!({"alerts_url": URL})] {
        let again = patch(&server, &acme, change).send().await.expect(200).json;
        assert_eq!(again["signing_key"], Value::Null);
    }
    let globex = server.organization("globex").await;
    server.post("/api/v1/signing-keys").by(&globex).json(json!({})).send().await.expect(201);
    let set = patch(&server, &globex, json!({"alerts_url": URL})).send().await.expect(200).json;
    assert_eq!(set["signing_key"], Value::Null, "it has one");
}

#[tokio::test]
async fn publishing_is_limited_to_what_the_organisation_set() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    let (help, other) = (acme.identity("help").await, globex.identity("other").await);
    let publish = async |key: &str, mailbox: String| {
        let data = json!({"message": {"from_address": "ana@client.test", "to_addresses": ["x@client.test"],
            "subject": "hi", "direction": "inbound", "status": "received", "has_attachments": false,
            "body": "Hello"}});
        let body = json!({"event_type": "message.received", "mailbox_id": mailbox, "data": data});
        server.post("/api/v1/events").key(key).json(body).send().await
    };
    let ours = async |key: &str| publish(key, help.mailbox.to_string()).await;
    for _ in 0..20 {
        ours(&acme.key).await.expect(202);
    }
    patch(&server, &acme, json!({"limits": {"publish_per_second": 2}})).send().await.expect(200);
    let second_key = acme.admin_key().await;
    ours(&acme.key).await.expect(202);
    ours(&second_key).await.expect(202);
    let refused = ours(&acme.key).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(refused.refused(429).contains("publish_per_second"));
    publish(&globex.key, other.mailbox.to_string()).await.expect(202);
    let operator = server.operator_key().await;
    let named =
        server.post("/api/v1/events").key(&operator).header("inkhook-organization", &acme.id.to_string());
    let body = json!({"event_type": "message.received", "mailbox_id": help.mailbox, "data": {}});
    named.json(body).send().await.refused(429);
    server.advance(Duration::from_millis(500));
    ours(&acme.key).await.expect(202);
    ours(&acme.key).await.refused(429);
    patch(&server, &acme, json!({"limits": {"publish_per_second": null}})).send().await.expect(200);
    for _ in 0..20 {
        ours(&acme.key).await.expect(202);
    }
}

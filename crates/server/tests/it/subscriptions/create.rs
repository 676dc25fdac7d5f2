use serde_json::{Value, json};

use super::{Bench, NOTHING, URL};

#[tokio::test]
async fn the_answer_has_every_key_of_the_contract() {
    let bench = Bench::new().await;
    let created = bench.create(json!({})).await.json;
    let identity = bench.identity.id.to_string();
    assert_eq!(created["organization_id"], bench.organization.id.to_string());
    assert_eq!(created["mailbox_id"], bench.identity.mailbox.to_string());
    for null in ["phone_number_id", "agent_identity_id", "context_config", "auth_token", "paused_at"] {
        assert_eq!(created.get(null), Some(&Value::Null), "{null}: {created}");
    }
    assert_eq!(created["owner_identity_id"], identity);
    assert_eq!(created["url"], URL);
    assert_eq!(created["event_types"], json!(["message.received"]));
    assert_eq!(created["status"], "active");
    assert_eq!(created["has_auth_token"], false);
    assert_eq!(created["created_at"], "2026-05-28T20:26:40.000Z");
    assert_eq!(created["updated_at"], created["created_at"]);
    let mut shown = bench.shown(created["id"].as_str().unwrap()).await;
    assert!(shown.get("signing_key").is_none(), "only a create shows it");
    shown["signing_key"] = created["signing_key"].clone();
    assert_eq!(shown, created);
    let read: inkbox::webhooks::WebhookSubscriptionCreateResponse = serde_json::from_value(created).unwrap();
    assert_eq!(read.subscription.owner_identity_id, Some(bench.identity.id.as_uuid()));
    assert!(read.signing_key.is_some());
}

#[tokio::test]
async fn each_selector_is_echoed_and_leads_to_the_identity() {
    let bench = Bench::new().await;
    let owners = [
        ("mailbox_id", bench.identity.mailbox.to_string(), "message.sent"),
        ("phone_number_id", bench.number_id(), "text.sent"),
        ("agent_identity_id", bench.identity.id.to_string(), "imessage.sent"),
    ];
    for (field, id, event_type) in &owners {
        let created =
            bench.create(json!({"mailbox_id": null, *field: id, "event_types": [event_type]})).await;
        for (other, _, _) in &owners {
            let expected = if other == field { json!(id) } else { Value::Null };
            assert_eq!(created.json[*other], expected, "{field} {other}");
        }
        assert_eq!(created.json["owner_identity_id"], bench.identity.id.to_string());
    }
}

#[tokio::test]
async fn exactly_one_owner_is_named() {
    let bench = Bench::new().await;
    let none = bench.post(bench.body(json!({"mailbox_id": null}))).send().await.refused(422);
    for field in ["mailbox_id", "phone_number_id", "agent_identity_id"] {
        assert!(none.contains(field), "{none}");
    }
    let two = json!({"agent_identity_id": bench.identity.id.to_string()});
    bench.post(bench.body(two)).send().await.invalid(&["body", "agent_identity_id"], "invalid");
    let all =
        json!({"agent_identity_id": bench.identity.id.to_string(), "phone_number_id": bench.number_id()});
    bench.post(bench.body(all)).send().await.invalid(&["body", "agent_identity_id"], "invalid");
    let wrong = json!({"mailbox_id": "post@example.com"});
    bench.post(bench.body(wrong)).send().await.invalid(&["body", "mailbox_id"], "invalid");
    // Null is not named.
    let mut body = bench.body(json!({}));
    body["phone_number_id"] = Value::Null;
    body["auth_token"] = Value::Null;
    body["context_config"] = Value::Null;
    bench.post(body).send().await.expect(201);
}

#[tokio::test]
async fn an_owner_that_is_not_there_is_404_whatever_else_is_wrong() {
    let bench = Bench::new().await;
    let owners = [("mailbox_id", "mailbox"), ("phone_number_id", "phone number")];
    for (field, name) in owners.into_iter().chain([("agent_identity_id", "agent identity")]) {
        for url in [URL, "ftp://nowhere"] {
            let body = bench.body(json!({"mailbox_id": null, field: NOTHING, "url": url}));
            let detail = bench.post(body).send().await.refused(404);
            assert_eq!(detail, format!("{name} not found"), "{url}");
        }
    }
}

#[tokio::test]
async fn channels_follow_the_selector() {
    let bench = Bench::new().await;
    let wrong = [
        ("mailbox_id", bench.identity.mailbox.to_string(), "text.received"),
        ("mailbox_id", bench.identity.mailbox.to_string(), "a2a.task.created"),
        ("phone_number_id", bench.number_id(), "message.received"),
        ("phone_number_id", bench.number_id(), "call.ended"),
    ];
    for (field, id, event_type) in wrong {
        let body = json!({"mailbox_id": null, field: id, "event_types": [event_type]});
        let reply = bench.post(bench.body(body)).send().await;
        let detail = reply.invalid(&["body", "event_types"], "invalid");
        assert!(detail.contains(event_type) && detail.contains(field), "{detail}");
    }
    let mix = json!(["message.received", "text.received", "a2a.task.created", "call.ended"]);
    let id = bench.identity.id.to_string();
    let created = bench.create(json!({"mailbox_id": null, "agent_identity_id": id, "event_types": mix}));
    assert_eq!(created.await.json["event_types"], mix, "an identity takes any mix, in the order given");
}

#[tokio::test]
async fn event_types_are_known_distinct_and_some() {
    let bench = Bench::new().await;
    let cases = [
        (json!([]), "at least one"),
        (json!(["message.recieved"]), "'message.recieved'"),
        (json!(["MESSAGE.received"]), "'MESSAGE.received'"),
        (json!(["phone.incoming_call"]), "'phone.incoming_call'"),
        (json!(["message.sent", "message.received", "message.sent"]), "'message.sent'"),
        (json!(vec!["message.sent"; 1000]), "more entries"),
    ];
    for (event_types, told) in cases {
        let reply = bench.post(bench.body(json!({"event_types": event_types}))).send().await;
        let detail = reply.invalid(&["body", "event_types"], "invalid");
        assert!(detail.contains(told), "{detail}");
    }
    for event_types in [json!("message.sent"), json!({"0": "message.sent"})] {
        let reply = bench.post(bench.body(json!({"event_types": event_types}))).send().await;
        reply.invalid(&["body", "event_types"], "invalid");
    }
    bench
        .post(bench.body(json!({"event_types": null})))
        .send()
        .await
        .invalid(&["body", "event_types"], "missing");
}

#[tokio::test]
async fn a_url_is_public_https() {
    let bench = Bench::new().await;
    let refused = [
        "http://hooks.example.com/in",
        "ftp://hooks.example.com/in",
        "hooks.example.com/in",
        "https://localhost/in",
        "https://intranet/in",
        "https://service.internal/in",
        "https://127.0.0.1/in",
        "https://10.0.0.1/in",
        "https://169.254.169.254/latest",
        "https://[::1]/in",
        "https://[::ffff:10.0.0.1]/in",
        "https://hooks.example.com/in#part",
        "https://user:pa55word@hooks.example.com/in",
        "",
    ];
    for url in refused {
        let reply = bench.post(bench.body(json!({"url": url}))).send().await;
        let detail = reply.invalid(&["body", "url"], "invalid");
        assert!(!detail.contains("pa55word"), "{detail}");
    }
    let longest = |chars: usize| format!("https://hooks.example.com/{}", "x".repeat(chars - 26));
    let longer = bench.post(bench.body(json!({"url": longest(2_049)}))).send().await;
    let detail = longer.invalid(&["body", "url"], "invalid");
    assert!(detail.chars().count() < 400, "the value is cut: {detail}");
    bench.create(json!({"url": longest(2_048)})).await;
    // Bytes count, also of what is left out when it is sent: it is stored as given.
    let wide = format!("https://hooks.example.com/{}", "é/../".repeat(400));
    assert!(wide.chars().count() < 2_048);
    bench.post(bench.body(json!({"url": wide}))).send().await.invalid(&["body", "url"], "invalid");
    let given = "https://Hooks.Example.com:443";
    assert_eq!(bench.create(json!({"url": given})).await.json["url"], given, "stored as given");
    bench.create(json!({"url": "https://93.184.216.34:8443/in"})).await;
    bench.post(bench.body(json!({"url": null}))).send().await.invalid(&["body", "url"], "missing");
    bench.post(bench.body(json!({"url": 5}))).send().await.invalid(&["body", "url"], "invalid");
}

#[tokio::test]
async fn context_settings_are_checked_and_echoed() {
    let bench = Bench::new().await;
    let config = json!({
        "email": {"mode": "count", "count": 50}, "texts": {"mode": "window", "hours": 168},
    });
    let created = bench.create(json!({"context_config": config})).await;
    assert_eq!(created.json["context_config"], config);
    assert_eq!(bench.shown(&created.text("id")).await["context_config"], config);
    let cases = [
        (json!({"mail": {"mode": "count", "count": 5}}), "mail"),
        (json!({"email": {"mode": "count", "count": 51}}), "count"),
        (json!({"email": {"mode": "count", "count": true}}), "count"),
        (json!({"email": {"mode": "window", "hours": 169}}), "hours"),
        (json!({"email": {"mode": "all"}}), "mode"),
        (json!({"email": {"mode": "count", "count": 5, "hours": 5}}), "hours"),
        (json!([]), "context_config"),
        (json!("all"), "context_config"),
    ];
    for (config, named) in cases {
        let reply = bench.post(bench.body(json!({"context_config": config}))).send().await;
        let errors = reply.json["errors"].clone();
        let detail = reply.refused(422);
        assert!(detail.starts_with("context_config") && detail.contains(named), "{detail}");
        assert_eq!(errors[0]["loc"][1], "context_config");
    }
}

#[tokio::test]
async fn a_field_that_nobody_sends_is_refused_by_name() {
    let bench = Bench::new().await;
    for field in ["urls", "scope", "expected_revision", "status"] {
        let reply = bench.post(bench.body(json!({field: "x"}))).send().await;
        reply.invalid(&["body", field], "unknown_field");
    }
    bench.server.post(super::PATH).by(&bench.organization).bytes("{").send().await.refused(422);
    bench.server.post(super::PATH).by(&bench.organization).bytes("[]").send().await.refused(422);
}

#[tokio::test]
async fn the_first_create_shows_the_identitys_key_once() {
    let bench = Bench::new().await;
    let first = bench.create(json!({})).await;
    let key = first.text("signing_key");
    assert!(key.starts_with("whsec_"), "{key}");
    let second = bench.create(json!({"url": "https://hooks.example.com/other"})).await;
    assert_eq!(second.json["signing_key"], Value::Null);
    let other = bench.organization.identity("other").await;
    let body = json!({"mailbox_id": other.mailbox.to_string()});
    assert_ne!(bench.create(body).await.text("signing_key"), key, "each identity has its own");
    bench.delete(&first.text("id")).send().await.expect(204);
    assert_eq!(bench.create(json!({})).await.json["signing_key"], Value::Null, "the key stays");
}

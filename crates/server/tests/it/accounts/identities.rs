use serde_json::{Value, json};

use crate::support::TestServer;

const IDENTITIES: &str = "/api/v1/identities";

fn one(handle: &str) -> String {
    format!("{IDENTITIES}/{handle}")
}

#[tokio::test]
async fn an_identity_is_made_with_its_mailbox() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    for (path, handle) in [("/api/v1/identities/", "@Help"), ("/api/v1/identities", "sales")] {
        let made = server.post(path).by(&acme).json(json!({"agent_handle": handle})).send().await;
        let made = made.expect(201).json;
        let handle = handle.trim_start_matches('@').to_lowercase();
        assert_eq!(made["agent_handle"], handle);
        assert_eq!(made["display_name"], handle, "defaults to the handle");
        assert_eq!(made["email_address"], format!("{handle}@mail.test"));
        assert_eq!(made["mailbox"]["email_address"], made["email_address"]);
        assert_eq!(made["mailbox"]["agent_identity_id"], made["id"]);
        assert_eq!(made["organization_id"], json!(acme.id));
        assert_eq!(made["signing_key_configured"], false);
        for field in ["tunnel", "phone_number", "imessage_number", "description", "signing_key_created_at"] {
            assert_eq!(made.as_object().unwrap().get(field), Some(&Value::Null), "{field}");
        }
        for spelling in [handle.clone(), format!("@{handle}"), format!("{handle}/"), handle.to_uppercase()] {
            assert_eq!(server.get(&one(&spelling)).by(&acme).send().await.expect(200).json, made);
        }
    }
    let list = server.get("/api/v1/identities/").by(&acme).send().await.expect(200).json;
    let handles: Vec<&Value> = list.as_array().unwrap().iter().map(|row| &row["agent_handle"]).collect();
    assert_eq!(handles, ["help", "sales"]);
}

#[tokio::test]
async fn everything_that_clients_can_send_is_known() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let full = json!({
        "agent_handle": "help", "display_name": "Help", "description": null, "imessage_enabled": true,
        "contact_sharing_enabled": false, "claim_imessage_number": false, "vault_secret_ids": [],
        "mailbox": {"email_local_part": "Desk", "sending_domain": null}, "tunnel": {"tls_mode": "edge"},
        "phone_number": {"type": "toll_free", "state": null, "incoming_call_action": "webhook",
            "client_websocket_url": null, "incoming_call_webhook_url": "https://hooks.client.test.example.com/in",
            "forwarding_target_type": null, "forwarding_phone_number": null, "forwarding_sip_uri": null},
    });
    let made = server.post(IDENTITIES).by(&acme).json(full).send().await.expect(201).json;
    assert_eq!(made["email_address"], "desk@mail.test");
    assert_eq!(made["imessage_enabled"], true);
    assert_eq!(made["contact_sharing_enabled"], false);
    assert_eq!(made["phone_number"]["type"], "toll_free");
    assert_eq!(made["phone_number"]["incoming_call_action"], "webhook");
    assert_eq!(made["signing_key_configured"], true, "a call's question is never unsigned");
    for (field, value, loc) in [
        ("tunnel", json!({"tls_mode": "passthrough"}), vec!["body", "tunnel"]),
        ("vault_secret_ids", json!("*"), vec!["body", "vault_secret_ids"]),
        ("claim_imessage_number", json!(true), vec!["body", "claim_imessage_number"]),
        ("imessage_number_type", json!("dedicated_inbound"), vec!["body", "imessage_number_type"]),
        ("mailbox", json!({"sending_domain": "mail.acme.test"}), vec!["body", "mailbox", "sending_domain"]),
    ] {
        let body = json!({"agent_handle": "other", field: value});
        let detail = server.post(IDENTITIES).by(&acme).json(body).send().await.invalid(&loc, "unsupported");
        assert!(detail.contains("is not supported by this server"), "{detail}");
    }
    let unknown = json!({"agent_handle": "other", "colour": "red"});
    server
        .post(IDENTITIES)
        .by(&acme)
        .json(unknown)
        .send()
        .await
        .invalid(&["body", "colour"], "unknown_field");
}

#[tokio::test]
async fn bad_names_are_refused_by_field() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    server
        .post(IDENTITIES)
        .by(&acme)
        .json(json!({}))
        .send()
        .await
        .invalid(&["body", "agent_handle"], "missing");
    for handle in ["", "a b", "a..b", &"h".repeat(64)] {
        let reply = server.post(IDENTITIES).by(&acme).json(json!({"agent_handle": handle})).send().await;
        reply.invalid(&["body", "agent_handle"], "invalid");
    }
    let body = json!({"agent_handle": "h".repeat(63), "display_name": "d".repeat(255)});
    server.post(IDENTITIES).by(&acme).json(body).send().await.expect(201);
    let body = json!({"agent_handle": "x", "display_name": "d".repeat(256)});
    server.post(IDENTITIES).by(&acme).json(body).send().await.invalid(&["body", "display_name"], "too_long");
    let body = json!({"agent_handle": "x", "description": "d".repeat(2001)});
    server.post(IDENTITIES).by(&acme).json(body).send().await.invalid(&["body", "description"], "too_long");
    let body = json!({"agent_handle": "x", "mailbox": {"email_local_part": "a@b"}});
    let loc = ["body", "mailbox", "email_local_part"];
    server.post(IDENTITIES).by(&acme).json(body).send().await.invalid(&loc, "invalid");
}

#[tokio::test]
async fn a_taken_handle_is_a_conflict_that_clients_recognise() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    acme.identity("help").await;
    for organization in [&acme, &globex] {
        let body = json!({"agent_handle": "HELP"});
        let detail = server.post(IDENTITIES).by(organization).json(body).send().await.expect(409).json;
        assert_eq!(detail["detail"]["code"], "agent_handle_unavailable");
        assert_eq!(detail["detail"]["blocking_namespace"], "identities");
    }
    let body = json!({"agent_handle": "desk", "mailbox": {"email_local_part": "help"}});
    let detail = server.post(IDENTITIES).by(&acme).json(body).send().await.refused(409);
    assert!(detail.contains("help@mail.test") && !detail.contains("handle"), "{detail}");
    server.get(&one("desk")).by(&acme).send().await.refused(404);
    let body = json!({"agent_handle": "desk", "mailbox": {"email_local_part": "front"}});
    server.post(IDENTITIES).by(&acme).json(body).send().await.expect(201);
    let body = json!({"agent_handle": "front"});
    let detail = server.post(IDENTITIES).by(&acme).json(body).send().await.expect(409).json;
    assert_eq!(detail["detail"]["blocking_namespace"], "mail", "its address is what is taken");
}

#[tokio::test]
async fn of_many_creates_of_one_handle_one_wins() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let creates =
        (0..40).map(|_| server.post(IDENTITIES).by(&acme).json(json!({"agent_handle": "help"})).send());
    let replies = futures_util::future::join_all(creates).await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    let refused = replies.iter().filter(|reply| reply.status == 409).count();
    assert_eq!((made, refused), (1, 39));
    assert_eq!(server.query::<i64>("SELECT count(*) FROM mailboxes"), [1]);
}

#[tokio::test]
async fn left_out_null_and_value_are_three_things() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let patch = async |body: Value| {
        server.patch(&one("help")).by_agent(&help).json(body).send().await.expect(200).json
    };
    let set = patch(json!({"display_name": "Help desk", "description": "d"})).await;
    assert_eq!((&set["display_name"], &set["description"]), (&json!("Help desk"), &json!("d")));
    let kept = patch(json!({})).await;
    assert_eq!((&kept["display_name"], &kept["description"]), (&json!("Help desk"), &json!("d")));
    let cleared = patch(json!({"display_name": null, "description": null})).await;
    assert_eq!((&cleared["display_name"], &cleared["description"]), (&Value::Null, &Value::Null));
    assert_eq!(patch(json!({"status": "paused"})).await["status"], "paused");
    assert_eq!(patch(json!({"contact_sharing_enabled": false})).await["contact_sharing_enabled"], false);
    let bad = server.patch(&one("help")).by_agent(&help).json(json!({"status": "gone"})).send().await;
    bad.invalid(&["body", "status"], "invalid");
    for field in ["claim_imessage_number", "imessage_number_id", "imessage_number_type"] {
        let reply = server.patch(&one("help")).by(&acme).json(json!({field: "x"})).send().await;
        reply.invalid(&["body", field], "unsupported");
        server.patch(&one("help")).by(&acme).json(json!({field: null})).send().await.expect(200);
    }
    let reply = server.patch(&one("help")).by(&acme).json(json!({"colour": 1})).send().await;
    reply.invalid(&["body", "colour"], "unknown_field");
}

#[tokio::test]
async fn filter_modes_are_for_admins_and_a_shared_one_sets_both_directions() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let path = one("help");
    let whitelist = json!({"mail_filter_mode": "whitelist"});
    server.patch(&path).by_agent(&help).json(whitelist.clone()).send().await.refused(403);
    let inbound = json!({"mail_inbound_filter_mode": "whitelist", "slack_filter_mode": "whitelist"});
    let one_way = server.patch(&path).by(&acme).json(inbound).send().await.expect(200).json;
    assert_eq!(one_way["mail_inbound_filter_mode"], "whitelist");
    assert_eq!(one_way["mail_outbound_filter_mode"], "blacklist");
    assert_eq!(one_way["slack_outbound_filter_mode"], "whitelist");
    server.patch(&path).by(&acme).json(whitelist).send().await.expect(200);
    let both = json!({"mail_filter_mode": "blacklist"});
    let both = server.patch(&path).by(&acme).json(both).send().await.expect(200).json;
    assert_eq!(both["mail_inbound_filter_mode"], "blacklist");
    assert_eq!(both["mailbox"]["filter_mode"], "blacklist");
    let phone = json!({"phone_filter_mode": "whitelist"});
    let none = server.patch(&path).by(&acme).json(phone).send().await;
    none.invalid(&["body", "phone_filter_mode"], "invalid");
}

#[tokio::test]
async fn a_new_handle_keeps_the_address_and_frees_the_old_name_for_nobody_else() {
    let server = TestServer::new();
    let (acme, globex) = (server.organization("acme").await, server.organization("globex").await);
    acme.identity("help").await;
    acme.identity("sales").await;
    let renamed = json!({"agent_handle": "@Desk"});
    let renamed = server.patch(&one("@help")).by(&acme).json(renamed).send().await.expect(200).json;
    assert_eq!(renamed["agent_handle"], "desk");
    assert_eq!(renamed["email_address"], "help@mail.test");
    server.get(&one("help")).by(&acme).send().await.refused(404);
    let taken = json!({"agent_handle": "sales"});
    let taken = server.patch(&one("desk")).by(&acme).json(taken).send().await.expect(409).json;
    assert_eq!(taken["detail"]["code"], "agent_handle_unavailable");
    let theirs = json!({"agent_handle": "help", "mailbox": {"email_local_part": "other"}});
    server.post(IDENTITIES).by(&globex).json(theirs.clone()).send().await.expect(409);
    server.post(IDENTITIES).by(&acme).json(theirs).send().await.expect(201);
}

#[tokio::test]
async fn deleting_an_identity_takes_everything_of_it_along() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity_with_number("help").await;
    server.post(&format!("{}/signing-key", one("help"))).by(&acme).json(json!({})).send().await.expect(201);
    for owner in [
        json!({"mailbox_id": help.mailbox, "event_types": ["message.received"]}),
        json!({"phone_number_id": help.phone_number.as_ref().unwrap().0, "event_types": ["text.received"]}),
        json!({"agent_identity_id": help.id, "event_types": ["call.ended"]}),
    ] {
        let mut body = owner;
        body["url"] = json!("https://hooks.example.com/in");
        server.post("/api/v1/webhooks/subscriptions").by(&acme).json(body).send().await.expect(201);
    }
    server.get("/api/whoami").by_agent(&help).send().await.expect(200);
    server.delete(&one("help")).by_agent(&help).send().await.refused(403);
    assert!(server.delete(&one("@help")).by(&acme).send().await.expect(204).bytes.is_empty());
    server.get("/api/whoami").by_agent(&help).send().await.refused(401);
    server.get(&one("help")).by(&acme).send().await.refused(404);
    server.delete(&one("help")).by(&acme).send().await.refused(404);
    server.get("/api/v1/mail/mailboxes/help").by(&acme).send().await.refused(404);
    assert_eq!(server.get("/api/v1/phone/numbers").by(&acme).send().await.json, json!([]));
    let left = server.get("/api/v1/webhooks/subscriptions").by(&acme).send().await.expect(200).json;
    assert_eq!(left, json!({"subscriptions": []}));
    let generations: Vec<i64> = server.query("SELECT generation FROM subscriptions WHERE status = 'deleted'");
    assert_eq!(generations.len(), 3);
    for (no, generation) in (1_i64..).zip(generations) {
        let no = inkhook_server::domain::number::SubscriptionNo(no);
        let before = u64::try_from(generation - 1).unwrap();
        assert!(!server.generations.write_if_unchanged(no, before, &mut || ()), "attempts see it");
    }
}

#[tokio::test]
async fn an_agent_key_sees_itself_only() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let (help, _) = (acme.identity("help").await, acme.identity("sales").await);
    let list = server.get(IDENTITIES).by_agent(&help).send().await.expect(200).json;
    assert_eq!(list.as_array().unwrap().len(), 1);
    let unclaimed = acme.unclaimed_key(help.id).await;
    server.get(&one("help")).key(&unclaimed).send().await.expect(200);
    server.get(&one("sales")).by_agent(&help).send().await.refused(404);
    server.patch(&one("sales")).by_agent(&help).json(json!({})).send().await.refused(404);
    server.post(IDENTITIES).by_agent(&help).json(json!({"agent_handle": "x"})).send().await.refused(403);
}

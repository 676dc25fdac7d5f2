//! The Rust SDK. It blocks, so every test here is a plain one without a runtime.

use std::sync::Arc;

use inkbox::Inkbox;
use inkbox::agent_identity::AgentIdentity;
use inkbox::error::InkboxError;
use inkbox::identities::HandleUnavailableError;
use inkbox::phone::types::IncomingCallAction;
use inkbox::signing_keys::verify_webhook;
use inkbox::webhooks::types::{MailWebhookPayload, PhoneIncomingCallWebhookPayload, TextWebhookPayload};
use inkbox::webhooks::{WebhookSubscription, WebhookSubscriptionScope};
use inkbox::whoami::types::{
    AUTH_SUBTYPE_API_KEY_ADMIN_SCOPED, AUTH_SUBTYPE_API_KEY_AGENT_SCOPED_CLAIMED,
    AUTH_SUBTYPE_API_KEY_AGENT_SCOPED_UNCLAIMED, WhoamiApiKeyResponse, WhoamiResponse,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::receiver::{Received, Receiver};
use crate::support::running::{RunningServer, wait_for};

/// Active subscriptions that an owner may have.
const SUBSCRIPTION_LIMIT: usize = 20;

/// A running server, a client with the admin key, and somewhere to deliver to.
struct World {
    server: RunningServer,
    receiver: Receiver,
    admin: Arc<Inkbox>,
    agent: AgentIdentity,
    mailbox: Uuid,
}

impl World {
    fn new() -> Self {
        let (server, receiver) = (RunningServer::start_blocking(), Receiver::start());
        let admin = client(&server, &server.admin_key);
        let agent = admin.create_identity("help-desk").expect("an identity");
        let mailbox = agent.mailbox().expect("a mailbox comes with it").id;
        Self { server, receiver, admin, agent, mailbox }
    }

    fn subscribe(&self, path: &str, event_types: &[&str]) -> Result<WebhookSubscription, InkboxError> {
        let url = self.receiver.url(path);
        let created = self.admin.webhooks().subscriptions().create(
            &url,
            &words(event_types),
            Some(self.mailbox),
            None,
            None,
            None,
            None,
        )?;
        Ok(created.subscription)
    }

    /// Ids of a list with these filters, in its order.
    fn list(&self, mailbox: Option<Uuid>, url: Option<&str>, event_type: Option<&str>) -> Vec<Uuid> {
        let rows = self.admin.webhooks().subscriptions().list(mailbox, None, None, url, event_type);
        ids(&rows.expect("a list"))
    }

    fn publish(&self, event: &Value) -> String {
        let (status, answer) = self.server.post("/api/v1/events", event);
        assert_eq!(status, 202, "{answer}");
        assert_eq!(answer["deliveries"], 1, "{answer}");
        answer["id"].as_str().expect("an id").to_owned()
    }

    fn publish_mail(&self) -> String {
        self.publish(&json!({"event_type": "message.received", "mailbox_id": self.mailbox, "data": {"message": {
            "id": "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001", "mailbox_id": self.mailbox,
            "message_id": "<q1@client.test>", "from_address": "ana@client.test",
            "to_addresses": [self.agent.email_address()], "cc_addresses": null, "subject": "Invoice 42",
            "snippet": "Könntest du", "body": "Könntest du Rechnung 42 noch einmal senden? ✓",
            "body_state": "complete", "direction": "inbound", "status": "received", "has_attachments": false,
        }}}))
    }
}

fn client(server: &RunningServer, key: &str) -> Arc<Inkbox> {
    Inkbox::builder(key).base_url(&server.base_url).build().expect("a client")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn ids(rows: &[WebhookSubscription]) -> Vec<Uuid> {
    rows.iter().map(|row| row.id).collect()
}

/// The SDK's error for an answer of the API with this status; its detail in lower case.
fn refused<T: std::fmt::Debug>(status: u16, result: Result<T, InkboxError>) -> String {
    match result {
        Err(InkboxError::Api { status_code, detail, .. }) if status_code == status => {
            let detail = detail.to_string();
            assert!(!detail.is_empty(), "the error has a detail");
            detail.to_lowercase()
        }
        other => panic!("expected {status}, got {other:?}"),
    }
}

fn who(client: &Inkbox) -> WhoamiApiKeyResponse {
    match client.whoami().expect("an answer") {
        WhoamiResponse::ApiKey(me) => me,
        other @ WhoamiResponse::Jwt(_) => panic!("not a key: {other:?}"),
    }
}

/// The SDK's own function accepts what arrived, and nothing else.
fn assert_verifies(received: &Received, secret: &str) {
    let Received { headers, body, .. } = received;
    let verify =
        |body: &[u8], headers, secret: &str| verify_webhook(body, headers, secret).expect("a verdict");
    assert!(verify(body, headers, secret), "{headers:?}");
    assert!(verify(body, headers, secret.strip_prefix("whsec_").expect("the prefix")));
    assert!(!verify(&[body.as_slice(), b" "].concat(), headers, secret));
    assert!(!verify(body, headers, &format!("{secret}x")));
    let mut other = headers.clone();
    other.insert("x-inkbox-request-id".into(), "req_other".into());
    assert!(!verify(body, &other, secret));
}

#[test]
fn a_key_and_an_identity() {
    let world = World::new();
    let me = who(&world.admin);
    assert_eq!(me.auth_subtype.as_deref(), Some(AUTH_SUBTYPE_API_KEY_ADMIN_SCOPED));
    assert!(me.organization_id.is_some_and(|id| id.starts_with("org_")));

    let address = world.agent.email_address().expect("an address");
    assert!(address.starts_with("help-desk@"), "{address}");
    let again = world.admin.get_identity("help-desk").expect("found");
    assert_eq!((again.id(), again.email_address()), (world.agent.id(), Some(address)));
    let listed = world.admin.list_identities().expect("a list");
    assert!(listed.iter().any(|identity| identity.agent_handle == "help-desk"));
    let mailboxes = world.admin.mailboxes().list().expect("a list");
    assert!(mailboxes.iter().any(|mailbox| mailbox.id == world.mailbox));

    world.agent.delete().expect("deleted");
    refused(404, world.admin.get_identity("help-desk").map(|_| ()));
}

#[test]
fn the_life_of_a_subscription() {
    let world = World::new();
    let webhooks = world.admin.webhooks();
    let subscriptions = webhooks.subscriptions();
    let first = world.subscribe("/hook", &["message.received", "message.bounced"]).expect("created");
    assert_eq!(first.event_types, ["message.received", "message.bounced"]);
    assert_eq!((first.mailbox_id, first.url), (Some(world.mailbox), world.receiver.url("/hook")));
    let second = world.subscribe("/other", &["message.failed"]).expect("created");

    let both = vec![second.id, first.id];
    let url = world.receiver.url("/hook");
    assert_eq!(world.list(None, None, None), both, "newest first");
    assert_eq!(world.list(Some(world.mailbox), None, None), both);
    assert_eq!(world.list(None, Some(&url), None), [first.id]);
    assert_eq!(world.list(None, None, Some("message.failed")), [second.id]);
    assert_eq!(world.list(Some(world.mailbox), Some(&url), Some("message.bounced")), [first.id]);
    assert!(world.list(Some(Uuid::nil()), None, None).is_empty());
    let scope = Some(WebhookSubscriptionScope::Identity);
    let wide = subscriptions.list_with_scope(None, None, Some(world.agent.id()), None, None, scope);
    assert_eq!(ids(&wide.expect("a list")), both);

    let moved = world.receiver.url("/moved");
    let changed = subscriptions
        .update(first.id, Some(&moved), Some(&words(&["message.received"])), None, Some(Some("token-1")))
        .expect("changed");
    assert_eq!((changed.url.as_str(), changed.event_types.len()), (moved.as_str(), 1));
    assert_eq!((changed.has_auth_token, changed.auth_token.as_deref()), (true, Some("token-1")));
    let same = subscriptions.update(first.id, None, None, None, None).expect("an empty change");
    assert_eq!((same.url.as_str(), same.auth_token.as_deref()), (moved.as_str(), Some("token-1")));
    let cleared = subscriptions.update(first.id, None, None, None, Some(None)).expect("changed");
    assert_eq!((cleared.has_auth_token, cleared.auth_token), (false, None));
    assert_eq!(subscriptions.get(first.id).expect("found").url, moved);

    subscriptions.delete(first.id).expect("deleted");
    refused(404, subscriptions.get(first.id));
    refused(404, subscriptions.delete(first.id));
    assert_eq!(world.list(None, None, None), [second.id]);
}

#[test]
fn a_delivery_is_received_verified_logged_and_replayed() {
    let world = World::new();
    let webhooks = world.admin.webhooks();
    let url = world.receiver.url("/hook");
    let types = words(&["message.received"]);
    let created = webhooks
        .subscriptions()
        .create(&url, &types, Some(world.mailbox), None, None, None, Some("token-1"))
        .expect("created");
    let secret = created.signing_key.expect("the first create shows the key that it made");
    let hook = created.subscription;
    assert!(world.agent.get_signing_key_status().expect("a status").configured);

    let event = world.publish_mail();
    let first = world.receiver.take();
    assert_eq!(first.path, "/hook");
    assert_eq!(first.headers.get("authorization").map(String::as_str), Some("Bearer token-1"));
    assert_verifies(&first, &secret);
    let payload: MailWebhookPayload = serde_json::from_slice(&first.body).expect("the SDK's own type");
    assert_eq!((&payload.id, payload.data.message.mailbox_id), (&event, world.mailbox.to_string()));
    assert_eq!(payload.data.message.body.as_deref(), Some("Könntest du Rechnung 42 noch einmal senden? ✓"));

    let deliveries = webhooks.deliveries();
    let list =
        |success| deliveries.list(Some(hook.id), None, Some("message.received"), success, Some(10), None);
    let logged = wait_for("a logged attempt", || list(Some(true)).expect("a list").pop());
    assert_eq!((&logged.event_id, &logged.url, logged.response_status), (&event, &url, Some(200)));
    assert_eq!((logged.request_payload.as_bytes(), logged.is_replay), (first.body.as_slice(), false));
    assert!(logged.replayable && logged.error_detail.is_none(), "{logged:?}");
    assert!(list(Some(false)).expect("a list").is_empty());

    let again = deliveries.replay(logged.id).expect("replayed");
    assert_eq!((again.is_replay, &again.event_id, again.response_status), (true, &event, Some(200)));
    let second = world.receiver.take();
    assert_verifies(&second, &secret);
    assert_eq!(second.body, first.body, "the same event, byte for byte");
    assert_ne!(second.headers["x-inkbox-request-id"], first.headers["x-inkbox-request-id"]);
    let rows: Vec<Uuid> = list(None).expect("a list").iter().map(|row| row.id).collect();
    assert_eq!(rows, [again.id, logged.id], "newest first");

    let rotated = world.agent.create_signing_key().expect("rotated").signing_key;
    deliveries.replay(logged.id).expect("replayed");
    let third = world.receiver.take();
    assert_verifies(&third, &rotated);
    assert!(!verify_webhook(&third.body, &third.headers, &secret).expect("a verdict"), "the old key is out");

    webhooks.subscriptions().delete(hook.id).expect("deleted");
    refused(409, deliveries.replay(logged.id));
    world.receiver.assert_quiet();
}

#[test]
fn a_phone_number_and_its_texts() {
    let world = World::new();
    let number = world.agent.provision_phone_number("local", None).expect("a number");
    let url = world.receiver.url("/texts");
    let created = world
        .admin
        .webhooks()
        .subscriptions()
        .create(&url, &words(&["text.received"]), None, Some(number.id), None, None, None)
        .expect("created");
    let secret = created.signing_key.expect("shown once");
    let event = world.publish(&json!({"event_type": "text.received", "phone_number_id": number.id,
    "data": {"text_message": {
        "id": "7e570000-0000-4000-8000-000000000001", "direction": "inbound",
        "local_phone_number": number.number, "remote_phone_number": "+15555550199", "text": "Are you open?",
        "type": "sms", "is_read": false, "origin": "user_initiated",
        "conversation_id": "c0111111-0000-4000-8000-000000000001", "sender_phone_number": "+15555550199",
        "created_at": "2026-11-20T09:39:59.900Z", "updated_at": "2026-11-20T09:39:59.900Z",
    }}}));
    let received = world.receiver.take();
    assert_verifies(&received, &secret);
    let payload: TextWebhookPayload = serde_json::from_slice(&received.body).expect("the SDK's own type");
    assert_eq!((payload.id, payload.data.text_message.local_phone_number), (event, number.number));

    world.agent.release_phone_number().expect("released");
    refused(404, world.admin.webhooks().subscriptions().get(created.subscription.id));
}

#[test]
fn what_happens_to_calls() {
    let world = World::new();
    let number = world.agent.provision_phone_number("local", None).expect("a number");
    let (rules, id) = (world.admin.incoming_call_action(), world.agent.id().to_string());
    let found = rules.get(Some(&id)).expect("a number has a rule");
    assert_eq!(found.incoming_call_action, IncomingCallAction::AutoReject);
    refused(422, rules.get(None));
    let url = world.receiver.url("/calls");
    let set = rules.set(IncomingCallAction::Webhook, Some(&id), None, Some(&url)).expect("set");
    assert_eq!(
        (set.agent_identity_id.to_string(), set.incoming_call_webhook_url),
        (id.clone(), Some(url.clone()))
    );
    let secret = world.agent.create_signing_key().expect("rotated").signing_key;

    let path = format!("/api/v1/phone/numbers/{}/incoming-calls", number.id);
    let (status, decision) = world.server.post(&path, &json!({"remote_phone_number": "+15555550199"}));
    assert_eq!((status, &decision["decided_by"]), (200, &json!("default_action")), "{decision}");
    let asked = world.receiver.take();
    assert_eq!(asked.path, "/calls");
    assert_verifies(&asked, &secret);
    let payload: PhoneIncomingCallWebhookPayload =
        serde_json::from_slice(&asked.body).expect("the SDK's own type");
    assert_eq!(json!(payload.id), decision["call_id"]);
    let deliveries = world.admin.webhooks();
    let deliveries = deliveries.deliveries();
    let logged = wait_for("a line of the log", || {
        deliveries.list(None, Some(number.id), None, None, None, None).expect("a list").pop()
    });
    assert_eq!((json!(logged.event_id), logged.url), (decision["call_id"].clone(), url));
    assert_eq!((logged.webhook_subscription_id, logged.phone_number_id), (None, Some(number.id)));
    assert_eq!((logged.request_payload.as_bytes(), logged.replayable), (asked.body.as_slice(), false));
    refused(422, deliveries.replay(logged.id));

    let forward = rules.set(IncomingCallAction::Forward, Some(&id), None, None).expect("stored");
    assert_eq!(
        (forward.incoming_call_action, forward.incoming_call_webhook_url),
        (IncomingCallAction::Forward, None)
    );
}

#[test]
fn keys_that_may_not() {
    let world = World::new();
    let hook = world.subscribe("/hook", &["message.received"]).expect("created");

    let stranger = client(&world.server, "ApiKey_00000000-0000-4000-8000-000000000000.nobody-has-this-key");
    refused(401, stranger.whoami());
    refused(401, stranger.webhooks().subscriptions().get(hook.id));

    let unclaimed = client(&world.server, &world.server.unclaimed_key("help-desk"));
    assert_eq!(who(&unclaimed).auth_subtype.as_deref(), Some(AUTH_SUBTYPE_API_KEY_AGENT_SCOPED_UNCLAIMED));
    refused(403, unclaimed.webhooks().subscriptions().get(hook.id));
    refused(403, unclaimed.webhooks().subscriptions().list(None, None, None, None, None));
    refused(403, unclaimed.webhooks().subscriptions().delete(hook.id));
    refused(403, unclaimed.webhooks().deliveries().list(None, None, None, None, None, None));
    refused(403, world.admin.api_keys().create("another admin", None, None));

    let other = world.admin.create_identity("night-desk").expect("an identity");
    let key = world.admin.api_keys().create("night desk", None, Some(other.id())).expect("a key").api_key;
    let agent = client(&world.server, &key);
    assert_eq!(who(&agent).auth_subtype.as_deref(), Some(AUTH_SUBTYPE_API_KEY_AGENT_SCOPED_CLAIMED));
    refused(404, agent.webhooks().subscriptions().get(hook.id));
    refused(404, agent.webhooks().subscriptions().delete(hook.id));
    refused(404, world.admin.webhooks().deliveries().replay(Uuid::nil()));
    other.delete().expect("deleted");
    refused(401, agent.whoami());
    assert_eq!(world.list(None, None, None), [hook.id]);
}

#[test]
fn conflicts_and_bad_input() {
    let world = World::new();
    let hook = world.subscribe("/hook", &["message.received"]).expect("created");

    let detail = refused(409, world.subscribe("/hook", &["message.received", "message.sent"]));
    assert!(detail.contains("active subscription") && detail.contains("url"), "{detail}");
    let taken = world.admin.create_identity("help-desk").map(|_| ()).expect_err("taken");
    assert!(HandleUnavailableError::from_error(&taken).is_some(), "{taken:?}");

    let detail = refused(422, world.subscribe("/typo", &["message.typo"]));
    assert!(detail.contains("message.typo"), "the detail names the culprit: {detail}");
    let subscriptions = world.admin.webhooks();
    let subscriptions = subscriptions.subscriptions();
    for url in ["not a url", "ftp://client.test/in", "https://user:secret@client.test/in"] {
        let detail = refused(422, subscriptions.update(hook.id, Some(url), None, None, None));
        assert!(!detail.contains("secret"), "user info is not echoed: {detail}");
    }
    refused(422, subscriptions.update(hook.id, None, None, None, Some(Some("two\r\nlines"))));
    refused(404, subscriptions.update(Uuid::nil(), None, None, None, None));

    for n in 1..SUBSCRIPTION_LIMIT {
        world.subscribe(&format!("/{n}"), &["message.received"]).expect("up to the limit");
    }
    let detail = refused(409, world.subscribe("/one-more", &["message.received"]));
    assert!(detail.contains("subscription") && detail.contains("max"), "{detail}");
    assert!(!detail.contains("url"), "else clients take it for a duplicate: {detail}");
    assert_eq!(world.list(Some(world.mailbox), None, None).len(), SUBSCRIPTION_LIMIT);
}

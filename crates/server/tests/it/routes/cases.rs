//! For each route, the requests by which somebody can name rows.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Names, Route};

/// A request that names rows.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub path: String,
    pub body: Option<Value>,
}

fn case(path: &str, body: Value) -> Case {
    Case { path: path.into(), body: if body.is_null() { None } else { Some(body) } }
}

/// The least that makes a mail event.
pub(super) fn event(mailbox: &str, subject: &str) -> Value {
    json!({"event_type": "message.received", "mailbox_id": mailbox, "data": {"message": {
        "from_address": "ana@client.test", "to_addresses": ["anybody@client.test"], "subject": subject,
        "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"}}})
}

/// The requests to a route that name these rows: by its path, or else by its query or body.
///
/// The list is empty for a route by which nobody can name a row. One that is not known here fails the test.
pub(super) fn of(route: &Route, names: &Names) -> Vec<Case> {
    let path = names.fill(&route.path);
    let path = path.as_str();
    let filters = |filters: &[String]| -> Vec<Case> {
        let filters = filters.iter().map(|filter| case(&format!("{path}?{filter}"), Value::Null));
        filters.chain([case(path, Value::Null)]).collect()
    };
    if names_nothing(route) {
        return Vec::new();
    }
    if route.path.contains('{') || route.is_shared() {
        return by_path(route, path, names);
    }
    let owners = [
        format!("mailbox_id={}", names.mailbox),
        format!("phone_number_id={}", names.number),
        format!("agent_identity_id={}", names.identity),
    ];
    match (route.method.as_str(), &*route.path) {
        ("GET", "/api/v1/webhooks/subscriptions") => {
            let with_scope = owners.iter().map(|owner| format!("{owner}&scope=identity"));
            filters(&owners.iter().cloned().chain(with_scope).collect::<Vec<_>>())
        }
        ("GET", "/api/v1/events") => {
            let before = format!("before={}", names.event);
            filters(&owners.iter().cloned().chain([before]).collect::<Vec<_>>())
        }
        ("GET", "/api/v1/webhooks/deliveries") => filters(&[
            format!("subscription_id={}", names.subscription),
            format!("phone_number_id={}", names.number),
            format!("before={}", names.attempt),
        ]),
        ("POST", "/api/v1/webhooks/subscriptions") => subscriptions(path, names),
        ("POST", "/api/v1/events") => events(path, names),
        ("POST", "/api/v1/events/batch") => {
            let in_batch = |it: Case| case(&it.path, json!({"events": [it.body]}));
            events(path, names).into_iter().map(in_batch).collect()
        }
        ("POST", "/api/v1/phone/numbers") => vec![case(path, json!({"agent_handle": names.handle}))],
        ("GET", "/api/v1/phone/incoming-call-action") => {
            vec![case(&format!("{path}?agent_identity_id={}", names.identity), Value::Null)]
        }
        ("PUT", "/api/v1/phone/incoming-call-action") => {
            let identity = &names.identity;
            // A rule is for those who can see the identity.
            [
                json!({"agent_identity_id": identity, "incoming_call_action": "auto_reject"}),
                json!({"agent_identity_id": identity, "incoming_call_action": "webhook"}),
                json!({"agent_identity_id": identity, "incoming_call_action": "webhook",
                    "incoming_call_webhook_url": "ftp://mine"}),
            ]
            .into_iter()
            .map(|body| case(path, body))
            .collect()
        }
        ("POST", "/api/v1/api-keys") => {
            vec![case(path, json!({"label": "x", "scoped_identity_id": names.identity}))]
        }
        (
            "GET",
            "/api/v1/identities"
            | "/api/v1/mail/mailboxes"
            | "/api/v1/phone/numbers"
            | "/api/v1/api-keys"
            | "/api/v1/api-keys/self"
            | "/api/v1/whoami"
            | "/api/whoami",
        ) => vec![case(path, Value::Null)],
        (method, path) => panic!("{method} {path} has no case: write how somebody could name a row by it"),
    }
}

fn contacts(route: &Route, path: &str, names: &Names) -> Vec<Case> {
    match (route.method.as_str(), path) {
        ("GET", super::CONTACTS) => vec![case(path, Value::Null)],
        ("GET", _) => vec![case(&format!("{path}?email={}", names.contact_address), Value::Null)],
        // Nobody is named by making somebody.
        _ => Vec::new(),
    }
}

/// By these only a new name can be given, the caller's own key or organisation, what is public, or nothing at all.
const NAMING_NOTHING: [(&str, &str); 20] = [
    ("GET", "/api/v1/organization"),
    ("PATCH", "/api/v1/organization"),
    ("GET", "/api/v1/organization/alerts"),
    ("POST", "/api/v1/organization/invitation-token"),
    ("DELETE", "/api/v1/organization/invitation-token"),
    ("GET", "/api/v1/organization/key-pair"),
    ("POST", "/api/v1/organization/key-pair"),
    ("DELETE", "/api/v1/organization/key-pair"),
    ("GET", "/api/v1/organizations/{organization_id}/jwks.json"),
    ("GET", "/api/v1/signing-keys"),
    ("POST", "/api/v1/signing-keys"),
    ("GET", "/api/v1/webhooks/catalog"),
    ("GET", "/api/v1/agent-signup/status"),
    ("GET", "/api/v1/agent-signup/pending"),
    ("POST", "/api/v1/agent-signup"),
    ("POST", "/api/v1/agent-signup/verify"),
    ("POST", "/api/v1/agent-signup/resend-verification"),
    ("POST", "/api/v1/identities"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
];

fn names_nothing(route: &Route) -> bool {
    NAMING_NOTHING.contains(&(route.method.as_str(), &*route.path))
}

fn by_path(route: &Route, path: &str, names: &Names) -> Vec<Case> {
    if !route.path.contains('{') {
        return contacts(route, path, names);
    }
    if route.path.ends_with("/recover") && route.takes_body {
        let recover = json!({"since": "2026-05-28T00:00:00Z", "which": "all"});
        return vec![case(path, recover.clone()), case(&format!("{path}?dry_run=true"), recover)];
    }
    if route.path.ends_with("/incoming-calls") {
        let call = json!({"remote_phone_number": "+12025550178"});
        let known = json!({"remote_phone_number": "+12025550178", "call_id": super::NOTHING});
        return vec![case(path, call), case(path, known)];
    }
    if route.path.ends_with("/facts") && route.takes_body {
        let rules =
            [json!({"content": "mine", "kind": "profile"}), json!({"content": " ", "kind": "profile"})];
        return rules.into_iter().map(|body| case(path, body)).collect();
    }
    let mut cases = vec![case(path, if route.takes_body { json!({}) } else { Value::Null })];
    if route.method == Method::PATCH {
        // One that keeps the rules and one that does not: a rule is for those who can see the row.
        let bodies = if path.contains("/subscriptions/") {
            [json!({"url": "https://127.0.0.1/mine"}), json!({"url": "ftp://mine"})]
        } else if path.contains("/mailboxes/") {
            [json!({"signature_text": "mine"}), json!({"signature_text": "x".repeat(200_000)})]
        } else if path.contains("/facts/") {
            [json!({"content": "mine"}), json!({"content": " "})]
        } else if path.contains("/contacts/") {
            [json!({"notes": "mine"}), json!({"emails": [{"value": "no address"}]})]
        } else if path.contains("/numbers/") {
            [json!({"client_websocket_url": "wss://a.example.com"}), json!({"client_websocket_url": "mine"})]
        } else {
            [json!({"display_name": "mine"}), json!({"agent_handle": "no handle"})]
        };
        cases.extend(bodies.map(|body| case(path, body)));
    }
    cases
}

fn subscriptions(path: &str, names: &Names) -> Vec<Case> {
    let body = |owner: &str, id: &str, event_type: &str, url: &str| {
        case(path, json!({owner: id, "url": url, "event_types": [event_type]}))
    };
    let url = "https://127.0.0.1/mine";
    vec![
        body("mailbox_id", &names.mailbox, "message.received", url),
        body("phone_number_id", &names.number, "text.received", url),
        body("agent_identity_id", &names.identity, "message.received", url),
        // A rule is for those who can see the owner.
        body("mailbox_id", &names.mailbox, "text.received", url),
        body("mailbox_id", &names.mailbox, "message.received", "ftp://mine"),
    ]
}

fn events(path: &str, names: &Names) -> Vec<Case> {
    let of = |owner: &str, id: &str, event_type: &str, data: Value| {
        case(path, json!({"event_type": event_type, owner: id, "data": data}))
    };
    let mail = event("", "mine")["data"].clone();
    vec![
        of("mailbox_id", &names.mailbox, "message.received", mail.clone()),
        of("agent_identity_id", &names.identity, "message.received", mail.clone()),
        of("phone_number_id", &names.number, "text.received", json!({"text_message": {"text": "Hello"}})),
        of("mailbox_id", &names.mailbox, "text.received", json!({"text_message": {"text": "Hello"}})),
        of("mailbox_id", &names.mailbox, "message.received", json!({"message": {"subject": "Half a mail"}})),
    ]
}

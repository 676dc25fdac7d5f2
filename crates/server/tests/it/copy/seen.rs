//! What a store's API shows: every list to its end, and every thing by itself.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::ask::Api;

/// Pages of a list at most.
const PAGES: usize = 100;
/// Things of a list that are asked for one by one.
const ONE_BY_ONE: usize = 20;

/// Answers by their paths.
pub type Seen = BTreeMap<String, Value>;

/// Everything that there is to see with this key.
pub async fn everything(api: &Api) -> Seen {
    let mut seen = Seen::new();
    for path in [
        "/api/v1/whoami",
        "/api/v1/organization",
        "/api/v1/organization/alerts",
        "/api/v1/identities",
        "/api/v1/mail/mailboxes",
        "/api/v1/phone/numbers",
        "/api/v1/contacts",
        "/api/v1/contacts/lookup?email=ana@client.test",
        "/api/v1/api-keys",
        "/api/v1/signing-keys",
        "/api/v1/agent-signup/pending",
        "/api/v1/webhooks/catalog",
    ] {
        look(api, &mut seen, path).await;
    }
    for identity in rows(&seen["/api/v1/identities"]).to_vec() {
        let handle = text(&identity, "agent_handle");
        look(api, &mut seen, &format!("/api/v1/identities/{handle}")).await;
        look(api, &mut seen, &format!("/api/v1/identities/{handle}/signing-key")).await;
    }
    for contact in rows(&seen["/api/v1/contacts"]).to_vec() {
        look(api, &mut seen, &format!("/api/v1/contacts/{}/facts", text(&contact, "id"))).await;
    }
    let subscriptions = rows(&look(api, &mut seen, "/api/v1/webhooks/subscriptions").await).to_vec();
    for subscription in subscriptions {
        let path = format!("/api/v1/webhooks/subscriptions/{}", text(&subscription, "id"));
        for more in ["", "/recover", "/stats"] {
            look(api, &mut seen, &format!("{path}{more}")).await;
        }
        let filter =
            format!("/api/v1/webhooks/deliveries?limit=50&subscription_id={}", text(&subscription, "id"));
        look(api, &mut seen, &filter).await;
    }
    list(api, &mut seen, "/api/v1/webhooks/deliveries?limit=200").await;
    for event in list(api, &mut seen, "/api/v1/events?limit=200").await.iter().take(ONE_BY_ONE) {
        look(api, &mut seen, &format!("/api/v1/events/{}", text(event, "id"))).await;
    }
    seen
}

/// Reads a list to its end, page after page.
async fn list(api: &Api, seen: &mut Seen, path: &str) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for _ in 0..PAGES {
        let before = found.last().map(|last| format!("&before={}", text(last, "id"))).unwrap_or_default();
        let page = look(api, seen, &format!("{path}{before}")).await;
        let page = rows(&page);
        if page.is_empty() {
            found.extend_from_slice(page);
            break;
        }
        found.extend_from_slice(page);
    }
    found
}

async fn look(api: &Api, seen: &mut Seen, path: &str) -> Value {
    let (status, mut answer) = api.ask("GET", path, &[], None).await.expect("it answers");
    let missing = status == 404 && path.ends_with("/signing-key");
    assert!(status == 200 || missing, "{path}: {status} {answer}");
    let restless: &[&str] = if path.ends_with("/stats") { &["since"] } else { &["last_used_at"] };
    without(&mut answer, restless);
    seen.insert(path.to_owned(), answer.clone());
    answer
}

/// Takes out what asking changes, and what changes with the time of the question.
fn without(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            fields.values_mut().for_each(|value| without(value, names));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| without(value, names)),
        _ => {}
    }
}

/// The rows of a list, which is an array or has one.
pub fn rows(list: &Value) -> &[Value] {
    let array = list.as_array().or_else(|| list.as_object()?.values().find_map(Value::as_array));
    array.unwrap_or_else(|| panic!("no list: {list}"))
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no {field}: {value}")).to_owned()
}

/// The first path at which two differ.
pub fn difference(before: &Seen, after: &Seen) -> Option<String> {
    if let Some(path) =
        before.keys().chain(after.keys()).find(|path| before.contains_key(*path) != after.contains_key(*path))
    {
        return Some(format!("{path} was asked once only"));
    }
    let (path, one) = before.iter().find(|(path, one)| after.get(*path) != Some(one))?;
    Some(format!("{path}\nbefore: {one}\nafter:  {}", after[path]))
}

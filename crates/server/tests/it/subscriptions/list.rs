use serde_json::{Value, json};

use super::{Bench, NOTHING, PATH, URL};

/// The rows of the list tests, by name.
async fn rows(bench: &Bench) -> Vec<(&'static str, String)> {
    let (number, identity) = (bench.number_id(), bench.identity.id.to_string());
    let other = bench.organization.identity("other").await;
    let rows = [
        ("mail", json!({"event_types": ["message.received", "message.sent"]})),
        ("text", json!({"mailbox_id": null, "phone_number_id": number, "event_types": ["text.received"]})),
        (
            "imessage",
            json!({"mailbox_id": null, "agent_identity_id": identity, "event_types": ["imessage.received"]}),
        ),
        (
            "mixed",
            json!({"mailbox_id": null, "agent_identity_id": identity,
                "event_types": ["text.received", "a2a.task.created"], "url": "https://hooks.example.com/mixed"}),
        ),
        ("other", json!({"mailbox_id": other.mailbox.to_string()})),
    ];
    let mut made = Vec::new();
    for (name, changes) in rows {
        made.push((name, bench.created_id(changes).await));
    }
    made
}

async fn listed(bench: &Bench, rows: &[(&'static str, String)], query: &str) -> Vec<&'static str> {
    let reply = bench.get(&format!("{PATH}?{query}")).send().await.expect(200);
    let name = |row: &Value| {
        let id = row["id"].as_str().expect("an id");
        rows.iter().find(|(_, known)| known == id).expect("a known row").0
    };
    reply.json["subscriptions"].as_array().expect("a list").iter().map(name).collect()
}

#[tokio::test]
async fn each_filter_narrows_and_the_newest_comes_first() {
    let bench = Bench::new().await;
    let made = rows(&bench).await;
    let (mailbox, number, identity) =
        (bench.identity.mailbox.to_string(), bench.number_id(), bench.identity.id.to_string());
    let everything: &[&str] = &["other", "mixed", "imessage", "text", "mail"];
    let of_identity: &[&str] = &["mixed", "imessage", "text", "mail"];
    let cases: &[(String, &[&str])] = &[
        (String::new(), everything),
        ("scope=identity".into(), everything),
        (format!("mailbox_id={mailbox}"), &["mail"]),
        (format!("phone_number_id={number}"), &["text"]),
        (format!("agent_identity_id={identity}"), &["imessage"]),
        (format!("mailbox_id={mailbox}&scope=identity"), of_identity),
        (format!("phone_number_id={number}&scope=identity"), of_identity),
        (format!("agent_identity_id={identity}&scope=identity"), of_identity),
        (format!("mailbox_id={NOTHING}"), &[]),
        (format!("mailbox_id={NOTHING}&scope=identity"), &[]),
        (format!("mailbox_id={identity}"), &[]),
        (format!("url={URL}"), &["other", "imessage", "text", "mail"]),
        ("url=https%3A%2F%2FHOOKS.example.com%3A443%2Fin".into(), &["other", "imessage", "text", "mail"]),
        ("url=https://hooks.example.com/".into(), &[]),
        ("url=nonsense".into(), &[]),
        ("event_type=message.sent".into(), &["mail"]),
        ("event_type=text.received".into(), &["mixed", "text"]),
        ("event_type=message.failed".into(), &[]),
        ("event_type=phone.incoming_call".into(), &[]),
        ("event_type=no.such".into(), &[]),
        (format!("event_type=text.received&url={URL}"), &["text"]),
        (format!("agent_identity_id={identity}&scope=identity&event_type=text.received"), &["mixed", "text"]),
        (format!("agent_identity_id={identity}&event_type=text.received"), &[]),
    ];
    for (query, expected) in cases {
        assert_eq!(listed(&bench, &made, query).await, *expected, "{query}");
    }
}

#[tokio::test]
async fn a_wrong_filter_is_named() {
    let bench = Bench::new().await;
    let (mailbox, identity) = (bench.identity.mailbox.to_string(), bench.identity.id.to_string());
    let get = |query: String| bench.get(&format!("{PATH}?{query}")).send();
    let two = get(format!("mailbox_id={mailbox}&agent_identity_id={identity}")).await;
    two.invalid(&["query", "agent_identity_id"], "invalid");
    get("mailbox_id=5".into()).await.invalid(&["query", "mailbox_id"], "invalid");
    get("scope=organisation".into()).await.invalid(&["query", "scope"], "invalid");
    get("status=deleted".into()).await.refused(422);
    get(format!("url={URL}&url={URL}")).await.refused(422);
}

#[tokio::test]
async fn a_deleted_row_is_never_listed() {
    let bench = Bench::new().await;
    let made = rows(&bench).await;
    bench.delete(&made[0].1).send().await.expect(204);
    assert_eq!(listed(&bench, &made, "").await, ["other", "mixed", "imessage", "text"]);
}

#[tokio::test]
async fn an_agent_sees_what_is_its_identitys() {
    let bench = Bench::new().await;
    let made = rows(&bench).await;
    let reply = bench.server.get(PATH).by_agent(&bench.identity).send().await.expect(200);
    let listed: Vec<&str> =
        reply.json["subscriptions"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    let own: Vec<&str> = made.iter().rev().filter(|(name, _)| *name != "other").map(|(_, id)| &**id).collect();
    assert_eq!(listed, own);
}

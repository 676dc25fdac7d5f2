use serde_json::{Value, json};

use super::Bench;

const CATALOG: &str = "/api/v1/webhooks/catalog";

fn entry<'a>(catalog: &'a Value, name: &str) -> &'a Value {
    let entries = catalog["event_types"].as_array().expect("a list");
    entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[tokio::test]
async fn it_says_what_there_is_and_who_may_select_it() {
    let bench = Bench::new().await;
    let catalog = bench.get(CATALOG).send().await.expect(200).json;
    assert_eq!(catalog["supports_identity_subscriptions"], Value::Bool(true));
    let owners = |name: &str| entry(&catalog, name)["owners"].clone();
    assert_eq!(owners("message.received"), json!(["mailbox_id", "agent_identity_id"]));
    assert_eq!(owners("text.sent"), json!(["phone_number_id", "agent_identity_id"]));
    assert_eq!(owners("call.ended"), json!(["agent_identity_id"]));
    assert_eq!(owners("phone.incoming_call"), json!([]));
    assert_eq!(entry(&catalog, "phone.incoming_call")["subscribable"], false);
    assert_eq!(entry(&catalog, "slack.dm_received")["channel"], "slack");
    for entry in catalog["event_types"].as_array().unwrap() {
        assert!(entry["sample"].is_object(), "{entry}");
        assert!(!entry["description"].as_str().unwrap().is_empty(), "{entry}");
    }
}

#[tokio::test]
async fn what_it_offers_can_be_subscribed_to() {
    let bench = Bench::new().await;
    let catalog = bench.get(CATALOG).send().await.expect(200).json;
    let ids = [
        ("mailbox_id", bench.identity.mailbox.to_string()),
        ("phone_number_id", bench.number_id()),
        ("agent_identity_id", bench.identity.id.to_string()),
    ];
    for (number, entry) in catalog["event_types"].as_array().unwrap().iter().enumerate() {
        for (field, id) in &ids {
            let body = json!({
                *field: id, "url": format!("https://hooks.example.com/{number}/{field}"),
                "event_types": [entry["name"]],
            });
            let reply = bench.post(body).send().await;
            if entry["owners"].as_array().unwrap().contains(&json!(field)) {
                let id = reply.expect(201).text("id");
                bench.delete(&id).send().await.expect(204);
            } else {
                let detail = reply.invalid(&["body", "event_types"], "invalid");
                assert!(detail.contains(entry["name"].as_str().unwrap()), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn it_needs_a_claimed_key() {
    let bench = Bench::new().await;
    let unclaimed = bench.organization.unclaimed_key(bench.identity.id).await;
    bench.server.get(CATALOG).send().await.refused(401);
    bench.server.get(CATALOG).key(&unclaimed).send().await.refused(403);
    bench.server.get(CATALOG).by_agent(&bench.identity).send().await.expect(200);
}

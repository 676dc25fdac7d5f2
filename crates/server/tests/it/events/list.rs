//! The list of events and of attempts: pages and filters.

use serde_json::{Value, json};

use super::Bench;

fn ids(list: &Value) -> Vec<String> {
    let events = list["events"].as_array().expect("a list");
    events.iter().map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn pages_are_cut_and_go_on_where_they_ended() {
    let bench = Bench::new().await;
    let mut all = Vec::new();
    for _ in 0..201 {
        all.insert(0, bench.accepted(json!({})).await);
    }
    let list = async |query: &str| ids(&bench.get(query).send().await.expect(200).json);
    for (query, rows) in [
        ("", 0..50),
        ("?limit=0", 0..1),
        ("?limit=-7", 0..1),
        ("?limit=7", 0..7),
        ("?limit=200", 0..200),
        ("?limit=201", 0..200),
        ("?limit=7&offset=199", 199..201),
        ("?offset=10000", 201..201),
    ] {
        assert_eq!(list(query).await, all[rows], "{query}");
    }
    assert_eq!(list(&format!("?limit=3&before={}", all[9])).await, all[10..13]);
    assert_eq!(list(&format!("?limit=3&offset=1&before={}", all[9])).await, all[11..14]);
}

#[tokio::test]
async fn filters_add_up() {
    let bench = Bench::new().await;
    let received = bench.accepted(json!({})).await;
    let sent = bench.accepted(super::sent()).await;
    let sales = bench.accepted(json!({"mailbox_id": bench.sales.mailbox})).await;
    let list = async |query: &str| ids(&bench.get(query).send().await.expect(200).json);
    let mailbox = bench.help.mailbox;
    assert_eq!(list("").await, [&*sales, &*sent, &*received]);
    assert_eq!(list("?event_type=message.received").await, [&*sales, &*received]);
    assert_eq!(list(&format!("?mailbox_id={mailbox}")).await, [&*sent, &*received]);
    assert_eq!(list(&format!("?mailbox_id={mailbox}&event_type=message.sent")).await, [&*sent]);
    assert_eq!(
        list(&format!("?agent_identity_id={}", bench.help.id)).await,
        [""; 0],
        "of exactly that owner"
    );
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let bench = Bench::new().await;
    for path in ["/api/v1/events", "/api/v1/webhooks/deliveries"] {
        let get =
            async |query: &str| bench.server.get(&format!("{path}?{query}")).by(&bench.acme).send().await;
        let detail = get("offset=10001").await.invalid(&["query", "offset"], "invalid");
        assert!(detail.contains("before="), "{detail}");
        get("offset=-1").await.invalid(&["query", "offset"], "invalid");
        get("limit=many").await.invalid(&["query", "limit"], "invalid");
        get("event_type=message.recieved").await.invalid(&["query", "event_type"], "invalid");
        get("before=x").await.invalid(&["query", "before"], "invalid");
        assert!(get("colour=red").await.refused(422).contains("colour"));
    }
    let (mailbox, identity) = (bench.help.mailbox, bench.help.id);
    let two = format!("?mailbox_id={mailbox}&agent_identity_id={identity}");
    let detail = bench.get(&two).send().await.invalid(&["query", "agent_identity_id"], "invalid");
    assert!(detail.contains("only one of mailbox_id"), "{detail}");
    bench.get("/evt_1").send().await.invalid(&["path", "event_id"], "invalid");
}

#[tokio::test]
async fn what_a_query_says_is_repeated_cut_and_escaped() {
    let bench = Bench::new().await;
    let long = "x".repeat(300);
    for query in [
        format!("/api/v1/events?{long}=1"),
        format!("/api/v1/webhooks/subscriptions?scope={long}"),
        "/api/v1/events?a%0d%0ab=1".to_owned(),
        "/api/v1/webhooks/subscriptions?scope=a%0d%0ab".to_owned(),
    ] {
        let reply = bench.server.get(&query).by(&bench.acme).send().await;
        let body = reply.json.to_string();
        let detail = reply.refused(422);
        assert!(!detail.contains(char::is_control) && !body.contains(&long[..201]), "{detail}");
    }
}

//! One past each bound.

use inkhook_server::domain::contact::{
    CARD_BYTES, EVENT_MEMORIES_BYTES, FACT_CHARS, MAX_CONTACTS, MAX_FACTS, MAX_POINTS, MEMORIES_BYTES,
};
use serde_json::{Value, json};

use super::{Book, path};

#[tokio::test]
async fn texts_and_lists_have_an_end() {
    type Entry = fn(usize) -> Value;
    let book = Book::new().await;
    let texts = [("preferred_name", 255), ("name_prefix", 255), ("job_title", 255), ("notes", 5_000)];
    for (field, most) in texts {
        book.made(json!({field: "ü".repeat(most)})).await;
        let reply = book.post(json!({field: "ü".repeat(most + 1)})).await;
        reply.invalid(&["body", field], "too_long");
    }
    let entries: [(&str, Entry, usize); 6] = [
        ("emails", |n| json!({"value": format!("a{n}@client.test")}), MAX_POINTS),
        ("phones", |n| json!({"value_e164": format!("+1202555{n:04}")}), MAX_POINTS),
        ("websites", |_| json!({"url": "https://a.test"}), 20),
        ("dates", |_| json!({"date": "2020-01-31"}), 20),
        ("addresses", |_| json!({"city": "x"}), 20),
        ("custom_fields", |_| json!({"label": "x", "value": "y"}), 20),
    ];
    for (field, entry, most) in entries {
        let list = |count: usize| (0..count).map(entry).collect::<Vec<_>>();
        let reply = book.post(json!({field: list(most + 1)})).await;
        reply.invalid(&["body", field], "too_long");
        let made = book.made(json!({field: list(most)})).await;
        assert_eq!(made[field].as_array().map(Vec::len), Some(most), "{field}");
    }
    for (entry, loc, kind) in [
        (
            json!({"emails": [{"value": "a@b.test", "label": "x".repeat(101)}]}),
            ["emails", "0", "label"],
            "too_long",
        ),
        (
            json!({"emails": [{"value": format!("{}@b.test", "x".repeat(314))}]}),
            ["emails", "0", "value"],
            "invalid",
        ),
        (json!({"emails": [{"value": "ana"}]}), ["emails", "0", "value"], "invalid"),
        (
            json!({"emails": [{"value": "x@b.test"}, {"value": " X@b.test"}]}),
            ["emails", "1", "value"],
            "invalid",
        ),
        (json!({"phones": [{"value_e164": "2025550178"}]}), ["phones", "0", "value_e164"], "invalid"),
        (json!({"phones": [{"value": "+12025550178"}]}), ["phones", "[0]", "value"], "unknown_field"),
        (json!({"websites": [{"url": "x".repeat(2_049)}]}), ["websites", "0", "url"], "too_long"),
        (json!({"dates": [{"date": "2020-02-30"}]}), ["dates", "0", "date"], "invalid"),
        (json!({"addresses": [{"city": "x".repeat(1_001)}]}), ["addresses", "0", "city"], "too_long"),
        (
            json!({"custom_fields": [{"label": "x", "value": "a\u{0}"}]}),
            ["custom_fields", "0", "value"],
            "invalid",
        ),
    ] {
        let loc = [&["body"][..], &loc].concat();
        book.post(entry).await.invalid(&loc, kind);
    }
    book.post(json!({"birthday": "28.02.1990"})).await.invalid(&["body", "birthday"], "invalid");
}

#[tokio::test]
async fn a_card_has_so_many_bytes_however_it_came_to_them() {
    let book = Book::new().await;
    let notes = |letters: usize| json!({"notes": "x".repeat(letters)});
    let made = book.made(notes(5_000)).await;
    let fields = |letters: usize| -> Vec<Value> {
        (0..20).map(|_| json!({"label": "x", "value": "x".repeat(letters)})).collect()
    };
    let change = async |fields: Vec<Value>| {
        let body = json!({"custom_fields": fields, "websites": [{"url": "y".repeat(2_000)}]});
        book.server.patch(&path(&made)).by(&book.acme).json(body).send().await
    };
    change(fields(500)).await.expect(200);
    let full = json!({"websites": (0..20).map(|_| json!({"url": "y".repeat(2_000)})).collect::<Vec<_>>()});
    book.post(full.clone()).await.invalid(&["body"], "too_long");
    let reply = book.server.patch(&path(&made)).by(&book.acme).json(full).send().await;
    reply.invalid(&["body"], "too_long");
    let card = book.server.query::<String>("SELECT card FROM contacts");
    assert!(card[0].len() <= CARD_BYTES && card[0].contains("yyy"), "it is as it was");
}

#[tokio::test]
async fn a_batch_has_so_many_bytes_with_all_that_it_names() {
    let book = Book::new().await;
    let addresses: Vec<String> = (0..MAX_POINTS).map(|n| format!("a{n}@client.test")).collect();
    let emails: Vec<Value> = addresses.iter().map(|address| json!({"value": address})).collect();
    book.made(json!({"preferred_name": "ü".repeat(255), "emails": emails})).await;
    let help = book.acme.identity("many").await;
    let event = json!({"event_type": "message.received", "mailbox_id": help.mailbox, "data": {"message": {
        "from_address": addresses[0], "to_addresses": ["many@mail.test"], "cc_addresses": addresses,
        "subject": "hi", "direction": "inbound", "status": "received", "has_attachments": false, "body": "x"}}});
    let publish = async |count: usize| {
        let events = vec![event.clone(); count];
        let batch = book.server.post("/api/v1/events/batch").by(&book.acme);
        batch.json(json!({"events": events})).send().await
    };
    let detail = publish(800).await.refused(413);
    assert!(detail.contains("8388608"), "{detail}");
    assert_eq!(book.server.query::<i64>("SELECT count(*) FROM events"), [0]);
    publish(300).await.expect(202);
}

#[tokio::test]
async fn a_contact_has_so_many_facts_of_so_many_characters() {
    let book = Book::new().await;
    let ana = book.ana().await;
    let facts = format!("{}/facts", path(&ana));
    let send = async |content: String| {
        book.server
            .post(&facts)
            .by(&book.acme)
            .json(json!({"content": content, "kind": "profile"}))
            .send()
            .await
    };
    send("ü".repeat(FACT_CHARS + 1)).await.invalid(&["body", "content"], "too_long");
    for _ in 0..MAX_FACTS {
        send("ü".repeat(FACT_CHARS)).await.expect(201);
    }
    let detail = send("x".into()).await.refused(409);
    assert!(detail.contains("25"), "{detail}");
    assert_eq!(book.server.query::<i64>("SELECT count(*) FROM contact_facts"), [MAX_FACTS]);
    let kept: Vec<String> =
        serde_json::from_str(&book.server.query::<String>("SELECT memories FROM contacts")[0])
            .expect("a list");
    assert_eq!(kept.len(), MEMORIES_BYTES / (2 * FACT_CHARS), "a payload has the newest that fit");
    assert!(kept.len() * 2 * FACT_CHARS * 2 < EVENT_MEMORIES_BYTES, "of more than two contacts");
}

#[tokio::test]
async fn an_organisation_has_so_many_contacts() {
    let book = Book::new().await;
    let acme = book.acme.no.0;
    book.server.run(&format!(
        "INSERT INTO contacts (id, organization_id, sort_key, searched, card, memories, created_ms, updated_ms)
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
         SELECT randomblob(16), {acme}, '', '', '{{\"fields\":{{}},\"emails\":[],\"phones\":[]}}', '[]', 1, 1 FROM n",
        MAX_CONTACTS - 1
    ));
    let last = book.ana().await;
    let detail = book.post(json!({"preferred_name": "one more"})).await.refused(409);
    assert!(detail.contains("10000"), "{detail}");
    book.server.delete(&path(&last)).by(&book.acme).send().await.expect(204);
    book.ana().await;
    assert_eq!(book.get("?limit=1000").await.as_array().map(Vec::len), Some(200), "a page has its end, too");
}

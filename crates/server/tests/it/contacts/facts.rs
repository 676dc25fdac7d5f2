//! What is remembered of a contact.

use serde_json::{Value, json};

use super::{Book, path};

#[tokio::test]
async fn facts_are_written_read_changed_and_deleted() {
    let book = Book::new().await;
    let ana = book.ana().await;
    let (old, new) = (book.remember(&ana, "Likes tea").await, book.remember(&ana, "Is away").await);
    assert_eq!(
        (&old["kind"], &old["origin"], &old["citations"]),
        (&json!("context"), &json!("user"), &json!([]))
    );
    assert_eq!(old["contact_id"], ana["id"]);
    let facts = format!("{}/facts", path(&ana));
    let list = book.server.get(&format!("{facts}?include_expired=true")).by_agent(&book.help).send().await;
    assert_eq!(list.expect(200).json, json!([new, old]), "newest first, and agents may read");
    let one = format!("{facts}/{}", old["id"].as_str().expect("an id"));
    assert_eq!(book.server.get(&one).by_agent(&book.help).send().await.expect(200).json, old);

    book.server.advance(std::time::Duration::from_secs(1));
    let change = json!({"content": "Likes coffee", "kind": "preference"});
    let changed = book.server.patch(&one).by(&book.acme).json(change).send().await.expect(200).json;
    assert_eq!((&changed["content"], &changed["kind"]), (&json!("Likes coffee"), &json!("preference")));
    assert_eq!(changed["created_at"], old["created_at"]);
    let contact = book.server.get(&path(&ana)).by(&book.acme).send().await.expect(200).json;
    assert_eq!(contact["memory_count"], 2);
    let summary = json!({"id": old["id"], "content": "Likes coffee", "updated_at": changed["updated_at"]});
    assert_eq!(contact["latest_memory"], summary, "what changed last is the newest");

    let gone = book.server.delete(&one).by(&book.acme).send().await.expect(200).json;
    assert_eq!((&gone["deleted_fact_id"], &gone["memory_count"]), (&old["id"], &json!(1)));
    assert_eq!(gone["latest_memory"]["id"], new["id"]);
    book.server.delete(&one).by(&book.acme).send().await.refused(404);
    book.server.get(&one).by(&book.acme).send().await.refused(404);
}

#[tokio::test]
async fn a_fact_belongs_to_its_contact_and_only_admins_write_it() {
    let book = Book::new().await;
    let (ana, lee) = (book.ana().await, book.made(json!({"preferred_name": "Lee"})).await);
    let fact = book.remember(&ana, "Likes tea").await;
    let id = fact["id"].as_str().expect("an id");
    let (own, others) = (format!("{}/facts", path(&ana)), format!("{}/facts/{id}", path(&lee)));
    let body = json!({"content": "x", "kind": "profile"});
    for request in
        [book.server.get(&others), book.server.delete(&others), book.server.patch(&others).json(body.clone())]
    {
        request.by(&book.acme).send().await.refused(404);
    }
    for request in [
        book.server.post(&own).json(body.clone()),
        book.server.patch(&format!("{own}/{id}")).json(body.clone()),
        book.server.delete(&format!("{own}/{id}")),
    ] {
        request.by_agent(&book.help).send().await.refused(403);
    }
    book.server.post(&own).by(&book.globex).json(body).send().await.refused(404);
    for (body, field) in [
        (json!({"content": " ", "kind": "profile"}), "content"),
        (json!({"content": "x", "kind": "rumour"}), "kind"),
        (json!({"content": "a\u{0}b", "kind": "profile"}), "content"),
    ] {
        let reply = book.server.post(&own).by(&book.acme).json(body).send().await;
        reply.invalid(&["body", field], "invalid");
    }
    let nothing = book.server.patch(&format!("{own}/{id}")).by(&book.acme).json(json!({})).send().await;
    nothing.invalid(&["body", "content"], "missing");
    assert_eq!(book.server.query::<String>("SELECT content FROM contact_facts"), ["Likes tea"]);
    book.server.delete(&path(&ana)).by(&book.acme).send().await.expect(204);
    assert_eq!(book.server.query::<i64>("SELECT count(*) FROM contact_facts"), [0]);
    let left = book.server.get(&own).by(&book.acme).send().await.expect(404).json;
    assert_eq!(left["errors"], Value::Null);
}

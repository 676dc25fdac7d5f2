//! Making, changing and deleting contacts.

use serde_json::{Value, json};

use super::{Book, PATH, PHONE, path};

#[tokio::test]
async fn a_whole_card_is_shown_as_it_was_given() {
    let book = Book::new().await;
    let card = json!({
        "preferred_name": "Ana", "name_prefix": "Dr.", "given_name": "Anastasia", "middle_name": "M.",
        "family_name": "Lee", "name_suffix": "Jr.", "company_name": "Client", "job_title": "Buyer",
        "birthday": "1990-02-28", "notes": "Likes tea.\nÜ",
        "emails": [{"label": "work", "value": "Ana@Client.test", "is_primary": true},
            {"label": null, "value": "ana@home.test", "is_primary": false}],
        "phones": [{"label": "mobile", "value_e164": PHONE, "is_primary": true}],
        "websites": [{"label": null, "url": "https://client.test"}],
        "dates": [{"label": "hired", "date": "2020-01-31"}],
        "addresses": [{"label": "work", "street": "1 Main", "city": "Springfield", "region": "IL",
            "postal": "62701", "country": "US"}],
        "custom_fields": [{"label": "shoe size", "value": "38"}],
    });
    let made = book.made(card.clone()).await;
    for (field, value) in card.as_object().expect("an object") {
        assert_eq!(&made[field], value, "{field}");
    }
    let id = &made["id"];
    assert_eq!(made["organization_id"], json!(book.acme.id));
    assert_eq!(made["created_at"], made["updated_at"]);
    let access = json!([{"id": id, "contact_id": id, "identity_id": null, "created_at": made["created_at"]}]);
    assert_eq!(made["access"], access, "every agent sees it");
    for (field, value) in [
        ("creation_source", json!("manual")),
        ("review_status", json!("confirmed")),
        ("created_by_identity_id", json!(null)),
        ("is_auto_created", json!(false)),
        ("is_confirmed", json!(true)),
        ("memory_count", json!(0)),
        ("latest_memory", json!(null)),
        ("status", json!("active")),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    let read = book.server.get(&path(&made)).by_agent(&book.help).send().await.expect(200).json;
    assert_eq!(read, made);
    let rows = book.server.get(&format!("{}/access", path(&made))).by(&book.acme).send().await.expect(200);
    assert_eq!(rows.json, access);
}

#[tokio::test]
async fn a_change_keeps_what_it_leaves_out_and_clears_what_is_null() {
    let book = Book::new().await;
    let ana = book.ana().await;
    book.server.advance(std::time::Duration::from_secs(1));
    let changed = book.patch(&ana, json!({"family_name": "Lee", "notes": "x"})).await.expect(200).json;
    assert_eq!((&changed["family_name"], &changed["preferred_name"]), (&json!("Lee"), &json!("Ana")));
    assert_eq!(changed["emails"], ana["emails"]);
    assert_ne!(changed["updated_at"], ana["updated_at"]);
    let cleared =
        book.patch(&ana, json!({"notes": null, "emails": null, "websites": []})).await.expect(200).json;
    assert_eq!((&cleared["notes"], &cleared["emails"]), (&Value::Null, &json!([])));
    assert_eq!(cleared["phones"], ana["phones"]);
    let freed = json!({"emails": [{"value": "ana@client.test"}]});
    book.made(freed.clone()).await;
    let detail = book.patch(&ana, freed).await.refused(409);
    assert!(detail.starts_with("emails: 'ana@client.test'"), "{detail}");
    let reviewed = book.patch(&ana, json!({"review_status": "confirmed"})).await.expect(200).json;
    assert_eq!(reviewed["preferred_name"], "Ana");
    book.patch(&ana, json!({"review_status": "unreviewed"}))
        .await
        .invalid(&["body", "review_status"], "unsupported");
}

#[tokio::test]
async fn an_address_or_number_is_one_contacts_of_an_organisation() {
    let book = Book::new().await;
    let ana = book.ana().await;
    let holder = ana["id"].as_str().expect("an id");
    let email = book.post(json!({"emails": [{"value": "x@y.test"}, {"value": "ANA@client.TEST"}]})).await;
    let detail = email.refused(409);
    assert!(
        detail.contains("emails") && detail.contains("ana@client.test") && detail.contains(holder),
        "{detail}"
    );
    let detail = book.post(json!({"phones": [{"value_e164": PHONE}]})).await.refused(409);
    assert!(detail.contains("phones") && detail.contains(PHONE) && detail.contains(holder), "{detail}");
    assert_eq!(book.names("").await, ["Ana"], "a refusal leaves nothing behind");
    assert_eq!(book.server.query::<i64>("SELECT count(*) FROM contact_points"), [2]);
    let theirs = json!({"emails": [{"value": "ana@client.test"}]});
    book.server.post(PATH).by(&book.globex).json(theirs).send().await.expect(201);
    book.patch(&ana, json!({"emails": [{"value": "ana@CLIENT.test"}]})).await.expect(200);
    book.server.delete(&path(&ana)).by(&book.acme).send().await.expect(204);
    assert_eq!(book.server.query::<i64>("SELECT count(*) FROM contact_points"), [1]);
    book.ana().await;
}

#[tokio::test]
async fn agents_share_the_book_of_their_organisation_and_nobody_elses() {
    let book = Book::new().await;
    let body = json!({"preferred_name": "Lee"});
    let made = book.server.post(PATH).by_agent(&book.help).json(body).send().await.expect(201).json;
    assert_eq!(made["created_by_identity_id"], json!(book.help.id));
    let sales = book.acme.identity("sales").await;
    let changed = json!({"notes": "called"});
    book.server.patch(&path(&made)).by_agent(&sales).json(changed).send().await.expect(200);
    let spy = book.globex.identity("spy").await;
    for key in [&book.globex.key, &spy.key] {
        book.server.get(&path(&made)).key(key).send().await.refused(404);
        assert_eq!(book.server.get(PATH).key(key).send().await.expect(200).json, json!([]));
        book.server.delete(&path(&made)).key(key).send().await.refused(404);
    }
    book.server.delete(&path(&made)).by_agent(&sales).send().await.expect(204);
    book.server.get(&path(&made)).by(&book.acme).send().await.refused(404);
    book.server.delete(&path(&made)).by(&book.acme).send().await.refused(404);
}

#[tokio::test]
async fn what_one_agent_alone_may_see_cannot_be_asked_for() {
    let book = Book::new().await;
    let nobody: &[(&str, Value)] = &[
        ("access_identity_ids", json!([])),
        ("access_identity_ids", json!([book.help.id])),
        ("permissions", json!({"identity_id": book.help.id})),
    ];
    for (field, value) in nobody {
        for path in [PATH, "/api/v1/contacts/with-permissions"] {
            let request = book.server.post(path).by(&book.acme).json(json!({*field: value}));
            request.send().await.invalid(&["body", field], "unsupported");
        }
    }
    let all = json!({"preferred_name": "Ana", "access_identity_ids": null});
    let made = book.made(all).await;
    let grant = format!("{}/access", path(&made));
    let granted = book.server.post(&grant).by(&book.acme).json(json!({"identity_id": null})).send().await;
    assert_eq!(granted.expect(200).json, made["access"][0]);
    let one = json!({"identity_id": book.help.id});
    let refused = book.server.post(&grant).by(&book.acme).json(one).send().await;
    refused.invalid(&["body", "identity_id"], "unsupported");
    book.server.post(&grant).by_agent(&book.help).json(json!({})).send().await.refused(403);
}

#[tokio::test]
async fn deleting_an_organisation_takes_its_book() {
    let book = Book::new().await;
    let ana = book.ana().await;
    book.remember(&ana, "Likes tea").await;
    let theirs = json!({"emails": [{"value": "ana@client.test"}]});
    book.server.post(PATH).by(&book.globex).json(theirs).send().await.expect(201);
    assert!(book.server.app.store.delete_organization(book.acme.id).await.expect("stored"));
    let left = |table: &str| book.server.query::<i64>(&format!("SELECT count(*) FROM {table}"));
    assert_eq!([left("contacts"), left("contact_points"), left("contact_facts")].concat(), [1, 1, 0]);
}

//! Lists, searches and lookups.

use std::time::Duration;

use serde_json::json;

use super::{Book, PATH, path};

#[tokio::test]
async fn a_list_is_by_name_or_by_change_and_in_pages() {
    let book = Book::new().await;
    for name in ["mia", "Ana", "Lee"] {
        book.server.advance(Duration::from_secs(1));
        book.made(json!({"preferred_name": name})).await;
    }
    assert_eq!(book.names("").await, ["Ana", "Lee", "mia"], "without regard to case");
    assert_eq!(book.names("?order=name&limit=2").await, ["Ana", "Lee"]);
    assert_eq!(book.names("?limit=2&offset=2").await, ["mia"]);
    assert_eq!(book.names("?order=recent").await, ["Lee", "Ana", "mia"]);
    let mia = book.get("?q=MIA").await[0].clone();
    book.server.advance(Duration::from_secs(1));
    book.patch(&mia, json!({"notes": "x"})).await.expect(200);
    assert_eq!(book.names("?order=recent&limit=1").await, ["mia"]);
    assert_eq!(book.names("?review_status=confirmed&review_status=unreviewed").await.len(), 3);
    assert_eq!(book.names("?review_status=unreviewed").await.len(), 0);
    for (query, field) in [
        ("order=x", "order"),
        ("limit=x", "limit"),
        ("offset=10001", "offset"),
        ("q=a&q=b", "q"),
        ("review_status=x", "review_status"),
        ("colour=blue", "colour"),
    ] {
        let reply = book.server.get(&format!("{PATH}?{query}")).by(&book.acme).send().await;
        reply.invalid(&["query", field], "invalid");
    }
}

#[tokio::test]
async fn a_search_looks_into_names_and_notes_and_takes_its_text_as_it_is() {
    let book = Book::new().await;
    book.made(json!({"preferred_name": "A", "notes": "Gets 50%_off"})).await;
    book.made(json!({"preferred_name": "B", "notes": "Gets 50 coins", "company_name": "Ümlaut"})).await;
    book.made(json!({"preferred_name": "C", "given_name": "Ana", "family_name": "Lee", "job_title": "Buyer",
        "emails": [{"value": "coins@client.test"}]}))
        .await;
    for (q, found) in [
        ("50%25_", vec!["A"]),
        ("gets%2050", vec!["A", "B"]),
        ("%C3%BCML", vec!["B"]),
        ("buyer", vec!["C"]),
        ("lee", vec!["C"]),
        ("coins", vec!["B"]),
        ("!", vec![]),
        ("%20", vec!["A", "B", "C"]),
    ] {
        assert_eq!(book.names(&format!("?q={q}")).await, found, "{q}");
    }
    let long = "x".repeat(100);
    assert_eq!(book.names(&format!("?q={long}")).await.len(), 0);
    let longer = book.server.get(&format!("{PATH}?q={long}x")).by(&book.acme).send().await;
    longer.invalid(&["query", "q"], "invalid");
}

#[tokio::test]
async fn somebody_is_found_by_an_address_or_a_number_or_a_part_of_one() {
    let book = Book::new().await;
    book.ana().await;
    book.made(
        json!({"preferred_name": "Lee", "emails": [{"value": "lee@client.test"}, {"value": "l_e@home.test"}],
        "phones": [{"value_e164": "+12025550126"}]}),
    )
    .await;
    for (query, found) in [
        ("email=ana@CLIENT.test", vec!["Ana"]),
        ("email=nobody@client.test", vec![]),
        ("email_contains=Client", vec!["Ana", "Lee"]),
        ("email_contains=l_e", vec!["Lee"]),
        ("email_contains=a_a", vec![]),
        ("email_domain=client.test", vec!["Ana", "Lee"]),
        ("email_domain=@home.test", vec!["Lee"]),
        ("email_domain=test", vec![]),
        ("phone=%2B12025550178", vec!["Ana"]),
        ("phone_contains=202555", vec!["Ana", "Lee"]),
        ("phone_contains=0126", vec!["Lee"]),
    ] {
        assert_eq!(book.names(&format!("/lookup?{query}")).await, found, "{query}");
    }
    let theirs =
        book.server.get(&format!("{PATH}/lookup?email=ana@client.test")).by(&book.globex).send().await;
    assert_eq!(theirs.expect(200).json, json!([]));
    for query in
        ["", "?email=a@b.test&phone=%2B12025550178", "?email=ana", "?phone=202", "?email_contains=", "?x=1"]
    {
        book.server.get(&format!("{PATH}/lookup{query}")).by(&book.acme).send().await.refused(422);
    }
    let ana = book.get("/lookup?phone_contains=0178").await[0].clone();
    book.patch(&ana, json!({"phones": []})).await.expect(200);
    assert_eq!(book.names("/lookup?phone_contains=202555").await, ["Lee"]);
    book.server.delete(&path(&ana)).by(&book.acme).send().await.expect(204);
    assert_eq!(book.names("/lookup?email_domain=client.test").await, ["Lee"]);
}

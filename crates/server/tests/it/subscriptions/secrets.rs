use inkhook_server::domain::subscription::MAX_AUTH_TOKEN_CHARS;
use serde_json::{Value, json};

use super::{Bench, PATH, one};

const TOKEN: &str = "tok_w9rSx2-sAfE.keeping";

#[tokio::test]
async fn a_token_is_shown_in_clear_and_stored_sealed() {
    let bench = Bench::new().await;
    let created = bench.create(json!({"auth_token": TOKEN})).await;
    let id = created.text("id");
    let listed = bench.get(PATH).send().await.expect(200).json;
    for row in [&created.json, &bench.shown(&id).await, &listed["subscriptions"][0]] {
        assert_eq!((&row["auth_token"], &row["has_auth_token"]), (&json!(TOKEN), &json!(true)));
    }
    let key = created.text("signing_key");
    for secret in [TOKEN, &key, key.trim_start_matches("whsec_")] {
        assert!(!bench.server.stores(secret.as_bytes()));
    }
    bench.delete(&id).send().await.expect(204);
    let left: Vec<Option<Vec<u8>>> = bench.server.query("SELECT auth_token FROM subscriptions");
    assert_eq!(left, [None], "a deleted subscription keeps no token");
}

#[tokio::test]
async fn a_token_is_1_to_4096_visible_ascii() {
    let bench = Bench::new().await;
    let longest = "t".repeat(MAX_AUTH_TOKEN_CHARS);
    let id = bench.created_id(json!({"auth_token": longest})).await;
    assert_eq!(bench.shown(&id).await["auth_token"], json!(longest));
    let wrong = [
        json!(""),
        json!(format!("{longest}t")),
        json!("two words"),
        json!("line\r\nX-Evil: yes"),
        json!("nul\0"),
        json!("caf\u{e9}"),
    ];
    for token in wrong {
        let body = json!({"auth_token": token});
        let reply = bench.post(bench.body(body.clone())).send().await;
        reply.invalid(&["body", "auth_token"], "invalid");
        bench.patch(&id, body).send().await.invalid(&["body", "auth_token"], "invalid");
    }
}

#[tokio::test]
async fn no_refusal_repeats_a_secret() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({})).await;
    let secret = "hunter2hunter2";
    let number = 864_209_753_135_u64;
    let wrong = [
        json!({"auth_token": format!("{secret} {secret}")}),
        json!({"auth_token": secret.repeat(400)}),
        json!({"auth_token": number}),
        json!({"auth_token": {secret: secret}}),
        json!({"auth_token": [secret]}),
        json!({"auth_token": secret, "colour": "red"}),
        json!({"auth_token": secret, "url": "ftp://hooks.example.com"}),
        json!({"auth_token": secret, "event_types": ["message.received", 5]}),
        json!({"url": format!("https://{secret}@hooks.example.com/")}),
        json!({"url": format!("https://user:{secret}@hooks.example.com/")}),
        json!({"url": format!("http://user:{secret}@hooks.example.com/")}),
        json!({"url": format!("user:{secret}@hooks.example.com")}),
        json!({"url": format!("https://user:{secret}@127.0.0.1/")}),
    ];
    for change in wrong {
        let created = bench.post(bench.body(change.clone())).send().await;
        let patched = bench.patch(&id, change.clone()).send().await;
        for reply in [created, patched] {
            let text = String::from_utf8(reply.bytes.clone()).unwrap();
            reply.refused(422);
            assert!(!text.contains(secret) && !text.contains(&number.to_string()), "{change}: {text}");
        }
    }
    let broken = format!(r#"{{"auth_token": "{secret}", "url": "https://x.example.com"#);
    let reply = bench.server.patch(&one(&id)).by(&bench.organization).bytes(broken).send().await;
    assert!(!reply.refused(422).contains(secret));
}

#[tokio::test]
async fn a_token_opens_in_its_own_row_only() {
    let bench = Bench::new().await;
    let first = bench.created_id(json!({"auth_token": TOKEN})).await;
    let second = bench.created_id(json!({"url": "https://hooks.example.com/2"})).await;
    bench.server.run(
        "UPDATE subscriptions SET auth_token = (SELECT auth_token FROM subscriptions WHERE no = 1) WHERE no = 2",
    );
    let tokens: Vec<Vec<u8>> = bench.server.query("SELECT auth_token FROM subscriptions ORDER BY no");
    assert_eq!(tokens[0], tokens[1], "copied");
    bench.get(&one(&second)).send().await.refused(500);
    assert_eq!(bench.shown(&first).await["auth_token"], Value::from(TOKEN));
}

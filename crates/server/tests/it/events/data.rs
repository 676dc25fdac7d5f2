//! What may stand in `data`, and what becomes of it.

use serde_json::json;

use super::{Bench, mail};

#[tokio::test]
async fn five_hundred_and_twelve_kib_and_one_byte_more() {
    let bench = Bench::new().await;
    let data = |bytes: usize| {
        let mut data = mail();
        data["message"]["body"] = json!("");
        let rest = bytes - data.to_string().len();
        data["message"]["body"] = json!("x".repeat(rest));
        data
    };
    assert_eq!(data(512 * 1024).to_string().len(), 512 * 1024);
    bench.accepted(json!({"data": data(512 * 1024)})).await;
    bench.post(bench.body(json!({"data": data(512 * 1024 + 1)}))).send().await.refused(413);
    assert_eq!(bench.events(), 1);
}

#[tokio::test]
async fn a_key_twice_in_one_object_is_named_at_any_depth() {
    let bench = Bench::new().await;
    for twice in
        [r#"{"message": {}, "message": {}}"#, r#"{"message": {"x": [{"a": 1, "b": {"k": 1, "k": 2}}]}}"#]
    {
        let mailbox = bench.help.mailbox;
        let body =
            format!(r#"{{"event_type": "message.received", "mailbox_id": "{mailbox}", "data": {twice}}}"#);
        let detail = bench.server.post(super::PATH).by(&bench.acme).bytes(body).send().await.refused(422);
        assert!(detail.contains("message") && (detail.contains('k') || detail.contains("twice")), "{detail}");
    }
    assert_eq!(bench.events(), 0);
}

#[tokio::test]
async fn values_and_unknown_keys_pass_as_they_were_written_and_what_is_known_is_filled_in() {
    let bench = Bench::new().await;
    let mailbox = bench.help.mailbox;
    let written = r#""new_key": {"n": 1.50e1, "s": "caf\u00e9", "list": [ 1,2 ]}"#;
    let mut message = mail()["message"].to_string();
    message.pop();
    let data = format!(r#"{{"message": {message}, {written}}}, "more": null}}"#);
    let body = format!(r#"{{"event_type": "message.received", "mailbox_id": "{mailbox}", "data": {data}}}"#);
    let reply = bench.server.post(super::PATH).by(&bench.acme).bytes(body).send().await.expect(202);
    let id = reply.text("id");
    let payload: String =
        String::from_utf8(bench.server.query::<Vec<u8>>("SELECT payload FROM events").remove(0))
            .expect("UTF-8");
    assert!(payload.contains(written), "{payload}");
    let event = bench.get(&format!("/{id}")).send().await.expect(200).json;
    let message = &event["payload"]["data"]["message"];
    assert_eq!(message["mailbox_id"], json!(mailbox));
    assert_eq!(message["email_address"], "help@mail.test");
    assert_eq!((&message["thread_id"], &message["body_state"]), (&json!(null), &json!("complete")));
    assert_eq!(event["payload"]["data"]["contacts"], json!([]));
}

#[tokio::test]
async fn what_names_the_owner_must_be_the_owners() {
    let bench = Bench::new().await;
    for (field, value) in
        [("mailbox_id", json!(bench.sales.mailbox)), ("email_address", json!(bench.sales.address))]
    {
        let mut data = mail();
        data["message"][field] = value;
        let detail = bench.post(bench.body(json!({"data": data}))).send().await.refused(422);
        assert!(detail.contains(field), "{detail}");
    }
    assert_eq!(bench.events(), 0);
}

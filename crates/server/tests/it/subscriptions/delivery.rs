use serde_json::{Value, json};

use super::{Bench, NOTHING, one};

fn defaults() -> Value {
    json!({"timeout_ms": null, "retry_schedule_s": null, "max_per_second": null, "max_in_flight": null,
        "ordering": "none"})
}

fn with(changes: &Value) -> Value {
    let mut settings = defaults();
    for (name, value) in changes.as_object().expect("an object") {
        settings[name] = value.clone();
    }
    settings
}

#[tokio::test]
async fn what_is_not_set_is_null_and_what_is_shown_can_be_sent_back() {
    let bench = Bench::new().await;
    for (n, given) in [Value::Null, json!({}), defaults()].into_iter().enumerate() {
        let url = format!("https://hooks.example.com/{n}");
        let mut body = bench.body(json!({"url": url}));
        body["delivery"] = given;
        let made = bench.post(body).send().await.expect(201);
        assert_eq!(made.json["delivery"], defaults());
    }
    assert_eq!(bench.server.query::<i64>("SELECT count(*) FROM subscriptions WHERE delivery IS NULL"), [3]);
    let own = json!({"timeout_ms": 5000, "retry_schedule_s": [1, 86_400], "max_per_second": 3,
        "max_in_flight": 64, "ordering": "conversation"});
    let made = bench.create(json!({"url": "https://hooks.example.com/own", "delivery": own})).await;
    assert_eq!(made.json["delivery"], own);
    let id = made.text("id");
    assert_eq!(bench.shown(&id).await["delivery"], own);
    let rows = bench.server.snapshot();
    bench.patch(&id, json!({"delivery": own})).send().await.expect(200);
    assert_eq!(bench.server.snapshot(), rows, "it is the same");
}

#[tokio::test]
async fn each_setting_is_kept_cleared_or_replaced() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({"delivery": {"timeout_ms": 5000}})).await;
    let steps = [
        (json!({"delivery": {}}), json!({"timeout_ms": 5000})),
        (json!({"delivery": {"max_in_flight": 2}}), json!({"timeout_ms": 5000, "max_in_flight": 2})),
        (json!({"auth_token": "t"}), json!({"timeout_ms": 5000, "max_in_flight": 2})),
        (
            json!({"delivery": {"timeout_ms": null, "retry_schedule_s": []}}),
            json!({"max_in_flight": 2, "retry_schedule_s": []}),
        ),
        (
            json!({"delivery": {"ordering": "conversation"}}),
            json!({"max_in_flight": 2, "retry_schedule_s": [], "ordering": "conversation"}),
        ),
        (json!({"delivery": null}), json!({})),
    ];
    for (change, seen) in steps {
        let patched = bench.patch(&id, change.clone()).send().await.expect(200).json;
        assert_eq!(patched["delivery"], with(&seen), "{change}");
        assert_eq!(bench.shown(&id).await["delivery"], with(&seen), "{change}");
    }
}

#[tokio::test]
async fn a_change_raises_the_generation_and_no_change_does_not() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({})).await;
    let generation = || bench.server.query::<i64>("SELECT generation FROM subscriptions")[0];
    let before = generation();
    bench.patch(&id, json!({"delivery": {"timeout_ms": null}})).send().await.expect(200);
    assert_eq!(generation(), before);
    bench.patch(&id, json!({"delivery": {"timeout_ms": 2000}})).send().await.expect(200);
    assert_eq!(generation(), before + 1);
}

#[tokio::test]
async fn a_setting_that_is_not_one_is_named() {
    let bench = Bench::new().await;
    let id = bench.created_id(json!({})).await;
    let before = bench.server.snapshot();
    let wrong = [
        (json!({"timeout_ms": 999}), "timeout_ms", "invalid"),
        (json!({"timeout_ms": 60_001}), "timeout_ms", "invalid"),
        (json!({"retry_schedule_s": vec![5; 21]}), "retry_schedule_s", "invalid"),
        (json!({"retry_schedule_s": [86_401]}), "retry_schedule_s", "invalid"),
        (json!({"max_per_second": 0}), "max_per_second", "invalid"),
        (json!({"max_in_flight": 65}), "max_in_flight", "invalid"),
        (json!({"ordering": "strict"}), "ordering", "invalid"),
        (json!({"colour": 1}), "colour", "unknown_field"),
    ];
    for (given, field, kind) in wrong {
        let create = bench.post(bench.body(json!({"delivery": given}))).send().await;
        create.invalid(&["body", "delivery", field], kind);
        let change = bench.patch(&id, json!({"delivery": given})).send().await;
        change.invalid(&["body", "delivery", field], kind);
        bench
            .server
            .patch(&one(NOTHING))
            .by(&bench.organization)
            .json(json!({"delivery": given}))
            .send()
            .await
            .refused(404);
    }
    for given in [json!([5000]), json!(5), json!("x")] {
        bench.patch(&id, json!({"delivery": given})).send().await.invalid(&["body", "delivery"], "invalid");
    }
    assert_eq!(bench.server.snapshot(), before, "a refusal has written nothing");
}

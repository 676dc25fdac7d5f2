//! A store with some of everything in it, made by a real server, which then is killed.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::seen::{self, Seen};
use crate::crash;
use crate::support::Receiver;
use crate::support::ask::{Api, Mailbox, mail_event};
use crate::support::books::Books;
use crate::support::running::RunningServer;
use crate::support::time::until;

/// More than the deliveries of a recover job that may wait at once.
const MANY: usize = 1_100;
/// Events of one batch.
const BATCH: usize = 550;
/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;
const PATIENCE: Duration = Duration::from_secs(50);
/// What fails is tried again long after the test.
pub const SETTINGS: [(&str, &str); 4] = [
    ("INKHOOK_DELIVERY__RETRY_SCHEDULE_S", "[3600,3600,3600]"),
    ("INKHOOK_DELIVERY__TIMEOUT_MS", "60000"),
    ("INKHOOK_LIMITS__REQUESTS_PER_SECOND", "100000"),
    ("INKHOOK_SIGNUP__ENABLED", "true"),
];
const THREAD: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a0001";
pub const KEYED: (&str, &str) = ("Idempotency-Key", "the-same-again");
pub const MAIL: &str = "From: Ana <ana@client.test>\r\nTo: Help <help@mail.localhost>\r\nSubject: Invoice 42\r\n\
     Message-ID: <invoice-42@client.test>\r\nDate: Thu, 28 May 2026 20:26:40 +0000\r\n\r\nAgain?\r\n.\r\n";

pub struct Scene {
    pub server: RunningServer,
    /// Answers 200.
    pub good: Receiver,
    /// Answers 500.
    pub bad: Receiver,
    /// Answers nothing.
    pub silent: Receiver,
    pub help: Mailbox,
    /// What was published with a key, and its event.
    pub keyed: (Value, String),
    /// What the API showed just before the end.
    pub seen: Seen,
}

impl Scene {
    pub fn api(&self) -> Api {
        Api { address: self.server.api, key: self.server.admin_key.clone() }
    }

    /// Fills a store and kills its server with attempts under way.
    pub async fn make() -> Self {
        let server = block_in_place(|| RunningServer::start_on_file(&SETTINGS));
        let api = Api { address: server.api, key: server.admin_key.clone() };
        let (good, bad, silent) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
        bad.answer_always(500);
        silent.hold();
        let help = api.identity("help").await;
        own(&api, &help, &good).await;
        sign_up(&api).await;
        let [failing, paused] = subscribe(&api, &help, [&good, &bad, &silent]).await;
        let keyed = publish(&api, &help, &failing).await;
        assert_eq!(crash::send_mail(server.smtp, "help@mail.localhost", MAIL).await, Ok(250));
        thread(&api, &help).await;
        changed(&api, &help, &good).await;
        recover(&api, &paused).await;
        by_hand(&api).await;
        // A probe of what fails, for something has come, is under way when the server is killed.
        bad.hold();
        api.publish(&help, "message.received", "news").await;
        let mut scene = Self { server, good, bad, silent, help, keyed, seen: Seen::new() };
        scene.rest().await;
        scene
    }

    /// Waits until nothing moves, looks, and kills the server.
    async fn rest(&mut self) {
        let api = self.api();
        self.silent.arrived(2).await;
        let file = Books::of_file(self.server.data_dir());
        // What is sent by a loop of its own is sent, and what is under way stays under way.
        let at_rest = "SELECT (SELECT count(*) FROM subscriptions WHERE probe_delivery IS NOT NULL) > 0
            AND (SELECT count(*) FROM alerts WHERE state = 1) = 0 AND (SELECT count(*) FROM alerts) > 0";
        until("a probe, and alerts to be sent", PATIENCE, async || {
            let is_so = block_in_place(|| file.column::<bool>(at_rest));
            is_so[0].then_some(())
        })
        .await;
        block_in_place(|| age(&file));
        let mut last = seen::everything(&api).await;
        self.seen = until("nothing to move", PATIENCE, async || {
            let now = seen::everything(&api).await;
            let same = seen::difference(&last, &now).is_none();
            last = now;
            same.then(|| last.clone())
        })
        .await;
        block_in_place(|| self.server.kill());
    }
}

/// One that failed, again: it goes at once, and fails.
async fn by_hand(api: &Api) {
    let log = api.must(200, "GET", "/api/v1/webhooks/deliveries?limit=1&success=false", None).await;
    let id = log["deliveries"][0]["id"].as_str().unwrap_or_else(|| panic!("{log}"));
    let path = format!("/api/v1/webhooks/deliveries/{id}/replay");
    let (status, answer) = api.ask("POST", &path, &[], None).await.expect("it answers");
    assert!(status < 300, "{status} {answer}");
}

/// The first half of what is there was accepted on the days before.
fn age(file: &Books) {
    let last: Vec<i64> = file.column("SELECT max(seq) FROM events");
    let first: Vec<i64> = file.column("SELECT max(no) FROM attempts");
    let quarter = (last[0] / 4, first[0] / 4);
    for (days, part) in [(3_i64, 1_i64), (1, 2)] {
        let (events, attempts) = (quarter.0 * part, quarter.1 * part);
        let (from_event, from_attempt) = (quarter.0 * (part - 1), quarter.1 * (part - 1));
        file.run(&format!(
            "UPDATE events SET accepted_ms = accepted_ms - {days} * {DAY_MS} WHERE seq > {from_event} AND seq <= {events};
             UPDATE attempts SET created_ms = created_ms - {days} * {DAY_MS} WHERE no > {from_attempt} AND no <= {attempts};"
        ));
    }
}

/// Accounts: identities, numbers, keys of both kinds, settings; and some that are gone.
async fn own(api: &Api, help: &Mailbox, good: &Receiver) {
    for handle in ["sales", "short-lived"] {
        api.identity(handle).await;
    }
    let number = json!({"agent_handle": "sales"});
    api.must(201, "POST", "/api/v1/phone/numbers", Some(number)).await;
    api.must(204, "DELETE", "/api/v1/identities/short-lived", None).await;
    let sales = api.must(200, "GET", "/api/v1/identities/sales", None).await;
    let made = json!({"label": "sales's key", "scoped_identity_id": sales["id"]});
    for place in 0..2 {
        let key = api.must(201, "POST", "/api/v1/api-keys", Some(made.clone())).await;
        if place == 0 {
            let id = key["record"]["id"].as_str().unwrap_or_else(|| panic!("{key}"));
            api.must(204, "DELETE", &format!("/api/v1/api-keys/{id}"), None).await;
        }
    }
    api.must(201, "POST", "/api/v1/signing-keys", Some(json!({}))).await;
    api.must(201, "POST", "/api/v1/identities/help/signing-key", Some(json!({}))).await;
    let settings = json!({"alerts_url": good.url("/alerts"), "retention_days": 365,
        "limits": {"publish_per_second": 100_000}});
    api.must(200, "PATCH", "/api/v1/organization", Some(settings)).await;
    assert!(!help.id.is_empty());
    let ana = json!({"preferred_name": "Ana", "notes": "a\tb", "emails": [{"value": "Ana@Client.test"}],
        "phones": [{"value_e164": "+12025550178"}]});
    let ana = api.must(201, "POST", "/api/v1/contacts", Some(ana)).await;
    let facts = format!("/api/v1/contacts/{}/facts", ana["id"].as_str().expect("an id"));
    api.must(201, "POST", &facts, Some(json!({"content": "Likes tea", "kind": "preference"}))).await;
}

/// An agent that waits for somebody to vouch for it.
async fn sign_up(api: &Api) {
    let made = api.must(201, "POST", "/api/v1/organization/invitation-token", None).await;
    let asked = json!({"human_email": "ana@client.test", "note_to_human": "Hello", "harness": "tests",
        "invitation_token": made["invitation_token"]});
    api.must(201, "POST", "/api/v1/agent-signup", Some(asked)).await;
}

/// One that works, one that fails, one that is paused, one in order, one that hangs, one of a number, one of an
/// identity.
async fn subscribe(api: &Api, help: &Mailbox, [good, bad, silent]: [&Receiver; 3]) -> [String; 2] {
    let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
    let types = ["message.received", "message.sent"];
    let path = "/api/v1/webhooks/subscriptions";
    api.subscribe(help, &good.url("/works"), &types).await;
    let failing = id(&api.subscribe(help, &bad.url("/fails"), &["message.received"]).await);
    let paused = id(&api.subscribe(help, &good.url("/paused"), &["message.received"]).await);
    api.must(200, "POST", &format!("{path}/{paused}/pause"), None).await;
    let in_order = json!({"mailbox_id": help.id, "url": bad.url("/in-order"), "event_types": ["message.received"],
        "auth_token": "let-me-in", "context_config": {"email": {"mode": "count", "count": 3}},
        "delivery": {"ordering": "conversation"}});
    api.must(201, "POST", path, Some(in_order)).await;
    api.subscribe(help, &silent.url("/hangs"), &["message.sent"]).await;
    let sales = api.must(200, "GET", "/api/v1/identities/sales", None).await;
    let number = seen::rows(&api.must(200, "GET", "/api/v1/phone/numbers", None).await)[0]["id"].clone();
    let of_number =
        json!({"phone_number_id": number, "url": good.url("/number"), "event_types": ["text.received"]});
    api.must(201, "POST", path, Some(of_number)).await;
    let of_identity = json!({"agent_identity_id": sales["id"], "url": good.url("/all"), "event_types": ["message.received"]});
    api.must(201, "POST", path, Some(of_identity)).await;
    [failing, paused]
}

/// Many that wait, one with a key, and two that hang.
async fn publish(api: &Api, help: &Mailbox, failing: &str) -> (Value, String) {
    for round in 0..MANY / BATCH {
        let events: Vec<Value> = (0..BATCH)
            .map(|place| mail_event(help, "message.received", &format!("many {round} {place}")))
            .collect();
        api.must(202, "POST", "/api/v1/events/batch", Some(json!({"events": events}))).await;
    }
    let keyed = mail_event(help, "message.received", "once");
    let (status, answer) =
        api.ask("POST", "/api/v1/events", &[KEYED], Some(&keyed)).await.expect("it answers");
    assert_eq!((status, &answer["duplicate"]), (202, &json!(false)), "{answer}");
    for place in 0..2 {
        api.publish(help, "message.sent", &format!("hangs {place}")).await;
    }
    let path = format!("/api/v1/webhooks/subscriptions/{failing}");
    until("it to fail", PATIENCE, async || {
        let shown = api.must(200, "GET", &path, None).await;
        (shown["health"] == "failing").then_some(())
    })
    .await;
    (keyed, answer["id"].as_str().expect("an id").to_owned())
}

/// A thread whose first mail fails: the others wait for it.
async fn thread(api: &Api, help: &Mailbox) {
    for place in 0..4 {
        let mut mail = mail_event(help, "message.received", &format!("thread {place}"));
        mail["data"]["message"]["thread_id"] = json!(THREAD);
        api.must(202, "POST", "/api/v1/events", Some(mail)).await;
    }
}

/// Subscriptions that were deleted, or narrowed, with something waiting.
async fn changed(api: &Api, help: &Mailbox, good: &Receiver) {
    let path = "/api/v1/webhooks/subscriptions";
    for (place, is_deleted) in [true, false].into_iter().enumerate() {
        let url = good.url(&format!("/changed-{place}"));
        let made = api.subscribe(help, &url, &["message.received", "message.sent"]).await;
        let one = format!("{path}/{}", made["id"].as_str().expect("an id"));
        api.must(200, "POST", &format!("{one}/pause"), None).await;
        api.publish(help, "message.received", "for one that changes").await;
        if is_deleted {
            api.must(204, "DELETE", &one, None).await;
        } else {
            api.must(200, "PATCH", &one, Some(json!({"event_types": ["message.sent"]}))).await;
            api.must(200, "PATCH", &one, Some(json!({"event_types": ["message.sent", "message.received"]})))
                .await;
        }
    }
}

/// A job that has come to the bound of what may wait, and waits itself.
async fn recover(api: &Api, subscription: &str) {
    let path = format!("/api/v1/webhooks/subscriptions/{subscription}/recover");
    api.must(202, "POST", &path, Some(json!({"since": "2020-01-01T00:00:00Z", "which": "all"}))).await;
    until("the job to be half done", PATIENCE, async || {
        let jobs = api.must(200, "GET", &path, None).await;
        let job = &jobs["jobs"][0];
        assert_eq!(job["state"], "running", "{job}");
        (job["queued"].as_u64() >= Some(1_000)).then_some(())
    })
    .await;
}

//! What was said before goes with a received message, for subscriptions that ask for it: every class in every scope,
//! and one body for all attempts of a delivery.

use std::time::Duration;

use inkhook_server::engine::EngineSettings;
use inkhook_server::engine::pump::Pump;
use inkhook_wire::envelope::Envelope;
use inkhook_wire::event::EventType;
use inkhook_wire::id::PhoneNumberId;
use inkhook_wire::payload::Payload;
use inkhook_wire::payload::context::{Context, ContextScope, ContextSkipped, ContextTextChannel};
use serde_json::{Value, json};

use super::{SUBSCRIPTIONS, path_of};
use crate::support::{Identity, Organization, Received, Receiver, TestServer};

const THREAD: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a0001";
const CONVERSATION: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a0002";
const CHAT: &str = "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a0003";
const STRANGER: &str = "stranger@client.test";
const UNKNOWN: &str = "+12025550199";

/// An agent, another one of its organisation whom it hears from, and a receiver that is subscribed to all that the
/// first one receives.
struct Talk {
    server: TestServer,
    acme: Organization,
    help: Identity,
    ana: Identity,
    receiver: Receiver,
    pump: Pump,
}

impl Talk {
    async fn new() -> Self {
        let server = TestServer::new();
        let acme = server.organization("acme").await;
        let help = acme.identity_with_number("help").await;
        let ana = acme.identity_with_number("ana").await;
        let pump = server.pump();
        Self { server, acme, help, ana, receiver: Receiver::start().await, pump }
    }

    /// The same with a subscription that asks for this.
    async fn asking(config: Value) -> (Self, Value) {
        let talk = Self::new().await;
        let subscription = talk.subscribe("/in", config).await;
        (talk, subscription)
    }

    async fn subscribe(&self, path: &str, config: Value) -> Value {
        let types = ["message.received", "text.received", "imessage.received", "message.sent"];
        let body = json!({"agent_identity_id": self.help.id, "url": self.receiver.url(path), "event_types": types,
            "context_config": config});
        self.server.post(SUBSCRIPTIONS).by(&self.acme).json(body).send().await.expect(201).json
    }

    /// Accepts the catalogue's sample of something that happened to the agent, with these changes; its id.
    async fn say(&self, event_type: EventType, more: Value) -> String {
        let mut data = event_type.sample();
        let (owner, place) = match event_type {
            EventType::MessageReceived | EventType::MessageSent => {
                (json!({"mailbox_id": self.help.mailbox}), "/message")
            }
            EventType::TextReceived | EventType::TextSent => {
                (json!({"phone_number_id": number(&self.help).0}), "/text_message")
            }
            EventType::CallEnded => (json!({"phone_number_id": number(&self.help).0}), "/call"),
            _ => (json!({"agent_identity_id": self.help.id}), "/message"),
        };
        data["contacts"] = json!([]);
        let message = data.pointer_mut(place).and_then(Value::as_object_mut).expect("a message");
        for key in ["mailbox_id", "email_address", "local_phone_number", "local_number"] {
            message.remove(key);
        }
        message.insert("id".into(), json!(self.server.app.entropy.uuid()));
        if place == "/message" && message.contains_key("to_addresses") {
            message.insert("thread_id".into(), json!(THREAD));
        }
        message.extend(more.as_object().expect("an object").clone());
        let mut body = json!({"event_type": event_type.to_string(), "data": data});
        body.as_object_mut().expect("an object").extend(owner.as_object().expect("an object").clone());
        let reply = self.server.post("/api/v1/events").by(&self.acme).json(body).send().await;
        reply.expect(202).json["id"].as_str().expect("an id").to_owned()
    }

    async fn mail(&self, from: &str, subject: &str) -> String {
        let more = json!({"from_address": from, "to_addresses": [self.help.address], "subject": subject});
        self.say(EventType::MessageReceived, more).await
    }

    async fn answer(&self, to: &str, subject: &str) -> String {
        let more = json!({"from_address": self.help.address, "to_addresses": [to], "subject": subject});
        self.say(EventType::MessageSent, more).await
    }

    async fn text(&self, event_type: EventType, other: &str, text: &str) -> String {
        let sender = if event_type == EventType::TextReceived { json!(other) } else { Value::Null };
        let more = json!({"remote_phone_number": other, "sender_phone_number": sender, "text": text,
            "conversation_id": CONVERSATION, "recipients": null});
        self.say(event_type, more).await
    }

    async fn chat(&self, other: &str, text: &str) -> String {
        let more =
            json!({"remote_number": other, "sender_number": other, "content": text, "conversation_id": CHAT});
        self.say(EventType::IMessageReceived, more).await
    }

    async fn call(&self, other: &str) -> String {
        self.say(EventType::CallEnded, json!({"remote_phone_number": other})).await
    }

    fn ana_calls(&self) -> &str {
        &number(&self.ana).1
    }

    async fn turn(&self) {
        self.pump.run_until_idle().await.expect("the store works");
    }

    async fn settle_down(&self) {
        self.server.settle_down(&self.pump).await;
    }

    /// What arrived of an event, in order.
    fn arrived(&self, event: &str) -> Vec<Received> {
        let all = self.receiver.received().into_iter();
        all.filter(|received| received.json()["id"] == event).collect()
    }

    /// The context that came with an event, read as a receiver reads it.
    fn context(&self, event: &str) -> Context {
        let arrived = self.arrived(event);
        let body = &arrived.first().expect("it arrived").body;
        let context = match Envelope::read(body).expect("the wire's shape").data {
            Payload::Mail(data) => data.context,
            Payload::Text(data) => data.context,
            Payload::IMessage(data) => data.context,
            other => panic!("{other:?}"),
        };
        context.expect("a context")
    }

    /// The log of an event, newest first.
    async fn log(&self, event: &str) -> Vec<Value> {
        let reply = self.server.get("/api/v1/webhooks/deliveries").by(&self.acme).send().await.expect(200);
        let lines = reply.json["deliveries"].as_array().expect("a list").iter();
        lines.filter(|line| line["event_id"] == event).cloned().collect()
    }
}

fn number(of: &Identity) -> &(PhoneNumberId, String) {
    of.phone_number.as_ref().expect("a number")
}

fn count(count: u32) -> Value {
    json!({"mode": "count", "count": count})
}

fn everything() -> Value {
    json!({"email": count(50), "texts": count(50), "calls": count(50)})
}

fn subjects(context: &Context) -> Vec<&str> {
    let mails = context.email.as_ref().expect("mails").items.iter();
    mails.filter_map(|mail| mail.subject.as_deref()).collect()
}

fn texts(context: &Context) -> Vec<&str> {
    context.texts.as_ref().expect("texts").items.iter().map(|text| text.text.as_str()).collect()
}

#[tokio::test]
async fn a_mail_brings_its_thread_and_what_its_sender_said_by_other_ways() {
    let (talk, _) = Talk::asking(everything()).await;
    let ana = talk.ana.address.clone();
    talk.mail(&ana, "first").await;
    talk.mail(STRANGER, "a stranger's").await;
    talk.answer(&ana, "answer").await;
    talk.text(EventType::TextReceived, talk.ana_calls(), "on my way").await;
    talk.text(EventType::TextReceived, UNKNOWN, "somebody else").await;
    talk.chat(talk.ana_calls(), "by chat").await;
    talk.call(talk.ana_calls()).await;
    talk.call(UNKNOWN).await;
    let trigger = talk.mail(&ana, "trigger").await;
    let stranger = talk.mail(STRANGER, "more of the stranger's").await;
    talk.turn().await;

    let context = talk.context(&trigger);
    assert_eq!(subjects(&context), ["first", "answer"]);
    assert_eq!(texts(&context), ["on my way", "by chat"]);
    let [mails, said, calls] = [
        context.email.as_ref().map(|it| (it.scope, it.truncated, it.skipped)),
        context.texts.as_ref().map(|it| (it.scope, it.truncated, it.skipped)),
        context.calls.as_ref().map(|it| (it.scope, it.truncated, it.skipped)),
    ];
    assert_eq!(mails, Some((ContextScope::Thread, false, None)));
    assert_eq!((said, calls), (Some((ContextScope::Contact, false, None)), said));
    let calls = &context.calls.as_ref().expect("calls").items;
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].remote_number.as_deref(), Some(talk.ana_calls()));
    assert!(!calls[0].transcript.is_empty(), "{calls:?}");
    let channels: Vec<_> = context.texts.as_ref().expect("texts").items.iter().map(|it| it.channel).collect();
    assert_eq!(channels, [ContextTextChannel::Sms, ContextTextChannel::IMessage]);

    let context = talk.context(&stranger);
    assert_eq!(subjects(&context), ["a stranger's"], "not what Ana wrote in the same thread");
    let skipped = [context.texts.expect("texts").skipped, context.calls.expect("calls").skipped];
    assert_eq!(skipped, [Some(ContextSkipped::NoContact); 2]);
}

#[tokio::test]
async fn whoever_is_in_the_address_book_is_one_by_all_addresses_and_numbers() {
    let (talk, _) = Talk::asking(everything()).await;
    talk.text(EventType::TextReceived, UNKNOWN, "on my way").await;
    talk.call(UNKNOWN).await;
    let card = json!({"preferred_name": "Noor", "emails": [{"value": STRANGER}], "phones": [{"value_e164": UNKNOWN}]});
    let globex = talk.server.organization("globex").await;
    talk.server.post("/api/v1/contacts").by(&globex).json(card.clone()).send().await.expect(201);
    let before = talk.mail(STRANGER, "before").await;
    talk.turn().await;
    let skipped = talk.context(&before).texts.expect("texts").skipped;
    assert_eq!(skipped, Some(ContextSkipped::NoContact), "another organisation's book is closed");

    talk.server.post("/api/v1/contacts").by(&talk.acme).json(card).send().await.expect(201);
    let trigger = talk.mail(STRANGER, "trigger").await;
    talk.turn().await;
    let context = talk.context(&trigger);
    assert_eq!(texts(&context), ["on my way"]);
    assert_eq!(context.calls.as_ref().expect("calls").items.len(), 1);
}

#[tokio::test]
async fn a_text_brings_its_conversation_and_the_calls_of_its_number() {
    let (talk, _) = Talk::asking(everything()).await;
    talk.mail(&talk.ana.address, "a mail of hers").await;
    talk.text(EventType::TextReceived, UNKNOWN, "hello").await;
    talk.text(EventType::TextSent, UNKNOWN, "who is there?").await;
    talk.chat(UNKNOWN, "by chat").await;
    talk.call(UNKNOWN).await;
    let trigger = talk.text(EventType::TextReceived, UNKNOWN, "me").await;
    talk.turn().await;
    let context = talk.context(&trigger);
    assert_eq!(texts(&context), ["hello", "who is there?"]);
    let block = context.texts.as_ref().expect("texts");
    assert_eq!((block.scope, block.requested), (ContextScope::Conversation, Some(50)));
    assert_eq!(block.items[0].sender.as_deref(), Some(UNKNOWN));
    assert_eq!(context.calls.as_ref().expect("calls").items.len(), 1, "its number is enough");
    assert_eq!(context.email.as_ref().expect("mails").skipped, Some(ContextSkipped::NoContact));

    let trigger = talk.text(EventType::TextReceived, talk.ana_calls(), "it is me").await;
    talk.turn().await;
    let context = talk.context(&trigger);
    assert_eq!(subjects(&context), ["a mail of hers"], "the organisation knows whose number it is");
    assert_eq!(texts(&context), [""; 0], "nobody else's words, whatever the conversation");
}

#[tokio::test]
async fn a_chat_brings_its_conversation() {
    let (talk, _) = Talk::asking(json!({"texts": count(2)})).await;
    for text in ["one", "two", "three"] {
        talk.chat(UNKNOWN, text).await;
    }
    let trigger = talk.chat(UNKNOWN, "four").await;
    talk.turn().await;
    let context = talk.context(&trigger);
    assert_eq!(texts(&context), ["two", "three"]);
    assert!(context.email.is_none() && context.calls.is_none(), "only what is asked for");
}

#[tokio::test]
async fn what_asks_for_nothing_and_other_events_get_what_was_published() {
    let (talk, _) = Talk::asking(everything()).await;
    talk.subscribe("/plain", Value::Null).await;
    talk.subscribe("/empty", json!({"email": null})).await;
    talk.mail(STRANGER, "first").await;
    let received = talk.mail(STRANGER, "second").await;
    let sent = talk.answer(STRANGER, "third").await;
    talk.turn().await;
    let by_path = |event: &str, path: &str| -> Value {
        let arrived = talk.arrived(event);
        arrived.iter().find(|one| one.path == path).expect("it arrived").json()["data"]["context"].clone()
    };
    assert_eq!(by_path(&received, "/in")["email"]["items"].as_array().map(Vec::len), Some(1));
    for (event, path) in [(&received, "/plain"), (&received, "/empty"), (&sent, "/in"), (&sent, "/plain")] {
        assert_eq!(by_path(event, path), Value::Null, "{path}");
    }
    assert_eq!(
        talk.server.query::<i64>("SELECT count(*) FROM delivery_bodies"),
        [2],
        "one for each with a context"
    );
}

#[tokio::test]
async fn every_attempt_the_log_and_a_replay_have_the_same_bytes() {
    let (talk, subscription) = Talk::asking(json!({"email": count(5)})).await;
    talk.mail(STRANGER, "before").await;
    talk.turn().await;
    talk.receiver.answer(500);
    let event = talk.mail(STRANGER, "trigger").await;
    talk.turn().await;
    // What comes later is in no later attempt, whatever the setting says by then.
    talk.mail(STRANGER, "after").await;
    let off = json!({"context_config": null});
    talk.server.patch(&path_of(&subscription)).by(&talk.acme).json(off).send().await.expect(200);
    talk.server.advance(Duration::from_secs(10));
    talk.turn().await;
    let line = talk.log(&event).await.first().expect("a line")["id"].as_str().expect("an id").to_owned();
    let replay = format!("/api/v1/webhooks/deliveries/{line}/replay");
    let replayed = talk.server.post(&replay).by(&talk.acme).send();
    let (replayed, ()) = tokio::join!(replayed, async {
        talk.server
            .eventually("the replay", async || {
                talk.turn().await;
                (talk.arrived(&event).len() == 3).then_some(())
            })
            .await;
    });
    replayed.expect(201);
    let arrived = talk.arrived(&event);
    assert_eq!(arrived.len(), 3, "the first attempt, its retry and the replay");
    assert_eq!(subjects(&talk.context(&event)), ["before"]);
    let ids: std::collections::BTreeSet<_> =
        arrived.iter().map(|one| one.header("x-inkbox-request-id").expect("an id").to_owned()).collect();
    assert_eq!(ids.len(), 2);
    for one in &arrived {
        assert_eq!(one.body, arrived[0].body);
        one.verify(subscription["signing_key"].as_str().expect("shown once"));
    }
    let log = talk.log(&event).await;
    assert_eq!(log.len(), 3);
    for line in &log {
        let shown = line["request_payload"].as_str().expect("a text");
        assert_eq!(shown.as_bytes(), arrived[0].body, "{line}");
    }
    talk.settle_down().await;
}

#[tokio::test]
async fn a_setting_counts_from_the_next_event_and_what_was_accepted_before_is_found() {
    let talk = Talk::new().await;
    let subscription = talk.subscribe("/in", Value::Null).await;
    for number in 0..150 {
        talk.mail(STRANGER, &format!("{number}")).await;
    }
    talk.turn().await;
    talk.receiver.answer(500);
    let before = talk.mail(STRANGER, "before").await;
    talk.turn().await;
    let on = json!({"context_config": {"email": count(50)}});
    talk.server.patch(&path_of(&subscription)).by(&talk.acme).json(on).send().await.expect(200);
    talk.settle_down().await;
    talk.server.advance(Duration::from_secs(10));
    talk.settle_down().await;
    assert_eq!(talk.server.query::<i64>("SELECT count(*) FROM context_histories"), [0]);
    let after = talk.mail(STRANGER, "after").await;
    talk.turn().await;
    let attempts = talk.arrived(&before);
    assert_eq!(attempts.len(), 2);
    assert_eq!(attempts[0].body, attempts[1].body, "the retry sends what the first attempt sent");
    let context = talk.context(&after);
    let mut expected: Vec<String> = (101..150).map(|number| number.to_string()).collect();
    expected.push("before".into());
    assert_eq!(subjects(&context), expected);
    // Two numbers for each mail, put there once.
    assert_eq!(talk.server.query::<i64>("SELECT count(*) FROM context_items"), [2 * 152]);
    // Nobody asks any more: nothing is put there.
    let off = json!({"context_config": null});
    talk.server.patch(&path_of(&subscription)).by(&talk.acme).json(off).send().await.expect(200);
    let last = talk.mail(STRANGER, "last").await;
    talk.turn().await;
    assert_eq!(talk.arrived(&last)[0].json()["data"]["context"], Value::Null);
    assert_eq!(talk.server.query::<i64>("SELECT count(*) FROM context_items"), [2 * 152]);
}

#[tokio::test]
async fn a_test_shows_the_shape_and_is_never_in_a_context() {
    let (talk, subscription) = Talk::asking(json!({"texts": count(50)})).await;
    let path = format!("{}/test", path_of(&subscription));
    let tested = talk.server.post(&path).by(&talk.acme).json(json!({"event_type": "text.received"})).send();
    let (tested, ()) = tokio::join!(tested, async {
        talk.server
            .eventually("the test", async || {
                talk.turn().await;
                (talk.receiver.received().len() == 1).then_some(())
            })
            .await;
    });
    tested.expect(201);
    let sample = talk.receiver.received()[0].json();
    assert_eq!(sample["data"]["context"]["texts"]["items"], json!([]));
    let sender = sample["data"]["text_message"]["remote_phone_number"].as_str().expect("a number").to_owned();
    let conversation = sample["data"]["text_message"]["conversation_id"].clone();
    // Not even when the history is gone over once more.
    let (off, on) = (json!({"context_config": null}), json!({"context_config": {"texts": count(50)}}));
    for change in [off, on] {
        talk.server.patch(&path_of(&subscription)).by(&talk.acme).json(change).send().await.expect(200);
    }
    talk.settle_down().await;
    let more = json!({"remote_phone_number": sender, "sender_phone_number": sender, "conversation_id": conversation});
    let event = talk.say(EventType::TextReceived, more).await;
    talk.turn().await;
    assert_eq!(talk.context(&event).texts.expect("texts").items, []);
    talk.server.advance(Duration::from_secs(10));
    talk.settle_down().await;
}

#[tokio::test]
async fn what_a_publisher_sends_as_context_gives_way_to_the_setting() {
    let (talk, _) = Talk::asking(json!({"texts": count(1)})).await;
    talk.subscribe("/plain", Value::Null).await;
    talk.text(EventType::TextReceived, UNKNOWN, "before").await;
    let mut data = EventType::TextReceived.sample();
    data["contacts"] = json!([]);
    let message = data["text_message"].as_object_mut().expect("a message");
    message.remove("local_phone_number");
    message.extend(
        json!({"remote_phone_number": UNKNOWN, "sender_phone_number": UNKNOWN, "conversation_id": CONVERSATION})
            .as_object()
            .expect("an object")
            .clone(),
    );
    let own = json!({"calls": {"scope": "contact", "items": [], "truncated": false}});
    data["context"] = own.clone();
    let body = json!({"event_type": "text.received", "phone_number_id": number(&talk.help).0, "data": data});
    let reply = talk.server.post("/api/v1/events").by(&talk.acme).json(body).send().await.expect(202);
    let event = reply.json["id"].as_str().expect("an id").to_owned();
    talk.turn().await;
    let arrived = talk.arrived(&event);
    let of = |path: &str| {
        arrived.iter().find(|one| one.path == path).expect("it arrived").json()["data"]["context"].clone()
    };
    assert_eq!(of("/plain"), own);
    assert_eq!(
        (of("/in")["calls"].clone(), of("/in")["texts"]["items"][0]["text"].clone()),
        (Value::Null, json!("before"))
    );
}

#[tokio::test]
async fn what_is_too_long_loses_its_oldest() {
    let (talk, _) = Talk::asking(json!({"texts": {"mode": "window", "hours": 1}})).await;
    let long = "x".repeat(7_000);
    for number in 0..45 {
        talk.text(EventType::TextReceived, UNKNOWN, &format!("{number} {long}")).await;
    }
    let trigger = talk.text(EventType::TextReceived, UNKNOWN, "trigger").await;
    talk.turn().await;
    let context = talk.context(&trigger);
    let block = context.texts.as_ref().expect("texts");
    assert!(block.truncated && (30..45).contains(&block.items.len()), "{}", block.items.len());
    assert!(block.items.last().is_some_and(|last| last.text.starts_with("44 ")));
    let length = serde_json::to_vec(&context).expect("JSON").len();
    assert!(length <= 256 * 1024 && length > 240 * 1024, "{length}");
}

#[tokio::test]
async fn what_cannot_be_read_is_unavailable_and_what_is_kept_is_sent_all_the_same() {
    let (talk, _) = Talk::asking(everything()).await;
    talk.receiver.answer(500);
    let kept = talk.mail(STRANGER, "kept").await;
    talk.turn().await;
    let event = talk.mail(STRANGER, "unread").await;
    talk.server.advance(Duration::from_secs(10));
    talk.server.run("ALTER TABLE phone_numbers RENAME TO phone_numbers_elsewhere");
    talk.turn().await;
    talk.server.run("ALTER TABLE phone_numbers_elsewhere RENAME TO phone_numbers");
    let context = talk.context(&event);
    let skipped = [
        context.email.as_ref().map(|it| (it.scope, it.skipped)),
        context.texts.as_ref().map(|it| (it.scope, it.skipped)),
        context.calls.as_ref().map(|it| (it.scope, it.skipped)),
    ];
    let unavailable = Some(ContextSkipped::Unavailable);
    assert_eq!(
        skipped,
        [ContextScope::Thread, ContextScope::Contact, ContextScope::Contact]
            .map(|scope| Some((scope, unavailable)))
    );
    assert_eq!((subjects(&context), texts(&context)), (Vec::new(), Vec::new()));
    let attempts = talk.arrived(&kept);
    assert_eq!((attempts.len(), &attempts[0].body), (2, &attempts[1].body));
    let operator = talk.server.operator_key().await;
    let metrics = talk.server.get("/metrics").key(&operator).send().await.body_text();
    // The second one's, and that of the first one's retry, for which something is kept.
    for expected in ["inkhook_contexts_unread_total 2\n", "inkhook_context_seconds_count 1\n"] {
        assert!(metrics.contains(expected), "{expected} is not in\n{metrics}");
    }
    assert_eq!(talk.context(&kept).email.expect("mails").skipped, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_to_read_is_unavailable() {
    let (talk, _) = Talk::asking(json!({"texts": count(5)})).await;
    let Some(database) = talk.server.database() else {
        println!("skipped: a file lets everybody read; INKHOOK_TEST_STORE=postgres has a server");
        return;
    };
    talk.text(EventType::TextReceived, UNKNOWN, "before").await;
    let event = talk.text(EventType::TextReceived, UNKNOWN, "trigger").await;
    let locks = database.connect().await;
    locks.batch_execute("BEGIN; LOCK TABLE context_items IN ACCESS EXCLUSIVE MODE").await.expect("it locks");
    let limit = Duration::from_millis(300);
    let pump = talk.server.pump_with(EngineSettings { context_limit: limit, ..EngineSettings::default() });
    pump.run_until_idle().await.expect("the store works");
    locks.batch_execute("COMMIT").await.expect("it unlocks");
    assert_eq!(talk.context(&event).texts.expect("texts").skipped, Some(ContextSkipped::Unavailable));
    let event = talk.text(EventType::TextReceived, UNKNOWN, "next").await;
    talk.turn().await;
    assert_eq!(texts(&talk.context(&event)), ["before", "trigger"]);
}

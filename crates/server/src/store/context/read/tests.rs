//! On an empty file with the schema: what a context costs to read, and what must never be in one.

use inkhook_wire::envelope;
use inkhook_wire::event::EventType;
use inkhook_wire::payload::context::Context;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::domain::number::DeliveryNo;
use crate::store::rows::plan;

const IDENTITY: u128 = 5;
const NOOR: &str = "noor@example.org";
const SAM: &str = "+12025550178";

const IDENTITIES: &str = "INSERT INTO organizations (no, id, name, created_ms) VALUES (1, x'01', 'acme', 0);
    INSERT INTO identities (id, organization_id, handle, status, imessage_enabled, settings, created_ms, updated_ms)
    VALUES (x'00000000000000000000000000000005', 1, 'help', 'active', 0, '{}', 0, 0),
        (x'00000000000000000000000000000006', 1, 'noor', 'active', 0, '{}', 0, 0);
    INSERT INTO mailboxes (id, organization_id, identity_id, address, filter_mode, settings, created_ms, updated_ms)
    VALUES (x'07', 1, x'00000000000000000000000000000005', 'reception@mail.example.com', 'blacklist', '{}', 0, 0),
        (x'08', 1, x'00000000000000000000000000000006', 'noor@example.org', 'blacklist', '{}', 0, 0);
    INSERT INTO phone_numbers (id, organization_id, identity_id, number, type, incoming_call_action, filter_mode,
        settings, created_ms, updated_ms)
    VALUES (x'09', 1, x'00000000000000000000000000000005', '+12025550143', 'local', 'auto_reject', 'blacklist', '{}', 0, 0),
        (x'0A', 1, x'00000000000000000000000000000006', '+12025550178', 'local', 'auto_reject', 'blacklist', '{}', 0, 0)";
const EVENT: &str =
    "INSERT INTO events (seq, id, organization_id, event_type, owner_kind, owner_id, identity_id,
    accepted_ms, fan_out, payload) VALUES ($1, randomblob(16), 1, $2, 1, x'07', $3, $4, 0, $5)";
const KEY: &str = "INSERT INTO context_items (event_seq, key) VALUES ($1, $2)";

/// A store in which an agent talks with Noor by mail, text and phone; the organisation knows Noor as an agent.
struct World {
    connection: Connection,
    next: i64,
    /// From one event to the next.
    step_ms: i64,
}

impl World {
    fn new() -> Self {
        let connection = plan::database();
        connection.execute_batch(IDENTITIES).expect("it runs");
        Self { connection, next: 0, step_ms: 3_600_000 }
    }

    /// Accepts the catalogue's sample with a message id of its own and these changes; its number and body.
    fn say(&mut self, event_type: EventType, more: Value) -> (Seq, Bytes) {
        self.next += 1;
        let id = Uuid::from_u128(0x1000 + u128::try_from(self.next).expect("positive"));
        self.say_as(event_type, id, more)
    }

    fn say_as(&mut self, event_type: EventType, id: Uuid, more: Value) -> (Seq, Bytes) {
        let seq = Seq(self.next.max(1) * 10);
        let mut data = event_type.sample();
        let place = ["/message", "/text_message", "/call"]
            .into_iter()
            .find(|it| data.pointer(it).is_some_and(Value::is_object));
        let message = data.pointer_mut(place.expect("a message")).and_then(Value::as_object_mut);
        let Value::Object(more) = more else { panic!("an object") };
        let message = message.expect("an object");
        message.insert("id".into(), json!(id));
        message.extend(more);
        let body = envelope::write(id.into(), event_type, "2026-05-28T20:26:40Z", &data.to_string());
        let identity = Uuid::from_u128(IDENTITY);
        let accepted_ms = self.next * self.step_ms;
        let params = params![seq.0, event_type.code(), identity.as_bytes(), accepted_ms, body.as_bytes()];
        self.connection.run(EVENT, params).expect("it runs");
        if let Some(said) = Said::read(event_type, body.as_bytes()) {
            for key in keys::all(identity.into(), &said) {
                self.connection.run(KEY, params![seq.0, key]).expect("it runs");
            }
        }
        (seq, body.into())
    }

    fn asked(&mut self, event_type: EventType, more: Value, config: &Value) -> Asked {
        let (event, payload) = self.say(event_type, more);
        let config = Some(ContextConfig::parse(config).expect("a setting"));
        Asked { delivery: DeliveryNo::new(event, 0), event, event_type, payload, config }
    }

    /// The context of a message that comes now, and how many statements that took.
    fn context(&mut self, event_type: EventType, more: Value, config: &Value) -> (Context, usize) {
        let asked = self.asked(event_type, more, config);
        plan::STATEMENTS.set(0);
        let body = body(&self.connection, &asked, false).expect("it reads");
        let statements = plan::STATEMENTS.get();
        let Body::New(body) = body else { panic!("{body:?}") };
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        (serde_json::from_value(body["data"]["context"].clone()).expect("a context"), statements)
    }
}

fn count(count: u32) -> Value {
    json!({"mode": "count", "count": count})
}

fn all_classes(count_of_each: u32) -> Value {
    json!({"email": count(count_of_each), "texts": count(count_of_each), "calls": count(count_of_each)})
}

#[test]
fn the_queries_go_by_their_indexes() {
    plan::assert_bounded(&plan::of(ABOUT, params![1, 1]));
    let newest = plan::of(NEWEST, params![1, 1, 1]);
    plan::assert_bounded(&newest);
    assert!(newest[0].contains("COVERING INDEX context_items_by_key"), "{newest:?}");
    plan::assert_bounded(&plan::of(EVENTS, params!["[1]", &[0_u8; 16][..], 1]));
}

#[test]
fn a_context_takes_so_many_statements_however_many_items_it_has() {
    // What it is about and who that is; then of each class the numbers under each name, and the events.
    let expected = 1 + 1 + (1 + 1) + (2 + 1) + (1 + 1);
    for items in [1, 10, 50] {
        let mut world = World::new();
        for _ in 0..60 {
            world.say(EventType::MessageReceived, json!({"from_address": NOOR}));
            world.say(EventType::TextReceived, json!({"remote_phone_number": SAM}));
            world.say(EventType::CallEnded, json!({"remote_phone_number": SAM}));
        }
        let (context, statements) =
            world.context(EventType::MessageReceived, json!({"from_address": NOOR}), &all_classes(items));
        let items = usize::try_from(items).expect("small");
        assert_eq!(context.email.expect("mails").items.len(), items);
        assert_eq!(context.texts.expect("texts").items.len(), items);
        assert_eq!(context.calls.expect("calls").items.len(), items);
        assert_eq!(statements, expected);
    }
}

#[test]
fn who_has_no_number_or_is_known_by_no_other_name_is_skipped_with_the_reason() {
    let stranger = json!({"from_address": "stranger@example.net"});
    let skipped = |context: Context| {
        let (texts, calls) = (context.texts.expect("texts"), context.calls.expect("calls"));
        assert!(texts.items.is_empty() && calls.items.is_empty());
        assert_eq!((texts.scope, calls.scope), (ContextScope::Contact, ContextScope::Contact));
        [context.email.expect("mails").skipped, texts.skipped, calls.skipped]
    };
    let mut world = World::new();
    let (context, _) = world.context(EventType::MessageReceived, stranger.clone(), &all_classes(5));
    let unknown = Some(ContextSkipped::NoContact);
    assert_eq!(skipped(context), [None, unknown, unknown]);
    world.connection.execute_batch("DELETE FROM phone_numbers").expect("it runs");
    let (context, _) = world.context(EventType::MessageReceived, stranger, &all_classes(5));
    let missing = Some(ContextSkipped::NoResource);
    assert_eq!(skipped(context), [None, missing, missing]);
    world.connection.execute_batch("DELETE FROM mailboxes").expect("it runs");
    let (context, _) = world.context(EventType::TextReceived, json!({}), &all_classes(5));
    assert_eq!(context.email.expect("mails").skipped, missing);
    assert_eq!(context.texts.expect("texts").skipped, None);
}

#[test]
fn a_number_is_enough_to_find_its_calls() {
    let mut world = World::new();
    world
        .connection
        .execute_batch("DELETE FROM phone_numbers WHERE number = '+12025550178'")
        .expect("it runs");
    world.say(EventType::CallEnded, json!({"remote_phone_number": SAM}));
    world.say(EventType::CallEnded, json!({"remote_phone_number": "+12025550199"}));
    let (context, _) = world.context(EventType::TextReceived, json!({}), &all_classes(5));
    let calls = context.calls.expect("calls");
    assert_eq!((calls.items.len(), calls.skipped), (1, None));
    assert_eq!(context.email.expect("mails").skipped, Some(ContextSkipped::NoContact));
}

#[test]
fn a_thread_shows_what_its_sender_took_part_in_and_no_more() {
    let mut world = World::new();
    let thread = "c3d2e1f0-a9b8-4c7d-8e6f-5a4b3c2d1e01";
    let subject = |name: &str, from: &str, cc: Value| json!({"subject": name, "from_address": from, "cc_addresses": cc});
    world.say(EventType::MessageReceived, subject("hers", NOOR, Value::Null));
    world.say(EventType::MessageReceived, subject("his", "bob@example.org", Value::Null));
    world.say(EventType::MessageReceived, subject("to her, too", "bob@example.org", json!([NOOR])));
    world.say(EventType::MessageSent, json!({"subject": "answer", "to_addresses": ["Noor@Example.org"]}));
    let mut elsewhere = subject("elsewhere", NOOR, Value::Null);
    elsewhere["thread_id"] = json!("d3d2e1f0-a9b8-4c7d-8e6f-5a4b3c2d1e02");
    world.say(EventType::MessageReceived, elsewhere);
    world.say(EventType::MessageDelivered, subject("nothing new", NOOR, Value::Null));
    let more = json!({"from_address": NOOR, "thread_id": thread.to_uppercase(), "subject": "now"});
    let (context, _) = world.context(EventType::MessageReceived, more, &json!({"email": count(50)}));
    let block = context.email.expect("mails");
    let subjects: Vec<_> = block.items.iter().filter_map(|mail| mail.subject.as_deref()).collect();
    assert_eq!(subjects, ["hers", "to her, too", "answer"]);
    assert_eq!((block.scope, block.truncated, block.requested), (ContextScope::Thread, false, Some(50)));
    assert!(context.texts.is_none() && context.calls.is_none());
    let more = json!({"from_address": NOOR, "thread_id": null});
    let (context, _) = world.context(EventType::MessageReceived, more, &json!({"email": count(50)}));
    assert_eq!(context.email.expect("mails").items, []);
}

#[test]
fn a_message_that_is_told_of_twice_is_shown_once_and_the_trigger_never() {
    let mut world = World::new();
    let id = Uuid::from_u128(77);
    for leg in ["+12025550101", "+12025550102"] {
        world.next += 1;
        let recipients = json!([{"recipient_phone_number": leg}, {"recipient_phone_number": SAM}]);
        world.say_as(EventType::TextSent, id, json!({"recipients": recipients, "text": leg}));
    }
    let (_, before) = world.say(EventType::TextReceived, json!({"text": "the same"}));
    let before: Value = serde_json::from_slice(&before).expect("JSON");
    let trigger = before["data"]["text_message"]["id"].clone();
    let (context, _) =
        world.context(EventType::TextReceived, json!({"id": trigger}), &json!({"texts": count(50)}));
    let block = context.texts.expect("texts");
    let texts: Vec<_> = block.items.iter().map(|text| text.text.as_str()).collect();
    assert_eq!(texts, ["+12025550102"], "the newest of what was told, and not the trigger");
    assert_eq!(block.scope, ContextScope::Conversation);
}

#[test]
fn what_a_newer_version_knows_is_passed_by() {
    let mut world = World::new();
    world.say(EventType::TextReceived, json!({"text": "before"}));
    world.say(EventType::TextReceived, json!({"text": "of a type to come"}));
    world.connection.execute_batch("UPDATE events SET event_type = 999 WHERE seq = 20").expect("it runs");
    let (context, _) = world.context(EventType::TextReceived, json!({}), &json!({"texts": count(5)}));
    let texts = context.texts.expect("texts").items;
    assert_eq!(texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>(), ["before"]);
}

#[test]
fn a_window_ends_where_its_hours_do() {
    let mut world = World::new();
    for _ in 0..10 {
        world.say(EventType::TextReceived, json!({}));
    }
    for (hours, items) in [(1, 1), (3, 3), (168, 12)] {
        let window = json!({"texts": {"mode": "window", "hours": hours}});
        let (context, _) = world.context(EventType::TextReceived, json!({}), &window);
        let block = context.texts.expect("texts");
        assert_eq!((block.items.len(), block.hours, block.requested), (items, Some(hours), None));
    }
}

#[test]
fn one_item_more_than_a_block_may_have_is_left_out() {
    let mut world = World { step_ms: 0, ..World::new() };
    for _ in 0..MAX_ITEMS {
        world.say(EventType::TextReceived, json!({"text": null}));
    }
    for is_cut in [false, true] {
        let window = json!({"texts": {"mode": "window", "hours": 168}});
        let (context, _) = world.context(EventType::TextReceived, json!({"text": null}), &window);
        let block = context.texts.expect("texts");
        assert_eq!((block.items.len(), block.truncated), (MAX_ITEMS, is_cut));
    }
}

#[test]
fn what_is_read_is_bounded_in_events_and_in_bytes() {
    let mut world = World::new();
    let id = Uuid::from_u128(77);
    // One message, told of again and again.
    for _ in 0..MAX_LOOKED_AT + 100 {
        world.next += 1;
        world.say_as(EventType::TextReceived, id, json!({}));
    }
    let (context, statements) =
        world.context(EventType::TextReceived, json!({}), &json!({"texts": count(2)}));
    let block = context.texts.expect("texts");
    assert_eq!((block.items.len(), block.truncated), (1, true));
    assert!(statements < 2 * MAX_LOOKED_AT.div_ceil(PAGE) + 8, "{statements}");

    let mut world = World::new();
    let long = "x".repeat(300_000);
    for _ in 0..70 {
        world.say(EventType::MessageReceived, json!({"from_address": NOOR, "body": long}));
    }
    let window = json!({"email": {"mode": "window", "hours": 168}});
    let (context, _) = world.context(EventType::MessageReceived, json!({"from_address": NOOR}), &window);
    let block = context.email.expect("mails");
    assert_eq!((block.items.len(), block.truncated), (PAGE, true));
}

#[test]
fn what_is_kept_is_sent_and_without_a_setting_nothing_is_built() {
    let mut world = World::new();
    let mut asked = world.asked(EventType::TextReceived, json!({}), &json!({"texts": count(2)}));
    let keep = "INSERT INTO delivery_bodies (delivery, event_seq, body) VALUES ($1, $2, x'6162')";
    world.connection.run(keep, params![asked.delivery.0, asked.event.0]).expect("it runs");
    assert_eq!(body(&world.connection, &asked, false).expect("it reads"), Body::Kept("ab".into()));
    asked.delivery = DeliveryNo::new(asked.event, 1);
    asked.config = None;
    assert_eq!(body(&world.connection, &asked, false).expect("it reads"), Body::Plain);
    assert_eq!(unavailable(&asked), None);
}

#[test]
fn what_could_not_be_read_says_so_in_every_class() {
    let mut world = World::new();
    let asked = world.asked(EventType::TextReceived, json!({}), &all_classes(3));
    let body: Value = serde_json::from_slice(&unavailable(&asked).expect("a body")).expect("JSON");
    for (class, scope) in [("email", "contact"), ("texts", "conversation"), ("calls", "contact")] {
        let expected = json!({"scope": scope, "items": [], "truncated": false, "mode": "count", "requested": 3,
            "skipped": "unavailable"});
        assert_eq!(body["data"]["context"][class], expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever said what in whatever order: a context holds what the message's sender took part in, before it, each
    /// message once, the newest of them, oldest first.
    #[test]
    fn a_conversation_is_what_its_sender_has_heard_or_said(
        said in proptest::collection::vec((0_u8..3, any::<bool>(), 0_u8..2), 0..30),
        wanted in 1_u32..12,
    ) {
        let mut world = World::new();
        let people = ["+12025550101", "+12025550102", "+12025550103"];
        let conversations = ["2a3b4c5d-6e7f-4801-9a2b-3c4d5e6f7a01", "2a3b4c5d-6e7f-4801-9a2b-3c4d5e6f7a02"];
        let mut expected = Vec::new();
        for (who, is_sent, conversation) in said {
            let person = people[usize::from(who)];
            let event_type = if is_sent { EventType::TextSent } else { EventType::TextReceived };
            let more = json!({"remote_phone_number": person, "recipients": null,
                "sender_phone_number": if is_sent { Value::Null } else { json!(person) },
                "conversation_id": conversations[usize::from(conversation)]});
            let (seq, _) = world.say(event_type, more);
            if who == 0 && conversation == 0 {
                expected.push(Uuid::from_u128(0x1000 + u128::try_from(seq.0 / 10).expect("positive")));
            }
        }
        let more = json!({"remote_phone_number": people[0], "sender_phone_number": people[0],
            "conversation_id": conversations[0]});
        let (context, _) = world.context(EventType::TextReceived, more, &json!({"texts": count(wanted)}));
        let shown: Vec<Uuid> = context.texts.expect("texts").items.iter().map(|text| text.id).collect();
        let from = expected.len().saturating_sub(usize::try_from(wanted).expect("small"));
        prop_assert_eq!(shown, &expected[from..]);
    }
}

use std::sync::Arc;

use inkhook_wire::event::OwnerKind;
use inkhook_wire::validate::OwnerFacts;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;

fn contact(n: u128, point: &str, memories: &[&str]) -> Arc<KnownContact> {
    Arc::new(KnownContact {
        point: point.into(),
        id: Uuid::from_u128(n).into(),
        name: Some(format!("Nr. {n}")),
        memories: memories.iter().map(ToString::to_string).collect(),
    })
}

fn agent(n: u128, name: &str) -> KnownAgent {
    KnownAgent {
        name: name.into(),
        identity: Uuid::from_u128(n).into(),
        agent_handle: "logger".into(),
        display_name: None,
    }
}

fn parsed(json: Option<String>) -> Value {
    json.map_or(Value::Null, |json| serde_json::from_str(&json).expect("JSON"))
}

fn mail() -> Participants {
    let from = (Bucket::From, "Ana@client.test".to_owned());
    Participants::Mail(vec![
        from,
        (Bucket::Cc, "Logger@mail.test".to_owned()),
        (Bucket::Cc, "x@y.test".to_owned()),
    ])
}

#[test]
fn people_of_a_mail_keep_their_bucket_and_its_order_and_spelling() {
    let people = People {
        agents: vec![agent(9, "logger@mail.test")],
        contacts: vec![contact(2, "logger@mail.test", &[]), contact(1, "ana@client.test", &["new", "old"])],
    };
    let id = |n| Uuid::from_u128(n).to_string();
    assert_eq!(
        parsed(mail().contacts(&people)),
        json!([
            {"bucket": "from", "address": "Ana@client.test", "id": id(1), "name": "Nr. 1", "memories": ["new", "old"]},
            {"bucket": "cc", "address": "Logger@mail.test", "id": id(2), "name": "Nr. 2", "memories": []},
        ])
    );
    assert_eq!(
        parsed(mail().agents(&people)),
        json!([{"bucket": "cc", "address": "Logger@mail.test", "id": id(9), "agent_handle": "logger",
            "display_name": null}])
    );
    assert_eq!((mail().contacts(&People::default()), mail().agents(&People::default())), (None, None));
}

#[test]
fn whoever_stands_twice_in_a_list_is_there_once() {
    let people = People { agents: Vec::new(), contacts: vec![contact(1, "ana@client.test", &[])] };
    let [once, again] = ["Ana@client.test", "ana@CLIENT.test"].map(str::to_owned);
    let twice =
        Participants::Mail(vec![(Bucket::Cc, once.clone()), (Bucket::Cc, again), (Bucket::Bcc, once)]);
    let rows = parsed(twice.contacts(&people));
    let buckets: Vec<_> = rows.as_array().expect("rows").iter().map(|row| row["bucket"].clone()).collect();
    assert_eq!(buckets, ["cc", "bcc"]);
}

#[test]
fn one_byte_too_many_and_a_row_is_not_there() {
    let row = |name: &str| json!({"id": Uuid::from_u128(1), "name": name}).to_string().len() + 1;
    let rest = EVENT_ROWS_BYTES - row("");
    let named = |length: usize| {
        let mut contacts = vec![contact(1, "+1", &["m"]), contact(2, "+2", &["m"])];
        contacts[0] = Arc::new(KnownContact { name: Some("x".repeat(length)), ..(*contacts[0]).clone() });
        contacts[1] = Arc::new(KnownContact { name: Some(String::new()), ..(*contacts[1]).clone() });
        let numbers = Participants::Numbers(vec!["+1".into(), "+2".into()]);
        parsed(numbers.contacts(&People { agents: Vec::new(), contacts })).as_array().map(Vec::len)
    };
    assert_eq!(named(rest - row("")), Some(2), "to the byte");
    assert_eq!(named(rest - row("") + 1), Some(1));
}

#[test]
fn whoever_has_two_numbers_is_there_once() {
    let numbers = Participants::Numbers(vec!["+12025550178".into(), "Ana@Client.test".into()]);
    assert_eq!(numbers.names().addresses, ["ana@client.test"]);
    assert_eq!(numbers.names().numbers, ["+12025550178"]);
    let people = People {
        agents: vec![agent(9, "+12025550178"), agent(9, "ana@client.test")],
        contacts: vec![contact(1, "+12025550178", &["x"]), contact(1, "ana@client.test", &["x"])],
    };
    let id = |n| Uuid::from_u128(n).to_string();
    assert_eq!(parsed(numbers.contacts(&people)), json!([{"id": id(1), "name": "Nr. 1", "memories": ["x"]}]));
    assert_eq!(
        parsed(numbers.agents(&people)),
        json!([{"id": id(9), "agent_handle": "logger", "display_name": null}])
    );
}

#[test]
fn one_byte_of_memories_too_many_and_nobody_further_has_any() {
    let half = "x".repeat(EVENT_MEMORIES_BYTES / 2);
    let numbers = Participants::Numbers(vec!["+1".into(), "+2".into(), "+3".into()]);
    let with = |second: &str| {
        let contacts =
            vec![contact(1, "+1", &[&half]), contact(2, "+2", &[second]), contact(3, "+3", &["y"])];
        parsed(numbers.contacts(&People { agents: Vec::new(), contacts }))
    };
    let whole = with(&half[1..]);
    assert_eq!(whole[2]["memories"], json!(["y"]), "what there is room for, to the byte");
    let full = with(&half);
    assert_eq!(full[1]["memories"], json!([half]));
    assert_eq!(full[2].get("memories"), None);
    let over = with(&format!("{half}y"));
    assert_eq!((over[1].get("memories"), over[2].get("memories")), (None, None), "nobody is passed over");
    assert_eq!(over.as_array().map(Vec::len), Some(3), "but everybody is there");
}

/// The channels whose payloads have people in them, and where a sample of each names one.
const NAMED: [(EventType, &str); 6] = [
    (EventType::MessageReceived, "/message/from_address"),
    (EventType::TextReceived, "/text_message/remote_phone_number"),
    (EventType::IMessageReceived, "/message/remote_number"),
    (EventType::IMessageReactionReceived, "/reaction/remote_number"),
    (EventType::CallEnded, "/call/remote_phone_number"),
    (EventType::WhatsAppReceived, "/message/remote_number"),
];

fn validated(event_type: EventType, data: &str, people: Option<&People>) -> Result<String, DataError> {
    let raw = RawValue::from_string(data.to_owned()).expect("JSON");
    let parsed = ParsedData::parse(&raw)?;
    let named = Participants::read(event_type, &parsed)?;
    let sample = event_type.sample();
    let text = |pointer: &str| sample.pointer(pointer).and_then(Value::as_str);
    let mailbox = text("/message/mailbox_id").zip(text("/message/email_address"));
    let number = ["/text_message/local_phone_number", "/call/local_phone_number", "/message/local_number"];
    let number = number.iter().find_map(|pointer| text(pointer));
    let identity = text("/message/agent_identity_id").unwrap_or("1de00000-0000-4000-8000-000000000001");
    let mut fresh_id = || Uuid::from_u128(77);
    let mut owner = OwnerFacts {
        kind: OwnerKind::Identity,
        identity_id: identity.parse().expect("an id"),
        agent_handle: "help",
        mailbox: mailbox.map(|(id, address)| (id.parse().expect("an id"), address)),
        phone_number: number.map(|number| (Uuid::from_u128(3).into(), number)),
        now: "2026-11-20T09:30:01.000Z",
        fresh_id: &mut fresh_id,
        contacts_json: people.and_then(|people| named.contacts(people)),
        agent_identities_json: people.and_then(|people| named.agents(people)),
    };
    Ok(parsed.validate(event_type, &mut owner)?.data)
}

#[test]
fn samples_of_every_such_channel_name_somebody() {
    for (event_type, pointer) in NAMED {
        let mut data = event_type.sample();
        let name = data.pointer(pointer).and_then(Value::as_str).expect("somebody").to_owned();
        let fields = data.as_object_mut().expect("an object");
        fields.remove("contacts");
        fields.remove("agent_identities");
        let raw = RawValue::from_string(data.to_string()).expect("JSON");
        let named = Participants::read(event_type, &ParsedData::parse(&raw).expect("data")).expect("names");
        let names = named.names();
        assert!(names.addresses.contains(&name) || names.numbers.contains(&name), "{event_type}: {names:?}");
    }
}

proptest! {
    /// Whoever is found, and whatever is remembered of them: what is filled in has the shape of the contract, and
    /// nothing that was given has changed.
    #[test]
    fn what_is_filled_in_is_valid(
        which in 0..NAMED.len(),
        names in proptest::collection::vec(proptest::option::of(".{0,12}"), 1..4),
        memories in proptest::collection::vec("\\PC{0,20}|[\\x00-\\x1f\"\\\\]{0,5}", 0..4),
        display_name in proptest::option::of(".{0,8}"),
    ) {
        let (event_type, pointer) = NAMED[which];
        let mut data = event_type.sample();
        let fields = data.as_object_mut().expect("an object");
        fields.remove("contacts");
        fields.remove("agent_identities");
        let point = data.pointer(pointer).and_then(Value::as_str).expect("somebody").to_lowercase();
        let contacts = (1..).zip(&names).map(|(n, name)| Arc::new(KnownContact {
            point: point.clone(),
            id: Uuid::from_u128(n).into(),
            name: name.clone(),
            memories: memories.clone(),
        }));
        let agents = vec![KnownAgent { display_name, ..agent(9, &point) }];
        let people = People { agents, contacts: contacts.collect() };
        let given = data.to_string();
        let filled = validated(event_type, &given, Some(&people)).expect("it is filled in");
        prop_assert!(filled.starts_with(given.strip_suffix('}').expect("an object")), "{}", filled);
        let value: Value = serde_json::from_str(&filled).expect("JSON");
        prop_assert!(!value["contacts"].as_array().expect("a list").is_empty());
        prop_assert_eq!(value["agent_identities"].as_array().map(Vec::len), Some(1));
        prop_assert_eq!(&value["contacts"][0]["memories"], &json!(memories));
        prop_assert_eq!(validated(event_type, &filled, None), Ok(filled), "it could have been published so");
    }
}

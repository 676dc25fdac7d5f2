//! What payloads say of whoever is in the address book.

use inkhook_server::ingest::receive::Receiver as Ingest;
use inkhook_wire::event::EventType;
use serde_json::{Value, json};

use super::{Book, PATH, PHONE, path};
use crate::support::{Answer, Receiver, Reply};

const EVENTS: &str = "/api/v1/events";
const OTHER: &str = "+12025550126";

impl Book {
    async fn publish(&self, body: &Value) -> Reply {
        self.server.post(EVENTS).by(&self.acme).json(body.clone()).send().await
    }

    /// The data of an event that `help` publishes, as it is delivered.
    async fn data(&self, event_type: &str, data: Value) -> Value {
        let body = json!({"event_type": event_type, "agent_identity_id": self.help.id, "data": data});
        let id = self.publish(&body).await.expect(202).text("id");
        self.payload(&id).await["data"].clone()
    }

    async fn payload(&self, event: &str) -> Value {
        let reply = self.server.get(&format!("{EVENTS}/{event}")).by(&self.acme).send().await;
        reply.expect(200).json["payload"].clone()
    }

    /// The sample of a channel, from or to these numbers, without anybody in it.
    fn sample(&self, event_type: EventType, places: &[(&str, Value)]) -> Value {
        let mut data = event_type.sample();
        let own = self.help.phone_number.as_ref().map(|(_, number)| json!(number)).expect("a number");
        for (place, value) in [
            ("/text_message/local_phone_number", &own),
            ("/call/local_phone_number", &own),
            ("/message/local_number", &own),
            ("/message/agent_identity_id", &json!(self.help.id)),
        ]
        .into_iter()
        .chain(places.iter().map(|(place, value)| (*place, value)))
        {
            if let Some(found) = data.pointer_mut(place) {
                *found = value.clone();
            }
        }
        let fields = data.as_object_mut().expect("an object");
        fields.remove("contacts");
        fields.remove("agent_identities");
        data
    }
}

fn mail(direction: &str) -> Value {
    let (status, from) =
        if direction == "inbound" { ("received", "ANA@client.test") } else { ("sent", "help@mail.test") };
    json!({"message": {"from_address": from, "to_addresses": ["lee@client.test", "help@mail.test"],
        "cc_addresses": ["Lee@client.test", "logger@mail.test", "who@knows.test"],
        "bcc_addresses": if direction == "inbound" { Value::Null } else { json!(["ana@client.test"]) },
        "direction": direction, "status": status, "has_attachments": false}})
}

#[tokio::test]
async fn people_of_a_mail_are_named_by_where_they_stand() {
    let book = Book::new().await;
    let (ana, logger) = (book.ana().await, book.acme.identity("logger").await);
    book.remember(&ana, "Likes tea").await;
    book.remember(&ana, "Is away").await;
    let lee = book.made(json!({"emails": [{"value": "lee@client.test"}]})).await;
    let received = book.data("message.received", mail("inbound")).await;
    assert_eq!(
        received["contacts"],
        json!([
            {"bucket": "from", "address": "ANA@client.test", "id": ana["id"], "name": "Ana",
                "memories": ["Is away", "Likes tea"]},
            {"bucket": "cc", "address": "Lee@client.test", "id": lee["id"], "name": null, "memories": []},
        ]),
        "from and cc, in this order"
    );
    let agent = |bucket: &str| {
        json!({"bucket": bucket, "address": "logger@mail.test", "id": logger.id, "agent_handle": "logger",
            "display_name": "logger"})
    };
    assert_eq!(received["agent_identities"], json!([agent("cc")]));
    let sent = book.data("message.sent", mail("outbound")).await;
    let places: Vec<_> =
        sent["contacts"].as_array().expect("a list").iter().map(|row| (&row["bucket"], &row["id"])).collect();
    let (to, cc, bcc) = (json!("to"), json!("cc"), json!("bcc"));
    assert_eq!(places, [(&to, &lee["id"]), (&cc, &lee["id"]), (&bcc, &ana["id"])]);
    assert_eq!(sent["agent_identities"].as_array().map(Vec::len), Some(2), "and the sender's own address");
}

#[tokio::test]
async fn what_the_publisher_says_of_people_stays() {
    let book = Book::new().await;
    book.ana().await;
    let mut data = mail("inbound");
    data["contacts"] = json!([]);
    let said = book.data("message.received", data.clone()).await;
    assert_eq!(said["contacts"], json!([]), "nobody is nobody");
    data["contacts"] = json!([{"bucket": "from", "address": "x@y.test", "id": book.help.id, "name": "X"}]);
    data["agent_identities"] = json!([]);
    let said = book.data("message.received", data.clone()).await;
    assert_eq!((&said["contacts"], &said["agent_identities"]), (&data["contacts"], &json!([])));
}

#[tokio::test]
async fn every_channel_with_people_names_them() {
    let book = Book::new().await;
    let ana = book.ana().await;
    book.remember(&ana, "Likes tea").await;
    let sales = book.acme.identity_with_number("sales").await;
    let (_, colleague) = sales.phone_number.clone().expect("a number");
    let globex = book.globex.identity_with_number("stranger").await;
    let body = json!({"preferred_name": "Theirs", "phones": [{"value_e164": OTHER}]});
    book.server.post(PATH).by(&book.globex).json(body).send().await.expect(201);
    let contact = json!([{"id": ana["id"], "name": "Ana", "memories": ["Likes tea"]}]);
    let agent = json!([{"id": sales.id, "agent_handle": "sales", "display_name": "sales"}]);
    for (event_type, places) in [
        (
            EventType::TextReceived,
            vec!["/text_message/remote_phone_number", "/text_message/sender_phone_number"],
        ),
        (EventType::IMessageReceived, vec!["/message/remote_number", "/message/sender_number"]),
        (EventType::IMessageReactionReceived, vec!["/reaction/remote_number"]),
        (EventType::CallEnded, vec!["/call/remote_phone_number"]),
        (EventType::WhatsAppReceived, vec!["/message/remote_number", "/message/sender_number"]),
    ] {
        let from = |number: &str| {
            let mut places: Vec<_> = places.iter().map(|place| (*place, json!(number))).collect();
            places.push(("/message/participants", json!([number])));
            book.sample(event_type, &places)
        };
        let name = event_type.as_str();
        let known = book.data(name, from(PHONE)).await;
        assert_eq!((&known["contacts"], &known["agent_identities"]), (&contact, &json!([])), "{name}");
        let ours = book.data(name, from(&colleague)).await;
        assert_eq!((&ours["contacts"], &ours["agent_identities"]), (&json!([]), &agent), "{name}");
        for stranger in [OTHER, &globex.phone_number.as_ref().expect("a number").1] {
            let data = book.data(name, from(stranger)).await;
            assert_eq!((&data["contacts"], &data["agent_identities"]), (&json!([]), &json!([])), "{name}");
        }
    }
    let by_mail =
        book.sample(EventType::IMessageReceived, &[("/message/remote_number", json!("Ana@client.test"))]);
    assert_eq!(
        book.data("imessage.received", by_mail).await["contacts"],
        contact,
        "an iMessage may come from there"
    );
    for event_type in [EventType::A2aTaskCreated, EventType::SlackDmReceived] {
        let mut data = event_type.sample();
        if let Some(identity) = data.get_mut("identity_id") {
            *identity = json!(book.help.id);
        }
        let data = book.data(event_type.as_str(), data).await;
        assert_eq!((data.get("contacts"), data.get("agent_identities")), (None, None), "{event_type}");
    }
}

#[tokio::test]
async fn a_group_names_each_of_its_people_once() {
    let book = Book::new().await;
    let ana = book.ana().await;
    book.patch(&ana, json!({"phones": [{"value_e164": PHONE}, {"value_e164": OTHER}]})).await.expect(200);
    let recipients = json!([{"recipient_phone_number": OTHER}, {"recipient_phone_number": PHONE}]);
    let data = json!({"text_message": {"direction": "outbound", "type": "sms", "recipients": recipients}});
    let data = book.data("text.sent", data).await;
    assert_eq!(data["contacts"], json!([{"id": ana["id"], "name": "Ana", "memories": []}]));
}

#[tokio::test]
async fn a_change_counts_from_the_next_event() {
    let book = Book::new().await;
    let names = async || {
        let data = book.data("message.received", mail("inbound")).await;
        let rows = data["contacts"].as_array().expect("a list").clone();
        rows.into_iter().map(|row| json!([row["name"], row["memories"]])).collect::<Vec<_>>()
    };
    assert_eq!(names().await, Vec::<Value>::new());
    let ana = book.ana().await;
    assert_eq!(names().await, [json!(["Ana", []])]);
    let fact = book.remember(&ana, "Likes tea").await;
    assert_eq!(names().await, [json!(["Ana", ["Likes tea"]])]);
    let one = format!("{}/facts/{}", path(&ana), fact["id"].as_str().expect("an id"));
    book.server.patch(&one).by(&book.acme).json(json!({"content": "Likes rum"})).send().await.expect(200);
    assert_eq!(names().await, [json!(["Ana", ["Likes rum"]])]);
    book.patch(&ana, json!({"preferred_name": null})).await.expect(200);
    assert_eq!(names().await, [json!([null, ["Likes rum"]])], "never called by the address");
    book.server.delete(&one).by(&book.acme).send().await.expect(200);
    assert_eq!(names().await, [json!([null, []])]);
    book.patch(&ana, json!({"emails": []})).await.expect(200);
    assert_eq!(names().await, Vec::<Value>::new());
    book.server.delete(&path(&ana)).by(&book.acme).send().await.expect(204);
    assert_eq!(names().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_repeat_is_one_whoever_has_been_met_since() {
    let book = Book::new().await;
    let body = json!({"event_type": "message.received", "agent_identity_id": book.help.id, "data": mail("inbound"),
        "id": "evt_1f0b3c52-7a64-4f0e-9b1d-2c55a0a9d001"});
    let first = book.publish(&body).await.expect(202);
    book.ana().await;
    let again = book.publish(&body).await.expect(202);
    assert_eq!((&again.json["duplicate"], &again.json["id"]), (&json!(true), &first.json["id"]));
    assert_eq!(book.payload(&first.text("id")).await["data"]["contacts"], json!([]), "as it was accepted");
}

#[tokio::test]
async fn names_that_no_database_holds_are_nobody() {
    let book = Book::new().await;
    book.ana().await;
    let mut data = mail("inbound");
    data["message"]["cc_addresses"] = json!(["a\u{0}b@client.test", "", " ", "\u{1F388}@client.test"]);
    let data = book.data("message.received", data).await;
    assert_eq!(data["contacts"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_mail_that_arrives_names_its_people_to_each_organisation() {
    let book = Book::new().await;
    let spy = book.globex.identity("spy").await;
    let ana = book.ana().await;
    book.remember(&ana, "Likes tea").await;
    let app = &book.server.app;
    let ingest = Ingest {
        store: app.store.clone(),
        clock: app.clock.clone(),
        entropy: app.entropy.clone(),
        queued: app.bells.queued.clone(),
    };
    let mail = "From: Ana <Ana@client.test>\r\nTo: help@mail.test\r\nCc: spy@mail.test\r\n\r\nHello\r\n";
    let recipients = vec![book.help.address.clone(), spy.address.clone()];
    let events = ingest.receive(None, recipients, mail.as_bytes().to_vec()).await.expect("taken");
    let mut seen = Vec::new();
    for (event, by) in events.iter().zip([&book.acme, &book.globex]) {
        let path = format!("{EVENTS}/{event}");
        let data = book.server.get(&path).by(by).send().await.expect(200).json["payload"]["data"].clone();
        seen.push((data["contacts"].clone(), data["agent_identities"].as_array().map(Vec::len)));
    }
    let row = json!([{"bucket": "from", "address": "Ana@client.test", "id": ana["id"], "name": "Ana",
        "memories": ["Likes tea"]}]);
    assert_eq!(seen, [(row, Some(0)), (json!([]), Some(1))]);
}

#[tokio::test]
async fn whoever_is_asked_about_a_call_hears_who_calls() {
    let book = Book::new().await;
    let ana = book.ana().await;
    book.remember(&ana, "Likes tea").await;
    let receiver = Receiver::start().await;
    let (number, _) = book.help.phone_number.as_ref().expect("a number");
    let number = format!("/api/v1/phone/numbers/{number}");
    let rule =
        json!({"incoming_call_action": "webhook", "incoming_call_webhook_url": receiver.url("/calls")});
    book.server.patch(&number).by(&book.acme).json(rule).send().await.expect(200);
    for (place, (caller, expected)) in [
        (PHONE, json!([{"id": ana["id"], "name": "Ana", "memories": ["Likes tea"]}])),
        (OTHER, json!([])),
        ("anonymous", json!([])),
    ]
    .into_iter()
    .enumerate()
    {
        let body = br#"{"action":"reject"}"#.to_vec();
        receiver.answer(Answer { status: 200, headers: Vec::new(), body });
        let call = json!({"remote_phone_number": caller});
        book.server
            .post(&format!("{number}/incoming-calls"))
            .by(&book.acme)
            .json(call)
            .send()
            .await
            .expect(200);
        assert_eq!(receiver.received()[place].json()["contacts"], expected, "{caller}");
    }
    book.server
        .eventually("the log", async || {
            let lines: Vec<i64> = book.server.query("SELECT count(*) FROM attempts");
            (lines == [3]).then_some(())
        })
        .await;
}

//! What is asked last, before the first byte.

use std::time::Duration;

use serde_json::json;

use super::{deliveries, mail, subscribe};
use crate::support::{Receiver, TestServer};

#[tokio::test]
async fn an_event_that_expires_between_its_claim_and_the_first_byte_is_not_sent() {
    let server = TestServer::new();
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    let receiver = Receiver::start().await;
    subscribe(&server, &acme, &help, &receiver.url("/")).await;
    let expires_at = server.app.clock.wall().after(Duration::from_secs(1));
    let body = json!({
        "event_type": "message.received", "mailbox_id": help.mailbox, "data": mail("hi"),
        "expires_at": expires_at.to_rfc3339(),
    });
    let reply = server.post("/api/v1/events").by(&acme).json(body).send().await.expect(202);
    let pump = server.pump();
    // The attempt is a task of this thread: it begins after the clock has moved.
    assert_eq!(pump.turn().await.unwrap().started, 1);
    server.advance(Duration::from_secs(1));
    pump.run_until_idle().await.unwrap();
    assert_eq!(receiver.received().len(), 0);
    let state = deliveries(&server, &acme, reply.json["id"].as_str().unwrap()).await;
    assert_eq!((&state[0]["state"], &state[0]["attempts"]), (&json!("expired"), &json!(0)));
}

//! What a publisher is told.

use futures_util::future::join_all;
use futures_util::poll;
use inkhook_server::domain::owner::Owner;
use inkhook_server::store::StoreError;
use inkhook_server::store::accept::{Accept, NewEvent};
use inkhook_server::store::faults::{Fault, Faults, Point};
use inkhook_wire::event::EventType;
use serde_json::json;

use super::block_writer;
use crate::support::{Identity, Organization, Request, Setup, TestServer};

/// Publishes that one organisation may have waiting.
const WAITING: usize = 2_000;

async fn failing() -> (TestServer, Organization, Identity, Faults) {
    let faults = Faults::scripted();
    let server = TestServer::with(Setup { faults: faults.clone(), ..Setup::default() });
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    settled_keys(&server, &acme).await;
    (server, acme, help, faults)
}

/// What a key's first use leaves to be written is written, and takes nobody's fault or lock.
async fn settled_keys(server: &TestServer, organization: &Organization) {
    server.get("/api/v1/whoami").by(organization).send().await.expect(200);
    server.app.store.probe().await.expect("the store works");
}

fn publish(server: &TestServer, organization: &Organization, identity: &Identity) -> Request {
    let data = json!({"message": {
        "from_address": "ana@client.test", "to_addresses": [identity.address], "subject": "hi",
        "direction": "inbound", "status": "received", "has_attachments": false, "body": "Hello"
    }});
    let body = json!({"event_type": "message.received", "mailbox_id": identity.mailbox, "data": data});
    server.post("/api/v1/events").by(organization).json(body)
}

fn events(server: &TestServer) -> i64 {
    server.query("SELECT count(*) FROM events")[0]
}

#[tokio::test]
async fn each_failure_has_its_status_and_its_time_to_wait() {
    let failures = [
        (Point::Accept, Fault::Statement, 2, 500, None),
        (Point::Commit, Fault::Full, 1, 503, Some("10")),
        (Point::Commit, Fault::Unknown, 1, 503, Some("1")),
        (Point::Commit, Fault::Io, 1, 503, Some("5")),
    ];
    for (point, fault, times, status, retry_after) in failures {
        let (server, acme, help, faults) = failing().await;
        (0..times).for_each(|_| faults.push(point, fault));
        let reply = publish(&server, &acme, &help).send().await;
        assert!(faults.is_spent());
        assert_eq!(reply.header("retry-after"), retry_after, "{fault:?}");
        let detail = reply.refused(status);
        assert!(!detail.contains("SQL") && !detail.contains("constraint"), "{detail}");
        assert_eq!(events(&server), 0);
    }
}

#[tokio::test]
async fn a_repeat_with_the_same_key_after_an_unknown_result_is_one_event() {
    for point in [Point::Commit, Point::AfterCommit] {
        let (server, acme, help, faults) = failing().await;
        faults.push(point, Fault::Unknown);
        let keyed = || publish(&server, &acme, &help).header("idempotency-key", "key").send();
        let detail = keyed().await.refused(503);
        assert!(detail.contains("Idempotency-Key"), "it says what to do: {detail}");
        let repeated = keyed().await.expect(202);
        assert_eq!(repeated.json["duplicate"], point == Point::AfterCommit);
        assert_eq!(events(&server), 1);
    }
}

#[tokio::test]
async fn publishing_goes_on_by_itself_when_the_disk_has_room_again() {
    let (server, acme, help, faults) = failing().await;
    faults.push(Point::Commit, Fault::Full);
    publish(&server, &acme, &help).send().await.refused(503);
    let taken = async || {
        let reply = publish(&server, &acme, &help).send().await;
        (reply.status == 202).then_some(())
    };
    let deadline = std::time::Duration::from_secs(10);
    let taken = tokio::time::timeout(deadline, async { while taken().await.is_none() {} });
    taken.await.expect("it is taken again");
}

#[tokio::test]
async fn an_organisation_that_floods_is_refused_and_another_is_not() {
    let (server, acme, help, faults) = failing().await;
    let other = server.organization("other").await;
    let sales = other.identity("sales").await;
    let event = || NewEvent {
        id: server.app.entropy.uuid().into(),
        id_given: false,
        idempotency_key: None,
        request_hash: [0; 32],
        organization: acme.no,
        event_type: EventType::MessageReceived,
        owner: Owner::Mailbox(help.mailbox),
        expires_at: None,
        payload: b"{}".as_slice().into(),
    };
    settled_keys(&server, &other).await;
    let blocked = block_writer(&faults);
    let store = &server.app.store;
    let mut flood = Box::pin(join_all((0..WAITING).map(|_| store.accept(event()))));
    assert!(poll!(&mut flood).is_pending());
    let refused = publish(&server, &acme, &help).send().await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    refused.refused(429);
    let mut taken = Box::pin(publish(&server, &other, &sales).send());
    assert!(poll!(&mut taken).is_pending());
    assert!(matches!(store.accept(event()).await, Err(StoreError::Busy)), "still full");
    drop(blocked);
    taken.await.expect(202);
    let flood = flood.await;
    assert!(flood.iter().all(|answer| matches!(answer, Ok(Accept::Accepted(_)))));
    publish(&server, &acme, &help).send().await.expect(202);
    assert_eq!(events(&server), i64::try_from(WAITING).unwrap() + 2);
}

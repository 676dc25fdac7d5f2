//! The binary as a process: what it says when it starts, and what is left of it after a kill.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use serde_json::json;

use crate::support::books::Books;
use crate::support::running::{MASTER_KEY, RunningServer, binary};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_a_kill() {
    let mut server = RunningServer::start().await;
    let identity = json!({"agent_handle": "help-desk"});
    let (status, made) = server.post("/api/v1/identities", &identity);
    assert_eq!(status, 201, "{made}");
    let text = json!({"event_type": "message.received", "mailbox_id": made["mailbox"]["id"], "data": {"message": {
        "id": "0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001", "from_address": "ana@client.test",
        "to_addresses": [made["email_address"]], "subject": "Invoice 42", "body": "Again?",
        "body_state": "complete", "direction": "inbound", "status": "received", "has_attachments": false,
    }}, "id": "evt_0b9c6f1e-5b1a-4c9e-8a53-3d0f5e1a1001"});
    let (status, accepted) = server.post("/api/v1/events", &text);
    assert_eq!((status, &accepted["duplicate"]), (202, &json!(false)), "{accepted}");

    server.kill();
    assert!(TcpStream::connect(server.api).is_err(), "nobody listens any more");
    server.restart();

    let (status, refused) = server.post("/api/v1/identities", &identity);
    assert_eq!(status, 409, "the identity is still there: {refused}");
    let (status, repeated) = server.post("/api/v1/events", &text);
    assert_eq!((status, &repeated["duplicate"]), (202, &json!(true)), "so is the event: {repeated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_that_it_names_for_mail_takes_mail() {
    let server = RunningServer::start().await;
    let mut greeting = String::new();
    let stream = TcpStream::connect(server.smtp).expect("it listens");
    BufReader::new(stream).read_line(&mut greeting).expect("it greets");
    assert!(greeting.starts_with("220 "), "{greeting}");
}

#[test]
fn the_schema_is_brought_up_to_date_without_a_server() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let books = Books::for_store_in(directory.path());
    let migrate = || {
        let mut command = binary();
        if let Some(url) = books.url() {
            command.env("INKHOOK_DATABASE__URL", url).env("INKHOOK_SECURITY__MASTER_KEY", MASTER_KEY);
        }
        command.args(["migrate", "--data-dir"]).arg(directory.path()).output().expect("the binary runs")
    };
    for time in ["first", "again"] {
        let output = migrate();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{time}: {output:?}");
        assert!(said.starts_with("the schema is up to date: version "), "{time}: {said}");
    }
    assert!(books.tables().iter().any(|table| table == "queue"));
}

//! What the log says about a failure: once, and without a body.

use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use inkhook_server::domain::delivery::End;
use inkhook_server::store::faults::{Fault, Faults, Point};
use inkhook_server::store::settle::{Next, Settled};
use inkhook_wire::event::EventType;
use serde_json::json;

use crate::support::store::StoreBench;
use crate::support::{Setup, TestServer};

/// The log of a whole process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        subscriber.try_init().expect("nobody else logs in this process");
        log
    }

    /// What was said since the last call about a statement that failed.
    fn errors(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let text = String::from_utf8(bytes).expect("text");
        text.lines().filter(|line| line.contains("on demand")).map(Into::into).collect()
    }
}

/// A log belongs to a process, and this one may be shared with other tests.
#[test]
fn a_failure_is_logged_once() {
    let name = "store::failures::log::in_a_process_of_its_own";
    let test = std::env::current_exe().expect("this test");
    let output = Command::new(test).args(["--exact", name, "--ignored", "--nocapture"]).output();
    let output = output.expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{output:?}");
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn in_a_process_of_its_own() {
    let log = Log::start();
    let faults = Faults::scripted();
    let server = TestServer::with(Setup { faults: faults.clone(), ..Setup::default() });
    let acme = server.organization("acme").await;
    let help = acme.identity("help").await;
    assert_eq!(log.errors(), Vec::<String>::new());
    (0..2).for_each(|_| faults.push(Point::Accept, Fault::Statement));
    let body = json!({"event_type": "message.received", "mailbox_id": help.mailbox, "data": {"message": {
        "from_address": "ana@client.test", "to_addresses": ["help@mail.test"], "subject": "S3cret",
        "direction": "inbound", "status": "received", "has_attachments": false, "body": "S3cret"
    }}});
    server.post("/api/v1/events").by(&acme).json(body).send().await.refused(500);
    let errors = log.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("ERROR") && !errors[0].contains("S3cret"), "{errors:#?}");

    let bench = StoreBench::new();
    let help = bench.agent("help").await;
    bench.subscribe(help.admin(), help.by_mail(), &[EventType::MessageReceived]).await;
    bench.accept_mails(help, 1).await;
    let claimed = bench.claim_one().await;
    (0..2).for_each(|_| bench.faults.push(Point::Settle, Fault::Statement));
    assert_eq!(bench.fail(&claimed, Next::End(End::OutOfAttempts)).await, Settled::Done);
    let errors = log.errors();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(errors[0].contains("without its text"), "{errors:#?}");
}

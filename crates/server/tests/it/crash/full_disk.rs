//! A whole server on a disk that fills up: new work is refused, everything else goes on, and when there is
//! room again it goes on by itself with nothing lost.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::support::Receiver;
use crate::support::ask::{Api, Mailbox, mail_event};
use crate::support::books::needs_a_file;
use crate::support::running::{RunningServer, wait_for};

/// Where the child of the test works.
const SMALL_DISK: &str = "INKHOOK_TEST_SMALL_DISK";

#[test]
fn a_whole_server_goes_through_a_full_disk() {
    if !needs_a_file("a disk of its own") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut may_mount = Command::new("unshare");
    may_mount.args(["-rm", "mount", "-t", "tmpfs", "tmpfs"]).arg(directory.path());
    if !may_mount.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    }
    let script =
        "mount -t tmpfs -o size=24m tmpfs \"$1\" && exec \"$2\" --exact \"$3\" --ignored --nocapture";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).arg(directory.path());
    command.arg(std::env::current_exe().expect("this test")).arg("crash::full_disk::on_a_small_disk");
    command.env(SMALL_DISK, directory.path()).env("TMPDIR", directory.path());
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{output:?}");
}

/// Takes all that is left, to the last byte.
fn fill(path: &Path) {
    let mut file = std::fs::File::create(path).expect("a file");
    while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
}

/// Publishes until nothing is taken any more; what was.
async fn publish_until_refused(api: &Api, mailbox: &Mailbox, label: &str) -> (BTreeSet<String>, Value) {
    let mut accepted = BTreeSet::new();
    for n in 0..10_000 {
        let mut body = mail_event(mailbox, "message.received", &format!("{label} {n}"));
        body["data"]["message"]["body"] = json!("x".repeat(40_000));
        let (status, answer) = api.ask("POST", "/api/v1/events", &[], Some(&body)).await.expect("an answer");
        match status {
            202 => accepted.insert(answer["id"].as_str().expect("an id").to_owned()),
            503 => return (accepted, answer),
            _ => panic!("{status}: {answer}"),
        };
    }
    panic!("the disk has no end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs on the small disk that the test above mounts"]
async fn on_a_small_disk() {
    let Some(disk) = std::env::var_os(SMALL_DISK) else { return };
    let ballast = Path::new(&disk).join("ballast");
    let server = block_in_place(RunningServer::start_blocking);
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mailbox = api.identity("help").await;
    let receiver = Receiver::start().await;
    api.subscribe(&mailbox, &receiver.url("/in"), &["message.received"]).await;

    // Requests that are out when the disk fills up: their ends must be kept until they can be written.
    receiver.hold();
    let mut accepted = BTreeSet::new();
    for n in 0..4 {
        accepted.insert(api.publish(&mailbox, "message.received", &format!("early {n}")).await);
    }
    receiver.arrived(4).await;
    block_in_place(|| fill(&ballast));
    let (more, refusal) = publish_until_refused(&api, &mailbox, "late").await;
    accepted.extend(more);
    assert_eq!(refusal, json!({"detail": "the server's disk is full"}));
    receiver.release();

    let (status, ready) = api.ask("GET", "/readyz", &[], None).await.expect("an answer");
    assert_eq!((status, &ready["reasons"]), (503, &json!(["the disk is full"])));
    let listed = api.must(200, "GET", "/api/v1/events?limit=200", None).await;
    assert_eq!(listed["events"].as_array().expect("a list").len(), accepted.len().min(200));
    api.must(200, "GET", "/healthz", None).await;
    let (again, _) = publish_until_refused(&api, &mailbox, "still").await;
    assert!(again.is_empty(), "still full");

    std::fs::remove_file(&ballast).expect("room again");
    loop {
        let (status, _) = api.ask("GET", "/readyz", &[], None).await.expect("an answer");
        if status == 200 {
            break;
        }
    }
    accepted.insert(api.publish(&mailbox, "message.received", "after").await);
    let states = async || {
        let listed = api.must(200, "GET", "/api/v1/events?limit=200", None).await;
        let events = listed["events"].as_array().expect("a list").clone();
        events
            .iter()
            .map(|event| event["deliveries"][0]["state"].as_str().unwrap_or("none").to_owned())
            .collect::<Vec<_>>()
    };
    let mut ended = Vec::new();
    block_in_place(|| {
        wait_for("every delivery's end", || {
            ended = tokio::runtime::Handle::current().block_on(states());
            ended.iter().all(|state| state == "succeeded").then_some(())
        });
    });
    let arrived: Vec<String> =
        receiver.received().iter().map(|one| one.json()["id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(arrived.iter().cloned().collect::<BTreeSet<_>>(), accepted, "each of them, and nothing else");
    assert_eq!(arrived.len(), accepted.len(), "and once: no end was lost");
}

//! Stopping: at the deadline, at once when told twice, and at once when idle; what was cut off is on record
//! and made again.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufStream};
use tokio::net::TcpStream;
use tokio::task::block_in_place;

use crate::support::Receiver;
use crate::support::ask::Api;
use crate::support::running::{RunningServer, wait_for};
use crate::support::time::{now, until};

/// A deadline for stopping that a test can wait for.
const DEADLINE: [(&str, &str); 1] = [("INKHOOK_SERVER__SHUTDOWN_TIMEOUT_S", "2")];
/// One that nobody waits for.
const FAR_DEADLINE: [(&str, &str); 1] = [("INKHOOK_SERVER__SHUTDOWN_TIMEOUT_S", "600")];
/// What a busy machine may add.
const SLACK: Duration = Duration::from_secs(2);
const AT_ONCE: Duration = Duration::from_secs(1);
/// For how long mail's last words may be under way.
const MAIL_LINGER: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

fn api(server: &RunningServer) -> Api {
    Api { address: server.api, key: server.admin_key.clone() }
}

/// A server with one delivery at a receiver that does not answer; the event's id.
async fn hanging(settings: &[(&str, &str)]) -> (RunningServer, Receiver, String) {
    let server = block_in_place(|| RunningServer::start_with(settings));
    let receiver = Receiver::start().await;
    receiver.hold();
    let mailbox = api(&server).identity("help").await;
    api(&server).subscribe(&mailbox, &receiver.url("/in"), &["message.received"]).await;
    let event = api(&server).publish(&mailbox, "message.received", "hi").await;
    receiver.arrived(1).await;
    (server, receiver, event)
}

async fn attempts(server: &RunningServer) -> Vec<Value> {
    let log = api(server).must(200, "GET", "/api/v1/webhooks/deliveries", None).await;
    log["deliveries"].as_array().expect("a list").clone()
}

/// After the next start: the attempt is on record as unknown, and what follows says that it may be a repeat.
async fn is_made_again(server: &mut RunningServer, receiver: &Receiver, event: &str) {
    receiver.release();
    block_in_place(|| server.restart());
    let received = receiver.arrived(2).await;
    let [first, second] = &received[..] else { panic!("one repeat: {received:?}") };
    assert_eq!(first.header("x-inkbox-request-id"), second.header("x-inkbox-request-id"));
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("inkhook-possible-duplicate"), None);
    assert_eq!(second.header("inkhook-possible-duplicate"), Some("true"));
    assert_eq!(second.header("inkhook-attempt"), Some("2"));
    let path = format!("/api/v1/events/{event}");
    let delivery = until("the delivery's end", PATIENCE, async || {
        let event = api(server).must(200, "GET", &path, None).await;
        let delivery = event["deliveries"][0].clone();
        (delivery["state"] == "succeeded").then_some(delivery)
    })
    .await;
    assert_eq!(delivery["attempts"], 2);
    let log = attempts(server).await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!((&log[0]["attempt"], &log[0]["response_status"]), (&2.into(), &200.into()));
    assert_eq!((&log[1]["attempt"], &log[1]["response_status"]), (&1.into(), &Value::Null));
    let error = log[1]["error_detail"].as_str().expect("a sentence");
    assert!(error.starts_with("outcome unknown"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_holds_up_a_stop_until_its_deadline() {
    let (mut server, receiver, event) = hanging(&DEADLINE).await;
    let began = now();
    server.terminate();
    let status = block_in_place(|| server.wait_exit());
    let took = now() - began;
    assert!(status.success(), "{status}");
    assert!((Duration::from_secs(2)..Duration::from_secs(2) + SLACK).contains(&took), "{took:?}");
    assert!(server.log().contains("cut off"), "it says so: {}", server.log());
    let number = |sql: &str| block_in_place(|| server.books().column::<i64>(sql));
    let leased = number("SELECT count(*) FROM queue WHERE boot IS NOT NULL");
    assert_eq!(leased, [0], "the lease was released, not left to end");
    let logged = number("SELECT outcome FROM attempts");
    assert_eq!(logged, [3], "and the attempt is on record as unknown already");
    is_made_again(&mut server, &receiver, &event).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_wait_at_once() {
    let (mut server, receiver, event) = hanging(&FAR_DEADLINE).await;
    server.terminate();
    block_in_place(|| wait_for("the stop to begin", || server.log().contains("stopping").then_some(())));
    let began = now();
    server.terminate();
    let status = block_in_place(|| server.wait_exit());
    let took = now() - began;
    assert!(status.success(), "{status}");
    assert!(took < AT_ONCE, "{took:?}");
    is_made_again(&mut server, &receiver, &event).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_in_time_is_not_cut_off() {
    let (mut server, receiver, event) = hanging(&FAR_DEADLINE).await;
    server.terminate();
    block_in_place(|| wait_for("the stop to begin", || server.log().contains("stopping").then_some(())));
    receiver.release();
    let status = block_in_place(|| server.wait_exit());
    assert!(status.success(), "{status}");
    block_in_place(|| server.restart());
    let path = format!("/api/v1/events/{event}");
    let event = api(&server).must(200, "GET", &path, None).await;
    assert_eq!(event["deliveries"][0]["state"], "succeeded");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_stops_at_once_though_somebody_is_connected() {
    let mut server = block_in_place(RunningServer::start_blocking);
    let idle = TcpStream::connect(server.api).await.expect("it listens");
    api(&server).must(200, "GET", "/api/v1/whoami", None).await;
    let began = now();
    server.terminate();
    let status = block_in_place(|| server.wait_exit());
    let took = now() - began;
    assert!(status.success(), "{status}");
    assert!(took < AT_ONCE, "{took:?}");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_client_that_is_connected_is_told_and_does_not_hold_up_a_stop() {
    let mut server = block_in_place(|| RunningServer::start_with(&FAR_DEADLINE));
    let mut client = BufStream::new(TcpStream::connect(server.smtp).await.expect("it listens"));
    let mut line = String::new();
    client.read_line(&mut line).await.expect("a greeting");
    assert!(line.starts_with("220 "), "{line}");
    let began = now();
    server.terminate();
    line.clear();
    client.read_line(&mut line).await.expect("a farewell");
    assert!(line.starts_with("421 "), "{line}");
    // It stays connected all the same.
    let status = block_in_place(|| server.wait_exit());
    let took = now() - began;
    assert!(status.success(), "{status}");
    assert!(took < MAIL_LINGER + SLACK, "{took:?}");
}

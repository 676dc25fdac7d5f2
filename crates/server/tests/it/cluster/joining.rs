//! Nodes that come and go, and whom the others share the bounds with meanwhile.

use inkhook_server::store::nodes::GONE_AFTER;
use tokio::net::TcpStream;
use tokio::task::block_in_place;

use super::world::is_there_a_server;
use crate::support::ask::{Api, Mailbox};
use crate::support::running::RunningServer;
use crate::support::time::{now, until};
use crate::support::{PATIENCE, Receiver};

/// The server's time, as an expression.
const SERVER_TIME: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
const SEEN: &str = "SELECT seen_ms FROM nodes";

/// A server, the receiver that a mailbox's mails go to, and the mailbox; nothing where the tests have no database
/// server.
async fn set_up() -> Option<(RunningServer, Receiver, Mailbox)> {
    if !is_there_a_server() {
        return None;
    }
    let server = block_in_place(|| RunningServer::start_with(&[]));
    let receiver = Receiver::start().await;
    let mailbox = api(&server).identity("help").await;
    api(&server).subscribe(&mailbox, &receiver.url("/"), &["message.received"]).await;
    Some((server, receiver, mailbox))
}

fn api(server: &RunningServer) -> Api {
    Api { address: server.api, key: server.admin_key.clone() }
}

fn stop(server: &mut RunningServer) {
    server.terminate();
    assert!(block_in_place(|| server.wait_exit()).success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_claimed_until_the_others_go_by_what_they_have_counted() {
    let Some((mut server, receiver, mailbox)) = set_up().await else { return };
    stop(&mut server);
    // One that was there when the server came, counts once more, and is never heard of again.
    server.books().run(&format!(
        "INSERT INTO nodes (boot, name, version, started_ms, seen_ms) VALUES (7, 'other', '0', 0, {SERVER_TIME})"
    ));
    block_in_place(|| server.restart());
    let counted = now();
    server.books().run(&format!("UPDATE nodes SET seen_ms = {SERVER_TIME} WHERE boot = 7"));
    api(&server).publish(&mailbox, "message.received", "hello").await;
    let came = receiver.arrived(1).await[0].at;
    assert!(came - counted >= GONE_AFTER, "claimed {:?} after the other's last sign", came - counted);
    stop(&mut server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_counts_until_its_last_attempt_has_ended() {
    let Some((mut server, receiver, mailbox)) = set_up().await else { return };
    receiver.hold();
    api(&server).publish(&mailbox, "message.received", "hello").await;
    receiver.arrived(1).await;
    server.terminate();
    until("the stop to begin", PATIENCE, async || TcpStream::connect(server.api).await.err()).await;
    let before: Vec<i64> = server.books().column(SEEN);
    until("it to say that it is there", PATIENCE, async || {
        let after: Vec<i64> = server.books().column(SEEN);
        assert_eq!(after.len(), 1, "its attempt is under way");
        (after > before).then_some(())
    })
    .await;
    receiver.release();
    assert!(block_in_place(|| server.wait_exit()).success());
    assert!(server.books().column::<i64>(SEEN).is_empty(), "and it said that it has gone");
}

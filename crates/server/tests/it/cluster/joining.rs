//! Nodes that come and go, and whom the others share the bounds with meanwhile.

use inkhook_server::store::nodes::GONE_AFTER;
use tokio::net::TcpStream;
use tokio::task::block_in_place;

use super::world::is_there_a_server;
use crate::support::ask::Api;
use crate::support::running::RunningServer;
use crate::support::time::{now, until};
use crate::support::{PATIENCE, Receiver};

/// The server's time, as an expression.
const SERVER_TIME: &str = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)";
const LIVE: &str = "SELECT CAST(count(*) AS BIGINT) FROM nodes";

async fn server_and_receiver() -> (RunningServer, Receiver, Api) {
    let server = block_in_place(|| RunningServer::start_with(&[]));
    let api = Api { address: server.api, key: server.admin_key.clone() };
    (server, Receiver::start().await, api)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_claimed_until_the_others_go_by_what_they_have_counted() {
    if !is_there_a_server() {
        return;
    }
    let (mut server, receiver, api) = server_and_receiver().await;
    let mailbox = api.identity("help").await;
    api.subscribe(&mailbox, &receiver.url("/"), &["message.received"]).await;
    server.terminate();
    assert!(block_in_place(|| server.wait_exit()).success());
    // One that was there when the server came, counts once more, and is never heard of again.
    server.books().run(&format!(
        "INSERT INTO nodes (boot, name, version, started_ms, seen_ms) VALUES (7, 'other', '0', 0, {SERVER_TIME})"
    ));
    block_in_place(|| server.restart());
    let counted = now();
    server.books().run(&format!("UPDATE nodes SET seen_ms = {SERVER_TIME} WHERE boot = 7"));
    let api = Api { address: server.api, ..api };
    api.publish(&mailbox, "message.received", "hello").await;
    let came = receiver.arrived(1).await[0].at;
    assert!(came - counted >= GONE_AFTER, "claimed {:?} after the other's last sign", came - counted);
    server.terminate();
    assert!(block_in_place(|| server.wait_exit()).success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_counts_until_its_last_attempt_has_ended() {
    if !is_there_a_server() {
        return;
    }
    let (mut server, receiver, api) = server_and_receiver().await;
    let mailbox = api.identity("help").await;
    api.subscribe(&mailbox, &receiver.url("/"), &["message.received"]).await;
    receiver.hold();
    api.publish(&mailbox, "message.received", "hello").await;
    receiver.arrived(1).await;
    server.terminate();
    until("the stop to begin", PATIENCE, async || TcpStream::connect(server.api).await.err()).await;
    let seen = "SELECT seen_ms FROM nodes";
    let before: Vec<i64> = server.books().column(seen);
    until("it to say that it is there", PATIENCE, async || {
        let after: Vec<i64> = server.books().column(seen);
        assert_eq!(after.len(), 1, "its attempt is under way");
        (after > before).then_some(())
    })
    .await;
    receiver.release();
    assert!(block_in_place(|| server.wait_exit()).success());
    assert_eq!(server.books().column::<i64>(LIVE), [0], "and it said that it has gone");
}

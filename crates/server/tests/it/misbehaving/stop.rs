//! Stopping while receivers hang.

use std::time::Duration;

use inkhook_bench::receive::{Receiver, ReceiverOptions};
use tokio::task::block_in_place;

use super::SLACK;
use crate::support::ask::Api;
use crate::support::running::RunningServer;
use crate::support::time::now;

/// The deadline of a stop, in seconds.
const DEADLINE_S: u64 = 2;
/// URLs that hang: five mailboxes with as many subscriptions as a mailbox can have.
const MAILBOXES: usize = 5;
const SUBSCRIPTIONS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// Svix: 92 s after SIGTERM, with one receiver whose body drips.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_beside_a_hundred_hanging_receivers_ends_by_its_deadline() {
    let settings = [("INKHOOK_SERVER__SHUTDOWN_TIMEOUT_S", &*DEADLINE_S.to_string())];
    let mut server = block_in_place(|| RunningServer::start_with(&settings));
    let receiver = Receiver::start(ReceiverOptions::default()).expect("a free port");
    let api = Api { address: server.api, key: server.admin_key.clone() };
    for number in 0..MAILBOXES {
        let mailbox = api.identity(&format!("agent-{number}")).await;
        for subscription in 0..SUBSCRIPTIONS {
            let url = receiver.url(&format!("/hang/{number}/{subscription}"));
            api.subscribe(&mailbox, &url, &["message.received"]).await;
        }
        api.publish(&mailbox, "message.received", "hi").await;
    }
    let all = (MAILBOXES * SUBSCRIPTIONS) as u64;
    assert_eq!(block_in_place(|| receiver.wait("hang", all, PATIENCE)), all, "all of them hang at once");
    let began = now();
    server.terminate();
    let status = block_in_place(|| server.wait_exit());
    let took = now() - began;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(DEADLINE_S) + SLACK, "{took:?}");
}

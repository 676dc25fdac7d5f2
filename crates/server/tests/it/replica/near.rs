//! How old an answer may be, and what is never old.

use std::time::Duration;

use tokio::task::block_in_place;

use super::world::{EVENTS, PATIENCE, Reads, World};
use crate::support::ask::Api;
use crate::support::books::Books;
use crate::support::running::RunningServer;
use crate::support::time::{now, pass, until};

const DELIVERIES: &str = "/api/v1/webhooks/deliveries";
/// Further behind than anything in a test.
const NEVER_MS: u64 = 60_000;

/// The standby stands still, so that what it shows is told from what the primary has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_charts_come_from_the_replica_and_nothing_is_missing() {
    let Some(mut world) = World::start(NEVER_MS, false).await else { return };
    world.is_used(true).await;
    let old = world.deliver("old").await;
    let only_old = [old.clone()];
    world.has_caught_up(&old).await;
    until("the replica to have its attempt", PATIENCE, async || {
        (world.attempts_in_chart().await == 1 && world.list(DELIVERIES).await.len() == 1).then_some(())
    })
    .await;
    block_in_place(|| world.pair.standby().ask("SELECT pg_wal_replay_pause()")).expect("it pauses");
    let new = world.deliver("new").await;

    let before = world.reads().await;
    assert_eq!(world.list(EVENTS).await, only_old, "as the replica has it");
    assert_eq!(world.list(DELIVERIES).await.len(), 1);
    assert_eq!(world.attempts_in_chart().await, 1);
    world.api.must(200, "GET", &format!("{EVENTS}/{old}"), None).await;
    let after = world.reads().await;
    assert_eq!(after, Reads { replica: before.replica + 4, ..before }, "and nobody else was asked");

    let shown = world.api.must(200, "GET", &format!("{EVENTS}/{new}"), None).await;
    assert_eq!(shown["deliveries"][0]["state"], "succeeded", "what is not there yet is found");
    assert_eq!(world.list(&format!("{EVENTS}?before={new}")).await, only_old, "and what comes before it");
    assert_eq!(world.list(&format!("{EVENTS}?offset=1")).await, only_old, "an offset is the primary's");
    assert_eq!(world.list(&format!("{DELIVERIES}?offset=1")).await.len(), 1);
    assert!(world.list("/api/v1/organization/alerts").await.is_empty());

    // Who may ask, and for what, is never old.
    let subscription = format!("/api/v1/webhooks/subscriptions/{}", world.subscription);
    let made = world.api.subscribe(&world.mailbox, &world.receiver.url("/2"), &["message.received"]).await;
    let made = format!("/api/v1/webhooks/subscriptions/{}", made["id"].as_str().expect("an id"));
    world.api.must(200, "GET", &format!("{made}/stats"), None).await;
    world.api.must(204, "DELETE", &subscription, None).await;
    world.api.must(404, "GET", &format!("{subscription}/stats"), None).await;
    world.api.must(404, "GET", &subscription, None).await;

    block_in_place(|| world.pair.standby().ask("SELECT pg_wal_replay_resume()")).expect("it goes on");
    world.has_caught_up(&new).await;
    world.nothing_was_written_to_the_standby();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_older_than_the_bound() {
    const BOUND: Duration = Duration::from_millis(500);
    let Some(mut world) = World::start(500, false).await else { return };
    world.is_used(true).await;
    let old = world.deliver("old").await;
    world.has_caught_up(&old).await;
    for round in 1..=2 {
        block_in_place(|| world.pair.standby().ask("SELECT pg_wal_replay_pause()")).expect("it pauses");
        let new = world.api.publish(&world.mailbox, "message.received", "new").await;
        let accepted = now();
        loop {
            let asked = now();
            if world.list(EVENTS).await.contains(&new) {
                break;
            }
            assert!(asked - accepted <= BOUND, "asked {:?} later, and not there", asked - accepted);
        }
        world.is_used(false).await;
        assert!(world.lag_ms().await > 500);
        let before = world.reads().await;
        world.list(EVENTS).await;
        assert_eq!(world.reads().await, Reads { primary: before.primary + 1, ..before });
        block_in_place(|| world.pair.standby().ask("SELECT pg_wal_replay_resume()")).expect("it goes on");
        world.is_used(true).await;
        // However busy the machine is: at least once for each time, and not at every look.
        let (behind, used) = (world.said("too far behind"), world.said("lists are read from the replica"));
        assert!(behind >= round && used > round && used <= behind + 1, "{}", world.server.log());
    }
    // An idle primary is no lag.
    let before = world.reads().await;
    pass(2 * BOUND).await;
    world.is_used(true).await;
    world.list(EVENTS).await;
    assert!(world.reads().await.replica > before.replica);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_writes_itself_is_not_read_as_a_replica() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let books = Books::for_store_in(directory.path());
    let Some(url) = books.url() else {
        return println!("skipped: a replica needs a database server; INKHOOK_TEST_STORE=postgres has one");
    };
    let settings = [("INKHOOK_DATABASE__REPLICA_URL", url.as_str())];
    let server = block_in_place(|| RunningServer::start_on(books, &settings));
    let api = Api { address: server.api, key: server.admin_key.clone() };
    let mailbox = api.identity("help").await;
    until("it to be said", PATIENCE, async || server.log().contains("takes writes itself").then_some(()))
        .await;
    let event = api.publish(&mailbox, "message.received", "hello").await;
    let listed = api.must(200, "GET", EVENTS, None).await;
    assert!(listed.to_string().contains(&event), "{listed}");
}

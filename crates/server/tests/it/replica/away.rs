//! Whatever becomes of the replica, every list is answered.

use std::time::Duration;

use tokio::task::block_in_place;

use super::world::{EVENTS, PATIENCE, World, freeze, let_go};
use crate::support::books::Books;
use crate::support::time::{now, pass, until};

/// How long a list may take while the replica is being found out.
const AT_ONCE: Duration = Duration::from_secs(3);
/// Every change is a commit, and cleans up what those before it left.
const CHURN: &str =
    "DO $$ BEGIN FOR i IN 1..2000 LOOP UPDATE churn SET n = churn.n + 1; COMMIT; END LOOP; END $$";
const CONFLICTS: &str = "SELECT confl_snapshot FROM pg_stat_database_conflicts WHERE datname = 'inkhook'";
/// Clients that list without a pause.
const CLIENTS: usize = 4;

impl World {
    /// Lists, without a pause, until it is over; the longest answer. Each must be a 200 that has this event.
    fn keep_listing(
        &self,
        event: &str,
    ) -> (tokio::sync::watch::Sender<bool>, Vec<tokio::task::JoinHandle<Duration>>) {
        let (over, until_over) = tokio::sync::watch::channel(false);
        let clients = (0..CLIENTS).map(|_| {
            let (api, over, event) = (self.api.clone(), until_over.clone(), event.to_owned());
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                while !*over.borrow() {
                    let began = now();
                    let listed = api.must(200, "GET", EVENTS, None).await;
                    longest = longest.max(now() - began);
                    assert!(listed.to_string().contains(&event), "{listed}");
                }
                longest
            })
        });
        let clients = clients.collect();
        (over, clients)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_killed_frozen_and_takes_the_primarys_place() {
    // Both URLs name both hosts, so each finds the one that it is for.
    let Some(mut world) = World::start(1_000, true).await else { return };
    world.is_used(true).await;
    let event = world.deliver("hello").await;
    world.has_caught_up(&event).await;
    let (over, clients) = world.keep_listing(&event);
    pass(Duration::from_millis(500)).await;

    block_in_place(|| world.pair.standby().kill()).expect("it is killed");
    world.is_used(false).await;
    assert!(world.said("the replica cannot be read") >= 1, "{}", world.server.log());
    block_in_place(|| world.pair.standby().restart()).expect("it starts");
    world.is_used(true).await;

    let frozen = block_in_place(|| freeze(world.pair.standby(), None));
    world.is_used(false).await;
    let before = world.reads().await;
    until("lists from the primary", PATIENCE, async || {
        (world.reads().await.primary > before.primary + 20).then_some(())
    })
    .await;
    block_in_place(|| freeze(world.pair.standby(), Some(frozen)));
    let thawed = now();
    world.is_used(true).await;
    // What was given up while it was frozen must not be in its way: it would wait for that, half a minute.
    assert!(now() - thawed < PATIENCE / 2, "it took {:?}", now() - thawed);

    over.send_replace(true);
    for client in clients {
        let longest = client.await.expect("every list was answered");
        assert!(longest < AT_ONCE, "one took {longest:?}");
    }
    world.nothing_was_written_to_the_standby();

    // What was the replica takes writes now, and what is made its standby is the replica.
    block_in_place(|| world.pair.fail_over()).expect("it is promoted");
    world.is_used(false).await;
    until("lists from the new primary", PATIENCE, async || {
        let listed = world.api.ask("GET", EVENTS, &[], None).await;
        matches!(listed, Ok((200, listed)) if listed.to_string().contains(&event)).then_some(())
    })
    .await;
    block_in_place(|| world.pair.rebuild()).expect("the other follows");
    let_go(&mut world.pair);
    world.is_used(true).await;
    let before = world.reads().await;
    // Each connection finds out at its next read.
    until("lists from the new replica", PATIENCE, async || {
        assert!(world.list(EVENTS).await.contains(&event));
        (world.reads().await.replica > before.replica).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_replica_cuts_off_is_asked_of_the_primary() {
    let Some(mut world) = World::start(10_000, false).await else { return };
    world.is_used(true).await;
    let event = world.deliver("hello").await;
    world.has_caught_up(&event).await;
    // Whoever reads what the primary has cleaned up since is cut off.
    world.pair.standby().set("max_standby_streaming_delay", "0").expect("it is set");
    let primary = Books::at(&world.pair.primary().url("inkhook"));
    block_in_place(|| primary.run("CREATE TABLE churn (n INT); INSERT INTO churn VALUES (0)"));
    let (over, clients) = world.keep_listing(&event);
    let before = world.reads().await;
    until("a read to be in the way", PATIENCE, async || {
        block_in_place(|| {
            primary.run(CHURN);
            let conflicts = world.pair.standby().ask(CONFLICTS).expect("it answers");
            (conflicts != "0").then_some(())
        })
    })
    .await;
    for kind in ["pg_cancel_backend", "pg_terminate_backend"] {
        for _ in 0..30 {
            let cut =
                format!("SELECT count({kind}(pid)) FROM pg_stat_activity WHERE application_name = 'inkhook'");
            block_in_place(|| world.pair.standby().ask(&cut)).expect("they are cut off");
        }
    }
    over.send_replace(true);
    for client in clients {
        let longest = client.await.expect("every list was answered");
        assert!(longest < AT_ONCE, "one took {longest:?}");
    }
    let after = world.reads().await;
    assert!(after.replica > before.replica && after.primary > before.primary, "{before:?} {after:?}");
}

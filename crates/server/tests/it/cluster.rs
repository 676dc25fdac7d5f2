//! Three nodes on one database, publishers that do not give up, and trouble: a node is killed, frozen past its
//! leases, cut off from the database or the receivers, its clock is wrong, the database dies, fails over or is full, or
//! the nodes are restarted one after the other. Each time nothing that was accepted is missing, what came twice was
//! under way without an answer and said that it might, and no first byte was written after the end of its lease.

mod clocks;
mod disk;
mod first_bytes;
mod joining;
mod link;
mod outage;
mod publishers;
mod random;
mod receivers;
mod route;
mod servers;
mod versions;
mod world;

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::block_in_place;

use self::link::Way;
use self::world::{CALM, Cluster, DRAIN, LEASE, NODES, SUBSCRIPTIONS};
use crate::support::ask::Api;
use crate::support::time::{now, pass, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_killed() {
    let Some(mut cluster) = Cluster::start("killed").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    cluster.kill(0);
    pass(CALM).await;
    cluster.restart(0, &publishers);
    pass(CALM).await;
    cluster.kill(1);
    pass(CALM).await;
    let accepted = publishers.stop().await;
    // Stays away: the others take over what it had when its leases end.
    let dead = cluster.nodes.remove(1);
    cluster.check(&accepted).await;
    drop(dead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_frozen_past_its_leases_and_goes_on() {
    let Some(mut cluster) = Cluster::start("frozen").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    cluster.freeze(0, LEASE + 2 * CALM).await;
    pass(CALM).await;
    let accepted = publishers.stop().await;
    let verdict = cluster.check(&accepted).await;
    assert!(verdict.excused <= 1, "one freeze, one first byte");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_cut_off_from_the_database() {
    let Some(cluster) = Cluster::start("cut off").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    cluster.ways[0].cut();
    pass(3 * CALM).await;
    cluster.is_ready_or_says(0, Some("database is not reachable")).await;
    cluster.ways[0].mend();
    cluster.is_ready_or_says(0, None).await;
    // All of them at once: nobody can accept anything.
    cluster.ways.iter().for_each(Way::cut);
    pass(2 * CALM).await;
    cluster.ways.iter().for_each(Way::mend);
    pass(2 * CALM).await;
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_hears_nothing_from_the_database() {
    let Some(cluster) = Cluster::start("silence").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    cluster.ways[1].silence();
    pass(LEASE + 6 * CALM).await;
    cluster.ways[1].mend();
    pass(CALM).await;
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_restarted_one_after_the_other() {
    let Some(mut cluster) = Cluster::start("rolling").await else { return };
    let publishers = cluster.publish();
    for place in 0..NODES {
        pass(CALM).await;
        cluster.roll(place, &publishers);
    }
    pass(CALM).await;
    let accepted = publishers.stop().await;
    let verdict = cluster.check(&accepted).await;
    assert_eq!((verdict.lost, verdict.taken_over), (0, 0), "a clean stop cuts nothing off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delete_means_stop_on_every_node() {
    /// What the promise leaves the other nodes.
    const LATEST: Duration = Duration::from_millis(250);
    let Some(cluster) = Cluster::start("delete").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    let mut deleted: Vec<(String, Instant)> = Vec::new();
    for (place, subscription) in cluster.subscriptions.iter().enumerate().skip(1) {
        let api = &cluster.apis()[place % NODES];
        api.must(204, "DELETE", &format!("/api/v1/webhooks/subscriptions/{subscription}"), None).await;
        deleted.push((format!("/{place}"), now()));
        pass(CALM).await;
    }
    let accepted = publishers.stop().await;
    assert!(!accepted.is_empty());
    for (path, at) in deleted {
        let late = cluster.receiver.arrivals_after(&path, at + LATEST);
        assert_eq!(late, 0, "requests came to {path} later than {LATEST:?} after its 204");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_deleted_while_the_way_was_made_is_not_sent() {
    /// Longer than a claim counts without being read again.
    const HELD: Duration = Duration::from_millis(400);
    let Some(cluster) = Cluster::start("held").await else { return };
    // Node 0 accepts and claims, and waits for its name server before it connects.
    cluster.routes.iter().for_each(|route| route.hold(true));
    let apis = cluster.apis();
    apis[0].publish(&cluster.mailbox, "message.received", "hello").await;
    let books = cluster.nodes[0].books();
    until("all to be claimed", DRAIN, async || {
        let leased = "SELECT count(*) FROM queue WHERE boot IS NOT NULL";
        let leased: Vec<i64> = block_in_place(|| books.column(leased));
        (leased == [i64::try_from(SUBSCRIPTIONS).expect("few")]).then_some(())
    })
    .await;
    pass(HELD).await;
    let deleted = &cluster.subscriptions[1];
    let path = format!("/api/v1/webhooks/subscriptions/{deleted}");
    apis[1].must(204, "DELETE", &path, None).await;
    assert_eq!(cluster.receiver.received().len(), 0, "nothing was sent so far");
    cluster.routes.iter().for_each(|route| route.hold(false));
    cluster.drains().await;
    let mut came: Vec<String> = cluster.receiver.received().into_iter().map(|one| one.path).collect();
    came.sort();
    assert_eq!(came, ["/0", "/2"], "the others get it, and get it once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_answers_and_another_delivers() {
    let Some(cluster) = Cluster::start("roles").await else { return };
    let answers = block_in_place(|| cluster.nodes[0].doing("api,smtp"));
    let delivers = block_in_place(|| cluster.nodes[0].doing("deliver"));
    // Nobody else is there.
    for mut node in cluster.nodes {
        node.terminate();
        assert!(block_in_place(|| node.wait_exit()).success());
    }
    let api = Api { address: answers.api, key: answers.admin_key.clone() };
    let event = api.publish(&cluster.mailbox, "message.received", "hello").await;
    let arrived = cluster.receiver.arrived(SUBSCRIPTIONS).await;
    assert!(arrived.iter().all(|received| received.json()["id"] == event.as_str()));
    let (status, answer) = api.ask("GET", "/readyz", &[], None).await.expect("it answers");
    assert_eq!(status, 200, "{answer}");
    let other = Api { address: delivers.api, ..api };
    assert_eq!(other.ask("GET", "/readyz", &[], None).await.expect("it answers").0, 200);
    assert_eq!(other.ask("GET", "/api/v1/events", &[], None).await.expect("it answers").0, 404);
    assert!(tokio::net::TcpStream::connect(delivers.smtp).await.is_err(), "and takes no mail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_ends_although_its_database_is_gone() {
    let Some(mut cluster) = Cluster::start("gone").await else { return };
    cluster.receiver.hold();
    let api = cluster.apis()[0].clone();
    api.publish(&cluster.mailbox, "message.received", "hello").await;
    cluster.receiver.arrived(SUBSCRIPTIONS).await;
    cluster.ways[0].cut();
    cluster.receiver.release();
    let began = now();
    cluster.nodes[0].terminate();
    block_in_place(|| cluster.nodes[0].wait_exit());
    assert!(now() - began < Duration::from_secs(30), "it waited for its database");
    let lost = cluster.nodes.remove(0);
    // The others take over what it could not record.
    cluster.drains().await;
    drop(lost);
}

/// The ids of what was published.
type Accepted = Vec<String>;

/// An answer's event.
fn event_of(answer: &Value) -> String {
    answer["id"].as_str().expect("an id").to_owned()
}

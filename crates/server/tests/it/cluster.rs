//! Three nodes on one database, publishers that do not give up, and trouble: a node is killed, frozen past its
//! leases, cut off from the database, or the nodes are restarted one after the other. Each time nothing that was
//! accepted is missing, and what came twice said that it might.

mod link;
mod publishers;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::block_in_place;

use self::link::Link;
use self::publishers::Publishers;
use crate::support::ask::{Api, Mailbox};
use crate::support::dice::Dice;
use crate::support::running::RunningServer;
use crate::support::time::{now, pass, until};
use crate::support::{Received, Receiver, invariants};

const NODES: usize = 3;
const PUBLISHERS: usize = 6;
const SUBSCRIPTIONS: usize = 3;
/// How long things go well before and after the trouble.
const CALM: Duration = Duration::from_secs(1);
/// How long everything may take to drain.
const DRAIN: Duration = Duration::from_mins(1);
/// An attempt's timeout, and the 5 s of a lease besides.
const LEASE: Duration = Duration::from_secs(6);
const SETTINGS: [(&str, &str); 4] = [
    ("INKHOOK_SERVER__SHUTDOWN_TIMEOUT_S", "5"),
    ("INKHOOK_DELIVERY__TIMEOUT_MS", "1000"),
    ("INKHOOK_DELIVERY__RETRY_SCHEDULE_S", "[1,1,2,2,4,4]"),
    ("INKHOOK_LIMITS__REQUESTS_PER_SECOND", "100000"),
];

struct Cluster {
    nodes: Vec<RunningServer>,
    /// Each node's way to the database.
    links: Vec<Link>,
    receiver: Receiver,
    mailbox: Mailbox,
    subscriptions: Vec<String>,
    dice: Dice,
}

impl Cluster {
    /// Nothing where the tests have no database server.
    async fn start(test: &str) -> Option<Self> {
        if std::env::var("INKHOOK_TEST_STORE").is_err() {
            println!("skipped: nodes need a database server; INKHOOK_TEST_STORE=postgres has one");
            return None;
        }
        let first = block_in_place(|| RunningServer::start_with(&SETTINGS));
        let url = first.books().url().expect("a server's tables");
        let receiver = Receiver::start().await;
        let api = Api { address: first.api, key: first.admin_key.clone() };
        let mailbox = api.identity("help").await;
        let mut subscriptions = Vec::new();
        for place in 0..SUBSCRIPTIONS {
            let url = receiver.url(&format!("/{place}"));
            let made = api.subscribe(&mailbox, &url, &["message.received"]).await;
            subscriptions.push(made["id"].as_str().expect("an id").to_owned());
        }
        let (mut nodes, mut links) = (Vec::new(), Vec::new());
        for _ in 0..NODES {
            let link = Link::start(&url).await;
            nodes.push(block_in_place(|| first.beside(link.url())));
            links.push(link);
        }
        // Made the tables and the subscriptions, and is not needed any more.
        first.terminate();
        let mut first = first;
        assert!(block_in_place(|| first.wait_exit()).success());
        Some(Self { nodes, links, receiver, mailbox, subscriptions, dice: Dice::new(test) })
    }

    fn apis(&self) -> Vec<Api> {
        self.nodes.iter().map(|node| Api { address: node.api, key: node.admin_key.clone() }).collect()
    }

    fn publish(&self) -> Publishers {
        Publishers::start(self.apis(), &self.mailbox, &self.dice, PUBLISHERS)
    }

    /// Waits until every event has come to every subscription, and looks whether all is as it must be.
    async fn check(mut self, accepted: &[String]) -> HashMap<(String, String), usize> {
        assert!(accepted.len() > 50, "only {} events were accepted", accepted.len());
        let books = self.nodes[0].books();
        until("the queue to drain", DRAIN, async || {
            let queued: Vec<i64> = block_in_place(|| books.column("SELECT count(*) FROM queue"));
            (queued == [0]).then_some(())
        })
        .await;
        let mut arrivals: HashMap<(String, String), Vec<Received>> = HashMap::new();
        for received in self.receiver.received() {
            let event = received.json()["id"].as_str().expect("an id").to_owned();
            arrivals.entry((event, received.path.clone())).or_default().push(received);
        }
        for event in accepted {
            for place in 0..SUBSCRIPTIONS {
                let came = arrivals.contains_key(&(event.clone(), format!("/{place}")));
                assert!(came, "{event} never came to /{place}");
            }
        }
        for ((event, path), came) in &arrivals {
            assert!(accepted.contains(event), "{event} came to {path} and was never accepted");
            let later = came.iter().skip(1);
            let said =
                later.filter(|again| again.header("inkhook-possible-duplicate") == Some("true")).count();
            assert_eq!(
                said,
                came.len() - 1,
                "{event} came to {path} {} times, and did not say so",
                came.len()
            );
        }
        let nodes = self.nodes.iter_mut();
        for node in nodes {
            node.terminate();
            assert!(block_in_place(|| node.wait_exit()).success(), "a clean stop: {}", node.log());
        }
        let books = self.nodes[0].books();
        assert_eq!(block_in_place(|| invariants::breach(books)), None);
        assert_eq!(block_in_place(|| invariants::left_over(books)), None);
        let repairs: Vec<String> = self
            .nodes
            .iter()
            .map(RunningServer::log)
            .filter(|log| log.contains("has been put right"))
            .collect();
        assert!(repairs.is_empty(), "a queue head was too late: {repairs:#?}");
        arrivals.into_iter().map(|(key, came)| (key, came.len())).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_killed() {
    let Some(mut cluster) = Cluster::start("killed").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    block_in_place(|| cluster.nodes[0].kill());
    pass(CALM).await;
    block_in_place(|| cluster.nodes[0].restart());
    publishers.reach(0, cluster.nodes[0].api);
    pass(CALM).await;
    block_in_place(|| cluster.nodes[1].kill());
    pass(CALM).await;
    let accepted = publishers.stop().await;
    // Stays away: the others take over what it had when its leases end.
    let dead = cluster.nodes.remove(1);
    cluster.check(&accepted).await;
    drop(dead);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_frozen_past_its_leases_and_goes_on() {
    let Some(cluster) = Cluster::start("frozen").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    cluster.nodes[0].freeze(true);
    pass(LEASE + 2 * CALM).await;
    cluster.nodes[0].freeze(false);
    pass(CALM).await;
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_cut_off_from_the_database() {
    let Some(cluster) = Cluster::start("cut off").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    cluster.links[0].cut();
    pass(3 * CALM).await;
    let cut_off = &cluster.apis()[0];
    let (status, answer) = cut_off.ask("GET", "/readyz", &[], None).await.expect("it answers");
    assert_eq!(status, 503, "{answer}");
    assert!(answer.to_string().contains("database is not reachable"), "{answer}");
    cluster.links[0].mend();
    until("the node to be ready again", DRAIN, async || {
        let ready = cut_off.ask("GET", "/readyz", &[], None).await;
        matches!(ready, Ok((200, _))).then_some(())
    })
    .await;
    // All of them at once: nobody can accept anything.
    cluster.links.iter().for_each(Link::cut);
    pass(2 * CALM).await;
    cluster.links.iter().for_each(Link::mend);
    pass(2 * CALM).await;
    let accepted = publishers.stop().await;
    cluster.check(&accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_hears_nothing_from_the_database() {
    let Some(cluster) = Cluster::start("silence").await else { return };
    let publishers = cluster.publish();
    pass(CALM).await;
    cluster.links[1].silence();
    pass(LEASE + 6 * CALM).await;
    cluster.links[1].mend();
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
        let node = &mut cluster.nodes[place];
        node.terminate();
        assert!(block_in_place(|| node.wait_exit()).success());
        block_in_place(|| node.restart());
        publishers.reach(place, cluster.nodes[place].api);
    }
    pass(CALM).await;
    let accepted = publishers.stop().await;
    let arrivals = cluster.check(&accepted).await;
    assert!(arrivals.values().all(|times| *times == 1), "a clean stop repeats nothing");
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
    cluster.links[0].cut();
    cluster.receiver.release();
    let began = now();
    cluster.nodes[0].terminate();
    block_in_place(|| cluster.nodes[0].wait_exit());
    assert!(now() - began < DRAIN / 2, "it waited for its database");
    let lost = cluster.nodes.remove(0);
    // The others take over what it could not record.
    until("the queue to drain", DRAIN, async || {
        let books = cluster.nodes[0].books();
        let queued: Vec<i64> = block_in_place(|| books.column("SELECT count(*) FROM queue"));
        (queued == [0]).then_some(())
    })
    .await;
    drop(lost);
}

/// The ids of what was published.
type Accepted = Vec<String>;

/// An answer's event.
fn event_of(answer: &Value) -> String {
    answer["id"].as_str().expect("an id").to_owned()
}

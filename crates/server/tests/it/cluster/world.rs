//! Three nodes, what they stand on, and the checker.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use inkhook_bench::postgres::{Options, Pair};
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::disk::Disk;
use super::first_bytes;
use super::link::Way;
use super::publishers::{Publishers, SOME};
use super::route::{self, Route};
use crate::support::ask::{Api, Mailbox};
use crate::support::books::Books;
use crate::support::dice::Dice;
use crate::support::running::RunningServer;
use crate::support::time::{now, pass, until};
use crate::support::{Received, Receiver, invariants};

pub(super) const NODES: usize = 3;
const PUBLISHERS: usize = 6;
pub(super) const SUBSCRIPTIONS: usize = 3;
/// How long things go well before and after the trouble.
pub(super) const CALM: Duration = Duration::from_secs(1);
/// How long everything may take to drain.
pub(super) const DRAIN: Duration = Duration::from_mins(3);
/// An attempt's timeout, and the 5 s of a lease besides.
pub(super) const LEASE: Duration = Duration::from_secs(7);
/// First bytes that a process can have written and not noted when it is killed: it has so many threads.
const NOT_NOTED: usize = 8;
pub(super) const SETTINGS: [(&str, &str); 4] = [
    ("INKHOOK_SERVER__SHUTDOWN_TIMEOUT_S", "5"),
    ("INKHOOK_DELIVERY__TIMEOUT_MS", "2000"),
    ("INKHOOK_DELIVERY__RETRY_SCHEDULE_S", "[1,1,2,2,4,4]"),
    ("INKHOOK_LIMITS__REQUESTS_PER_SECOND", "100000"),
];

/// What became of something that was accepted.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Attempts on record as having got lost.
    pub(super) lost: i64,
    /// Events that came again to a path although each attempt had its answer: one node took over what another had.
    pub(super) taken_over: usize,
    /// Freezes that made a first byte late.
    pub(super) excused: usize,
}

/// Database servers of a test's own. They are gone before their directory.
struct Servers {
    pair: Pair,
    disk: Disk,
    _ground: TempDir,
}

/// See the module.
pub(super) struct Cluster {
    pub(super) nodes: Vec<RunningServer>,
    /// Each node's way to the database.
    pub(super) ways: Vec<Way>,
    /// Each node's way to the receiver.
    pub(super) routes: Vec<Route>,
    pub(super) receiver: Receiver,
    pub(super) mailbox: Mailbox,
    pub(super) subscriptions: Vec<String>,
    pub(super) dice: Dice,
    /// The test's own database servers, if it has some.
    servers: Option<Servers>,
    /// Where each node is told things that no setting tells.
    told: Vec<TempDir>,
    freezes: Vec<(usize, Duration)>,
    kills: usize,
}

impl Cluster {
    /// On the tests' server; nothing where they have none.
    pub(super) async fn start(test: &str) -> Option<Self> {
        is_there_a_server().then_some(())?;
        let first = block_in_place(|| RunningServer::start_with(&SETTINGS));
        Some(Self::around(first, None, test).await)
    }

    /// On two servers of its own, one of which follows the other.
    pub(super) async fn on_a_pair(test: &str) -> Option<Self> {
        is_there_a_server().then_some(())?;
        let ground = ground();
        let disk = Disk::new(ground.path());
        let options = Options {
            fsync: true,
            environment: disk.environment(),
            ..Options::new(ground.path().join("pair"))
        };
        let mut pair = block_in_place(|| Pair::start(&options)).expect("two servers");
        pair.primary().ask("CREATE DATABASE inkhook").expect("it is made");
        let books = Books::at(&pair.url("inkhook"));
        let first = block_in_place(|| RunningServer::start_on(books, &SETTINGS));
        Some(Self::around(first, Some(Servers { pair, disk, _ground: ground }), test).await)
    }

    /// `first` makes the tables and the subscriptions, and is not needed any more.
    async fn around(mut first: RunningServer, servers: Option<Servers>, test: &str) -> Self {
        let url = first.books().url().expect("a server's tables");
        let dice = Dice::new(test);
        let receiver = Receiver::start().await;
        let api = Api { address: first.api, key: first.admin_key.clone() };
        let mailbox = api.identity("help").await;
        let mut subscriptions = Vec::new();
        for place in 0..SUBSCRIPTIONS {
            let url = format!("http://{}:{}/{place}", route::NAME, receiver.address().port());
            let made = api.subscribe(&mailbox, &url, &["message.received"]).await;
            subscriptions.push(made["id"].as_str().expect("an id").to_owned());
        }
        let (mut nodes, mut ways, mut routes, mut told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..NODES {
            let (way, route) = (Way::start(&url).await, Route::start(receiver.address(), &dice).await);
            let tell = tempfile::tempdir().expect("a temporary directory");
            std::fs::write(tell.path().join("first_bytes"), "").expect("it is written");
            let names = format!("[\"{}\"]", route.names);
            let directory = tell.path().to_str().expect("UTF-8");
            let more = [("INKHOOK_EGRESS__NAMESERVERS", names.as_str()), ("FAILPOINTS", directory)];
            nodes.push(block_in_place(|| first.beside_with(way.url(), &more)));
            ways.push(way);
            routes.push(route);
            told.push(tell);
        }
        first.terminate();
        assert!(block_in_place(|| first.wait_exit()).success());
        Self {
            nodes,
            ways,
            routes,
            receiver,
            mailbox,
            subscriptions,
            dice,
            servers,
            told,
            freezes: Vec::new(),
            kills: 0,
        }
    }

    /// The test's own database servers.
    pub(super) fn pair(&mut self) -> &mut Pair {
        &mut self.servers.as_mut().expect("a test with a pair").pair
    }

    /// Their disk.
    pub(super) fn disk(&self) -> &Disk {
        &self.servers.as_ref().expect("a test with a pair").disk
    }

    pub(super) fn apis(&self) -> Vec<Api> {
        self.nodes.iter().map(|node| Api { address: node.api, key: node.admin_key.clone() }).collect()
    }

    pub(super) fn publish(&self) -> Publishers {
        Publishers::start(self.apis(), &self.mailbox, &self.dice, PUBLISHERS)
    }

    /// Kills a node. It starts again with [`Cluster::restart`].
    pub(super) fn kill(&mut self, node: usize) {
        block_in_place(|| self.nodes[node].kill());
        self.kills += 1;
    }

    pub(super) fn restart(&mut self, node: usize, publishers: &Publishers) {
        block_in_place(|| self.nodes[node].restart());
        publishers.reach(node, self.nodes[node].api);
    }

    /// A node ends as it should, and starts again.
    pub(super) fn roll(&mut self, node: usize, publishers: &Publishers) {
        self.nodes[node].terminate();
        assert!(block_in_place(|| self.nodes[node].wait_exit()).success(), "{}", self.nodes[node].log());
        self.restart(node, publishers);
    }

    /// Stops a node where it is for so long.
    pub(super) async fn freeze(&mut self, node: usize, time: Duration) {
        self.nodes[node].freeze(true);
        // What it cannot have been frozen for less than, whoever was asked to wait.
        let began = now();
        pass(time).await;
        let frozen = now() - began;
        self.nodes[node].freeze(false);
        self.freezes.push((node, frozen));
    }

    /// From now on a node's clock is ahead by so much. What it is then the node finds out a moment later.
    pub(super) fn skew(&self, node: usize, ahead_ms: i64) {
        let directory = self.told[node].path();
        let unfinished = directory.join("unfinished");
        std::fs::write(&unfinished, ahead_ms.to_string()).expect("it is written");
        std::fs::rename(unfinished, directory.join("clock_ms")).expect("it is renamed");
    }

    /// What a node answers when it is asked whether it is ready.
    pub(super) async fn readiness(&self, node: usize) -> Option<(u16, String)> {
        let asked = self.apis()[node].ask("GET", "/readyz", &[], None).await;
        asked.ok().map(|(status, answer)| (status, answer.to_string()))
    }

    /// Waits until a node is ready, or is not and says this.
    pub(super) async fn is_ready_or_says(&self, node: usize, wanted: Option<&str>) {
        let what =
            wanted.map_or_else(|| "the node to be ready".to_owned(), |why| format!("it to say: {why}"));
        until(&what, DRAIN, async || {
            let (status, answer) = self.readiness(node).await?;
            let is_so = wanted.map_or(status == 200, |why| status == 503 && answer.contains(why));
            is_so.then_some(())
        })
        .await;
    }

    /// All of them.
    pub(super) async fn all_are_ready(&self) {
        for node in 0..self.nodes.len() {
            self.is_ready_or_says(node, None).await;
        }
    }

    pub(super) async fn drains(&self) {
        let books = self.nodes[0].books();
        until("the queue to drain", DRAIN, async || {
            let queued: Vec<i64> = block_in_place(|| books.column("SELECT count(*) FROM queue"));
            (queued == [0]).then_some(())
        })
        .await;
    }

    /// Waits until every event has come to every subscription, and looks whether all is as it must be.
    pub(super) async fn check(mut self, accepted: &[String]) -> Verdict {
        assert!(accepted.len() > SOME, "only {} events were accepted", accepted.len());
        self.drains().await;
        for node in &mut self.nodes {
            node.terminate();
            assert!(block_in_place(|| node.wait_exit()).success(), "a clean stop: {}", node.log());
        }
        let (arrivals, taken_over) = self.check_arrivals(accepted);
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
        let excused = self.check_first_bytes(arrivals.values().sum());
        println!(
            "{} events, {} requests too many, {excused} of {} freezes made a first byte late",
            accepted.len(),
            arrivals.values().map(|came| came - 1).sum::<usize>(),
            self.freezes.len(),
        );
        let lost = "SELECT count(*) FROM attempts WHERE outcome = 3";
        let lost = block_in_place(|| self.nodes[0].books().column(lost)).remove(0);
        Verdict { lost, taken_over, excused }
    }

    /// Nothing that was accepted is missing, nothing came that was not, and what came more than once said so and was
    /// under way each time without an answer.
    fn check_arrivals(&self, accepted: &[String]) -> (HashMap<(String, String), usize>, usize) {
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
        let never = self.attempts("a.status IS NULL");
        // On record since the end of their lease, by a clock that may be 4 s apart from theirs.
        let never_or_late = self.attempts("a.status IS NULL OR a.created_ms - a.started_ms >= 2000");
        let mut taken_over = 0;
        for ((event, path), came) in &arrivals {
            assert!(accepted.contains(event), "{event} came to {path} and was never accepted");
            let again = came.len() - 1;
            let later = came.iter().skip(1);
            let said =
                later.filter(|again| again.header("inkhook-possible-duplicate") == Some("true")).count();
            assert_eq!(said, again, "{event} came to {path} {} times, and did not say so", came.len());
            let of = |attempts: &HashMap<_, usize>| attempts.get(&(event.clone(), path.clone())).copied();
            let lost = of(&never_or_late).unwrap_or(0);
            assert!(again <= lost, "{event} came to {path} {again} times too many, and {lost} had no answer");
            taken_over += usize::from(again > of(&never).unwrap_or(0));
        }
        (arrivals.into_iter().map(|(key, came)| (key, came.len())).collect(), taken_over)
    }

    /// How many attempts of each event for each path are like this.
    fn attempts(&self, like: &str) -> HashMap<(String, String), usize> {
        let books = self.nodes[0].books();
        let sql = format!(
            "SELECT encode(e.id, 'hex'), u.url, count(*) FROM attempts a
             JOIN events e ON e.seq = a.event_seq JOIN urls u ON u.no = a.url
             WHERE {like} GROUP BY e.id, u.url"
        );
        let rows = block_in_place(|| {
            books.read(&sql, |row| (row.get::<String>(0), row.get::<String>(1), row.get::<i64>(2)))
        });
        let key = |hex: &str, url: &str| {
            let id = uuid::Uuid::parse_str(hex).expect("an id");
            let path = url.rsplit_once('/').expect("a path").1;
            (format!("evt_{id}"), format!("/{path}"))
        };
        rows.iter().map(|(hex, url, count)| (key(hex, url), usize::try_from(*count).expect("few"))).collect()
    }

    /// No first byte was written after the end of its lease but by a freeze; how many were.
    fn check_first_bytes(&self, arrived: usize) -> usize {
        if !cfg!(feature = "failpoints") {
            return 0;
        }
        let (mut noted, mut excused) = (0, 0);
        for (node, told) in self.told.iter().enumerate() {
            let notes = first_bytes::read(told.path());
            let of_node = |(frozen, time): &(usize, Duration)| (*frozen == node).then_some(*time);
            let freezes: Vec<Duration> = self.freezes.iter().filter_map(of_node).collect();
            noted += notes.len();
            excused += first_bytes::excused(&notes, &freezes)
                .unwrap_or_else(|late| panic!("node {node} wrote after its lease: {late:?} of {freezes:?}"));
        }
        let known = noted + self.kills * NOT_NOTED;
        assert!(known >= arrived, "{arrived} requests came, and {noted} first bytes were noted");
        excused
    }

    /// First bytes that a node has written so far.
    pub(super) fn claims_of(&self, node: usize) -> usize {
        first_bytes::read(self.told[node].path()).len()
    }
}

/// A directory for database servers, which whoever runs them can enter; in memory where that can be, for it is not
/// this machine's disk that is tried.
fn ground() -> TempDir {
    let memory = Path::new("/dev/shm");
    let ground = tempfile::Builder::new().prefix("inkhook-cluster-").tempdir_in(memory);
    let ground = ground.or_else(|_| tempfile::tempdir()).expect("a temporary directory");
    std::fs::set_permissions(ground.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    ground
}

pub(super) fn is_there_a_server() -> bool {
    let is_there = std::env::var_os("INKHOOK_TEST_STORE").is_some();
    if !is_there {
        println!("skipped: nodes need a database server; INKHOOK_TEST_STORE=postgres has one");
    }
    is_there
}

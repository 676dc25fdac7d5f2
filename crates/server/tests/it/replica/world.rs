//! A primary, its asynchronous standby, and a server that is told of both.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use inkhook_bench::postgres::{Cluster, Options, Pair};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::block_in_place;

use crate::support::Receiver;
use crate::support::ask::{Api, Mailbox};
use crate::support::books::Books;
use crate::support::running::RunningServer;
use crate::support::time::until;

/// How long anything may take to be as it should be.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const EVENTS: &str = "/api/v1/events";
const DATABASE: &str = "inkhook";

/// See the module. Dropping it ends the server first.
pub(super) struct World {
    pub(super) server: RunningServer,
    pub(super) api: Api,
    pub(super) receiver: Receiver,
    pub(super) mailbox: Mailbox,
    pub(super) subscription: String,
    pub(super) pair: Pair,
    _ground: TempDir,
}

/// Reads that a replica may answer, by who answered them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) replica: u64,
    pub(super) primary: u64,
}

impl World {
    /// Nothing where the tests have no database server. The replica's URL names its host alone, or both.
    pub(super) async fn start(max_lag_ms: u64, both_hosts: bool) -> Option<Self> {
        if std::env::var_os("INKHOOK_TEST_STORE").is_none() {
            println!("skipped: a replica needs a database server; INKHOOK_TEST_STORE=postgres has one");
            return None;
        }
        let ground = ground();
        let options = Options { fsync: true, ..Options::new(ground.path().join("pair")) };
        let mut pair = block_in_place(|| Pair::start(&options)).expect("two servers");
        let_go(&mut pair);
        pair.primary().ask(&format!("CREATE DATABASE {DATABASE}")).expect("it is made");
        let both = pair.url(DATABASE);
        let replica = if both_hosts { both.clone() } else { pair.standby().url(DATABASE) };
        let database = if both_hosts { both } else { pair.primary().url(DATABASE) };
        let settings = [
            ("INKHOOK_DATABASE__REPLICA_URL", replica.as_str()),
            ("INKHOOK_DATABASE__REPLICA_MAX_LAG_MS", &max_lag_ms.to_string()),
            ("INKHOOK_SERVER__PUBLIC_METRICS", "true"),
            ("INKHOOK_LIMITS__REQUESTS_PER_SECOND", "100000"),
        ];
        let server = block_in_place(|| RunningServer::start_on(Books::at(&database), &settings));
        let api = Api { address: server.api, key: server.admin_key.clone() };
        let receiver = Receiver::start().await;
        let mailbox = api.identity("help").await;
        let made = api.subscribe(&mailbox, &receiver.url("/"), &["message.received"]).await;
        let subscription = made["id"].as_str().expect("an id").to_owned();
        Some(Self { server, api, receiver, mailbox, subscription, pair, _ground: ground })
    }

    /// Publishes, and waits until it was delivered and logged; the event's id.
    pub(super) async fn deliver(&self, subject: &str) -> String {
        let event = self.api.publish(&self.mailbox, "message.received", subject).await;
        until("the delivery to end", PATIENCE, async || {
            let shown = self.api.must(200, "GET", &format!("{EVENTS}/{event}"), None).await;
            (shown["deliveries"][0]["state"] == "succeeded").then_some(())
        })
        .await;
        event
    }

    /// The ids of what a list says, which must be answered.
    pub(super) async fn list(&self, path: &str) -> Vec<String> {
        let answer = self.api.must(200, "GET", path, None).await;
        let rows = answer.as_object().into_iter().flat_map(serde_json::Map::values).find_map(Value::as_array);
        let ids = rows.expect("a list").iter().map(|row| row["id"].as_str().expect("an id").to_owned());
        ids.collect()
    }

    /// How many attempts the chart counts.
    pub(super) async fn attempts_in_chart(&self) -> u64 {
        let path = format!("/api/v1/webhooks/subscriptions/{}/stats", self.subscription);
        let answer = self.api.must(200, "GET", &path, None).await;
        answer["attempts"]["total"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }

    pub(super) async fn reads(&self) -> Reads {
        let read =
            |text: &str, from| metric(text, &format!("inkhook_replica_reads_total{{from=\"{from}\"}}"));
        let text = self.metrics().await;
        Reads { replica: read(&text, "replica"), primary: read(&text, "primary") }
    }

    pub(super) async fn lag_ms(&self) -> u64 {
        metric(&self.metrics().await, "inkhook_replica_lag_ms")
    }

    /// Waits until the replica is read, or is not.
    pub(super) async fn is_used(&self, used: bool) {
        until(if used { "the replica to be used" } else { "the replica to be left" }, PATIENCE, async || {
            (metric(&self.metrics().await, "inkhook_replica_used") == u64::from(used)).then_some(())
        })
        .await;
    }

    /// Waits until the standby shows what the primary does.
    pub(super) async fn has_caught_up(&self, event: &str) {
        until("the replica to have it", PATIENCE, async || {
            self.list(EVENTS).await.iter().any(|listed| listed == event).then_some(())
        })
        .await;
    }

    async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.api.address).await.expect("it listens");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer
    }

    /// How often the server's log says this.
    pub(super) fn said(&self, what: &str) -> usize {
        self.server.log().matches(what).count()
    }

    /// Nothing that writes was ever sent to the standby.
    pub(super) fn nothing_was_written_to_the_standby(&mut self) {
        let log = std::fs::read_to_string(self.pair.standby().log_file()).expect("the standby's log");
        assert!(!log.contains("cannot execute"), "{log}");
    }
}

/// Commits wait for nobody from now on.
pub(super) fn let_go(pair: &mut Pair) {
    pair.primary().set("synchronous_standby_names", "").expect("it is set");
}

/// Stops the standby's processes where they are, or lets them go on: new connections are taken by the system, and
/// nothing is answered.
pub(super) fn freeze(standby: &mut Cluster, frozen: Option<HashSet<String>>) -> HashSet<String> {
    let is_frozen = frozen.is_some();
    let processes = frozen.unwrap_or_else(|| {
        let pids = standby.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'inkhook'");
        let mut pids: HashSet<String> = pids.expect("it answers").lines().map(ToOwned::to_owned).collect();
        let file = standby.log_file().with_file_name("data").join("postmaster.pid");
        let file = std::fs::read_to_string(file).expect("it runs");
        pids.insert(file.lines().next().expect("a process").trim().to_owned());
        pids
    });
    let signal = if is_frozen { "-CONT" } else { "-STOP" };
    let told = std::process::Command::new("kill").arg(signal).args(&processes).status().expect("kill runs");
    assert!(told.success());
    processes
}

fn metric(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name} in {text}"))
}

fn ground() -> TempDir {
    let memory = Path::new("/dev/shm");
    let ground = tempfile::Builder::new().prefix("inkhook-replica-").tempdir_in(memory);
    let ground = ground.or_else(|_| tempfile::tempdir()).expect("a temporary directory");
    std::fs::set_permissions(ground.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    ground
}
